"""One-way payment channels: terms, vouchers, and what each side may do. Source: FORMATS section 6.

Money is whole minor units of one named asset. A voucher is two words, the channel and the all-time
total, so a lost or repeated one can pay nobody twice: a greater total supersedes, anything else is
a repeat. The two sides (`Selling`, `Buying`) are plain integers with a printed table for the
channel's life; who signs with which curve is the business of the settlement engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property, lru_cache
from hashlib import sha256
from re import fullmatch

from ledger_client import cbor, cose, shapes
from ledger_client.errors import EncodingError, LocalError, RemoteError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

MONEY_MAX = 2**63 - 1
"""Greatest amount in minor units: what SQLite holds in one column."""
DELAY_S_MAX = 30 * 86_400
SALT_BYTES = 16
AGREEMENT_BYTES = 32
TERMS_BYTES_MAX = 1024
SIGNATURE_BYTES_MAX = 512
TERMS_LABEL = "tally"
VOUCHER_TYPE = "application/vnd.milepost.voucher+cbor"
_HEADERS = 2


class State(Enum):
    """Where a channel stands in its life."""

    OPENING = "opening"
    OPEN = "open"
    FROZEN = "frozen"
    CLOSING = "closing"
    CLOSED = "closed"


class Event(Enum):
    """What may happen to a channel."""

    FUND = "fund"
    TRADE = "trade"
    CREDIT = "credit"
    FREEZE = "freeze"
    CLAIM = "claim"
    CLOSE = "close"
    FINISH = "finish"
    CLOSE_NOW = "close_now"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.OPENING, Event.FUND): State.OPEN,
    (State.OPENING, Event.FREEZE): State.FROZEN,
    (State.OPEN, Event.FUND): State.OPEN,
    (State.OPEN, Event.TRADE): State.OPEN,
    (State.OPEN, Event.CREDIT): State.OPEN,
    (State.OPEN, Event.FREEZE): State.FROZEN,
    (State.OPEN, Event.CLAIM): State.OPEN,
    (State.OPEN, Event.CLOSE): State.CLOSING,
    (State.OPEN, Event.CLOSE_NOW): State.CLOSED,
    (State.FROZEN, Event.CREDIT): State.FROZEN,
    (State.FROZEN, Event.FREEZE): State.FROZEN,
    (State.FROZEN, Event.CLAIM): State.FROZEN,
    (State.FROZEN, Event.CLOSE): State.CLOSING,
    (State.FROZEN, Event.CLOSE_NOW): State.CLOSED,
    (State.CLOSING, Event.CREDIT): State.CLOSING,
    (State.CLOSING, Event.FREEZE): State.CLOSING,
    (State.CLOSING, Event.CLAIM): State.CLOSING,
    (State.CLOSING, Event.CLOSE): State.CLOSING,
    (State.CLOSING, Event.CLOSE_NOW): State.CLOSED,
    (State.CLOSING, Event.FINISH): State.CLOSED,
    (State.CLOSED, Event.FREEZE): State.CLOSED,
    (State.CLOSED, Event.CLOSE): State.CLOSED,
    (State.CLOSED, Event.CLOSE_NOW): State.CLOSED,
    (State.CLOSED, Event.FINISH): State.CLOSED,
}
"""Every allowed step; a missing pair is refused. Ending twice is the same as ending once."""


def advance(state: State, event: Event) -> State:
    """The next state; raises RemoteError where the table allows no such step."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise RemoteError(
            f"{event.value} is not allowed on a channel that is {state.value}"
        ) from None


def joined(ours: State, ledger: State) -> State:
    """What a side's record becomes when it sees the ledger's: only we know of FROZEN."""
    if ledger in {State.CLOSING, State.CLOSED}:
        return ledger
    return ledger if ours is State.OPENING else ours


def exponent(asset: str) -> int:
    """Decimals of an asset: 6 for `EUR/6`, minor unit 0.000001 EUR; raises EncodingError."""
    match = fullmatch(r"[A-Z][A-Z0-9]{2,11}/([0-9]|1[0-8])", asset)
    if match is None:
        raise EncodingError(f"an asset is a code and its decimals such as EUR/6, not {asset!r:.40}")
    return int(match[1])


