"""The clock that the virtual things count with."""

import time

import pytest

from firmware_bridge.radio import Clock, Stamp


@pytest.fixture
def clock() -> Clock:
    """The monotonic clock as both: tests look at distances only."""

    def now() -> Stamp:
        now_ms = int(time.monotonic() * 1_000)
        return Stamp(1_790_000_000_000 + now_ms, now_ms)

    return now
