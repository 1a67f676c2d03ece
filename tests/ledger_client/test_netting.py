"""Nettings: anybody computes the same payments, and each party stands where its debts left it."""

import contracts
import pytest
from contracts import BRAND, KEYS, OTHER, PLATFORM, WEARER
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import agreements, cbor, netting, shares, statements, values
from ledger_client.errors import EncodingError, ProofError, RemoteError
from ledger_client.shares import Debt

ECOSYSTEM = contracts.ecosystem(debt_minor_units_max=1_000_000)
DIGEST = agreements.digest(ECOSYSTEM)
NOW_S = contracts.BEGINS_S
NAMES = sorted(KEYS)


def owe(debtor: str, creditor: str, total: int) -> bytes:
    return values.owe(KEYS[debtor], DIGEST, KEYS[creditor].public, total, NOW_S)


ROUND = [owe("wearer", "brand", 100), owe("brand", "platform", 100), owe("platform", "wearer", 70)]


def test_a_round_of_debts_shrinks_to_one_payment() -> None:
    made = netting.make(ECOSYSTEM, ROUND, [])

    assert made.payments == (Debt("wearer", "platform", 30),)
    assert made.positions == {"brand": 0, "platform": 30, "wearer": -30}
    assert netting.check(ECOSYSTEM, made.encode()) == made


def test_what_was_paid_before_is_not_paid_again() -> None:
    first = netting.make(ECOSYSTEM, ROUND, [])

    again = netting.make(ECOSYSTEM, ROUND, first.payments)
    more = netting.make(ECOSYSTEM, [*ROUND, owe("wearer", "brand", 150)], first.payments)

    assert again.payments == ()
    assert more.payments == (Debt("wearer", "brand", 50),)
    assert netting.check(ECOSYSTEM, more.encode()) == more


debts = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(
        lambda pair: pair[0] != pair[1]
    ),
    st.integers(1, 10_000),
)


@given(first=debts, later=debts)
def test_every_position_is_conserved_over_any_two_nettings(
    first: dict[tuple[str, str], int], later: dict[tuple[str, str], int]
) -> None:
    total = {pair: first.get(pair, 0) + later.get(pair, 0) for pair in first | later}

    begun = netting.make(ECOSYSTEM, [owe(*pair, n) for pair, n in first.items()], [])
    ended = netting.make(ECOSYSTEM, [owe(*pair, n) for pair, n in total.items()], begun.payments)

    everything = [Debt(*pair, amount) for pair, amount in total.items()]
    shares.check_netting(everything, [*begun.payments, *ended.payments])
    assert sum(ended.positions.values()) == 0
    assert netting.check(ECOSYSTEM, ended.encode()) == ended


def test_only_parties_owe_and_only_what_was_agreed() -> None:
    for key, creditor in ((OTHER, BRAND.public), (BRAND, OTHER.public)):
        with pytest.raises(ProofError, match="no party"):
            netting.make(ECOSYSTEM, [values.owe(key, DIGEST, creditor, 1, NOW_S)], [])
    with pytest.raises(ProofError, match="brand owes 1000001"):
        netting.make(ECOSYSTEM, [owe("brand", "wearer", 1_000_001)], [])
    note = values.earn(BRAND, DIGEST, 1, PLATFORM.public, NOW_S)
    with pytest.raises(EncodingError, match="what is owed"):
        netting.make(ECOSYSTEM, [note], [])


@pytest.mark.parametrize(
    ("label", "value", "why"),
    [
        (1, "milepost-record", "begin with"),
        (2, 2, "version"),
        (3, bytes(32), "another ecosystem"),
        (4, [], "do not follow"),
        (4, [*sorted(ROUND), ROUND[0]], "each debt once"),
        (6, [["wearer", "platform", 29]], "do not follow"),
        (6, [["wearer", "platform", 0]], "amount"),
        (7, 1, "netting"),
    ],
)
def test_a_file_that_says_anything_else_is_refused(label: int, value: object, why: str) -> None:
    parts = cbor.decode(netting.make(ECOSYSTEM, ROUND, []).encode())
    assert isinstance(parts, dict)

    with pytest.raises(RemoteError, match=why):
        netting.check(ECOSYSTEM, cbor.encode({**parts, label: value}))


def test_each_brand_signed_what_it_owes() -> None:
    made = netting.make(ECOSYSTEM, ROUND, [])
    spoilt = bytearray(made.encode())
    spoilt[spoilt.index(statements.verify(made.statements[0]).payload) + 40] ^= 1

    with pytest.raises(RemoteError):
        netting.check(ECOSYSTEM, bytes(spoilt))
    assert {statements.verify(each).issuer for each in made.statements} == {
        WEARER.public,
        BRAND.public,
        PLATFORM.public,
    }
