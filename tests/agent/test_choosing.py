"""Standing orders: never what is forbidden, never for too little, always the best of the rest."""

from typing import Any

import contracts
import offering
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import choosing
from agent.choosing import Order, Past
from ledger_client import estimates
from ledger_client.dues import Measured
from ledger_client.estimates import History, Window
from ledger_client.keys import SigningKey
from ledger_client.offers import Acceptor, Signed

NOW_S = offering.NOW_S
DAY_S = 86_400
WEARER = Acceptor(contracts.WEARER.public.did, "box.example/log", contracts.SUBJECT)
ORDER = Order("runner", frozenset({"cadence", "heart_rate"}), 30)


def past(*readings: Measured, asset: str = "EUR/6") -> Past:
    window = Window(NOW_S - DAY_S, NOW_S)
    return Past(WEARER, asset, History(readings, window, demo=False), NOW_S)


def heard(count: int, quantity: str = "cadence") -> list[Measured]:
    return [Measured(quantity, NOW_S - 1 - number, 2) for number in range(count)]


def paying(minor_units: int, name: str = "shoes", **changes: Any) -> Signed:  # noqa: ANN401  # a form's own
    fees, key = changes.pop("fees", []), changes.pop("key", contracts.BRAND)
    price = changes.pop("price", {"per": "reading", "minor_units": minor_units})
    document = offering.template(price=price, brand=key, **changes)
    return offering.signed(document, key=key, name=name, fees=fees)


def test_the_offer_that_leaves_most_after_fees_is_taken() -> None:
    fees = [{"name": "payment", "per": "reading", "minor_units": 45}]
    greedy = paying(100, "a", fees=fees)
    fair = paying(60, "b")

    choice = choosing.choose(ORDER, [greedy, fair], past(*heard(100)))

    assert choice.best == fair
    assert choice.net == 4_800
    assert [name for name, _ in choice.refused] == []


def test_without_readings_a_day_is_imagined_to_compare_with() -> None:
    narrow = paying(60, "a", quantities=["cadence"])
    wide = paying(50, "b")

    assert choosing.choose(ORDER, [narrow, wide], past()).best == wide
    assert choosing.choose(ORDER, [], past()) == choosing.Choice(None, 0, ())


@pytest.mark.parametrize(
    ("signed", "why"),
    [
        (paying(37), "29 minor units are left of 37"),
        (paying(50, fees=[{"name": "f", "per": "earned", "bps": 3_000}]), "28 minor units"),
        (paying(50, quantities=["cadence", "power"]), "power: not to be sold"),
        (paying(50, quantities=["cadence", "location"]), "Location: never"),
        (paying(50, purpose="where you are: Location"), "Location: never"),
        (paying(50, purpose="insurance"), "another purpose: insurance"),
        (paying(50, notice_s=3_600), "a notice of 3600 s"),
        (paying(50, least_provenance=3), "pays for provenance 3"),
        (paying(50, ledger="other/log"), "it is on the ledger other/log"),
        (paying(50, asset="USD/6"), "in USD/6"),
        (paying(50, grantor="brand"), "not be the one who grants"),
        (paying(50, payer="wearer"), "be the one who pays"),
        (paying(50, subject=f"urn:uuid:{'1' * 8}-1111-1111-1111-{'1' * 12}"), "another subject"),
        (
            paying(0, price={"per": "period", "minor_units": 9_999, "period_s": DAY_S}),
            "another measure",
        ),
        (
            paying(50, fees=[{"name": "m", "per": "once", "minor_units": 1}]),
            "no readings tell",
        ),
        (
            offering.signed(offering.template("metered-service", provider="brand")),
            "no data licence",
        ),
        (offering.signed(lapses_s=NOW_S), "it lapsed"),
    ],
)
def test_each_refusal_says_why(signed: Signed, why: str) -> None:
    order = Order(
        "runner",
        ORDER.quantities,
        30,
        never=frozenset({"Location"}),
        purposes=frozenset({"training plans"}),
        provenance_max=2,
    )

    choice = choosing.choose(order, [signed], past())

    assert choice.best is None
    ((reference, reason),) = choice.refused
    assert reference == signed.reference
    assert why in reason


def test_an_offer_to_somebody_else_and_an_order_that_lapsed_are_refused() -> None:
    document = offering.template()
    document["parties"][0]["did"] = contracts.OTHER.public.did
    over = Order("runner", ORDER.quantities, 30, lapses_s=NOW_S)

    assert "somebody else" in choosing.refusal(ORDER, offering.signed(document), past())
    assert choosing.refusal(over, paying(50), past()) == "the standing order lapsed"


def test_fees_by_time_are_judged_by_what_the_past_would_have_left() -> None:
    fees = [{"name": "membership", "per": "period", "minor_units": 1_000, "period_s": DAY_S}]
    signed = paying(50, fees=fees)

    assert "too little" in choosing.refusal(ORDER, signed, past(*heard(90)))
    assert choosing.refusal(ORDER, signed, past(*heard(100))) == ""


