"""What a collector was paid under an agreement, divided among its parties. Pure.

A share order is a COSE_Sign1 of the collector over CBOR ["share", ledger, agreement (32 bytes),
collector's key, [[account, basis points]...]], the parties in the agreement's order. It names no
amount: the ledger divides the all-time total that it paid to the collector on channels of that
agreement, so the same order can be given again and again and nothing is divided twice. What the
shares are is fixed by the first one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger_client import cbor, cose, shapes, shares
from ledger_client.errors import EncodingError, SignatureError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.settlement.movements import ACCOUNT_BYTES, EVIDENCE_BYTES_MAX, Posting

SHARE_TYPE = "application/vnd.milepost.share+cbor"
VERB = "share"
PARTIES_MAX = 32


@dataclass(frozen=True, slots=True)
class ShareOrder:
    """`parts` are accounts and basis points, `collector` the key whose money is divided."""

    ledger: str
    agreement: bytes
    collector: PublicKey
    parts: tuple[tuple[bytes, int], ...]


def sign(key: SigningKey, order: ShareOrder) -> bytes:
    """The order as its collector gives it."""
    parts = [[account, bps] for account, bps in order.parts]
    words = [VERB, order.ledger, order.agreement, order.collector.raw, parts]
    return cose.sign1(key, {cose.CONTENT_TYPE: SHARE_TYPE}, cbor.encode(words))


def verify(data: bytes) -> ShareOrder:
    """The order that its collector signed.

    Raises:
        EncodingError: not one, or shares that are no whole.
        SignatureError: not signed by the collector that it names.
    """
    message = cose.parse_sign1(data, size_max=EVIDENCE_BYTES_MAX)
    if message.protected.get(cose.CONTENT_TYPE) != SHARE_TYPE or message.unprotected:
        raise SignatureError(f"expected a signature of type {SHARE_TYPE} and no loose headers")
    words = cbor.decode(message.payload or b"")
    verb, ledger, agreement, raw, parts = shapes.array(words, "share order", 5)
    if verb != VERB:
        raise EncodingError(f"share order: expected it to begin with {VERB!r}")
    collector = PublicKey.enrol(shapes.octets(raw, "collector", 32))
    cose.verify_sign1(collector, message)
    order = ShareOrder(
        ledger=shapes.text(ledger, "ledger", 128),
        agreement=shapes.octets(agreement, "agreement", 32),
        collector=collector,
        parts=tuple(_part(each) for each in shapes.array(parts, "parts")),
    )
    accounts = [account for account, _ in order.parts]
    if len(set(accounts)) != len(accounts) or collector.thumbprint not in accounts:
        raise EncodingError("share order: expected each party once, the collector among them")
    if len(accounts) > PARTIES_MAX or sum(bps for _, bps in order.parts) != shares.WHOLE_BPS:
        raise EncodingError(f"share order: expected shares of {shares.WHOLE_BPS} in all")
    return order


def _part(value: object) -> tuple[bytes, int]:
    account, bps = shapes.array(value, "part", 2)
    return (
        shapes.octets(account, "account", ACCOUNT_BYTES),
        shapes.integer(bps, "basis points", 0, shares.WHOLE_BPS),
    )


@dataclass(frozen=True, slots=True)
class Division:
    """What a rise of the total gives to each part, and the postings that this takes.

    `credited` is what each part has by then, in all; the collector's own needs no posting.
    """

    credited: tuple[int, ...]
    postings: tuple[Posting, ...]


def divide(order: ShareOrder, credited: Sequence[int], total: int) -> Division:
    """Bring every part to its share of the all-time `total`; raises LocalError if it fell."""
    added = shares.credit([bps for _, bps in order.parts], credited, total)
    own = order.collector.thumbprint
    given = [
        (account, amount)
        for (account, _), amount in zip(order.parts, added, strict=True)
        if amount and account != own
    ]
    if not given:
        return Division(tuple(credited), ())
    return Division(
        tuple(before + more for before, more in zip(credited, added, strict=True)),
        ((own, -sum(amount for _, amount in given)), *given),
    )
