"""Offers: an agreement with one party left open, signed by whoever offers, with all fees. Pure.

A statement of kind `offer`, its payload the canonical CBOR of `Offer`; on a broker JSON {"offer":
the same as people read it, "statement": base64}, and the two must agree. What is left open in the
document is the empty text: the open party's did, and perhaps the subject and the ledger. Whoever
accepts fills that, and the minute in which it begins; everything else is as it was signed.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ledger_client import agreements, cbor, shapes, statements
from ledger_client.agreements import (
    DataLicence,
    Document,
    Name,
    Price,
    Second,
    Strict,
    Words,
)
from ledger_client.errors import EncodingError, SignatureError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.shares import WHOLE_BPS

KIND = "offer"
SIZE_MAX = 49_152
FEES_MAX = 16
PLACES_MAX = 1_000_000
_SUBJECT = "urn:milepost:offer:"
_BLANK_SUBJECT = "urn:uuid:00000000-0000-0000-0000-000000000000"
_BLANK_LEDGER = "anybody/log"


class ReadingFee(Strict, frozen=True, tag_field="per", tag="reading"):
    """So much for each reading that earns."""

    name: Words
    minor_units: Price


class PeriodFee(Strict, frozen=True, tag_field="per", tag="period"):
    """So much for each period that begins, whether anything is earned in it or not."""

    name: Words
    minor_units: Price
    period_s: Annotated[int, Meta(ge=60, le=agreements.NOTICE_S_MAX)]


class OnceFee(Strict, frozen=True, tag_field="per", tag="once"):
    """So much for accepting."""

    name: Words
    minor_units: Price


class EarnedFee(Strict, frozen=True, tag_field="per", tag="earned"):
    """A part of what is earned, in basis points, rounded up."""

    name: Words
    bps: Annotated[int, Meta(ge=1, le=WHOLE_BPS)]


Fee = ReadingFee | PeriodFee | OnceFee | EarnedFee


class Offer(Strict, frozen=True):
    """What is offered to the party named `open`, until `lapses_s`, to so many as there are places.

    `sha256` is the digest of the document as it stands here. A fee that is not named here is none.
    """

    version: Literal[1]
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    open: Name
    document: dict[str, Any]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    fees: Annotated[tuple[Fee, ...], Meta(max_length=FEES_MAX)]
    places: Annotated[int, Meta(ge=1, le=PLACES_MAX)]
    lapses_s: Second


class _Form(Strict, frozen=True):
    """An offer as a person writes it: without what can be computed."""

    name: str
    open: str
    document: dict[str, Any]
    lapses_s: int
    fees: tuple[dict[str, Any], ...] = ()
    places: int = 1


class _Envelope(Strict, frozen=True):
    offer: dict[str, Any]
    statement: str


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Who fills what an offer leaves open. `subject` is an urn, empty where it is no licence."""

    did: str
    ledger: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """An offer whose signature was verified. It is named by its issuer and its own name."""

    offer: Offer
    issuer: PublicKey
    issued_s: int
    statement: bytes

    @property
    def reference(self) -> str:
        """How it is called on a command line: the short id of who offers, and its name."""
        return f"{self.issuer.short_id}/{self.offer.name}"

    @property
    def digest(self) -> bytes:
        """SHA-256 of the statement: two offers are the same if this is."""
        return sha256(self.statement).digest()

    def lapsed(self, now_s: int) -> bool:
        """Whether nobody may accept it any more."""
        return now_s >= self.offer.lapses_s

    def sample(self, begins_s: int = 0) -> Document:
        """The agreement as if somebody had accepted it: for reading, not for signing."""
        return sample(self.offer, begins_s)


_ANYBODY = SigningKey(sha256(b"anybody").digest()).public.did


def from_form(value: object) -> Offer:
    """The offer that a form (plain maps, as from JSON) describes; raises EncodingError."""
    try:
        form = msgspec.convert(value, _Form)
        document = cbor.encode(form.document)
        plain = msgspec.to_builtins(form) | {
            "version": 1,
            "sha256": sha256(document).hexdigest(),
        }
        return _checked(msgspec.convert(plain, Offer))
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise EncodingError(f"offer: {error}") from error


def sign(key: SigningKey, offer: Offer, now_s: int) -> bytes:
    """The statement by which the holder of `key`, a party of the document, offers it.

    Raises:
        EncodingError: the offer contradicts itself, or the key is no party's.
    """
    _check_issuer(_checked(offer), key.public)
    payload = cbor.encode(msgspec.to_builtins(offer))
    return statements.sign(key, KIND, f"{_SUBJECT}{offer.sha256}", payload, now_s)


