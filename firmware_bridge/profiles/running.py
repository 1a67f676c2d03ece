"""Foot pods and connected shoes: RSC Measurement, 0x2A53 of service 0x1814.

Source: Running Speed and Cadence Service 1.0, section 3.1: speed in 1/256 m/s, cadence in 1/min,
stride length in cm, total distance in 1/10 m. Bit 2 (walking or running) has no quantity.
"""

from collections.abc import Iterator

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "running"

STRIDE_LENGTH, DISTANCE = 1, 2


def measurement(data: bytes) -> Iterator[Pair]:
    """Speed and cadence now, stride length and total distance if the sensor knows them."""
    fields = Fields(NAME, data)
    flags = fields.u8()
    yield "speed", fields.u16() / 256
    yield "cadence", fields.u8()
    if flags & STRIDE_LENGTH:
        yield "stride_length", fields.u16() / 100
    if flags & DISTANCE:
        yield "distance", fields.u32() / 10
    fields.end()


PROFILE = Profile(
    NAME,
    services=("1814",),
    characteristics={"2a53": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
)
