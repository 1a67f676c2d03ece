"""Scales: Weight Measurement 0x2A9D of service 0x181D, and Weight 0x2A98.

Source: Weight Scale Service 1.0, section 3.2; GATT Specification Supplement, "Weight": 0.005 kg, or
0.01 lb where the measurement's flags say so. In a measurement FFFF means that weighing failed, and
is no reading; the weight of a user's record has no such value.
"""

from collections.abc import Iterator

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.medical import skip_date_time
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "weight"

IMPERIAL, DATE_TIME, USER, BMI_AND_HEIGHT = 1, 2, 4, 8

STEPS_PER_KG = 200
KG_PER_CENTIPOUND = 0.0045359237
UNSUCCESSFUL = 0xFFFF


def measurement(data: bytes) -> Iterator[Pair]:
    """The mass in kg."""
    fields = Fields(NAME, data)
    flags = fields.u8()
    steps = fields.u16()
    if flags & DATE_TIME:
        skip_date_time(fields)
    if flags & USER:
        fields.skip(1)
    if flags & BMI_AND_HEIGHT:
        fields.skip(4)
    fields.end()
    if steps != UNSUCCESSFUL:
        yield "mass", steps * KG_PER_CENTIPOUND if flags & IMPERIAL else steps / STEPS_PER_KG


def weight(data: bytes) -> Iterator[Pair]:
    """The mass in kg, of a user's record."""
    fields = Fields(NAME, data)
    yield "mass", fields.u16() / STEPS_PER_KG
    fields.end()


PROFILE = Profile(
    NAME,
    services=("181d",),
    characteristics={"2a9d": measurement, "2a98": weight, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
    silence_max_s=86_400,
)
