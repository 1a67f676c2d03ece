"""OBD-II service 01: how long each parameter is, and which quantity it becomes.

Source: SAE J1979 / ISO 15031-5, appendix B. Lengths are needed for parameters without a quantity
too: one answer can carry several parameters with nothing between them. Some vehicles send other
lengths for a few of them (06 to 09, 55 to 58, 68); the walk then meets a parameter that was not
asked for, and the answer is refused. Those that are not listed refuse any answer that has them.
"""

from typing import NamedTuple


class Scale(NamedTuple):
    """Value = unsigned big-endian word of the first `size` bytes * factor / divisor + offset."""

    quantity: str
    size: int
    factor: int = 1
    divisor: int = 1
    offset: int = 0

    def value(self, data: bytes) -> float:
        """In the quantity's unit."""
        word = int.from_bytes(data[: self.size], "big")
        return word * self.factor / self.divisor + self.offset


SCALES: dict[int, Scale] = {
    0x04: Scale("engine_load", 1, divisor=255),
    0x05: Scale("coolant_temperature", 1, offset=-40),
    0x0A: Scale("fuel_pressure", 1, 3000),
    0x0B: Scale("manifold_pressure", 1, 1000),
    0x0C: Scale("engine_speed", 2, divisor=4),
    0x0D: Scale("speed", 1, 5, 18),
    0x0E: Scale("timing_advance", 1, divisor=2, offset=-64),
    0x0F: Scale("intake_temperature", 1, offset=-40),
    0x10: Scale("mass_air_flow", 2, divisor=100_000),
    0x11: Scale("throttle_position", 1, divisor=255),
    **{pid: Scale("oxygen_voltage", 1, divisor=200) for pid in range(0x14, 0x1C)},
    0x1F: Scale("run_time", 2),
    0x21: Scale("distance", 2, 1000),
    0x2F: Scale("fuel_level", 1, divisor=255),
    0x31: Scale("distance", 2, 1000),
    0x33: Scale("pressure", 1, 1000),
    0x42: Scale("control_voltage", 2, divisor=1000),
    0x46: Scale("ambient_temperature", 1, offset=-40),
    0xA6: Scale("odometer", 4, 100),
}


def _sizes(*runs: tuple[int, int, int]) -> dict[int, int]:
    return {pid: size for first, last, size in runs for pid in range(first, last + 1)}


# First parameter, last parameter, bytes.
SIZES: dict[int, int] = _sizes(
    (0x00, 0x01, 4),
    (0x02, 0x03, 2),
    (0x04, 0x0B, 1),
    (0x0C, 0x0C, 2),
    (0x0D, 0x0F, 1),
    (0x10, 0x10, 2),
    (0x11, 0x13, 1),
    (0x14, 0x1B, 2),
    (0x1C, 0x1E, 1),
    (0x1F, 0x1F, 2),
    (0x20, 0x20, 4),
    (0x21, 0x23, 2),
    (0x24, 0x2B, 4),
    (0x2C, 0x30, 1),
    (0x31, 0x32, 2),
    (0x33, 0x33, 1),
    (0x34, 0x3B, 4),
    (0x3C, 0x3F, 2),
    (0x40, 0x41, 4),
    (0x42, 0x44, 2),
    (0x45, 0x4C, 1),
    (0x4D, 0x4E, 2),
    (0x4F, 0x50, 4),
    (0x51, 0x52, 1),
    (0x53, 0x54, 2),
    (0x55, 0x59, 2),
    (0x5A, 0x5C, 1),
    (0x5D, 0x5E, 2),
    (0x5F, 0x5F, 1),
    (0x60, 0x60, 4),
    (0x61, 0x62, 1),
    (0x63, 0x63, 2),
    (0x64, 0x64, 5),
    (0x65, 0x65, 2),
    (0x66, 0x66, 5),
    (0x67, 0x68, 3),
    (0x69, 0x69, 7),
    (0x6A, 0x6C, 5),
    (0x6F, 0x6F, 3),
    (0x7D, 0x7E, 1),
    (0x80, 0x80, 4),
    (0x84, 0x84, 1),
    (0x8D, 0x8E, 1),
    (0xA0, 0xA0, 4),
    (0xA6, 0xA6, 4),
    (0xC0, 0xC0, 4),
)
