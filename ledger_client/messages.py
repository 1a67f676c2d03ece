"""The three messages of a channel as bytes: item, voucher, state. Source: FORMATS section 6.

Each is a CBOR map of one entry, its kind, whose value is a map with the contract's field names, and
each is the full state, safe to send again. An item's signature covers the hash of its body, so that
the invoice alone proves later what was invoiced.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import assert_never

from ledger_client import cbor, shapes
from ledger_client.batches import LEAVES_MAX
from ledger_client.channels import (
    MONEY_MAX,
    SIGNATURE_BYTES_MAX,
    TERMS_BYTES_MAX,
    Terms,
    Voucher,
    parse_terms,
    sign_words,
    verify_words,
)
from ledger_client.errors import EncodingError, LocalError
from ledger_client.keys import PublicKey, SigningKey

BODY_BYTES_MAX = 60_000
"""Greatest body of an item: the message around it must fit the decoder's 64 KiB."""
ITEM_TYPE = "application/vnd.milepost.item+cbor"
RUN_BYTES = 8
KNOWN_MAX = 2_048
"""Most readings of one item that a refusal names."""


@dataclass(frozen=True, slots=True)
class Invoice:
    """What the seller signed about item `n`: price, all that is due with it, hash of its body."""

    channel: bytes
    n: int
    price: int
    due: int
    digest: bytes
    signature: bytes

    def verify(self, seller: PublicKey) -> None:
        """Raise SignatureError unless `seller` signed exactly this."""
        verify_words(seller, ITEM_TYPE, self._words(), self.signature)

    @property
    def name(self) -> bytes:
        """SHA-256 of all that is signed: tells it from any other, also under the same number."""
        return sha256(cbor.encode(self._words())).digest()

    def _words(self) -> tuple[object, ...]:
        return (self.channel, self.n, self.price, self.due, self.digest)


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery: the invoice and what it invoices."""

    invoice: Invoice
    body: bytes


def sign_item(key: SigningKey, channel: bytes, place: tuple[int, int, int], body: bytes) -> Item:
    """Item at `place` (n, price, due); it may leave only after it is on disk."""
    if len(body) > BODY_BYTES_MAX:
        raise LocalError(f"an item of {len(body)} bytes, at most {BODY_BYTES_MAX} fit")
    n, price, due = place
    digest = sha256(body).digest()
    signature = sign_words(key, ITEM_TYPE, (channel, n, price, due, digest))
    return Item(Invoice(channel, n, price, due, digest, signature), body)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that the buyer will not take: its number and its invoice's name.

    `known` are the rising indices of those of its readings that were paid for before.
    """

    n: int
    invoice: bytes
    known: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one side stands: sent on connecting and on doubt. Only what is signed is believed.

    `voucher` is the best one held or signed; `last` the newest item's invoice, from the buyer only.
    `run` names the seller's run, 8 bytes; the buyer says the one that it heard last, so that an old
    answer is not taken for one to this run. `refused` is what the buyer will not take. `window` is
    the seller's credit; negative, so much is to be promised ahead.
    """

    terms: Terms
    funded: int
    claimed: int
    due: int
    n: int
    voucher: Voucher | None
    last: Invoice | None
    run: bytes = b""
    refused: Refusal | None = None
    window: int = 0


Message = Item | Voucher | Standing
_STANDING = (
    *("ch", "terms", "funded", "claimed", "total", "sig"),
    *("due", "n", "last", "run", "refused", "window"),
)


def encode(message: Message) -> bytes:
    """The one encoding of a message."""
    match message:
        case Item(Invoice(channel, n, price, due, _, signature), body):
            fields = {"ch": channel, "n": n, "price": price, "due": due, "body": body}
            return cbor.encode({"item": fields | {"sig": signature}})
        case Voucher(channel, total, signature):
            return cbor.encode({"voucher": {"ch": channel, "total": total, "sig": signature}})
        case Standing():
            return cbor.encode({"state": _standing(message)})
        case _ as never:
            assert_never(never)


def _standing(message: Standing) -> dict[str, object]:
    voucher, last, refused = message.voucher, message.last, message.refused
    return {
        "ch": message.terms.channel,
        "terms": message.terms.encoded,
        "funded": message.funded,
        "claimed": message.claimed,
        "total": 0 if voucher is None else voucher.total,
        "sig": None if voucher is None else voucher.signature,
        "due": message.due,
        "n": message.n,
        "last": None if last is None else [last.price, last.digest, last.signature],
        "run": message.run,
        "refused": None if refused is None else [refused.n, refused.invoice, list(refused.known)],
        "window": message.window,
    }


def parse(data: bytes) -> Message:
    """The message in `data`, its shape proved and no signature yet.

    Raises:
        EncodingError: anything else, whatever it is.
        SignatureError: terms with an unsafe key.
    """
    outer = shapes.mapping(cbor.decode(data), "message")
    if len(outer) != 1:
        raise EncodingError(f"message: expected one kind, got {len(outer)}")
    kind, value = next(iter(outer.items()))
    match kind:
        case "item":
            return _parse_item(_named(value, ("ch", "n", "price", "due", "body", "sig")))
        case "voucher":
            fields = _named(value, ("ch", "total", "sig"))
            return Voucher(_channel(fields), _money(fields, "total", 1), _signature(fields["sig"]))
        case "state":
            return _parse_standing(_named(value, _STANDING))
        case _:
            raise EncodingError("message: expected an item, a voucher or a state")


def _parse_item(fields: Mapping[str, object]) -> Item:
    body = shapes.octets(fields["body"], "body", most=BODY_BYTES_MAX)
    invoice = Invoice(
        channel=_channel(fields),
        n=_money(fields, "n", 1),
        price=_money(fields, "price", 1),
        due=_money(fields, "due", 1),
        digest=sha256(body).digest(),
        signature=_signature(fields["sig"]),
    )
    return Item(invoice, body)


def _parse_standing(fields: Mapping[str, object]) -> Standing:
    terms = parse_terms(shapes.octets(fields["terms"], "terms", most=TERMS_BYTES_MAX))
    channel = _channel(fields)
    if channel != terms.channel:
        raise EncodingError("state: the channel is not the one that its terms give")
    total, n, due = (_money(fields, name) for name in ("total", "n", "due"))
    if (total == 0) != (fields["sig"] is None):
        raise EncodingError("state: a total and its signature come together")
    last = None
    if fields["last"] is not None:
        price, digest, signature = shapes.array(fields["last"], "last", 3)
        price = shapes.integer(price, "last price", 1, MONEY_MAX)
        digest = shapes.octets(digest, "last digest", 32)
        last = Invoice(channel, n, price, due, digest, _signature(signature))
    return Standing(
        terms=terms,
        funded=_money(fields, "funded"),
        claimed=_money(fields, "claimed"),
        due=due,
        n=n,
        voucher=Voucher(channel, total, _signature(fields["sig"])) if total else None,
        last=last,
        run=_run(fields["run"]),
        refused=_refusal(fields["refused"]),
        window=shapes.integer(fields["window"], "window", -MONEY_MAX, MONEY_MAX),
    )


def _refusal(value: object) -> Refusal | None:
    if value is None:
        return None
    number, invoice, known = shapes.array(value, "refused", 3)
    places = shapes.array(known, "known readings")
    if len(places) > KNOWN_MAX:
        raise EncodingError(f"state: a refusal names at most {KNOWN_MAX} readings")
    indices = tuple(shapes.integer(each, "known reading", 0, LEAVES_MAX - 1) for each in places)
    if any(not a < b for a, b in pairwise(indices)):
        raise EncodingError("state: known readings have rising indices")
    return Refusal(
        shapes.integer(number, "refused item", 1, MONEY_MAX),
        shapes.octets(invoice, "refused invoice", 32),
        indices,
    )


def _run(value: object) -> bytes:
    run = shapes.octets(value, "run", most=RUN_BYTES)
    if len(run) not in {0, RUN_BYTES}:
        raise EncodingError(f"state: a run is {RUN_BYTES} bytes or none, got {len(run)}")
    return run


def _named(value: object, names: tuple[str, ...]) -> dict[str, object]:
    pairs = shapes.mapping(value, "message")
    if pairs.keys() != set(names):
        raise EncodingError(f"message: expected the fields {', '.join(names)} and no other")
    return {name: pairs[name] for name in names}


def _channel(fields: Mapping[str, object]) -> bytes:
    return shapes.octets(fields["ch"], "ch", 32)


def _money(fields: Mapping[str, object], name: str, least: int = 0) -> int:
    return shapes.integer(fields[name], name, least, MONEY_MAX)


def _signature(value: object) -> bytes:
    return shapes.octets(value, "sig", most=SIGNATURE_BYTES_MAX)
