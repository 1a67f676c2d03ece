"""Recomputes an embedded ledger from a record: every balance, from signed orders and vouchers only.

No movement is taken on the ledger's word. Each is derived again from the evidence in it: an order
that its party signed, a voucher that its signer signed, the terms that name them. The one thing
that the evidence cannot show is money that the operator issued; it is named as such.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from ledger_client import cbor, cose, record, shapes, statements, trust
from ledger_client.channels import Event, State, Terms, advance, parse_terms
from ledger_client.errors import ProofError, RemoteError
from ledger_client.keys import PublicKey
from ledger_client.settlement import movements, sharing
from ledger_client.settlement.movements import EVIDENCE_BYTES_MAX, ISSUANCE, Movement, Posting
from ledger_client.statements import Statement
from ledger_client.verify import verify_record

KIND = "settlement"


@dataclass(slots=True)
class Channel:
    """A channel as the evidence tells it; amounts are all-time minor units."""

    terms: Terms
    state: State = State.OPENING
    funded: int = 0
    claimed: int = 0
    closes_at_s: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A payment out of a channel: the entry of the log, its Unix time in seconds, the amount."""

    index: int
    at_s: int
    channel: bytes
    amount: int


@dataclass(slots=True)
class Shared:
    """What was divided under an agreement: accounts with basis points, and what each had so far."""

    parts: tuple[tuple[bytes, int], ...]
    credited: tuple[int, ...]


@dataclass(slots=True)
class Books:
    """Everything that the entries establish. Balances are by account and sum to zero.

    `holders` are the keys behind accounts, as far as terms name them.
    """

    asset: str = ""
    movements: int = 0
    balances: dict[bytes, int] = field(default_factory=dict)
    issued: dict[bytes, int] = field(default_factory=dict)
    channels: dict[bytes, Channel] = field(default_factory=dict)
    holders: dict[bytes, PublicKey] = field(default_factory=dict)
    shared: dict[bytes, Shared] = field(default_factory=dict)
    claims: list[Claimed] = field(default_factory=list)


def replay_record(data: bytes) -> Books:
    """The books of the ledger whose whole log is in `data`, which is verified first.

    Raises:
        RemoteError: the first thing that does not hold, or an excerpt, which proves no balance.
    """
    report = verify_record(data)
    parts = record.parse(data)
    if not parts.whole:
        raise ProofError("an excerpt leaves entries out: balances need the whole record")
    found = ((line.index, statements.verify(line.statement)) for line in parts.lines)
    return replay(report.log, found)


def replay(ledger: str, entries: Iterable[tuple[int, Statement]]) -> Books:
    """The books of `ledger` from its log's statements in order; those of other kinds are skipped.

    Raises:
        ProofError: a movement that does not follow from its evidence.
        RemoteError: evidence that is damaged, not signed, or no allowed step.
    """
    keeper = _Keeper(ledger)
    for index, statement in entries:
        if statement.kind == trust.ROTATION:
            keeper.rotate(trust.rotated(statement))
        if statement.kind == KIND:
            try:
                keeper.add(index, statement)
            except RemoteError as error:
                raise type(error)(f"entry {index}: {error}") from error
    return keeper.books