def test_a_price_a_period_is_compared_by_the_length_of_the_period() -> None:
    daily = Order("runner", ORDER.quantities, 700, period_s=7 * DAY_S, notice_s_max=60)
    fees = [{"name": "payment", "per": "reading", "minor_units": 1}]

    def a_day(minor_units: int, **changes: Any) -> Signed:  # noqa: ANN401  # a form's own
        return paying(0, price={"per": "period", "minor_units": minor_units, "period_s": DAY_S},
                      **changes)  # fmt: skip

    assert choosing.refusal(daily, a_day(125), past()) == ""
    assert "too little" in choosing.refusal(daily, a_day(124), past())
    assert "too little" in choosing.refusal(daily, a_day(127, fees=fees), past(*heard(100)))
    assert choosing.refusal(daily, a_day(127, fees=fees), past(*heard(1))) == ""


def test_it_is_left_for_more_only_and_what_was_charged_once_is_gone() -> None:
    once = [{"name": "joining", "per": "once", "minor_units": 1_000}]
    present = paying(50, "a", fees=once)
    history = past(*heard(100))

    def moves(to: Signed) -> bool:
        return choosing.better(
            ORDER, present, choosing.choose(ORDER, [present, to], history), history
        )

    assert not moves(paying(50, "b"))
    assert moves(paying(51, "b"))
    assert not choosing.better(ORDER, present, choosing.choose(ORDER, [], history), history)
    strict = Order("runner", frozenset({"cadence"}), 30)
    choice = choosing.choose(strict, [paying(40, "c", quantities=["cadence"])], history)
    assert choosing.better(strict, present, choice, history)
    same = choosing.choose(ORDER, [paying(50)], history)
    assert not choosing.better(ORDER, paying(50), same, history)


KEYS = [contracts.BRAND, contracts.PLATFORM, SigningKey(bytes([15]) * 32)]
FEES = st.lists(
    st.one_of(
        st.builds(lambda n: {"name": "f", "per": "reading", "minor_units": n}, st.integers(1, 20)),
        st.builds(lambda n: {"name": "f", "per": "once", "minor_units": n}, st.integers(1, 500)),
        st.builds(lambda n: {"name": "f", "per": "earned", "bps": n}, st.integers(1, 4_000)),
        st.builds(
            lambda n: {"name": "f", "per": "period", "minor_units": n, "period_s": 3_600},
            st.integers(1, 50),
        ),
    ),
    max_size=2,
)
OFFERS = st.lists(
    st.builds(
        lambda number, quantities, price, share, fees, key: (
            number, sorted(quantities), price, share, fees, key,
        ),
        st.integers(0, 99),
        st.sets(st.sampled_from(["cadence", "heart_rate", "location", "power"]), min_size=1),
        st.integers(1, 100),
        st.sampled_from([10_000, 9_999, 5_000]),
        FEES,
        st.sampled_from(KEYS),
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    OFFERS,
    st.integers(1, 60),
    st.sets(st.sampled_from(["location", "cadence", "heart_rate"])),
    st.lists(
        st.builds(
            Measured,
            st.sampled_from(["cadence", "heart_rate", "power"]),
            st.integers(NOW_S - DAY_S, NOW_S - 1),
            st.sampled_from([0, 2]),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_never_the_forbidden_never_below_the_least_always_the_best(
    drawn: list[tuple[int, list[str], int, int, list[dict[str, Any]], SigningKey]],
    least: int,
    never: set[str],
    readings: list[Measured],
    random: Any,  # noqa: ANN401  # hypothesis says no more
) -> None:
    order = Order("runner", frozenset({"cadence", "heart_rate"}), least, never=frozenset(never))
    known = []
    for number, quantities, price, share_bps, fees, key in drawn:
        document = offering.template(
            quantities=quantities, price={"per": "reading", "minor_units": price}, brand=key
        )
        document["parties"][0]["share_bps"] = share_bps
        document["parties"][1]["share_bps"] = 10_000 - share_bps
        known.append(offering.signed(document, key=key, name=f"n{number}", fees=fees))
    history = past(*readings)

    choice = choosing.choose(order, known, history)

    shuffled = random.sample(known, len(known))
    assert choosing.choose(order, shuffled, history) == choice
    if choice.best is None:
        assert len(choice.refused) == len(known)
        return
    sold = set(choice.best.offer.document["quantities"])
    assert sold <= order.quantities
    assert sold.isdisjoint(never)
    found = estimates.estimate(choice.best.offer, history.history)
    if found:
        assert found.net >= least * found.units
        assert choice.net == found.net
    for each in known:
        if not choosing.refusal(order, each, history):
            assert choosing.net(order, each, history) <= choice.net
