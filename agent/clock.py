"""How well the system clock is known, as the kernel tells it. Read by agent.gateway alone.

Source: adjtimex(2). The kernel says whether something disciplines the clock (STA_UNSYNC) and how
large the error may have grown (maxerror, which rises by itself until the next synchronisation).
"""

import ctypes
from enum import IntEnum
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime_ns
from typing import NamedTuple

from firmware_bridge.radio import Stamp

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_EARLIEST_S = 1_760_000_000  # October 2025: no milepost ran before it
STEP_MIN_MS = 1_000


class ClockState(IntEnum):
    """Where the wall clock's time comes from (FORMATS section 4, clock key 1)."""

    UNSET = 0
    RESTORED = 1
    NTP = 2


class Quality(NamedTuple):
    """State of the wall clock and its greatest error in milliseconds; None when nobody knows."""

    state: ClockState
    error_max_ms: int | None


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h on a 64-bit machine."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 168),
    )


def quality(wall_s: float) -> Quality:
    """What the kernel knows about the clock that shows `wall_s`."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    synchronised = state not in {-1, _TIME_ERROR} and not timex.status & _STA_UNSYNC
    return judge(wall_s, int(timex.maxerror) if synchronised else None)


def judge(wall_s: float, error_max_us: int | None) -> Quality:
    """The clock that shows `wall_s` and, if something disciplines it, may be that far off."""
    if wall_s < _EARLIEST_S:
        return Quality(ClockState.UNSET, None)
    if error_max_us is None:
        return Quality(ClockState.RESTORED, None)
    return Quality(ClockState.NTP, max(error_max_us // 1000, 0))


def stamp(wall_ns: int) -> Stamp:
    """The two clocks as a radio wants them: Unix and boot time in milliseconds."""
    return Stamp(wall_ns // 1_000_000, clock_gettime_ns(CLOCK_BOOTTIME) // 1_000_000)


def minute_s(wall_ms: int) -> int:
    """The minute of a wall clock, as Unix seconds: nothing on a log tells time more finely."""
    return wall_ms // 60_000 * 60


def kernel_boot_id() -> str:
    """The kernel's random name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Steps:
    """Counts how often the wall clock was set: it and the boot clock no longer moved together."""

    def __init__(self) -> None:
        self._offset_ms: int | None = None
        self._count = 0

    def seen(self, now: Stamp) -> int:
        """Steps of a second or more between any two calls so far."""
        offset_ms = now.wall_ms - now.boottime_ms
        if self._offset_ms is not None and abs(offset_ms - self._offset_ms) >= STEP_MIN_MS:
            self._count += 1
        self._offset_ms = offset_ms
        return self._count