@dataclass(frozen=True)
class Terms:
    """What a channel is; its id is the hash of this, so nothing in it can change.

    `ledger` binds the channel to one log by name; `signer` signs for `payer` (often the same key);
    `delay_s` is how long the payee has to claim once the payer has started to close; `simulated`
    marks a channel that may carry simulated readings, which only a demo ledger opens; `agreement`
    is the digest (32 bytes) of what everything on it is paid under, or empty.
    """

    ledger: str
    payer: PublicKey
    signer: PublicKey
    payee: PublicKey
    asset: str
    delay_s: int
    salt: bytes
    simulated: bool
    agreement: bytes = b""

    def __post_init__(self) -> None:
        exponent(self.asset)
        if not 1 <= len(self.ledger) <= 128:  # noqa: PLR2004  # the bound is the rule itself
            raise EncodingError("a ledger's name has 1 to 128 characters")
        if not 0 <= self.delay_s <= DELAY_S_MAX:
            raise EncodingError(f"a closing delay is 0 to {DELAY_S_MAX} s, not {self.delay_s}")
        if len(self.salt) != SALT_BYTES:
            raise EncodingError(f"a salt is {SALT_BYTES} bytes, not {len(self.salt)}")
        if len(self.agreement) not in {0, AGREEMENT_BYTES}:
            raise EncodingError(f"an agreement is named by {AGREEMENT_BYTES} bytes, or none")
        if self.payee.raw in {self.payer.raw, self.signer.raw}:
            raise EncodingError("payer and payee of a channel must be two parties")

    @cached_property
    def encoded(self) -> bytes:
        """The one encoding of these terms."""
        keys = (self.payer.raw, self.signer.raw, self.payee.raw)
        rest = (self.delay_s, self.salt, self.simulated, self.agreement)
        return cbor.encode([TERMS_LABEL, self.ledger, *keys, self.asset, *rest])

    @cached_property
    def channel(self) -> bytes:
        """The channel's id: SHA-256 of the encoded terms, 32 bytes."""
        return sha256(self.encoded).digest()


@lru_cache(maxsize=256)
def parse_terms(data: bytes) -> Terms:
    """Terms from their bytes; raises EncodingError, or SignatureError for a key that is unsafe.

    The newest are remembered: every state message carries its channel's terms.
    """
    value = cbor.decode(data, size_max=TERMS_BYTES_MAX)
    label, ledger, payer, signer, payee, asset, delay_s, salt, simulated, agreement = shapes.array(
        value, "terms", 10
    )
    if label != TERMS_LABEL:
        raise EncodingError(f"terms: expected them to begin with {TERMS_LABEL!r}")
    return Terms(
        ledger=shapes.text(ledger, "ledger", 128),
        payer=PublicKey.enrol(shapes.octets(payer, "payer", 32)),
        signer=PublicKey.enrol(shapes.octets(signer, "signer", 32)),
        payee=PublicKey.enrol(shapes.octets(payee, "payee", 32)),
        asset=shapes.text(asset, "asset", 32),
        delay_s=shapes.integer(delay_s, "closing delay"),
        salt=shapes.octets(salt, "salt", SALT_BYTES),
        simulated=shapes.boolean(simulated, "simulated"),
        agreement=shapes.octets(agreement, "agreement", most=AGREEMENT_BYTES),
    )


def sign_words(key: SigningKey, content_type: str, words: Sequence[object]) -> bytes:
    """A COSE_Sign1 without its payload: the words travel beside it, or are known to both sides."""
    header = {cose.CONTENT_TYPE: content_type}
    return cose.sign1(key, header, cbor.encode(words), detached=True)


def verify_words(
    public: PublicKey, content_type: str, words: Sequence[object], signature: bytes
) -> None:
    """Raise SignatureError unless `public` signed exactly these words as this kind of thing."""
    message = cose.parse_sign1(signature, size_max=SIGNATURE_BYTES_MAX)
    if message.protected.get(cose.CONTENT_TYPE) != content_type or message.unprotected:
        raise SignatureError(f"expected a signature of type {content_type} and no loose headers")
    if len(message.protected) != _HEADERS:  # padding would fill what a hundred claims go into
        raise SignatureError("expected no headers but the algorithm and the type")
    cose.verify_sign1(public, message, cbor.encode(words))


@dataclass(frozen=True, slots=True)
class Voucher:
    """A promise: the channel has paid `total` minor units since it was opened."""

    channel: bytes
    total: int
    signature: bytes

    def verify(self, signer: PublicKey) -> None:
        """Raise SignatureError unless `signer` signed exactly this channel and total."""
        verify_words(signer, VOUCHER_TYPE, (self.channel, self.total), self.signature)


