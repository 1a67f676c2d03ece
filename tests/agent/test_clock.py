"""How well the clock is known, and whether it was set."""

import time

import pytest

from agent.clock import ClockState, Quality, Steps, judge, kernel_boot_id, quality, stamp
from firmware_bridge.radio import Stamp

IN_2026_S = 1_767_225_600


@pytest.mark.parametrize(
    ("wall_s", "error_max_us", "expected"),
    [
        (0, None, Quality(ClockState.UNSET, None)),
        (0, 1_000, Quality(ClockState.UNSET, None)),
        (IN_2026_S, None, Quality(ClockState.RESTORED, None)),
        (IN_2026_S, 25_999, Quality(ClockState.NTP, 25)),
        (IN_2026_S, -1, Quality(ClockState.NTP, 0)),
    ],
)
def test_an_error_bound_is_claimed_only_for_a_clock_that_something_disciplines(
    wall_s: float, error_max_us: int | None, expected: Quality
) -> None:
    assert judge(wall_s, error_max_us) == expected


def test_the_kernel_says_how_well_a_set_clock_is_known() -> None:
    state, error_max_ms = quality(IN_2026_S)

    assert (state, error_max_ms is None) in {
        (ClockState.RESTORED, True),
        (ClockState.NTP, False),
    }


def test_the_two_clocks_are_in_milliseconds_and_boot_time_moves() -> None:
    first = stamp(IN_2026_S * 1_000_000_000)
    time.sleep(0.005)
    second = stamp(IN_2026_S * 1_000_000_000 + 1_999_999)

    assert (first.wall_ms, second.wall_ms) == (IN_2026_S * 1000, IN_2026_S * 1000 + 1)
    assert 5 <= second.boottime_ms - first.boottime_ms < 5_000


def test_the_kernels_name_for_this_boot_stays() -> None:
    assert kernel_boot_id() == kernel_boot_id()
    assert len(kernel_boot_id()) == 36


@pytest.mark.parametrize(
    ("walls_ms", "counts"),
    [
        ([0, 1_000, 2_000], [0, 0, 0]),
        ([0, 1_999, 2_998], [0, 0, 0]),
        ([0, 2_000, 3_000], [0, 1, 1]),
        ([0, 0, 1_000], [0, 1, 1]),
        ([0, 9_000, 2_000, 3_000], [0, 1, 2, 2]),
    ],
)
def test_a_step_of_a_second_or_more_is_counted_and_never_forgotten(
    walls_ms: list[int], counts: list[int]
) -> None:
    steps = Steps()

    seen = [steps.seen(Stamp(wall, n * 1_000)) for n, wall in enumerate(walls_ms)]

    assert seen == counts
