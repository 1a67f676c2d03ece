"""What past readings would have earned under an offer, net of every fee."""

from typing import Any

import contracts
import offering
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import dues, estimates
from ledger_client.consents import Standing, State
from ledger_client.dues import Measured
from ledger_client.estimates import Estimate, History, Window
from ledger_client.offers import EarnedFee, Offer, OnceFee, PeriodFee, ReadingFee

START_S = contracts.BEGINS_S
DAY_S = 86_400
WEEK = Window(START_S, START_S + 7 * DAY_S)
FEES = [
    {"name": "payment", "per": "reading", "minor_units": 1},
    {"name": "membership", "per": "period", "minor_units": 1_000, "period_s": 2 * DAY_S},
    {"name": "joining", "per": "once", "minor_units": 500},
    {"name": "settlement", "per": "earned", "bps": 150},
]


def readings(count: int, quantity: str = "cadence", provenance: int = 1) -> list[Measured]:
    return [Measured(quantity, START_S + 60 * number, provenance) for number in range(count)]


def past(offer: Offer, history: list[Measured], window: Window = WEEK) -> Estimate | None:
    return estimates.estimate(offer, History(history, window, demo=False))


def test_an_estimate_has_every_fee_on_a_line_of_its_own() -> None:
    offer = offering.signed(fees=FEES).offer

    found = past(offer, [*readings(1_000), *readings(50, "power")])

    assert found is not None
    assert (found.readings, found.units, found.earned) == (1_050, 1_000, 40_000)
    assert found.fees == (
        ("payment", 1_000),
        ("membership", 4_000),
        ("joining", 500),
        ("settlement", 600),
    )
    assert found.net == 33_900


def test_a_price_for_a_period_and_fees_that_eat_it() -> None:
    price = {"per": "period", "minor_units": 100, "period_s": DAY_S}
    offer = offering.signed(offering.template(price=price), fees=FEES[:1]).offer

    found = past(offer, readings(2_000))

    assert found is not None
    assert (found.units, found.earned, found.fees) == (2, 160, (("payment", 2_000),))
    assert found.net == -1_840


def test_whoever_pays_is_told_what_it_costs() -> None:
    document = offering.template(payer="wearer", grantor="brand")

    found = past(offering.signed(document, fees=FEES[3:]).offer, readings(10))

    assert found is not None
    assert (found.earned, found.fees) == (-100, (("settlement", 0),))


def test_without_readings_or_licence_there_is_no_estimate() -> None:
    service = offering.signed(offering.template("metered-service", provider="brand")).offer
    late = Window(START_S + DAY_S, START_S + 2 * DAY_S)

    assert past(offering.signed().offer, readings(5), late) is None
    assert past(service, readings(5)) is None


@given(
    st.lists(
        st.builds(
            Measured,
            st.sampled_from(["cadence", "heart_rate", "power"]),
            st.integers(START_S - DAY_S, START_S + 8 * DAY_S),
            st.sampled_from([0, 1, 2, 3, 9]),
        ),
        max_size=40,
    ),
    st.integers(0, 10_000),
    st.sampled_from([0, 60, 3_600]),
)
def test_an_estimate_is_what_the_agreement_itself_would_have_made_due(
    history: list[Measured], share_bps: int, resolution_s: int
) -> None:
    document = offering.template(resolution_s=resolution_s)
    document["parties"][0]["share_bps"] = share_bps
    document["parties"][1]["share_bps"] = 10_000 - share_bps
    signed = offering.signed(document)

    found = past(signed.offer, history)

    licence: Any = signed.sample()
    standing = Standing(State.IN_FORCE, (), (), WEEK.from_s, WEEK.until_s)
    parts = dues.licence_shares(licence, standing, history, demo=False)
    assert (found.net if found else 0) == parts["wearer"]


def test_every_term_and_fee_is_a_line() -> None:
    told = dict(estimates.lines(offering.signed(fees=FEES)))

    assert told["price"] == "0.000050 EUR a reading"
    assert told["your share"] == "80 %"
    assert told["quantities"] == "cadence, heart_rate"
    assert told["fee: membership"] == "0.001000 EUR a 2 days"
    assert told["fee: settlement"] == "1.5 % of what is earned"
    assert told["fee: joining"] == "0.000500 EUR once"
    assert told["fee: payment"] == "0.000001 EUR a reading"
    assert (told["notice"], told["begins"], told["resolution"]) == ("none", "at once", "each one")


@pytest.mark.parametrize("kind", ["metered-service", "activation-grant", "ecosystem"])
def test_offers_of_every_kind_have_their_lines(kind: str) -> None:
    own = {"metered-service": {"provider": "brand"}}.get(kind, {})
    changes: dict[str, Any] = {**own, "begins_s": START_S, "notice_s": 3_600}

    told = dict(estimates.lines(offering.signed(offering.template(kind, **changes))))

    assert told["fees"] == "none"
    assert told["notice"] == "1 hour"
    assert told["begins"].startswith("2026-01-01")
    if kind == "metered-service":
        assert told["price of 60 s"] == "0.002000 EUR"


def test_a_licence_paid_by_time_says_for_how_long_and_how_often() -> None:
    price = {"per": "period", "minor_units": 100, "period_s": DAY_S}
    told = dict(estimates.lines(offering.signed(offering.template(price=price, resolution_s=60))))

    assert (told["price"], told["resolution"]) == ("0.000100 EUR a day", "1 minute")
    assert {type(each).__name__ for each in offering.signed(fees=FEES).offer.fees} == {
        each.__name__ for each in (EarnedFee, OnceFee, PeriodFee, ReadingFee)
    }
