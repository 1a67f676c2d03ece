"""Valve-cap tyre sensors that advertise 16 bytes under manufacturer 0x0100.

Source: docs/a-new-sensor.md, last section: six id bytes, int32 LE pressure in Pa, int32 LE
temperature in 0.01 Cel, battery in per cent, alarm. The manufacturer number is TomTom's. So the
payload is ours when something else says tyre sensor too: the name, the service, or the id (it is
the address, or has EA CA as its second and third byte). Without such a sign it is ours only when it
has 16 bytes and each field holds what a tyre can have, which hardly any other payload does.
"""

from collections.abc import Iterator

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, uuid128
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "tyre"

MANUFACTURER = 0x0100
SIZE = 16
SERVICE = uuid128("fbb0")
NAME_START = "TPMS"

ID_MIDDLE = b"\xea\xca"

# Our limits: outside them the fields do not lie where we think.
PRESSURE_MIN, PRESSURE_MAX = -101_325, 2_000_000  # Pa, on a gauge that reads 0 in the open air
HUNDREDTHS_MIN, HUNDREDTHS_MAX = -10_000, 20_000  # 0.01 Cel
PERCENT_MAX = 100
ALARM_MAX = 1


def matches(advert: Advert) -> bool:
    """Does the device call itself tyre sensor, or carry 16 bytes that only such a sensor sends?"""
    data = advert.manufacturer_data.get(MANUFACTURER)
    if data is None:
        return False
    if SERVICE in advert.service_uuids or advert.name.startswith(NAME_START):
        return True
    if len(data) != SIZE:
        return False
    return data[1:3] == ID_MIDDLE or data[:6].hex(":").upper() == advert.address or _is_a_tyre(data)


def _is_a_tyre(data: bytes) -> bool:
    try:
        return data[-1] <= ALARM_MAX and len(list(_fields(data))) > 0
    except DecodeError:
        return False


def decode(advert: Advert, _key: bytes | None) -> Iterator[Pair]:
    """Gauge pressure, temperature and battery level."""
    yield from _fields(advert.manufacturer_data[MANUFACTURER])


def _fields(data: bytes) -> Iterator[Pair]:
    fields = Fields(NAME, data)
    fields.skip(6)
    pascal, hundredths, percent = fields.s32(), fields.s32(), fields.u8()
    fields.skip(1)  # alarm
    fields.end()
    if not PRESSURE_MIN <= pascal <= PRESSURE_MAX:
        raise fields.error(f"want {PRESSURE_MIN} to {PRESSURE_MAX} Pa, got {pascal}")
    if not HUNDREDTHS_MIN <= hundredths <= HUNDREDTHS_MAX:
        raise fields.error(f"want a temperature of -100 to 200 Cel, got {hundredths / 100}")
    if percent > PERCENT_MAX:
        raise fields.error(f"want a level of 0 to {PERCENT_MAX} %, got {percent}")
    yield "tyre_pressure", pascal
    yield "temperature", hundredths / 100
    yield "battery_level", percent


PROFILE = Profile(NAME, matches_advert=matches, advert=decode, silence_max_s=900)
