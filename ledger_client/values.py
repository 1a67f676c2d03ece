"""Value that brands of an ecosystem give a common customer, and take from each other. Pure.

Statements of kind `value`, handed from party to party and never logged: {1: version, 2: digest of
the ecosystem, 3: act} and

    ask     customer under its pseudonym   {4: [holder...]}: give me notes for these one-time keys
    earn    brand                          {4: minor units, 5: holder}: a note
    redeem  holder of a note               {4: digest of the note, 5: brand where it is redeemed}
    show    customer under its pseudonym   {4: digest of a redemption}: it is I who redeems it
    owe     brand                          {4: all-time minor units, 5: creditor}: what it owes

A key is 32 bytes. A note names no pseudonym: its holder is a key of its own for each note. So a
brand knows its own customers by name, and of another's only notes. Two brands that put all they
hold together can follow a note from one to the other; no one else can, and neither alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger_client import cbor, shapes, statements
from ledger_client.agreements import Ecosystem
from ledger_client.channels import MONEY_MAX
from ledger_client.dues import Value
from ledger_client.errors import EncodingError, ProofError
from ledger_client.keys import PublicKey, SigningKey, hkdf_sha256
from ledger_client.statements import Statement

KIND = "value"
MAGIC = "milepost-value"
SIZE_MAX = 1 << 20
NOTES_MAX = 100
"""The most notes that are asked for at once."""
_VERSION = 1
_MINUTE_S = 60
_ASK, _EARN, _REDEEM, _SHOW, _OWE = "ask", "earn", "redeem", "show", "owe"


@dataclass(frozen=True, slots=True)
class Ask:
    """`customer` asks for a note for each of `holders`."""

    customer: PublicKey
    holders: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """`brand` owes whoever holds the key `holder` goods for `amount` minor units."""

    brand: PublicKey
    amount: int
    holder: PublicKey
    digest: bytes


@dataclass(frozen=True, slots=True)
class Redemption:
    """The holder of the note with digest `note` gives it to the brand `at`, and to nobody else."""

    holder: PublicKey
    note: bytes
    at: PublicKey
    digest: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """`customer` says that the redemption of that digest is its own."""

    customer: PublicKey
    redemption: bytes


@dataclass(frozen=True, slots=True)
class Owed:
    """`debtor` owes `creditor` so much for all time, whatever it paid of it."""

    debtor: PublicKey
    creditor: PublicKey
    total: int


Act = Ask | Note | Redemption | Shown | Owed


def holder_key(secret: bytes, agreement: bytes, number: int) -> SigningKey:
    """The customer's key for its note of that number, of 32 random bytes that only it has."""
    shapes.octets(secret, "customer's secret", 32)
    return SigningKey(hkdf_sha256(secret, b"note" + agreement + number.to_bytes(8, "big")))


def ask(key: SigningKey, agreement: bytes, holders: Sequence[PublicKey], now_s: int) -> bytes:
    """By the customer's pseudonym for one brand, to that brand."""
    return _sign(key, agreement, now_s, {3: _ASK, 4: [holder.raw for holder in holders]})


def earn(key: SigningKey, agreement: bytes, amount: int, holder: PublicKey, now_s: int) -> bytes:
    """A note, by the brand that gives it."""
    return _sign(key, agreement, now_s, {3: _EARN, 4: amount, 5: holder.raw})


def redeem(key: SigningKey, agreement: bytes, note: bytes, at: PublicKey, now_s: int) -> bytes:
    """By the note's own key, for one brand."""
    return _sign(key, agreement, now_s, {3: _REDEEM, 4: note, 5: at.raw})


def show(key: SigningKey, agreement: bytes, redemption: bytes, now_s: int) -> bytes:
    """By the customer's pseudonym for the brand where it redeems."""
    return _sign(key, agreement, now_s, {3: _SHOW, 4: redemption})


def owe(key: SigningKey, agreement: bytes, creditor: PublicKey, total: int, now_s: int) -> bytes:
    """By the brand whose notes were redeemed at another."""
    return _sign(key, agreement, now_s, {3: _OWE, 4: total, 5: creditor.raw})


def _sign(key: SigningKey, agreement: bytes, now_s: int, fields: dict[int, object]) -> bytes:
    payload = cbor.encode({1: _VERSION, 2: agreement} | fields)
    subject = f"urn:milepost:agreement:{agreement.hex()}"
    return statements.sign(key, KIND, subject, payload, now_s - now_s % _MINUTE_S)


