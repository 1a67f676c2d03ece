"""Weather and room sensors: pressure 0x2A6D, temperature 0x2A6E, humidity 0x2A6F of service 0x181A.

Source: GATT Specification Supplement, "Pressure" (uint32, 0.1 Pa), "Temperature" (sint16, 0.01 Cel,
8000 = not known) and "Humidity" (uint16, 0.01 %, FFFF = not known).
"""

from collections.abc import Iterator

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "environment"

TEMPERATURE_UNKNOWN, TEMPERATURE_MIN = -0x8000, -27315
HUMIDITY_UNKNOWN, HUMIDITY_MAX = 0xFFFF, 10_000


def pressure(data: bytes) -> Iterator[Pair]:
    """Air pressure in Pa."""
    fields = Fields(NAME, data)
    yield "pressure", fields.u32() / 10
    fields.end()


def temperature(data: bytes) -> Iterator[Pair]:
    """Temperature in Celsius."""
    fields = Fields(NAME, data)
    hundredths = fields.s16()
    fields.end()
    if hundredths == TEMPERATURE_UNKNOWN:
        return
    if hundredths < TEMPERATURE_MIN:
        raise fields.error(f"want at least {TEMPERATURE_MIN / 100} Cel, got {hundredths / 100}")
    yield "temperature", hundredths / 100


def humidity(data: bytes) -> Iterator[Pair]:
    """Relative humidity in per cent."""
    fields = Fields(NAME, data)
    hundredths = fields.u16()
    fields.end()
    if hundredths == HUMIDITY_UNKNOWN:
        return
    if hundredths > HUMIDITY_MAX:
        raise fields.error(f"want at most 100 %, got {hundredths / 100}")
    yield "humidity", hundredths / 100


_VALUES = {"2a6d": pressure, "2a6e": temperature, "2a6f": humidity}

PROFILE = Profile(
    NAME,
    services=("181a",),
    characteristics={**_VALUES, **battery.LEVEL},
    reads=(*_VALUES, *battery.LEVEL),
    silence_max_s=900,
)
