"""Bicycle sensors: CSC Measurement, 0x2A5B of service 0x1816, and the revolution fields of 0x2A63.

Source: Cycling Speed and Cadence Service 1.0, section 3.1; Cycling Power Service 1.1, section 3.2.
Counters are cumulative and wrap: wheel at 2^32, crank at 2^16. Event times wrap at 2^16 ticks,
which are 1/1024 s, but 1/2048 s for the wheel of the power service.
"""

from collections.abc import Iterator, Mapping

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "cycling"

WHEEL, CRANK = 1, 2

TICKS_PER_S = 1024
WRAP = 1 << 16
WRAP_S = WRAP / TICKS_PER_S
CADENCE_MAX = 300  # 1/min; above it the counter was reset, not turned


def wheel(fields: Fields, ticks_per_s: int = TICKS_PER_S) -> Iterator[Pair]:
    """Cumulative wheel revolutions and the time of the last one, in s on the sensor's clock."""
    yield "wheel_revolutions", fields.u32()
    yield "wheel_event_time", fields.u16() / ticks_per_s


def crank(fields: Fields) -> Iterator[Pair]:
    """Cumulative crank revolutions and the time of the last one, in s on the sensor's clock."""
    yield "crank_revolutions", fields.u16()
    yield "crank_event_time", fields.u16() / TICKS_PER_S


def measurement(data: bytes) -> Iterator[Pair]:
    """The counters that the flags announce, as they stand; `cadence` takes the differences."""
    fields = Fields(NAME, data)
    flags = fields.u8()
    if flags & WHEEL:
        yield from wheel(fields)
    if flags & CRANK:
        yield from crank(fields)
    fields.end()


def cadence(
    earlier: Mapping[str, float], later: Mapping[str, float], elapsed_s: float
) -> Iterator[Pair]:
    """Crank cadence between two measurements of one sensor, across the wrap of both counters.

    Yields nothing where the difference is not certain: no crank data, no new revolution, more time
    gone by than the event time can count (64 s), or a rate that no legs reach.
    """
    keys = ("crank_revolutions", "crank_event_time")
    if not all(key in earlier and key in later for key in keys) or not 0 <= elapsed_s < WRAP_S:
        return
    turns = (later[keys[0]] - earlier[keys[0]]) % WRAP
    seconds = (later[keys[1]] - earlier[keys[1]]) % WRAP_S
    if turns and seconds and turns * 60 <= CADENCE_MAX * seconds:
        yield "cadence", turns * 60 / seconds


PROFILE = Profile(
    NAME,
    services=("1816",),
    characteristics={"2a5b": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
    derive=cadence,
)