def parse(statement: Statement, agreement: bytes) -> Act:
    """What a statement says; raises EncodingError, and ProofError for another ecosystem's."""
    if statement.kind != KIND:
        raise EncodingError(f"expected a statement of value, got {statement.kind}")
    decoded = cbor.decode(statement.payload)
    labels = frozenset({1, 2, 3, 4, 5})
    if isinstance(decoded, dict) and decoded.get(3) in (_ASK, _SHOW):
        labels = frozenset({1, 2, 3, 4})
    pairs = shapes.fields(decoded, "value", labels)
    shapes.integer(pairs[1], "value version", _VERSION, _VERSION)
    if shapes.octets(pairs[2], "agreement", 32) != agreement:
        raise ProofError("a statement of value for another ecosystem")
    issuer = statement.issuer
    match pairs[3]:
        case "ask":
            keys = shapes.array(pairs[4], "holders")
            if not 0 < len(keys) <= NOTES_MAX:
                raise EncodingError(f"1 to {NOTES_MAX} notes may be asked for, not {len(keys)}")
            return Ask(issuer, tuple(_key(each) for each in keys))
        case "earn":
            amount = shapes.integer(pairs[4], "amount", 1, MONEY_MAX)
            return Note(issuer, amount, _key(pairs[5]), statement.digest)
        case "redeem":
            note = shapes.octets(pairs[4], "note", 32)
            return Redemption(issuer, note, _key(pairs[5]), statement.digest)
        case "show":
            return Shown(issuer, shapes.octets(pairs[4], "redemption", 32))
        case "owe":
            total = shapes.integer(pairs[4], "total", 1, MONEY_MAX)
            return Owed(issuer, _key(pairs[5]), total)
        case _:
            raise EncodingError("value: expected ask, earn, redeem, show or owe")


def _key(value: object) -> PublicKey:
    return PublicKey.enrol(shapes.octets(value, "key", 32))


def redeemed(
    ecosystem: Ecosystem, agreement: bytes, pairs: Iterable[tuple[Statement, Statement]]
) -> list[tuple[Note, Redemption]]:
    """Notes with their redemptions, each judged.

    Raises:
        ProofError: no party's note, not by its holder, at no party, or a note twice.
        EncodingError: something else than a note and a redemption.
    """
    names = names_of(ecosystem)
    found: dict[bytes, tuple[Note, Redemption]] = {}
    for first, second in pairs:
        note, redemption = parse(first, agreement), parse(second, agreement)
        if not isinstance(note, Note) or not isinstance(redemption, Redemption):
            raise EncodingError("expected a note and its redemption")
        if note.brand not in names or redemption.at not in names:
            raise ProofError("a note of, or redeemed at, somebody who is no party")
        if redemption.holder != note.holder or redemption.note != note.digest:
            raise ProofError("a redemption that is not by the holder of the note")
        if note.digest in found:
            raise ProofError("a note that is redeemed twice")
        found[note.digest] = note, redemption
    return list(found.values())


def history(ecosystem: Ecosystem, pairs: Iterable[tuple[Note, Redemption]]) -> list[Value]:
    """What these mean for the debts between the brands: each was given, then redeemed."""
    names = names_of(ecosystem)
    return [
        value
        for note, redemption in pairs
        for value in (
            Value(names[note.brand], note.amount),
            Value(names[note.brand], note.amount, names[redemption.at]),
        )
    ]


def names_of(ecosystem: Ecosystem) -> dict[PublicKey, str]:
    """The parties by key."""
    return {PublicKey.from_did(party.did): party.name for party in ecosystem.parties}


def pack(signed: Iterable[bytes]) -> bytes:
    """A file of them: CBOR {1: "milepost-value", 2: version, 3: [statement...]}."""
    return cbor.encode({1: MAGIC, 2: _VERSION, 3: list(signed)})


def unpack(data: bytes) -> list[Statement]:
    """The statements in a file, their signatures verified; raises RemoteError."""
    pairs = shapes.fields(cbor.decode(data, size_max=SIZE_MAX), "value file", frozenset({1, 2, 3}))
    if pairs[1] != MAGIC:
        raise EncodingError(f"value file: expected it to begin with {MAGIC!r}")
    shapes.integer(pairs[2], "value file version", _VERSION, _VERSION)
    return [
        statements.verify(shapes.octets(each, "statement"))
        for each in shapes.array(pairs[3], "statements")
    ]
