"""Who may speak, how often, and what is merely said again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.admission import Admission, Limits, Refusal
from firmware_bridge.packets import Advert, Notification

HERE, THERE = "F0:00:00:00:00:01", "F0:00:00:00:00:02"


def advert(at_ms: int = 1_000, address: str = HERE) -> Advert:
    return Advert(address, "", {}, {}, (), -60, at_ms, at_ms)


def value(at_ms: int = 1_000) -> Notification:
    return Notification(HERE, "180d", "2a37", b"", False, at_ms, at_ms)


def test_the_first_advert_is_new() -> None:
    gate = Admission(Limits(), {})

    assert not gate.repeats(advert(), b"12345678", None)
    assert gate.admit(advert(), b"12345678", None, 3) is None


@pytest.mark.parametrize(
    ("later_ms", "digest", "repeats"),
    [(9_999, b"same", True), (10_000, b"same", False), (1, b"other", False)],
)
def test_equal_bytes_are_a_repeat_for_a_while(later_ms: int, digest: bytes, repeats: bool) -> None:
    gate = Admission(Limits(repeat_ms=10_000), {})
    gate.admit(advert(1_000), b"same", None, 1)

    assert gate.repeats(advert(1_000 + later_ms), digest, None) is repeats


def test_an_advert_without_readings_does_not_hide_a_repeat_behind_it() -> None:
    gate = Admission(Limits(), {})
    gate.admit(advert(1_000), b"measured", None, 1)

    gate.admit(advert(1_100), b"name only", None, 0)

    assert gate.repeats(advert(1_200), b"measured", None)


def test_another_device_may_say_the_same_bytes() -> None:
    gate = Admission(Limits(), {})
    gate.admit(advert(), b"same", None, 1)

    assert not gate.repeats(advert(address=THERE), b"same", None)


def test_a_notification_is_never_a_repeat() -> None:
    gate = Admission(Limits(), {})
    gate.admit(value(1_000), b"same", None, 1)

    assert not gate.repeats(value(1_001), b"same", None)


def test_the_counter_that_was_taken_last_repeats_and_a_lower_one_is_a_replay() -> None:
    gate = Admission(Limits(), {HERE: 7})

    assert gate.repeats(advert(), b"any", 7)
    assert not gate.repeats(advert(), b"any", 6)
    assert gate.admit(advert(), b"any", 6, 1) is Refusal.REPLAYED
    assert gate.admit(advert(), b"any", 8, 1) is None
    assert gate.admit(advert(), b"any", 8, 1) is Refusal.REPLAYED


def test_a_counter_that_was_refused_for_its_rate_is_not_used_up() -> None:
    gate = Admission(Limits(readings_per_s_max=1, burst_s=1), {HERE: 7})

    assert gate.admit(advert(1_000), b"any", 8, 2) is Refusal.RATE
    assert gate.admit(advert(2_000), b"any", 8, 1) is None


def test_a_burst_passes_and_what_is_beyond_it_waits_for_the_rate() -> None:
    gate = Admission(Limits(readings_per_s_max=10, burst_s=2), {})

    assert [gate.admit(value(1_000), b"", None, 10) for _ in range(3)] == [
        None,
        None,
        Refusal.RATE,
    ]
    assert gate.admit(value(1_400), b"", None, 5) is Refusal.RATE
    assert gate.admit(value(1_500), b"", None, 5) is None


@given(
    counters=st.lists(st.integers(0, 2**32 - 1), max_size=40),
    known=st.integers(-1, 2**32 - 1),
)
def test_the_counters_that_pass_rise_strictly_from_the_one_on_disk(
    counters: list[int], known: int
) -> None:
    gate = Admission(Limits(readings_per_s_max=1_000_000), {HERE: known})

    passed = [
        counter
        for counter in counters
        if not gate.repeats(advert(), b"", counter)
        and gate.admit(advert(), b"", counter, 1) is None
    ]

    assert all(low < high for low, high in zip([known, *passed], passed, strict=False))


@given(
    steps=st.lists(st.tuples(st.integers(-500, 5_000), st.integers(0, 400)), min_size=1),
    rate=st.integers(1, 200),
    burst_s=st.integers(1, 10),
)
def test_no_window_ever_lets_more_through_than_burst_and_rate(
    steps: list[tuple[int, int]], rate: int, burst_s: int
) -> None:
    gate = Admission(Limits(readings_per_s_max=rate, burst_s=burst_s), {})
    now_ms = most_ms = start_ms = 1_000_000
    passed = backwards_ms = 0

    for step_ms, readings in steps:
        now_ms += step_ms
        backwards_ms += max(0, -step_ms)  # boot time never runs back; even so the bound holds
        most_ms = max(most_ms, now_ms)
        if gate.admit(value(now_ms), b"", None, readings) is None:
            passed += readings

    spent_s = (most_ms - start_ms + backwards_ms) / 1000
    assert passed <= rate * burst_s + rate * spent_s + 1e-6
