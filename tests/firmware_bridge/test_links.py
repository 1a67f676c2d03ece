from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.links import (
    RESETS_IN_VAIN_MAX,
    TRANSITIONS,
    Event,
    Link,
    LinkStateError,
    Policy,
    Remedy,
    State,
    Watchdog,
)

POLICY = Policy(silence_max_ms=30_000, backoff_first_ms=1_000, backoff_max_ms=60_000)

IMPOSSIBLE = {
    # no slot was asked for, nothing is up or down, before a device is seen
    *product(
        (State.SCANNING, State.MISSING, State.BROADCASTING, State.BACKING_OFF), (Event.ADMITTED,)
    ),
    *product(
        (State.SCANNING, State.MISSING, State.BROADCASTING, State.QUEUED, State.BACKING_OFF),
        (Event.UP, Event.DOWN),
    ),
    # a broadcaster is not connected to, and a queued device has no link to be heard on
    (State.BROADCASTING, Event.SEEN),
    (State.QUEUED, Event.HEARD),
    # these states have no deadline
    *product((State.MISSING, State.QUEUED, State.CONNECTING, State.SILENT), (Event.DUE,)),
    # one slot each, and up only once
    *product((State.CONNECTING, State.SUBSCRIBED, State.SILENT), (Event.ADMITTED,)),
    *product((State.SUBSCRIBED, State.SILENT), (Event.UP,)),
}


def link_in(state: State, now_ms: int = 0) -> Link:
    due_ms = None if state in {State.MISSING, State.QUEUED, State.SILENT} else now_ms + 5
    return Link(POLICY, state, now_ms, due_ms)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_of_state_and_event_is_either_in_the_table_or_refused(
    state: State, event: Event
) -> None:
    assert ((state, event) in TRANSITIONS) != ((state, event) in IMPOSSIBLE)

    if (state, event) in IMPOSSIBLE:
        with pytest.raises(LinkStateError, match=event.name):
            link_in(state).after(event, 1)
    else:
        assert link_in(state).after(event, 1).state is TRANSITIONS[state, event]


def test_a_link_goes_up_falls_silent_and_backs_off() -> None:
    link = Link.new(POLICY, 1_000)

    for event, now_ms in (
        (Event.SEEN, 2_000),
        (Event.ADMITTED, 2_100),
        (Event.UP, 2_500),
        (Event.HEARD, 3_000),
    ):
        link = link.after(event, now_ms)

    assert (link.state, link.since_ms, link.heard_ms, link.packets) == (
        State.SUBSCRIBED,
        2_500,
        3_000,
        1,
    )
    assert not link.is_due(32_999)
    assert link.is_due(33_000)
    silent = link.after(Event.DUE, 33_000)
    down = silent.after(Event.DOWN, 33_010, chance=1.0, error="silent for 30 s")
    assert (down.state, down.failures, down.due_ms) == (State.BACKING_OFF, 1, 34_010)
    assert down.error == "silent for 30 s"


def test_failures_are_forgotten_when_heard_and_not_when_connected() -> None:
    link = Link.new(POLICY, 0)
    for _ in range(3):
        link = link.after(Event.SEEN, 0).after(Event.ADMITTED, 0).after(Event.UP, 0)
        link = link.after(Event.DOWN, 0, chance=0.5, error="lost").after(Event.DUE, 0)

    up = link.after(Event.SEEN, 0).after(Event.ADMITTED, 0).after(Event.UP, 0)

    assert up.failures == 3
    assert up.after(Event.HEARD, 1).failures == 0


def test_a_late_packet_does_not_shorten_or_lengthen_the_back_off() -> None:
    down = link_in(State.CONNECTING).after(Event.DOWN, 100, chance=0.7)

    late = down.after(Event.HEARD, 150).after(Event.SEEN, 160)

    assert late.due_ms == down.due_ms


@given(failures=st.integers(1, 500), chance=st.floats(0, 1))
def test_back_off_stays_between_its_bounds(failures: int, chance: float) -> None:
    wait_ms = POLICY.backoff_ms(failures, chance)

    assert POLICY.backoff_min_ms <= wait_ms <= POLICY.backoff_max_ms
    assert wait_ms <= max(POLICY.backoff_min_ms, POLICY.backoff_first_ms * 2 ** (failures - 1))


@given(events=st.lists(st.tuples(st.sampled_from(Event), st.integers(0, 40_000)), max_size=60))
def test_whatever_happens_every_state_can_be_left(events: list[tuple[Event, int]]) -> None:
    link, now_ms = Link.new(POLICY, 0), 0
    for event, step_ms in events:
        now_ms += step_ms
        if (link.state, event) in TRANSITIONS and (event is not Event.DUE or link.is_due(now_ms)):
            link = link.after(event, now_ms)

    ways_out = [event for (state, event) in TRANSITIONS if state is link.state]

    assert any(TRANSITIONS[link.state, event] is not link.state for event in ways_out)
    assert (link.due_ms is not None) == ((link.state, Event.DUE) in TRANSITIONS)


def test_the_watchdog_takes_ever_longer_and_gives_up_resets_that_change_nothing() -> None:
    dog = Watchdog(90_000, 0)
    remedies = []
    for now_s in range(7_200):
        dog, remedy = dog.verdict(now_s * 1_000, links_alive=False)
        if remedy is not Remedy.NONE:
            remedies.append((now_s, remedy))

    assert [at_s for at_s, remedy in remedies if remedy is Remedy.RESET] == [180, 540, 1_260]
    assert [at_s for at_s, remedy in remedies if remedy is Remedy.REBUILD][:5] == [
        90,
        360,
        900,
        1_980,
        2_700,
    ]
    assert dog.deaf
    assert dog.gave_up


def test_the_watchdog_starts_over_when_anything_is_heard() -> None:
    dog = Watchdog(90_000, 0, Remedy.REBUILD, RESETS_IN_VAIN_MAX).heard(1_000)

    assert not dog.deaf
    assert not dog.gave_up
    assert dog.verdict(91_000, links_alive=False) == (
        Watchdog(90_000, 91_000, Remedy.REBUILD),
        Remedy.REBUILD,
    )


def test_the_watchdog_never_cuts_links_that_are_heard() -> None:
    dog, remedy = Watchdog(90_000, 0, Remedy.REBUILD).verdict(90_000, links_alive=True)

    assert remedy is Remedy.REBUILD
    assert dog.heard(100_000).verdict(180_000, links_alive=False)[1] is Remedy.NONE
