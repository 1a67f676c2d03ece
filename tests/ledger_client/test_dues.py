"""What agreements make due: worked examples, then arbitrary histories in any order."""

import contracts
import pytest
from contracts import BEGINS_S, EXPIRES_S, signed
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import shares
from ledger_client.consents import Standing, standing
from ledger_client.dues import (
    WINDOW_READINGS_MAX,
    Activation,
    Bill,
    Measured,
    Value,
    bill,
    debts,
    entitlements,
    licence_due,
    licence_shares,
    window,
    window_s,
)
from ledger_client.errors import ProofError
from ledger_client.shares import Debt

HELD = standing(contracts.licence(), signed(contracts.licence()), BEGINS_S)
GRANT = contracts.grant()
DAY_S = 86_400


def heard(at_s: float, quantity: str = "cadence", provenance: int = 1) -> Measured:
    return Measured(quantity, BEGINS_S + at_s, provenance)


readings = st.lists(
    st.builds(
        heard,
        st.integers(-100, 1_000),
        st.sampled_from(["cadence", "heart_rate", "glucose"]),
        st.sampled_from([0, 1, 2, 3, 9]),
    ),
    max_size=30,
)


def test_each_licensed_reading_that_holds_its_provenance_is_paid_once() -> None:
    rows = [
        heard(0),
        heard(1, "heart_rate"),
        heard(2, provenance=0),
        heard(3, provenance=9),
        heard(4, "glucose"),
        heard(-1),
    ]

    assert licence_due(contracts.licence(), HELD, rows, demo=True) == 2 * 50
    assert licence_due(contracts.licence(simulated=True), HELD, rows, demo=True) == 3 * 50
    assert licence_due(contracts.licence(simulated=True), HELD, rows, demo=False) == 2 * 50
    assert licence_shares(contracts.licence(), HELD, rows, demo=True) == {
        "wearer": 70,
        "brand": 20,
        "platform": 10,
    }


def test_at_most_one_reading_of_a_quantity_is_paid_in_its_resolution() -> None:
    coarse = contracts.licence(resolution_s=10)
    rows = [heard(0), heard(9), heard(10), heard(5, "heart_rate"), heard(21)]

    assert licence_due(coarse, HELD, rows, demo=False) == 4 * 50


def test_a_period_is_paid_once_however_many_readings_it_has() -> None:
    daily = contracts.licence(price={"per": "period", "minor_units": 7, "period_s": DAY_S})

    rows = [heard(0), heard(1), heard(DAY_S - 1), heard(3 * DAY_S)]

    assert licence_due(daily, HELD, rows, demo=False) == 2 * 7
    assert licence_due(daily, HELD, [], demo=False) == 0


@given(rows=readings, more=readings, resolution_s=st.integers(0, 60), period=st.booleans())
def test_dues_rise_with_every_reading_and_do_not_depend_on_order(
    rows: list[Measured], more: list[Measured], resolution_s: int, period: bool
) -> None:
    price = {"per": "period", "minor_units": 3, "period_s": 60} if period else {
        "per": "reading", "minor_units": 3
    }  # fmt: skip
    agreed = contracts.licence(price=price, resolution_s=0 if period else resolution_s)

    due = licence_due(agreed, HELD, rows, demo=True)

    assert due == licence_due(agreed, HELD, rows[::-1], demo=True)
    assert due <= licence_due(agreed, HELD, [*rows, *more], demo=True)
    assert due + licence_due(agreed, HELD, more, demo=True) >= licence_due(
        agreed, HELD, [*rows, *more], demo=True
    )
    assert sum(licence_shares(agreed, HELD, rows, demo=True).values()) == due


@given(
    rows=readings,
    resolution_s=st.integers(0, 500),
    quantities=st.sampled_from([["cadence"], ["cadence", "heart_rate", "glucose"]]),
    period=st.booleans(),
)
def test_windows_sold_apart_come_to_what_is_due_together(
    rows: list[Measured], resolution_s: int, quantities: list[str], period: bool
) -> None:
    price = {"per": "period", "minor_units": 3, "period_s": 60} if period else {
        "per": "reading", "minor_units": 3
    }  # fmt: skip
    agreed = contracts.licence(price=price, resolution_s=resolution_s, quantities=quantities)
    length_s = window_s(agreed)
    windows: dict[int, list[Measured]] = {}
    for each in rows:
        number = window(agreed, each.time_s) if length_s else 0
        windows.setdefault(number, []).append(each)

    apart = [licence_due(agreed, HELD, some, demo=True) for some in windows.values()]

    assert sum(apart) == licence_due(agreed, HELD, rows, demo=True)
    if resolution_s and not period:
        assert max([0, *apart]) <= 3 * WINDOW_READINGS_MAX
        assert length_s % resolution_s == 0


