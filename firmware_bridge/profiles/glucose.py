"""Finger-prick glucose meters: Glucose Measurement, 0x2A18 of service 0x1808.

Source: Glucose Service 1.0.1, section 3.1. The concentration is a medfloat16 in kg/L or mol/L; a
special value (NaN, not at this resolution, infinity) is no reading.
"""

from collections.abc import Iterator
from fractions import Fraction

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.medical import medfloat16, skip_date_time
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "glucose"

TIME_OFFSET, CONCENTRATION, UNIT_IS_MOL, STATUS = 1, 2, 4, 8

KG_M3_PER_KG_L = Fraction(1000)
KG_M3_PER_MOL_L = Fraction(180156, 1000)


def measurement(data: bytes) -> Iterator[Pair]:
    """The concentration in kg/m3, if the record has one."""
    fields = Fields(NAME, data)
    flags = fields.u8()
    fields.skip(2)  # sequence number
    skip_date_time(fields)
    if flags & TIME_OFFSET:
        fields.skip(2)
    if flags & CONCENTRATION:
        value = medfloat16(fields.u16())
        fields.skip(1)  # type and sample location
        if value is not None:
            if value < 0:
                raise fields.error("want a concentration of 0 or more")
            yield (
                "glucose",
                float(value * (KG_M3_PER_MOL_L if flags & UNIT_IS_MOL else KG_M3_PER_KG_L)),
            )
    if flags & STATUS:
        fields.skip(2)
    fields.end()


PROFILE = Profile(
    NAME,
    services=("1808",),
    characteristics={"2a18": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
    pair=True,
    silence_max_s=86_400,
)
