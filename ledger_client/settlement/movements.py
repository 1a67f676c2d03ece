"""The embedded ledger's entries: signed orders in, movements of money out, and their replay. Pure.

A movement is the payload of one statement of kind `settlement` on the log. Its postings always sum
to zero; only the issuance account may be negative. Whoever has the entries can recompute it all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger_client import cbor, cose, shapes
from ledger_client.channels import (
    MONEY_MAX,
    SIGNATURE_BYTES_MAX,
    Terms,
    Voucher,
    parse_terms,
)
from ledger_client.errors import EncodingError, ProofError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

ACCOUNT_BYTES = 32
ISSUANCE = bytes(ACCOUNT_BYTES)
"""The account that money is issued from: its balance is minus everything that is in circulation."""
CLAIMS_MAX = 100
"""Vouchers in one movement: 100 of them with their terms fit the size limit of a statement."""
EVIDENCE_BYTES_MAX = 1600
ORDER_TYPE = "application/vnd.milepost.order+cbor"
VERSION = 1
VERBS = frozenset({"issue", "open", "claim", "close", "close_now", "finish", "share"})

Posting = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Order:
    """What a party asks of the ledger; `total` is all-time, `terms` there for `open` only."""

    verb: str
    ledger: str
    channel: bytes
    total: int
    terms: Terms | None


def sign_order(key: SigningKey, order: Order) -> bytes:
    """The order as a COSE_Sign1 by the party that gives it."""
    terms = None if order.terms is None else order.terms.encoded
    words = [order.verb, order.ledger, order.channel, order.total, terms]
    return cose.sign1(key, {cose.CONTENT_TYPE: ORDER_TYPE}, cbor.encode(words))


def verify_order(party: PublicKey, data: bytes) -> Order:
    """The order that `party` signed; raises EncodingError or SignatureError."""
    message = cose.parse_sign1(data, size_max=EVIDENCE_BYTES_MAX)
    if message.protected.get(cose.CONTENT_TYPE) != ORDER_TYPE or message.unprotected:
        raise SignatureError(f"expected a signature of type {ORDER_TYPE} and no loose headers")
    words = cbor.decode(cose.verify_sign1(party, message))
    verb, ledger, channel, total, terms = shapes.array(words, "order", 5)
    return Order(
        verb=shapes.text(verb, "verb", 16),
        ledger=shapes.text(ledger, "ledger", 128),
        channel=shapes.octets(channel, "channel", ACCOUNT_BYTES),
        total=shapes.integer(total, "total", 0, MONEY_MAX),
        terms=None if terms is None else parse_terms(shapes.octets(terms, "terms")),
    )


def evidence(terms: Terms, voucher: Voucher) -> bytes:
    """A paid voucher as a movement keeps it: terms, total and signature prove the payment."""
    return cbor.encode([terms.encoded, voucher.total, voucher.signature])


def parse_evidence(data: bytes) -> tuple[Terms, Voucher]:
    """What `evidence` made, nothing of it proved; raises EncodingError or SignatureError."""
    value = cbor.decode(data, size_max=EVIDENCE_BYTES_MAX)
    encoded, total, signature = shapes.array(value, "evidence", 3)
    terms = parse_terms(shapes.octets(encoded, "terms"))
    return terms, Voucher(
        terms.channel,
        shapes.integer(total, "total", 0, MONEY_MAX),
        shapes.octets(signature, "signature", most=SIGNATURE_BYTES_MAX),
    )


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry: `previous` is the SHA-256 of the payload before, `evidence` who asked for it."""

    sequence: int
    previous: bytes
    verb: str
    asset: str
    postings: tuple[Posting, ...]
    evidence: tuple[bytes, ...]

    def encoded(self) -> bytes:
        """The one encoding: the payload of the statement."""
        return cbor.encode(
            {
                1: VERSION,
                2: self.sequence,
                3: self.previous,
                4: self.verb,
                5: self.asset,
                6: self.postings,
                7: self.evidence,
            }
        )


def parse_movement(data: bytes) -> Movement:
    """The movement in a statement's payload; raises EncodingError."""
    fields = shapes.fields(cbor.decode(data), "movement", frozenset(range(1, 8)))
    shapes.integer(fields[1], "version", VERSION, VERSION)
    verb = shapes.text(fields[4], "verb", 16)
    if verb not in VERBS:
        raise EncodingError(f"verb: expected one of {', '.join(sorted(VERBS))}")
    return Movement(
        sequence=shapes.integer(fields[2], "sequence", 1),
        previous=shapes.octets(fields[3], "previous", 32),
        verb=verb,
        asset=shapes.text(fields[5], "asset", 32),
        postings=tuple(_posting(entry) for entry in shapes.array(fields[6], "postings")),
        evidence=tuple(
            shapes.octets(entry, "evidence", most=EVIDENCE_BYTES_MAX)
            for entry in shapes.array(fields[7], "evidence")
        ),
    )


def _posting(value: object) -> Posting:
    account, change = shapes.array(value, "posting", 2)
    return (
        shapes.octets(account, "account", ACCOUNT_BYTES),
        shapes.integer(change, "change", -MONEY_MAX, MONEY_MAX),
    )


def after(balances: Mapping[bytes, int], postings: Sequence[Posting]) -> dict[bytes, int]:
    """The balances that `postings` change, with their new amounts.

    Raises:
        ProofError: they do not sum to zero, or leave an account below zero.
    """
    if sum(change for _, change in postings) != 0:
        raise ProofError("the postings of a movement do not sum to zero")
    changed: dict[bytes, int] = {}
    for account, change in postings:
        amount = changed.get(account, balances.get(account, 0)) + change
        if (amount < 0) != (account == ISSUANCE) and amount != 0:
            raise ProofError(f"account {account.hex()[:16]} would hold {amount}")
        changed[account] = amount
    return changed


def replay(payloads: Iterable[bytes]) -> dict[bytes, int]:
    """Every account's balance from the entries alone, in log order.

    Raises:
        ProofError: a hole, a broken chain, or money from nowhere.
        EncodingError: an entry that is no movement.
    """
    balances: dict[bytes, int] = {}
    previous = bytes(32)
    for sequence, payload in enumerate(payloads, start=1):
        movement = parse_movement(payload)
        if movement.sequence != sequence or movement.previous != previous:
            raise ProofError(f"settlement entry {sequence} does not follow the one before it")
        balances |= after(balances, movement.postings)
        previous = sha256(payload).digest()
    return balances
