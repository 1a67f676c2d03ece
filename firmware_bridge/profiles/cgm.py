"""Continuous glucose monitors: CGM Measurement, 0x2AA7 of service 0x181F.

Source: Continuous Glucose Monitoring Service 1.0.2, sections 3.1 and 3.11 (E2E-CRC). One value
holds one or more records, each with its size in front. The size tells whether the optional fields
are followed by a CRC; a CRC that is there must hold.
"""

from collections.abc import Iterator

from firmware_bridge.profiles import battery
from firmware_bridge.profiles.medical import medfloat16
from firmware_bridge.profiles.profile import Fields, Pair, Profile

NAME = "cgm"

# Flag -> bytes; the three status octets come first, then trend and quality.
OPTIONAL = {1 << 5: 1, 1 << 6: 1, 1 << 7: 1, 1 << 0: 2, 1 << 1: 2}

SIZE_MIN = 6
CRC_SIZE = 2
KG_M3_PER_MG_DL = 100


def measurement(data: bytes) -> Iterator[Pair]:
    """The concentration of each record, oldest first, converted from mg/dL to kg/m3."""
    fields = Fields(NAME, data)
    if not data:
        raise fields.error("want at least one record")
    while fields.left:
        size = fields.u8()
        if size < SIZE_MIN:
            raise fields.error(f"want a record of at least {SIZE_MIN} bytes, got {size}")
        yield from _record(fields, bytes([size]) + fields.take(size - 1))


def _record(fields: Fields, record: bytes) -> Iterator[Pair]:
    flags = record[1]
    size = SIZE_MIN + sum(extra for flag, extra in OPTIONAL.items() if flags & flag)
    if len(record) not in {size, size + CRC_SIZE}:
        raise fields.error(
            f"want a record of {size} bytes for flags {flags:02x}, or 2 more for CRC"
        )
    if len(record) == size + CRC_SIZE:
        expected = int.from_bytes(record[size:], "little")
        if (computed := crc16(record[:size])) != expected:
            raise fields.error(f"CRC is {expected:04x}, computed {computed:04x}")
    value = medfloat16(int.from_bytes(record[2:4], "little"))
    if value is None:
        return
    if value < 0:
        raise fields.error("want a concentration of 0 or more")
    yield "glucose", float(value / KG_M3_PER_MG_DL)


def crc16(data: bytes) -> int:
    """The E2E-CRC: polynomial x16 + x12 + x5 + 1, start FFFF, least significant bit first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return crc


PROFILE = Profile(
    NAME,
    services=("181f",),
    characteristics={"2aa7": measurement, **battery.LEVEL},
    reads=tuple(battery.LEVEL),
    pair=True,
    silence_max_s=900,
)