def verify(data: bytes) -> Signed:
    """The offer in a statement.

    Raises:
        RemoteError: not an offer in its one encoding, not signed by one of its parties, or one
            that nobody could accept.
    """
    said = statements.verify(data)
    if said.kind != KIND or said.receipts:
        raise EncodingError(f"expected an offer without receipts, got a {said.kind} statement")
    try:
        plain = cbor.decode(said.payload, size_max=SIZE_MAX, depth_max=8)
        offer = _checked(msgspec.convert(plain, Offer))
    except msgspec.ValidationError as error:
        raise EncodingError(f"offer: {error}") from error
    if said.subject != f"{_SUBJECT}{offer.sha256}":
        raise EncodingError("offer: its subject is another document")
    _check_issuer(offer, said.issuer)
    return Signed(offer, said.issuer, said.issued_s, said.signed)


def to_json(signed: Signed) -> bytes:
    """What is published: the offer for people and dashboards, and the statement that counts."""
    text = base64.b64encode(signed.statement).decode()
    return msgspec.json.encode({"offer": to_plain(signed.offer), "statement": text})


def to_plain(offer: Offer) -> dict[str, Any]:
    """The offer as plain maps and lists, for JSON."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(offer))
    return plain


def from_json(payload: bytes) -> Signed:
    """What `to_json` made, verified.

    Raises:
        RemoteError: as `verify`, or the readable part is not what was signed.
    """
    if len(payload) > 2 * SIZE_MAX:
        raise EncodingError(f"offer: expected at most {2 * SIZE_MAX} bytes, got {len(payload)}")
    try:
        envelope = msgspec.json.decode(payload, type=_Envelope)
        statement = base64.b64decode(envelope.statement, validate=True)
    except (msgspec.DecodeError, binascii.Error, RecursionError, ValueError) as error:
        raise EncodingError(f"offer: {error}") from error
    signed = verify(statement)
    if envelope.offer != to_plain(signed.offer):
        raise SignatureError("offer: what can be read in it is not what was signed")
    return signed


def filled(offer: Offer, acceptor: Acceptor, begins_s: int) -> Document:
    """The agreement that `acceptor` would sign, beginning at `begins_s` or when the offer says.

    Raises:
        EncodingError: it is addressed to another key, or is no agreement when it is filled.
    """
    document = dict(offer.document)
    parties = []
    for party in _parties(document):
        mine = dict(party)
        if party.get("name") == offer.open:
            if party.get("did") not in ("", acceptor.did):
                raise EncodingError("the offer is addressed to somebody else")
            mine["did"] = acceptor.did
        parties.append(mine)
    document["parties"] = parties
    if document.get("ledger") == "":
        document["ledger"] = acceptor.ledger
    if document.get("subject") == "":
        document["subject"] = acceptor.subject or _BLANK_SUBJECT
    document["begins_s"] = max(shapes.integer(document.get("begins_s"), "begins_s"), begins_s)
    return agreements.from_plain(document)


def accepts(offer: Offer, agreement: Document) -> bool:
    """Whether this agreement is the offer with nothing changed but what it leaves open."""
    subject = agreement.subject if isinstance(agreement, DataLicence) else ""
    try:
        did = agreement.key_of(offer.open).did
        again = filled(offer, Acceptor(did, agreement.ledger, subject), agreement.begins_s)
    except EncodingError:
        return False
    return again == agreement


def _checked(offer: Offer) -> Offer:
    if sha256(cbor.encode(offer.document)).hexdigest() != offer.sha256:
        raise EncodingError("offer: its digest is that of another document")
    if not all(fee.name.isprintable() for fee in offer.fees):
        raise EncodingError("offer: expected printable names of fees")
    agreement = sample(offer)
    if offer.open not in {party.name for party in agreement.parties}:
        raise EncodingError(f"offer: expected the open party to be one of it, got {offer.open!a}")
    if offer.lapses_s > agreement.expires_s:
        raise EncodingError("offer: expected it to lapse before the agreement expires")
    return offer


def dotted(text: str) -> str:
    """What is written about a sample, with dots where it is filled in by whoever accepts."""
    for filler in (_ANYBODY, _BLANK_SUBJECT, _BLANK_LEDGER):
        text = text.replace(filler, "...")
    return text


def sample(offer: Offer, begins_s: int = 0) -> Document:
    """The agreement with whom it is addressed to, or with a key that nobody uses."""
    dids = (each.get("did") for each in _parties(offer.document) if each.get("name") == offer.open)
    return filled(offer, Acceptor(str(next(dids, "")) or _ANYBODY, _BLANK_LEDGER), begins_s)


def _check_issuer(offer: Offer, issuer: PublicKey) -> None:
    parties = sample(offer).parties
    if issuer.did not in {party.did for party in parties if party.name != offer.open}:
        raise EncodingError(f"offer: {issuer.short_id} is none of the parties that offer it")


def _parties(document: Mapping[str, Any]) -> list[dict[Any, Any]]:
    found = shapes.array(document.get("parties"), "parties")
    return [shapes.mapping(each, "party") for each in found]
