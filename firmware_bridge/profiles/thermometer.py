"""Body thermometers: Temperature Measurement 0x2A1C, Intermediate Temperature 0x2A1E (0x1809).

Source: Health Thermometer Service 1.0, sections 3.1 and 3.3: flags, a medfloat32 in Celsius or
Fahrenheit, then date and type as the flags announce. A special value is no reading.
"""

from collections.abc import Iterator
from fractions import Fraction

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.medical import medfloat32, skip_date_time
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "thermometer"

FAHRENHEIT, DATE_TIME, TYPE = 1, 2, 4

CELSIUS_MIN = Fraction(-27315, 100)
CELSIUS_MAX = 1000  # no thermometer for bodies shows more: the exponent is damaged


def measurement(data: bytes) -> Iterator[Pair]:
    """The temperature in Celsius, if there is one."""
    fields = Fields(NAME, data)
    flags = fields.u8()
    celsius = medfloat32(fields.u32())
    if flags & DATE_TIME:
        skip_date_time(fields)
    if flags & TYPE:
        fields.skip(1)
    fields.end()
    if celsius is None:
        return
    if flags & FAHRENHEIT:
        celsius = (celsius - 32) * 5 / 9
    if not CELSIUS_MIN <= celsius <= CELSIUS_MAX:
        raise fields.error(f"want {float(CELSIUS_MIN)} to {CELSIUS_MAX} Cel")
    yield "temperature", float(celsius)


PROFILE = Profile(
    NAME,
    services=("1809",),
    characteristics={"2a1c": measurement, "2a1e": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
    silence_max_s=3600,
)