def test_a_window_is_a_period_or_about_a_minute_of_whole_slots() -> None:
    def length_s(resolution_s: int, quantities: int) -> int:
        names = [f"quantity_{number}" for number in range(quantities)]
        return window_s(contracts.licence(resolution_s=resolution_s, quantities=names))

    daily = contracts.licence(price={"per": "period", "minor_units": 7, "period_s": DAY_S})

    assert window_s(daily) == DAY_S
    assert [length_s(0, 1), length_s(1, 1), length_s(1, 3), length_s(7, 1)] == [0, 60, 21, 63]
    assert [length_s(300, 64), length_s(1, 64)] == [300, 1]


def test_nothing_is_due_before_everybody_signed() -> None:
    agreed = contracts.licence()

    proposed = standing(agreed, signed(agreed)[:1], BEGINS_S)

    assert licence_due(agreed, proposed, [heard(0)], demo=False) == 0


def test_a_charge_is_billed_by_whole_units_and_the_deposit_goes_back() -> None:
    service = contracts.service()

    short = bill(service, {"J": 3_600_000 + 3_599_999, "s": 119})
    long = bill(service, {"J": 36_000_000})

    assert short == Bill((("J", 1, 490_000), ("s", 1, 2_000)), 492_000, 0, 508_000)
    assert (long.total, long.to_pay, long.to_refund) == (4_900_000, 3_900_000, 0)


@given(joules=st.integers(0, 10**12), seconds=st.integers(0, 10**9))
def test_a_bill_and_its_deposit_conserve_every_unit(joules: int, seconds: int) -> None:
    service = contracts.service()

    found = bill(service, {"J": joules, "s": seconds})

    assert found.total == sum(amount for _, _, amount in found.lines)
    assert service.deposit_minor_units + found.to_pay - found.to_refund == found.total
    assert 0 in {found.to_pay, found.to_refund}


@pytest.mark.parametrize("used", [{"m": 5}, {"J": -1}])
def test_a_unit_without_a_price_or_a_meter_that_runs_back_is_refused(used: dict[str, int]) -> None:
    with pytest.raises(ProofError, match="the agreement prices J, s"):
        bill(contracts.service(), used)


def test_a_pair_is_activated_once_and_each_further_wearable_adds() -> None:
    rows = [
        Activation("ann", "pair-1", "", BEGINS_S),
        Activation("bob", "pair-1", "", BEGINS_S + 1),
        Activation("bob", "strap-2", "heart strap", BEGINS_S + 1),
        Activation("ann", "strap-1", "heart strap", BEGINS_S + 2),
        Activation("ann", "strap-3", "heart strap", BEGINS_S + 3),
        Activation("ann", "cgm-1", "glucose", BEGINS_S + 4),
        Activation("ann", "scale", "scale", BEGINS_S + 4),
        Activation("ann", "pair-2", "", EXPIRES_S),
    ]

    found = entitlements(GRANT, HELD, rows)

    assert [(each.holder, each.device, each.units) for each in found] == [
        ("ann", "pair-1", 100),
        ("ann", "strap-1", 20),
        ("ann", "cgm-1", 20),  # 30 were agreed, the cap is 140
    ]


@pytest.mark.parametrize(
    ("day", "units"), [(0, 0), (0.9, 0), (1, 10), (5.55, 55), (10, 100), (99, 100)]
)
def test_units_vest_evenly_after_the_cliff(day: float, units: int) -> None:
    (one,) = entitlements(GRANT, HELD, [Activation("ann", "pair", "", BEGINS_S)])

    assert one.vested(GRANT, BEGINS_S + int(day * DAY_S)) == units