def sign_voucher(key: SigningKey, channel: bytes, total: int) -> Voucher:
    """Promise `total`; it may leave only after the items that it pays are on disk."""
    return Voucher(channel, total, sign_words(key, VOUCHER_TYPE, (channel, total)))


@dataclass(frozen=True, slots=True)
class Selling:
    """The seller's side: what was delivered, what was promised for it, and what is still allowed.

    `window` is the credit in minor units: greatest `due - best`; negative means prepaid by so much.
    `reserve` is kept back from `funded` (fees of claiming). `best` is the highest voucher held.
    `prepaid` is the most that a voucher may ever be ahead of `due`, `forgone` what the buyer
    refused today of what it was sent, because it had paid for it elsewhere.
    """

    state: State
    funded: int
    claimed: int
    n: int
    due: int
    best: int
    window: int
    reserve: int
    prepaid: int = 0
    forgone: int = 0

    @property
    def acknowledged(self) -> int:
        """What is due for items that the buyer certainly has."""
        return max(0, self.best - self.prepaid)

    def room(self) -> int:
        """The greatest price that may be sold now, in minor units; 0 when nothing may.

        Nothing while the ledger paid more than the voucher held here: it is on its way to us, or
        this store is an old backup. Prepaid, there is room for what is paid once all that is to be
        paid ahead (or all that is left) is.
        """
        if self.state is not State.OPEN or self.claimed > self.best:
            return 0
        left = self.funded - self.reserve - self.due
        ahead = self.best - self.due
        if self.window >= 0:
            return max(0, min(ahead + self.window - self.forgone, left))
        if ahead < min(-self.window, left) or self.forgone >= self.prepaid:
            return 0
        return max(0, min(ahead, left))

    def sell(self, price: int) -> "Selling":
        """One more item at `price`; raises LocalError beyond `room()`."""
        if not 1 <= price <= self.room():
            raise LocalError(f"an item at {price} does not fit into the room of {self.room()}")
        return replace(
            self, state=advance(self.state, Event.TRADE), n=self.n + 1, due=self.due + price
        )

    def credit(self, total: int) -> "Selling":
        """Keep a verified voucher; the same object comes back for a repeat or a lower total.

        More than is due (and was to be prepaid) is for items that this store does not know of: it
        is an old backup, so the voucher is kept and the channel frozen.
        """
        if total <= self.best:
            return self  # late or repeated: expected on a lossy broker, and harmless
        if total > self.funded:
            raise RemoteError(f"a voucher over {total} on a channel funded with {self.funded}")
        state = advance(self.state, Event.CREDIT)
        if total > self.due + self.prepaid:
            state = advance(state, Event.FREEZE)
        return replace(self, state=state, best=total)


class Place(Enum):
    """How an arriving item relates to what the buyer holds."""

    NEXT = "next"
    REPEAT = "repeat"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Buying:
    """The buyer's side: what is durably received (`n`, `due`) and what was promised (`signed`)."""

    state: State
    funded: int
    n: int
    due: int
    signed: int

    def place(self, n: int) -> Place:
        """Whether item `n` is the next one, one we have, or one that must wait for a resend."""
        if n == self.n + 1:
            return Place.NEXT
        return Place.REPEAT if n <= self.n else Place.GAP

    def take(self, price: int, due: int, ahead: int = 0) -> "Buying":
        """Receive the next item, promise all that is due and, where it is prepaid, `ahead` more.

        Raises:
            RemoteError: a wrong invoice.
        """
        if price < 1 or due != self.due + price:
            raise RemoteError(f"an invoice of {due} where {self.due} + {price} was due")
        if due > self.funded:
            raise RemoteError(f"an invoice of {due} on a channel funded with {self.funded}")
        taken = replace(self, state=advance(self.state, Event.TRADE), n=self.n + 1, due=due)
        return taken.prepay(ahead)

    def prepay(self, ahead: int) -> "Buying":
        """Promise `ahead` more than is due, as far as the channel is funded; never less again."""
        advance(self.state, Event.TRADE)
        return replace(self, signed=max(self.signed, min(self.due + ahead, self.funded)))

    def adopt(self, total: int) -> "Buying":
        """A higher total under our own signature: this store is an old backup and must not sign."""
        if total <= self.signed:
            return self
        return replace(self, state=advance(self.state, Event.FREEZE), signed=total)
