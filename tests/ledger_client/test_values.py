"""Value between brands: statements that say one thing, judged whoever brings them."""

import contracts
import pytest
from contracts import BRAND, OTHER, PLATFORM, WEARER

from ledger_client import agreements, cbor, dues, statements, values
from ledger_client.errors import EncodingError, LocalError, ProofError, SignatureError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.shares import Debt
from ledger_client.statements import Statement
from ledger_client.values import Ask, Note, Owed, Redemption, Shown

ECOSYSTEM = contracts.ecosystem()
DIGEST = agreements.digest(ECOSYSTEM)
SECRET = b"s" * 32
NOW_S = contracts.BEGINS_S + 61
HOLDER = values.holder_key(SECRET, DIGEST, 1)


def note(brand: SigningKey = BRAND, holder: SigningKey = HOLDER, amount: int = 100) -> Statement:
    return statements.verify(values.earn(brand, DIGEST, amount, holder.public, NOW_S))


def redemption(
    of: Statement, holder: SigningKey = HOLDER, at: PublicKey = PLATFORM.public
) -> Statement:
    return statements.verify(values.redeem(holder, DIGEST, of.digest, at, NOW_S))


def test_each_statement_says_what_was_signed_to_the_minute() -> None:
    given = note()
    taken = redemption(given)
    said = [
        values.ask(OTHER, DIGEST, [HOLDER.public], NOW_S),
        given.signed,
        taken.signed,
        values.show(OTHER, DIGEST, taken.digest, NOW_S),
        values.owe(BRAND, DIGEST, PLATFORM.public, 100, NOW_S),
    ]

    parsed = [values.parse(statements.verify(each), DIGEST) for each in said]

    assert parsed == [
        Ask(OTHER.public, (HOLDER.public,)),
        Note(BRAND.public, 100, HOLDER.public, given.digest),
        Redemption(HOLDER.public, given.digest, PLATFORM.public, taken.digest),
        Shown(OTHER.public, taken.digest),
        Owed(BRAND.public, PLATFORM.public, 100),
    ]
    assert given.issued_s == contracts.BEGINS_S + 60


def test_a_note_has_a_key_of_its_own() -> None:
    keys = {values.holder_key(SECRET, DIGEST, number).public for number in range(20)}

    assert len(keys) == 20
    assert values.holder_key(b"t" * 32, DIGEST, 1).public != HOLDER.public
    with pytest.raises(EncodingError):
        values.holder_key(b"short", DIGEST, 1)


def test_what_was_given_and_redeemed_elsewhere_is_owed() -> None:
    given, own = note(), note(holder=OTHER)
    pairs = [(given, redemption(given)), (own, redemption(own, OTHER, BRAND.public))]

    judged = values.redeemed(ECOSYSTEM, DIGEST, pairs)

    assert dues.debts(ECOSYSTEM, values.history(ECOSYSTEM, judged)) == (
        Debt("brand", "platform", 100),
    )


def spoilt() -> list[tuple[str, list[tuple[Statement, Statement]]]]:
    given, foreign = note(), note(OTHER)
    return [
        ("no party", [(foreign, redemption(foreign))]),
        ("no party", [(given, redemption(given, at=OTHER.public))]),
        ("holder", [(given, redemption(given, OTHER))]),
        ("holder", [(given, redemption(note(amount=7)))]),
        ("twice", [(given, redemption(given)), (given, redemption(given, at=WEARER.public))]),
    ]


@pytest.mark.parametrize(("why", "pairs"), spoilt())
def test_a_note_is_redeemed_once_by_its_holder_at_a_party(
    why: str, pairs: list[tuple[Statement, Statement]]
) -> None:
    with pytest.raises(ProofError, match=why):
        values.redeemed(ECOSYSTEM, DIGEST, pairs)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_pair_is_a_note_and_its_redemption(swapped: bool) -> None:
    given = note()
    pair = (redemption(given), given) if swapped else (given, given)

    with pytest.raises(EncodingError, match="a note and its redemption"):
        values.redeemed(ECOSYSTEM, DIGEST, [pair])


def signed(payload: object, kind: str = values.KIND) -> Statement:
    return statements.verify(statements.sign(BRAND, kind, "urn:x", cbor.encode(payload), NOW_S))


RAW = HOLDER.public.raw


@pytest.mark.parametrize(
    "payload",
    [
        [1, 2],
        {1: 1, 2: DIGEST, 3: "give", 4: 1, 5: RAW},
        {1: 1, 2: DIGEST, 3: [], 4: 1, 5: RAW},
        {1: 2, 2: DIGEST, 3: "earn", 4: 1, 5: RAW},
        {1: 1, 2: DIGEST, 3: "earn", 4: 0, 5: RAW},
        {1: 1, 2: DIGEST, 3: "earn", 4: 1},
        {1: 1, 2: DIGEST, 3: "ask", 4: []},
        {1: 1, 2: DIGEST, 3: "ask", 4: [RAW] * (values.NOTES_MAX + 1)},
        {1: 1, 2: DIGEST, 3: "show", 4: b"short"},
        {1: 1, 2: DIGEST, 3: "owe", 4: -1, 5: RAW},
    ],
)
def test_anything_else_is_refused(payload: object) -> None:
    with pytest.raises(EncodingError):
        values.parse(signed(payload), DIGEST)


def test_another_kind_another_ecosystem_and_a_key_of_small_order_are_refused() -> None:
    with pytest.raises(EncodingError, match="a statement of value"):
        values.parse(signed({1: 1}, "batch"), DIGEST)
    with pytest.raises(ProofError, match="another ecosystem"):
        values.parse(note(), bytes(32))
    with pytest.raises((SignatureError, LocalError)):
        values.parse(signed({1: 1, 2: DIGEST, 3: "earn", 4: 1, 5: bytes(32)}), DIGEST)


def test_statements_go_from_hand_to_hand_as_a_file() -> None:
    said = [note(), redemption(note())]

    assert values.unpack(values.pack(each.signed for each in said)) == said
    with pytest.raises(EncodingError, match="begin with"):
        values.unpack(cbor.encode({1: "milepost-record", 2: 1, 3: []}))
