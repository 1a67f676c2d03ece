"""Budgets: by key, by counterparty, by period, in one asset; what they keep back and when."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from market import STRANGER, terms

from agent.spending import DAY_S, Budget, BudgetError, Spent, after, certified
from ledger_client.certificates import Limits

ALL, EACH = Budget(100), Budget(60, each_payee=True)
OTHER = replace(terms(), payee=STRANGER.public)


def test_a_budget_is_for_all_counterparties_or_for_each() -> None:
    held = after((ALL, EACH), terms(), {}, (60, 5))

    with pytest.raises(BudgetError, match="0 is left of 60 EUR/6 in 86400 s"):
        after((ALL, EACH), terms(), held, (1, 5))
    with pytest.raises(BudgetError, match="41 of EUR/6 is due, 40 is left of 100"):
        after((ALL, EACH), OTHER, held, (41, 5))
    assert after((ALL, EACH), OTHER, held, (40, 5))[ALL.name(OTHER)] == Spent(0, 100)


def test_it_begins_again_with_the_next_period_and_not_when_the_clock_is_set_back() -> None:
    held = after((ALL,), terms(), {}, (100, 3 * DAY_S))

    for now_s in (3 * DAY_S, 4 * DAY_S - 1, 0, DAY_S):
        with pytest.raises(BudgetError):
            after((ALL,), terms(), held, (1, now_s))
    assert after((ALL,), terms(), held, (70, 4 * DAY_S)) == {ALL.name(terms()): Spent(4, 70)}


def test_without_a_period_it_never_does() -> None:
    once = Budget(10, period_s=None)
    held = after((once,), terms(), {}, (10, 0))

    with pytest.raises(BudgetError, match="in all"):
        after((once,), terms(), held, (1, 10**12))


def test_another_asset_is_counted_apart_or_not_allowed() -> None:
    cents = replace(terms(), asset="EUR/2")
    held = after((ALL,), terms(), {}, (100, 0))

    assert after((ALL,), cents, held, (100, 0))[ALL.name(cents)] == Spent(0, 100)
    with pytest.raises(BudgetError, match="0 is left of 5 EUR/6"):
        after((Budget(5, asset="EUR/6"),), cents, {}, (1, 0))


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        (Limits(), Budget(0, None)),
        (Limits(0, 500, 3_600, "EUR/6"), Budget(500, 3_600, asset="EUR/6")),
        (Limits(0, 500), Budget(500, None)),
    ],
)
def test_a_certificate_is_a_budget(limits: Limits, budget: Budget) -> None:
    assert certified(limits) == budget


@given(
    spends=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5 * DAY_S), st.booleans())),
)
@example(spends=[(0, DAY_S, False), (11, 0, True), (50, DAY_S, True)])  # a first payee, clock back
def test_whatever_is_asked_no_period_spends_more_than_its_budget(
    spends: list[tuple[int, int, bool]],
) -> None:
    held: dict[bytes, Spent] = {}
    granted: dict[tuple[int, bool], int] = {}

    latest = 0
    for amount, now_s, to_other in spends:
        latest = max(latest, now_s // DAY_S)
        try:
            held |= after((ALL, EACH), OTHER if to_other else terms(), held, (amount, now_s))
        except BudgetError:
            continue
        granted[latest, to_other] = granted.get((latest, to_other), 0) + amount

    for (period, to_other), amount in granted.items():
        assert amount <= 60
        assert amount + granted.get((period, not to_other), 0) <= 100
