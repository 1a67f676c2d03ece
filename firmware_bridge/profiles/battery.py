"""Battery Level, 0x2A19 of service 0x180F; other profiles add `LEVEL` to what they read.

Source: Battery Service 1.0, section 3.1: one byte, 0 to 100 per cent, the rest reserved.
"""

from collections.abc import Iterator, Mapping

from firmware_bridge.profiles.profile import Decoder, Fields, Pair, Profile

NAME = "battery"

PERCENT_MAX = 100


def level(data: bytes) -> Iterator[Pair]:
    """The level in per cent."""
    fields = Fields(NAME, data)
    percent = fields.u8()
    fields.end()
    if percent > PERCENT_MAX:
        raise fields.error(f"want a level of 0 to {PERCENT_MAX} %, got {percent}")
    yield "battery_level", percent


LEVEL: Mapping[str, Decoder] = {"2a19": level}

PROFILE = Profile(
    NAME, services=("180f",), characteristics=LEVEL, reads=tuple(LEVEL), silence_max_s=3600
)