class _Keeper:
    """Takes the movements one by one."""

    def __init__(self, ledger: str) -> None:
        self.books = Books()
        self._ledger = ledger
        self._operator: PublicKey | None = None
        self._previous = bytes(32)

    def rotate(self, rotation: trust.Rotation) -> None:
        """The operator's key carries on as another."""
        if self._operator == rotation.old:
            self._operator = rotation.new

    def add(self, index: int, statement: Statement) -> None:
        """The next movement: in the chain, by the operator, and what its evidence asks for."""
        books, movement = self.books, movements.parse_movement(statement.payload)
        if (movement.sequence, movement.previous) != (books.movements + 1, self._previous):
            raise ProofError(f"movement {movement.sequence} does not follow {books.movements}")
        if self._operator not in {None, statement.issuer}:
            raise ProofError(f"signed by {statement.issuer.short_id}, who is not the operator")
        if books.asset not in {"", movement.asset}:
            raise ProofError(f"in {movement.asset}, this ledger is in {books.asset}")
        self._operator, books.asset = statement.issuer, movement.asset
        if movement.verb == "claim":
            expected = self._claims(index, statement.issued_s, movement)
        elif len(movement.evidence) != 1:
            raise ProofError(f"{movement.verb}: expected one signed order")
        elif movement.verb == sharing.VERB:
            expected = self._share(movement.evidence[0])
        else:
            expected = self._order(movement.verb, movement.evidence[0], statement)
        if expected != movement.postings:
            raise ProofError(f"{movement.verb}: its postings are not what its evidence asks for")
        books.balances |= movements.after(books.balances, movement.postings)
        books.movements += 1
        self._previous = sha256(statement.payload).digest()

    def _claims(self, index: int, at_s: int, movement: Movement) -> tuple[Posting, ...]:
        postings: list[Posting] = []
        for data in movement.evidence:
            terms, voucher = movements.parse_evidence(data)
            voucher.verify(terms.signer)
            channel = self._known(terms.channel)
            channel.state = advance(channel.state, Event.CLAIM)
            amount = voucher.total - channel.claimed
            if not 0 < amount <= channel.funded - channel.claimed:
                raise ProofError(f"a claim of {voucher.total} after {channel.claimed}")
            channel.claimed = voucher.total
            self.books.claims.append(Claimed(index, at_s, terms.channel, amount))
            postings += [(terms.channel, -amount), (terms.payee.thumbprint, amount)]
        return tuple(postings)

    def _order(self, verb: str, data: bytes, statement: Statement) -> tuple[Posting, ...]:
        message = cose.parse_sign1(data, size_max=EVIDENCE_BYTES_MAX)
        words = shapes.array(cbor.decode(message.payload or b""), "order", 5)
        if (words[0], words[1]) != (verb, self._ledger):
            raise ProofError(f"{verb}: the order is another, or for another ledger")
        about = shapes.octets(words[2], "account", 32)
        total = shapes.integer(words[3], "total")
        if verb == "issue":
            movements.verify_order(statement.issuer, data)
            return self._issue(about, total)
        if verb == "open":
            terms = parse_terms(shapes.octets(words[4], "terms"))
            movements.verify_order(terms.payer, data)
            return self._open(terms, about, total)
        channel = self._known(about)
        if verb != "finish":  # which anybody may ask for, once the delay is over
            payer = verb == "close"
            movements.verify_order(channel.terms.payer if payer else channel.terms.payee, data)
        return self._end(verb, channel, statement.issued_s)

    def _issue(self, account: bytes, total: int) -> tuple[Posting, ...]:
        more = total - self.books.issued.get(account, 0)
        if more <= 0:
            raise ProofError(f"issue: a total of {total} is no more than there was")
        self.books.issued[account] = total
        return ((ISSUANCE, -more), (account, more))

    def _open(self, terms: Terms, about: bytes, total: int) -> tuple[Posting, ...]:
        if (terms.channel, terms.ledger, terms.asset) != (about, self._ledger, self.books.asset):
            raise ProofError("open: the terms are of another channel, ledger or asset")
        channel = self.books.channels.setdefault(about, Channel(terms))
        for key in (terms.payer, terms.payee):
            self.books.holders[key.thumbprint] = key
        channel.state = advance(channel.state, Event.FUND)
        more, channel.funded = total - channel.funded, total
        if more <= 0:
            raise ProofError(f"open: a total of {total} is no more than there was")
        return ((terms.payer.thumbprint, -more), (about, more))

    def _end(self, verb: str, channel: Channel, at_s: int) -> tuple[Posting, ...]:
        channel.state = advance(channel.state, Event(verb))
        if channel.state is State.CLOSING:
            channel.closes_at_s = at_s + channel.terms.delay_s
            return ()
        if verb == "finish" and at_s < channel.closes_at_s:
            raise ProofError(f"finish: {channel.closes_at_s - at_s} s too early")
        left = channel.funded - channel.claimed
        terms = channel.terms
        return ((terms.channel, -left), (terms.payer.thumbprint, left)) if left else ()

    def _share(self, data: bytes) -> tuple[Posting, ...]:
        order = sharing.verify(data)
        shared = self.books.shared.setdefault(
            order.agreement, Shared(order.parts, (0,) * len(order.parts))
        )
        if (order.ledger, order.parts) != (self._ledger, shared.parts):
            raise ProofError("share: an order for another ledger, or with other shares than before")
        total = sum(
            channel.claimed
            for channel in self.books.channels.values()
            if channel.terms.agreement == order.agreement and channel.terms.payee == order.collector
        )
        division = sharing.divide(order, shared.credited, total)
        shared.credited = division.credited
        return division.postings

    def _known(self, channel: bytes) -> Channel:
        try:
            return self.books.channels[channel]
        except KeyError:
            raise ProofError(f"no channel {channel.hex()[:16]} was opened") from None
