"""When a batch is full, and what is in it."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.batching import BatchLimits, PackHead, due

BOOT, EARLIER = b"thisboot", b"lastboot"
LIMITS = BatchLimits(readings_max=10, age_max_ms=1_000)


def head(number: int, readings: int = 4, boot: bytes = BOOT, committed_ms: int = 5_000) -> PackHead:
    return PackHead(number, "runner", boot, readings, 0, 0, committed_ms)


def test_nothing_is_due_of_nothing() -> None:
    assert due([], LIMITS, BOOT, 5_000, drain=True) == ()


def test_a_young_batch_with_room_stays_open() -> None:
    assert due([head(1), head(2)], LIMITS, BOOT, 5_999) == ()


@pytest.mark.parametrize(
    ("packs", "now_ms", "drain", "expected"),
    [
        pytest.param([head(1), head(2)], 6_000, False, 2, id="its first pack is old enough"),
        pytest.param([head(1), head(2)], 5_000, True, 2, id="it is to be drained"),
        pytest.param([head(1, 6), head(2, 4)], 5_000, False, 2, id="it is full to the reading"),
        pytest.param([head(1), head(2), head(3)], 5_000, False, 2, id="the next pack is too much"),
        pytest.param([head(1, 99)], 5_000, False, 1, id="one pack alone is too much"),
        pytest.param([head(1, boot=EARLIER)], 5_000, False, 1, id="the box was booted since"),
        pytest.param([head(1, boot=EARLIER), head(2)], 5_000, False, 1, id="a boot is between"),
    ],
)
def test_a_batch_is_due_when(
    packs: list[PackHead], now_ms: int, drain: bool, expected: int
) -> None:
    assert due(packs, LIMITS, BOOT, now_ms, drain=drain) == tuple(packs[:expected])


@dataclass(frozen=True)
class Drawn:
    packs: list[PackHead]
    limits: BatchLimits


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    rows = draw(st.lists(st.tuples(st.integers(1, 30), st.sampled_from([EARLIER, BOOT]))))
    packs = [head(number, readings, boot) for number, (readings, boot) in enumerate(rows)]
    return Drawn(packs, BatchLimits(draw(st.integers(1, 60)), 1_000))


@given(drawn=drawn())
def test_draining_takes_every_pack_once_and_in_order(drawn: Drawn) -> None:
    taken: list[PackHead] = []
    sizes: list[int] = []

    while chosen := due(drawn.packs[len(taken) :], drawn.limits, BOOT, 5_000, drain=True):
        taken += chosen
        sizes.append(sum(pack.readings for pack in chosen))
        assert len({pack.boot for pack in chosen}) == 1
        assert len(chosen) == 1 or sizes[-1] <= drawn.limits.readings_max

    assert taken == drawn.packs


@given(drawn=drawn())
def test_what_is_due_without_draining_is_the_same_or_nothing(drawn: Drawn) -> None:
    open_or_due = due(drawn.packs, drawn.limits, BOOT, 5_000)

    assert open_or_due in {(), due(drawn.packs, drawn.limits, BOOT, 5_000, drain=True)}
