"""Valve-cap tyre sensors that advertise 16 bytes under manufacturer 0x0100.

Source: the layout in docs/formats (FORMATS section 9): six id bytes, int32 LE pressure in Pa, int32
LE temperature in 0.01 Cel, battery in per cent, alarm. TomTom owns the manufacturer number, so a
payload of another length is ours only when the name or the service says tyre sensor.
"""

from collections.abc import Iterator

from firmware_bridge.packets import Advert, uuid128
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "tyre"

MANUFACTURER = 0x0100
SIZE = 16
SERVICE = uuid128("fbb0")
NAME_START = "TPMS"

PRESSURE_MIN = -101_325  # a vacuum, on a gauge that reads 0 in the open air
TEMPERATURE_MIN = -27315
PERCENT_MAX = 100


def matches(advert: Advert) -> bool:
    """Is there a payload of the right size, or one from a device that calls itself tyre sensor?"""
    data = advert.manufacturer_data.get(MANUFACTURER)
    return data is not None and (
        len(data) == SIZE or SERVICE in advert.service_uuids or advert.name.startswith(NAME_START)
    )


def decode(advert: Advert, _key: bytes | None) -> Iterator[Pair]:
    """Gauge pressure, temperature and battery level."""
    fields = Fields(NAME, advert.manufacturer_data[MANUFACTURER])
    fields.skip(6)
    pascal, hundredths, percent = fields.s32(), fields.s32(), fields.u8()
    fields.skip(1)  # alarm
    fields.end()
    if pascal < PRESSURE_MIN:
        raise fields.error(f"want a pressure of at least {PRESSURE_MIN} Pa, got {pascal}")
    if hundredths < TEMPERATURE_MIN:
        raise fields.error(f"want at least {TEMPERATURE_MIN / 100} Cel, got {hundredths / 100}")
    if percent > PERCENT_MAX:
        raise fields.error(f"want a level of 0 to {PERCENT_MAX} %, got {percent}")
    yield "tyre_pressure", pascal
    yield "temperature", hundredths / 100
    yield "battery_level", percent


PROFILE = Profile(NAME, matches_advert=matches, advert=decode, silence_max_s=900)
