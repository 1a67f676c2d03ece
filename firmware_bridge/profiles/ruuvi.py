"""RuuviTag and Ruuvi Air: data formats 3, 5, 6 and E1 under manufacturer 0x0499.

Source: https://docs.ruuvi.com/communication/bluetooth-advertisements, one page a format.
Big-endian; the "not available" word of each field is no reading. Values without a quantity
(particulates, CO2, VOC, NOX, movement) are passed over.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert
from firmware_bridge.profiles.profile import Pair, Profile

NAME = "ruuvi"

MANUFACTURER = 0x0499

STANDARD_GRAVITY = 9.80665  # m/s2 in 1 g


class _Field(NamedTuple):
    """`size` bytes at `at`: quantity, value = (word + offset) / divisor, the word that is none."""

    at: int
    size: int
    quantity: str
    divisor: int
    offset: int = 0
    absent: int | None = None
    signed: bool = False


def _acceleration(at: int, absent: int | None = None) -> tuple[_Field, ...]:
    return tuple(
        _Field(at + 2 * axis, 2, "acceleration", 1000, absent=absent, signed=True)
        for axis in range(3)
    )


# Formats 5, 6 and E1 begin alike.
_CLIMATE = (
    _Field(1, 2, "temperature", 200, absent=-0x8000, signed=True),
    _Field(3, 2, "humidity", 400, absent=0xFFFF),
    _Field(5, 2, "pressure", 1, offset=50_000, absent=0xFFFF),
)


def _format_3(data: bytes) -> Iterator[Pair]:
    """Temperature is a sign bit, whole degrees, and hundredths of 0 to 99; no word means absent."""
    whole, hundredths = data[2] & 0x7F, data[3]
    if hundredths > 99:  # noqa: PLR2004  # hundredths of a degree
        raise DecodeError(NAME, f"want 0 to 99 hundredths of a degree, got {hundredths}", data)
    yield "temperature", (whole * 100 + hundredths) / (-100 if data[2] & 0x80 else 100)
    yield from _table(data, _FIELDS_3)


def _format_5(data: bytes) -> Iterator[Pair]:
    """Battery is the upper 11 bits of the power word, in mV above 1600."""
    yield from _table(data, _FIELDS_5)
    if (millivolt := int.from_bytes(data[13:15], "big") >> 5) != 0x7FF:  # noqa: PLR2004  # absent
        yield "voltage", (millivolt + 1600) / 1000


def _format_6(data: bytes) -> Iterator[Pair]:
    """Light is a logarithmic code: 0 is 0 lx, 254 is 65535 lx, 255 is absent."""
    yield from _table(data, _CLIMATE)
    if (code := data[13]) != 0xFF:  # noqa: PLR2004  # absent
        yield "illuminance", round(math.expm1(code * math.log(65536) / 254), 2)


def _format_e1(data: bytes) -> Iterator[Pair]:
    """Ruuvi Air's long form: climate and light."""
    yield from _table(data, _FIELDS_E1)


_FIELDS_3 = (
    _Field(1, 1, "humidity", 2),
    _Field(4, 2, "pressure", 1, offset=50_000),
    *_acceleration(6),
    _Field(12, 2, "voltage", 1000),
)
_FIELDS_5 = (*_CLIMATE, *_acceleration(7, absent=-0x8000))
_FIELDS_E1 = (*_CLIMATE, _Field(19, 3, "illuminance", 100, absent=0xFFFFFF))

# Format -> least size in bytes, decoder.
_FORMATS: dict[int, tuple[int, Callable[[bytes], Iterator[Pair]]]] = {
    0x03: (14, _format_3),
    0x05: (24, _format_5),
    0x06: (20, _format_6),
    0xE1: (40, _format_e1),
}


def _table(data: bytes, fields: tuple[_Field, ...]) -> Iterator[Pair]:
    for field in fields:
        raw = data[field.at : field.at + field.size]
        word = int.from_bytes(raw, "big", signed=field.signed)
        if word != field.absent:
            value = (word + field.offset) / field.divisor
            yield (
                field.quantity,
                value * STANDARD_GRAVITY if field.quantity == "acceleration" else value,
            )


def matches(advert: Advert) -> bool:
    """Is it one of the formats that have readings in the open? An empty payload is malformed."""
    data = advert.manufacturer_data.get(MANUFACTURER)
    return data is not None and (not data or data[0] in _FORMATS)


def decode(advert: Advert, _key: bytes | None) -> Iterator[Pair]:
    """Climate, acceleration (x, y, z), battery voltage or light, as the format has them."""
    data = advert.manufacturer_data[MANUFACTURER]
    if not data:
        raise DecodeError(NAME, "want a data format, got nothing", data)
    size, decoder = _FORMATS[data[0]]
    if len(data) < size:  # some receivers append padding or a signal strength: offsets are fixed
        raise DecodeError(NAME, f"want {size} bytes for {data[0]:02x}, got {len(data)}", data)
    yield from decoder(data)


PROFILE = Profile(NAME, matches_advert=matches, advert=decode, silence_max_s=300)
