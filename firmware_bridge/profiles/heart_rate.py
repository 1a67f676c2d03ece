"""Heart rate straps and watches: Heart Rate Measurement, 0x2A37 of service 0x180D.

Source: Heart Rate Service 1.0, section 3.1; GATT Specification Supplement, "Heart Rate
Measurement". Energy comes in kJ, RR intervals in 1/1024 s. Reserved flags (bits 5 to 7) are
ignored, as the specification asks; bytes that no flag announces are refused.
"""

from collections.abc import Iterator

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "heart-rate"

RATE_IS_16_BIT, CONTACT, CONTACT_SUPPORTED, ENERGY, RR_INTERVALS = 1, 2, 4, 8, 16


def measurement(data: bytes) -> Iterator[Pair]:
    """Heart rate, contact if the sensor can tell, energy and RR intervals, oldest first."""
    fields = Fields(NAME, data)
    flags = fields.u8()
    yield "heart_rate", fields.u16() if flags & RATE_IS_16_BIT else fields.u8()
    if flags & CONTACT_SUPPORTED:
        yield "sensor_contact", 1 if flags & CONTACT else 0
    if flags & ENERGY:
        yield "energy_expended", fields.u16() * 1000
    if flags & RR_INTERVALS:
        yield "rr_interval", fields.u16() / 1024  # the flag promises at least one
        while fields.left:
            yield "rr_interval", fields.u16() / 1024
    fields.end()


PROFILE = Profile(
    NAME,
    services=("180d",),
    characteristics={"2a37": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
)
