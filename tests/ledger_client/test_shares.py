"""Shares and netting: worked examples, then arbitrary parties, shares and histories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import LocalError, ProofError
from ledger_client.shares import Debt, check_netting, credit, net, positions, split


@st.composite
def shares_bps(draw: st.DrawFn) -> tuple[int, ...]:
    cuts = sorted(draw(st.lists(st.integers(0, 10_000), max_size=7)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True))


debts = st.lists(
    st.builds(
        Debt, st.sampled_from("abcdef"), st.sampled_from("abcdef"), st.integers(1, 2**50)
    ).filter(lambda debt: debt.debtor != debt.creditor)
)


@pytest.mark.parametrize(
    ("total", "bps", "parts"),
    [
        (100, (7_000, 2_000, 1_000), (70, 20, 10)),
        (101, (7_000, 2_000, 1_000), (71, 20, 10)),
        (1, (3_333, 3_333, 3_334), (1, 0, 0)),
        (0, (10_000,), (0,)),
        (9, (0, 10_000), (0, 9)),
    ],
)
def test_the_remainder_is_the_first_partys(
    total: int, bps: tuple[int, ...], parts: tuple[int, ...]
) -> None:
    assert split(total, bps) == parts


@pytest.mark.parametrize(
    ("total", "bps"), [(1, ()), (1, (9_999,)), (1, (-1, 10_001)), (-1, (10_000,))]
)
def test_shares_that_are_no_whole_are_refused(total: int, bps: tuple[int, ...]) -> None:
    with pytest.raises(LocalError, match="shares are 10000 in all"):
        split(total, bps)


@given(bps=shares_bps(), total=st.integers(0, 2**62))
def test_parts_sum_to_the_whole_and_none_is_off_by_a_unit_a_party(
    bps: tuple[int, ...], total: int
) -> None:
    parts = split(total, bps)

    assert sum(parts) == total
    assert list(parts[1:]) == [total * share // 10_000 for share in bps[1:]]
    assert 0 <= parts[0] - total * bps[0] // 10_000 < len(bps)


@given(bps=shares_bps(), rises=st.lists(st.integers(0, 10_000), max_size=50))
def test_crediting_step_by_step_takes_nothing_back_and_drifts_by_a_unit_a_party_at_most(
    bps: tuple[int, ...], rises: list[int]
) -> None:
    credited, total = (0,) * len(bps), 0
    for rise in rises:
        total += rise
        added = credit(bps, credited, total)
        assert min(added) >= 0
        assert sum(added) == rise
        credited = tuple(a + b for a, b in zip(credited, added, strict=True))
        for part, whole in zip(credited, split(total, bps), strict=True):
            assert abs(part - whole) < len(bps)


def test_parts_that_become_whole_at_once_wait_for_the_next_unit() -> None:
    bps = (1, 3_333, 3_333, 3_333)
    assert split(3, bps) == (3, 0, 0, 0)
    assert split(4, bps) == (1, 1, 1, 1)

    assert credit(bps, (3, 0, 0, 0), 4) == (0, 1, 0, 0)
    assert credit(bps, (3, 1, 0, 0), 6) == (0, 0, 1, 1)


def test_a_total_only_rises() -> None:
    with pytest.raises(LocalError, match="it only rises"):
        credit((5_000, 5_000), (2, 2), 3)
    with pytest.raises(LocalError, match="it only rises"):
        credit((5_000, 5_000), (2,), 3)


def test_three_brands_in_a_ring_pay_only_the_difference() -> None:
    owed = [Debt("a", "b", 100), Debt("b", "c", 100), Debt("c", "a", 70)]

    assert net(owed) == (Debt("a", "c", 30),)
    assert check_netting(owed, net(owed)) == {"a": -30, "b": 0, "c": 30}


@given(debts)
def test_netting_conserves_each_position_in_fewer_payments_than_parties(owed: list[Debt]) -> None:
    payments = net(owed)

    held = check_netting(owed, payments)

    assert sum(held.values()) == 0
    assert len(payments) < max(1, len(held)) or not held
    assert sum(each.amount for each in payments) <= sum(each.amount for each in owed)


@given(debts.filter(bool), st.integers(1, 9))
def test_a_netting_that_favours_anybody_is_refused(owed: list[Debt], more: int) -> None:
    with pytest.raises(ProofError, match="after the netting"):
        check_netting(owed, [*net(owed), Debt("a", "b", more)])


@pytest.mark.parametrize("debt", [Debt("a", "a", 1), Debt("a", "b", 0), Debt("a", "b", -5)])
def test_a_debt_to_oneself_or_of_nothing_is_refused(debt: Debt) -> None:
    with pytest.raises(ProofError, match="a debt of"):
        positions([debt])
