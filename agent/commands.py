"""What may be asked of a ledger over MQTT, and its answers: JSON on in/{to}/cmd and in/{to}/res.

`order` carries a signed order (COSE_Sign1) of `party`; `claim` vouchers with their terms, from
anybody; `status`, `balance` and `ledger` ask. Bytes are base64. `id` comes back with the answer.
Statuses are those of HTTP: 200 done, 400 no such command, 403 refused, 404 no such channel, 429 too
many. Pure.

`keeper` is asked of a party that is paid, in its own inbox: who keeps the ledger of an agreement?
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from ledger_client.channels import (
    MONEY_MAX,
    SIGNATURE_BYTES_MAX,
    TERMS_BYTES_MAX,
    State,
    Voucher,
    parse_terms,
)
from ledger_client.errors import EncodingError
from ledger_client.settlement import Claim, Outcome, View
from ledger_client.settlement.movements import ACCOUNT_BYTES, EVIDENCE_BYTES_MAX

BYTES_MAX = 48 << 10
CLAIMS_MAX = 16
"""Vouchers in one command: with their terms they fit `BYTES_MAX`."""
STATEMENT_BYTES_MAX = 2_048
ENDINGS_MAX = 16
DONE, MALFORMED, REFUSED, ABSENT, TOO_MANY = 200, 400, 403, 404, 429

Id = Annotated[str, Meta(max_length=64)]
Party = Annotated[str, Meta(max_length=128)]
Account = Annotated[bytes, Meta(min_length=ACCOUNT_BYTES, max_length=ACCOUNT_BYTES)]
Money = Annotated[int, Meta(ge=0, le=MONEY_MAX)]
Terms = Annotated[bytes, Meta(max_length=TERMS_BYTES_MAX)]

_T = TypeVar("_T")

Act = Annotated[bytes, Meta(max_length=STATEMENT_BYTES_MAX)]


class Command(msgspec.Struct, frozen=True, tag_field="command", forbid_unknown_fields=True):
    """What is asked; `id` is whatever the one who asks likes."""

    id: Id


class Order(Command, frozen=True, tag="order"):
    """`order` is the signed order; `party` is the did:key of who signed it."""

    party: Party
    order: Annotated[bytes, Meta(max_length=EVIDENCE_BYTES_MAX)]


class Promise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A voucher with the terms of its channel."""

    terms: Terms
    total: Money
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES_MAX)]


class Claims(Command, frozen=True, tag="claim"):
    """Vouchers to be turned into their payees' money."""

    claims: Annotated[tuple[Promise, ...], Meta(min_length=1, max_length=CLAIMS_MAX)]


class Status(Command, frozen=True, tag="status"):
    """How does this channel stand?"""

    channel: Account


class Balance(Command, frozen=True, tag="balance"):
    """What can this did:key spend?"""

    holder: Party


class About(Command, frozen=True, tag="ledger"):
    """Which ledger is this?"""


Asked = Order | Claims | Status | Balance | About


class Keeper(Command, frozen=True, tag="keeper"):
    """Who keeps the ledger of this agreement, and did anybody end it?"""

    agreement: Account


class Channel(msgspec.Struct, frozen=True):
    """A channel as the ledger has it; `closes_at_s` is the Unix second from which it may finish."""

    terms: Terms
    state: State
    funded: Money
    claimed: Money
    closes_at_s: int | None


class Paid(msgspec.Struct, frozen=True):
    """What became of one claim: the channel's all-time total, and why not if `refusal` says so."""

    channel: Account
    claimed: Money
    refusal: str | None


class Ledger(msgspec.Struct, frozen=True):
    """The name that channel ids are bound to, its asset, and whether it is play."""

    name: str
    asset: str
    demo: bool


class Kept(msgspec.Struct, frozen=True):
    """The statement of who keeps a ledger, and the acts by which the agreement was ended."""

    statement: Annotated[bytes, Meta(max_length=STATEMENT_BYTES_MAX)]
    endings: Annotated[tuple[Act, ...], Meta(max_length=ENDINGS_MAX)]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of command `id`; besides `error`, the field that belongs to the command."""

    command: str
    id: Id
    status: int
    error: str = ""
    channel: Channel | None = None
    claims: tuple[Paid, ...] | None = None
    balance: Money | None = None
    ledger: Ledger | None = None
    kept: Kept | None = None


class _Named(msgspec.Struct, frozen=True):
    command: str = ""
    id: Id = ""


_ASKED: msgspec.json.Decoder[Asked] = msgspec.json.Decoder(Asked)
_NAMED = msgspec.json.Decoder(_Named)
_ANSWER = msgspec.json.Decoder(Answer)


def encode(message: Asked | Keeper | Answer) -> bytes:
    """The payload of a message."""
    return msgspec.json.encode(message)


def parse(payload: bytes) -> Asked:
    """The command in a payload; ValueError says what it is not."""
    if len(payload) > BYTES_MAX:
        raise ValueError(f"a command has at most {BYTES_MAX} bytes, this one {len(payload)}")
    return _decoded(_ASKED, payload)


def named(payload: bytes) -> tuple[str, str]:
    """The command and the id of a payload that is no command, as far as it has them."""
    try:
        found = _decoded(_NAMED, payload[:BYTES_MAX])
    except ValueError:
        found = _Named()
    return found.command, found.id


def parse_answer(payload: bytes) -> Answer:
    """The answer in a payload; ValueError if it is none."""
    return _decoded(_ANSWER, payload)


def _decoded(decoder: msgspec.json.Decoder[_T], payload: bytes) -> _T:
    try:
        return decoder.decode(payload)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


def channel_of(view: View) -> Channel:
    """A view as it travels."""
    return Channel(view.terms.encoded, view.state, view.funded, view.claimed, view.closes_at_s)


def view_of(channel: Channel, asked: bytes) -> View:
    """The view that travelled; raises RemoteError if it is not of the channel that was `asked`."""
    terms = parse_terms(channel.terms)
    if terms.channel != asked:
        raise EncodingError("the ledger answered about another channel")
    return View(terms, channel.state, channel.funded, channel.claimed, channel.closes_at_s)


def promise_of(claim: Claim) -> Promise:
    """A claim as it travels."""
    return Promise(claim.terms.encoded, claim.voucher.total, claim.voucher.signature)


def claim_of(promise: Promise) -> Claim:
    """The claim that travelled, nothing of it proved; raises RemoteError for no terms."""
    terms = parse_terms(promise.terms)
    return Claim(terms, Voucher(terms.channel, promise.total, promise.signature))


def paid_of(outcome: Outcome) -> Paid:
    """An outcome as it travels."""
    return Paid(outcome.channel, outcome.claimed, outcome.refusal)
