"""Units of a service: numbered on a counter that both hear, paid once, judged by one's own ears."""

from dataclasses import replace

import contracts
import pytest
from contracts import BEGINS_S, PLATFORM, WEARER
from hypothesis import given
from hypothesis import strategies as st
from market import memory

from agent.bases import open_bases
from agent.metering import AHEAD_S_MAX, Heard, Metered, spans
from ledger_client import cbor, consents, dues
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError
from ledger_client.messages import Item, sign_item

SERVICE = contracts.service(
    least_provenance=1,
    prices=[
        {"unit": "J", "per": 1_000, "minor_units": 7},
        {"unit": "s", "per": 60, "minor_units": 3},
        {"unit": "use", "per": 1, "minor_units": 100},
    ],
)
STANDING = consents.standing(SERVICE, contracts.signed(SERVICE), BEGINS_S)


def first(_: bytes, __: str, value: float) -> float:
    del value
    return 500.0


def metered(joules: float, now_s: int = BEGINS_S + 130, provenance: int = 1) -> Metered:
    heard = {"J": Heard(joules, provenance)}
    found = spans(SERVICE, STANDING, heard, first, now_s=now_s, demo=False)
    return Metered(SERVICE, STANDING, found, simulated=False)


def terms(held: Metered) -> Terms:
    keys = (WEARER.public, WEARER.public, PLATFORM.public)
    return Terms(
        *("box.example/log", *keys, "EUR/6", 60, bytes(16)),
        simulated=False,
        agreement=held.digest,
    )


def item(held: Metered, body: bytes, price: int) -> Item:
    return sign_item(PLATFORM, terms(held).channel, (1, price, price), body)


def passed(held: Metered) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for price, number in held.passed():
        found.setdefault(price.unit, []).append(number)
    return found


def test_whole_units_pass_since_the_service_began_here() -> None:
    assert passed(metered(500)) == {"s": [1, 2], "use": [1]}
    assert passed(metered(2_499)) == {"J": [1], "s": [1, 2], "use": [1]}
    assert passed(metered(2_500)) == {"J": [1, 2], "s": [1, 2], "use": [1]}


def test_a_counter_that_is_only_observed_passes_nothing_where_more_is_agreed() -> None:
    assert "J" not in passed(metered(9_000, provenance=0))
    assert "J" not in passed(metered(9_000, provenance=9))
    play = contracts.service(simulated=True)
    heard = {"J": Heard(9_000_000, 9)}
    found = spans(play, STANDING, heard, first, now_s=BEGINS_S, demo=True)
    assert found["J"] == (500.0, 9_000_000)


def test_seconds_and_uses_are_those_while_it_holds() -> None:
    until_s = BEGINS_S + 90
    ended = replace(STANDING, until_s=until_s)
    later = spans(SERVICE, ended, {}, first, now_s=BEGINS_S + 10_000, demo=False)
    before = spans(SERVICE, STANDING, {}, first, now_s=BEGINS_S - 10, demo=False)
    nobody = replace(STANDING, from_s=None)

    assert later == {"s": (0.0, 90.0)}
    assert before == {"s": (0.0, 0.0)}
    assert spans(SERVICE, nobody, {}, first, now_s=BEGINS_S, demo=False) == {}


def test_at_the_end_counters_stay_where_they_were_heard_last() -> None:
    last = replace(metered(2_500), simulated=True)

    final = metered(99_000, now_s=BEGINS_S + 190).ended(last)

    assert passed(final) == {"J": [1, 2], "s": [1, 2, 3], "use": [1]}
    assert final.simulated


@given(joules=st.integers(500, 60_000), seconds=st.integers(0, 6_000))
def test_units_come_to_the_bill_and_the_customer_takes_each(joules: int, seconds: int) -> None:
    now_s = BEGINS_S + seconds
    held = metered(joules, now_s)
    prices, sources = [], []

    for price, number in held.passed():
        body = held.body(price.unit, number, now_s)
        sources.append(held.accept(terms(held), item(held, body, price.minor_units), now_s))
        prices.append(price.minor_units)

    assert sum(prices) == dues.bill(SERVICE, {"J": joules - 500, "s": seconds, "use": 1}).total
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize(
    ("words", "price", "complaint"),
    [
        (["J", 2, 0], 6, "6 for a unit at 7"),
        (["J", 4, 0], 7, "unit 4 of 1000 J was invoiced, heard was 500 to 2600"),
        (["J", 0, 0], 7, "number"),
        (["m", 1, 0], 7, "'m', which has no price"),
        (["J", 2, -1], 7, "when the service did not run"),
        (["J", 2, 130 + AHEAD_S_MAX + 1], 7, "when the service did not run"),
        (["s", 4, 0], 3, "unit 4 of 60 s"),
        (["use", 3, 0], 100, "unit 3 of 1 use"),
    ],
)
def test_a_unit_that_was_not_heard_not_agreed_or_not_in_time_is_refused(
    words: list[object], price: int, complaint: str
) -> None:
    held = metered(2_600)
    unit, number, after_s = words
    assert isinstance(after_s, int)
    body = cbor.encode([held.digest, unit, number, BEGINS_S + after_s])

    with pytest.raises(RemoteError, match=complaint):
        held.accept(terms(held), item(held, body, price), BEGINS_S + 130)


def test_a_unit_of_another_agreement_or_channel_is_refused() -> None:
    held = metered(2_600)
    other = cbor.encode([bytes(32), "J", 1, BEGINS_S])
    strange = replace(terms(held), payee=contracts.BRAND.public)

    with pytest.raises(RemoteError, match="another agreement"):
        held.accept(terms(held), item(held, other, 7), BEGINS_S)
    with pytest.raises(RemoteError, match="not the service's own"):
        held.accept(strange, item(held, held.body("J", 1, BEGINS_S), 7), BEGINS_S)


def test_where_a_counter_stood_first_is_kept() -> None:
    connection = memory()
    base = open_bases(connection)

    found = [base(b"a", "J", 5.5), base(b"a", "J", 9.0), base(b"b", "J", 9.0), base(b"a", "m", 1.0)]

    assert found == [5.5, 5.5, 9.0, 1.0]
    assert open_bases(connection)(b"a", "J", 77.0) == 5.5
