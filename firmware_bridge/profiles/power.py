"""Power meters: Cycling Power Measurement, 0x2A63 of service 0x1818.

Source: Cycling Power Service 1.1, section 3.2. Only power, revolutions and accumulated energy (kJ)
have a quantity; the other fields must be as long as the flags announce.
"""

from collections.abc import Iterator

from firmware_bridge.profiles import battery, cycling
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "cycling-power"

WHEEL_TICKS_PER_S = 2048

BALANCE, TORQUE, WHEEL, CRANK, ENERGY = 1 << 0, 1 << 2, 1 << 4, 1 << 5, 1 << 11
# Between crank and energy, in this order: extreme force, extreme torque, extreme angles, top and
# bottom dead spot. Flag -> bytes.
PASSED_OVER = {1 << 6: 4, 1 << 7: 4, 1 << 8: 3, 1 << 9: 2, 1 << 10: 2}


def measurement(data: bytes) -> Iterator[Pair]:
    """Power now (negative when braking), and the cumulative counters that the flags announce."""
    fields = Fields(NAME, data)
    flags = fields.u16()
    yield "power", fields.s16()
    if flags & BALANCE:
        fields.skip(1)
    if flags & TORQUE:
        fields.skip(2)
    if flags & WHEEL:
        yield from cycling.wheel(fields, WHEEL_TICKS_PER_S)
    if flags & CRANK:
        yield from cycling.crank(fields)
    for flag, size in PASSED_OVER.items():
        if flags & flag:
            fields.skip(size)
    if flags & ENERGY:
        yield "energy", fields.u16() * 1000
    fields.end()


PROFILE = Profile(
    NAME,
    services=("1818",),
    characteristics={"2a63": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
    derive=cycling.cadence,
)