@given(
    st.lists(
        st.builds(
            Activation,
            st.sampled_from("abcdef"),
            st.integers(0, 20).map(str),
            st.sampled_from(["", "", "heart strap", "glucose", "scale"]),
            st.integers(BEGINS_S - 9, EXPIRES_S + 9),
        ),
        max_size=60,
    ),
    st.integers(1, 1_500),
)
def test_caps_and_pool_hold_for_any_history(rows: list[Activation], pool: int) -> None:
    grant = contracts.grant(pool_units=pool)

    found = entitlements(grant, HELD, rows)

    assert sum(each.units for each in found) <= pool
    for holder in "abcdef":
        assert sum(each.units for each in found if each.holder == holder) <= grant.cap_units
    devices = [each.device for each in found if not each.wearable]
    assert len(devices) == len(set(devices))
    for each in found:
        seen = [each.vested(grant, each.granted_s + s) for s in range(-1, 11 * DAY_S, DAY_S // 3)]
        assert seen == sorted(seen)
        assert (seen[0], seen[-1]) == (0, each.units)


def test_value_redeemed_elsewhere_is_owed_by_the_brand_that_gave_it() -> None:
    history = [
        Value("brand", 100),
        Value("platform", 50),
        Value("brand", 60, "platform"),
        Value("brand", 10, "brand"),
        Value("platform", 20, "brand"),
    ]

    owed = debts(contracts.ecosystem(), history)

    assert owed == (
        shares.Debt("brand", "platform", 60),
        shares.Debt("platform", "brand", 20),
    )
    assert shares.net(owed) == (shares.Debt("brand", "platform", 40),)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([Value("brand", 5), Value("brand", 6, "platform")], "than it ever gave"),
        ([Value("stranger", 5)], "no party"),
        ([Value("brand", 5), Value("brand", 5, "stranger")], "no party"),
        ([Value("brand", 0)], "above zero"),
        ([Value("brand", 2_000), Value("brand", 1_001, "platform")], "1000 at most"),
    ],
)
def test_value_from_nowhere_and_debts_beyond_the_limit_are_refused(
    history: list[Value], words: str
) -> None:
    with pytest.raises(ProofError, match=words):
        debts(contracts.ecosystem(), history)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wearer", "brand", "platform"]),
            st.integers(1, 10**6),
            st.sampled_from(["wearer", "brand", "platform"]),
        ),
        max_size=30,
    )
)
def test_netting_an_ecosystem_conserves_what_each_gave_and_took(
    rows: list[tuple[str, int, str]],
) -> None:
    roomy = contracts.ecosystem(debt_minor_units_max=10**9)
    history = [Value(by, amount) for by, amount, _ in rows]
    history += [Value(by, amount, at) for by, amount, at in rows]

    owed = debts(roomy, history)
    held = shares.check_netting(owed, shares.net(owed))

    for name in ("wearer", "brand", "platform"):
        took = sum(amount for by, amount, at in rows if at == name != by)
        gave = sum(amount for by, amount, at in rows if by == name != at)
        assert held.get(name, 0) == took - gave


def test_a_strap_that_the_log_has_before_its_pair_in_the_same_minute_counts() -> None:
    rows = [
        Activation("ann", "strap", "heart strap", BEGINS_S),
        Activation("ann", "pair", "", BEGINS_S),
        Activation("bob", "strap", "heart strap", BEGINS_S),
        Activation("bob", "pair-2", "", BEGINS_S + 60),
    ]

    found = entitlements(GRANT, HELD, rows)

    assert [(each.device, each.units) for each in found] == [
        ("pair", 100),
        ("strap", 20),
        ("pair-2", 100),
    ]


def test_a_proposal_entitles_to_nothing() -> None:
    nothing = Standing(HELD.state, (), ("brand",), None, EXPIRES_S)

    assert entitlements(GRANT, nothing, [Activation("ann", "pair", "", BEGINS_S)]) == []


def test_what_was_paid_makes_room_for_new_debts() -> None:
    history = [Value("brand", 1_001), Value("brand", 1_001, "platform")]
    paid = [Debt("brand", "platform", 1)]

    found = debts(contracts.ecosystem(), history, paid)

    assert found == (Debt("brand", "platform", 1_001),)
    with pytest.raises(ProofError, match="brand owes 1001, agreed are 1000"):
        debts(contracts.ecosystem(), history)
