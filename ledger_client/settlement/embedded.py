"""The embedded ledger: accounts and channels in SQLite, every movement an entry on the log.

Tables `settlement_*` lie on the log's own connection, so a movement, its entry and the new head are
one transaction. Balances are a cache of the entries: `check` replays them from the log.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any, Self

from ledger_client import genesis, statements
from ledger_client.channels import Event, State, Terms, advance, exponent, parse_terms
from ledger_client.errors import LocalError, RemoteError, StoreError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.log import Log, LogReader, migrate, transaction
from ledger_client.settlement import Claim, Outcome, RefusedError, View
from ledger_client.settlement.movements import (
    CLAIMS_MAX,
    ISSUANCE,
    Movement,
    Order,
    Posting,
    after,
    evidence,
    replay,
    sign_order,
    verify_order,
)

KIND = "settlement"

_VERSIONS = (
    (
        (
            "CREATE TABLE settlement_accounts (account BLOB PRIMARY KEY, balance INTEGER NOT NULL,"
            " issued INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID"
        ),
        (
            "CREATE TABLE settlement_channels (channel BLOB PRIMARY KEY, terms BLOB NOT NULL,"
            " state TEXT NOT NULL, funded INTEGER NOT NULL, claimed INTEGER NOT NULL,"
            " closes_at_s INTEGER, CHECK (claimed <= funded)) STRICT, WITHOUT ROWID"
        ),
        (
            "CREATE TABLE settlement_entries (sequence INTEGER PRIMARY KEY, digest BLOB NOT NULL,"
            " position INTEGER NOT NULL REFERENCES log_entries) STRICT"
        ),
        (
            "CREATE TRIGGER settlement_channels_rise BEFORE UPDATE ON settlement_channels"
            " WHEN NEW.funded < OLD.funded OR NEW.claimed < OLD.claimed OR NEW.terms != OLD.terms"
            " BEGIN SELECT RAISE (ABORT, 'a channel of the ledger never goes backwards'); END"
        ),
        (
            "CREATE TRIGGER settlement_channels_stay BEFORE DELETE ON settlement_channels"
            " BEGIN SELECT RAISE (ABORT, 'a channel of the ledger is never forgotten'); END"
        ),
    ),
)


class Book:
    """The ledger's own side: takes signed orders and vouchers, keeps one asset's accounts.

    `key` signs the entries; `now_s` gives Unix seconds, for the closing delay and the entries.
    """

    def __init__(  # what a ledger is
        self,
        connection: sqlite3.Connection,
        log: Log,
        key: SigningKey,
        now_s: Callable[[], int],
        asset: str,
        demo: bool,  # noqa: FBT001  # positional beside its peers, in `open` only
    ) -> None:
        self._db = connection
        self._log = log
        self._key = key
        self._now_s = now_s
        self.asset = asset
        self.demo = demo

    @classmethod
    def open(
        cls,
        connection: sqlite3.Connection,
        log: Log,
        key: SigningKey,
        *,
        now_s: Callable[[], int],
        asset: str = "EUR/6",
    ) -> Self:
        """The accounts beside this log, begun if there are none; whether it is play, the log says.

        Raises:
            StoreError: tables of a newer version.
            EncodingError: not an asset.
        """
        exponent(asset)
        migrate(connection, KIND, _VERSIONS)
        demo = genesis.verify(statements.verify(log.statement(0))).demo
        return cls(connection, log, key, now_s, asset, demo)

    @property
    def name(self) -> str:
        """The log's name, which channel ids are bound to."""
        return self._log.name

    def balance(self, account: bytes) -> int:
        """Minor units in an account: a key's thumbprint, a channel, or `ISSUANCE`."""
        row = self._row("SELECT balance FROM settlement_accounts WHERE account = ?", account)
        return 0 if row is None else int(row[0])

    def view(self, channel: bytes) -> View | None:
        """The channel as it stands, or None."""
        row = self._row(
            "SELECT terms, state, funded, claimed, closes_at_s FROM settlement_channels"
            " WHERE channel = ?",
            channel,
        )
        if row is None:
            return None
        terms, state, funded, claimed, closes_at_s = row
        return View(parse_terms(terms), State(state), funded, claimed, closes_at_s)

    def issue(self, holder: PublicKey, total: int) -> None:
        """As the operator, make `total` the all-time amount issued to `holder`; once is enough."""
        account = holder.thumbprint
        row = self._row("SELECT issued FROM settlement_accounts WHERE account = ?", account)
        more = total - (0 if row is None else int(row[0]))
        if more <= 0:
            return
        order = sign_order(self._key, Order("issue", self.name, account, total, None))
        with transaction(self._db):
            self._move("issue", ((ISSUANCE, -more), (account, more)), (order,))
            self._db.execute(
                "UPDATE settlement_accounts SET issued = ? WHERE account = ?", (total, account)
            )

    def order(self, party: PublicKey, data: bytes) -> View:
        """Do what `party` signed: open, close, close_now or finish.

        Raises:
            RefusedError: not allowed to this party, not covered, or not now.
            RemoteError: not an order that `party` signed, or no step of the channel's table.
        """
        order = verify_order(party, data)
        if order.ledger != self.name:
            raise RefusedError(f"an order for the ledger {order.ledger!a}, this is {self.name!a}")
        with transaction(self._db):
            if order.verb == "open":
                self._open(party, order, data)
            else:
                self._end(party, order, data)
            return self._known(order.channel)

    def _open(self, party: PublicKey, order: Order, data: bytes) -> None:
        terms = order.terms
        if terms is None or terms.channel != order.channel or terms.payer != party:
            raise RefusedError("a channel is opened by its payer, with its terms")
        if (terms.ledger, terms.asset) != (self.name, self.asset):
            raise RefusedError(f"terms for {terms.ledger!a} in {terms.asset}: not this ledger's")
        if terms.simulated and not self.demo:
            raise RefusedError("simulated readings settle on a demo ledger only")
        view = self.view(order.channel)
        state = State.OPENING if view is None else view.state
        more = order.total - (0 if view is None else view.funded)
        if more <= 0 and view is not None:
            return
        state = advance(state, Event.FUND)
        if not 0 < more <= self.balance(party.thumbprint):
            raise RefusedError(f"{more} minor units are not covered")
        self._move("open", ((party.thumbprint, -more), (order.channel, more)), (data,))
        self._db.execute(
            "INSERT INTO settlement_channels VALUES (?, ?, ?, ?, 0, NULL)"
            " ON CONFLICT (channel) DO UPDATE SET funded = excluded.funded",
            (order.channel, terms.encoded, state.value, order.total),
        )

    def _end(self, party: PublicKey, order: Order, data: bytes) -> None:
        view = self._known(order.channel)
        now_s = self._now_s()
        match order.verb:
            case "close":
                allowed, event = party == view.terms.payer, Event.CLOSE
            case "close_now":
                allowed, event = party == view.terms.payee, Event.CLOSE_NOW
            case "finish":
                due = view.closes_at_s is not None and now_s >= view.closes_at_s
                allowed, event = due, Event.FINISH
            case _:
                raise RefusedError(f"no such order: {order.verb!a}")
        state = advance(view.state, event)
        if state is view.state:
            return  # it was done before
        if not allowed:
            raise RefusedError(f"{order.verb} is not for this party, or not at this time")
        closes_at_s = view.closes_at_s
        postings: tuple[Posting, ...] = ()
        if state is State.CLOSING:
            closes_at_s = now_s + view.terms.delay_s
        else:
            postings = _postings(
                order.channel, view.terms.payer.thumbprint, view.funded - view.claimed
            )
        self._move(order.verb, postings, (data,))
        self._db.execute(
            "UPDATE settlement_channels SET state = ?, closes_at_s = ? WHERE channel = ?",
            (state.value, closes_at_s, order.channel),
        )

    def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay every good claim, one entry for each `CLAIMS_MAX`; the bad ones say why not."""
        outcomes: list[Outcome] = []
        for start in range(0, len(claims), CLAIMS_MAX):
            with transaction(self._db):
                outcomes += self._claim(claims[start : start + CLAIMS_MAX])
        return outcomes

    def _claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        postings: list[Posting] = []
        proofs: list[bytes] = []
        for claim in claims:
            channel, total = claim.voucher.channel, claim.voucher.total
            try:
                view = self._good(claim)
            except RemoteError as error:
                known = self.view(channel)
                outcomes.append(Outcome(channel, known.claimed if known else 0, str(error)))
                continue
            if total > view.claimed:
                postings += _postings(channel, view.terms.payee.thumbprint, total - view.claimed)
                proofs.append(evidence(claim.terms, claim.voucher))
                self._db.execute(
                    "UPDATE settlement_channels SET claimed = ? WHERE channel = ?",
                    (total, channel),
                )
            outcomes.append(Outcome(channel, max(total, view.claimed), None))
        if postings:
            self._move("claim", postings, proofs)
        return outcomes

    def _good(self, claim: Claim) -> View:
        """The channel of a claim that may be paid; raises RemoteError for any other."""
        terms, voucher = claim.terms, claim.voucher
        view = self._known(voucher.channel)
        if terms.channel != voucher.channel:
            raise RefusedError("the terms are not those of the voucher's channel")
        advance(view.state, Event.CLAIM)
        if voucher.total > view.funded:
            raise RefusedError(f"a voucher over {voucher.total}, funded with {view.funded}")
        voucher.verify(terms.signer)
        return view

    def _known(self, channel: bytes) -> View:
        view = self.view(channel)
        if view is None:
            raise RefusedError(f"no channel {channel.hex()[:16]} on this ledger")
        return view

    def _move(self, verb: str, postings: Sequence[Posting], proofs: Sequence[bytes]) -> None:
        """Post, write the entry and sign the head, inside the transaction that is open."""
        balances = {account: self.balance(account) for account, _ in postings}
        self._db.executemany(
            "INSERT INTO settlement_accounts (account, balance) VALUES (?, ?)"
            " ON CONFLICT (account) DO UPDATE SET balance = excluded.balance",
            after(balances, postings).items(),
        )
        sequence, previous = self._row(
            "SELECT sequence, digest FROM settlement_entries ORDER BY sequence DESC LIMIT 1"
        ) or (0, bytes(32))
        movement = Movement(
            sequence + 1, previous, verb, self.asset, tuple(postings), tuple(proofs)
        )
        payload = movement.encoded()
        digest = sha256(payload).digest()
        now_s = self._now_s()
        entry = statements.sign(self._key, KIND, self.name, payload, now_s)
        head = self._log.append([(digest, entry)], now_s)
        self._db.execute(
            "INSERT INTO settlement_entries VALUES (?, ?, ?)",
            (sequence + 1, digest, head.size - 1),
        )

    def _row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._db.execute(statement, values).fetchall()
        return tuple(rows[0]) if rows else None


def _postings(channel: bytes, account: bytes, amount: int) -> tuple[Posting, ...]:
    return ((channel, -amount), (account, amount)) if amount else ()


def check(connection: sqlite3.Connection, log: LogReader) -> dict[bytes, int]:
    """Every balance, replayed from the log's entries and equal to what the tables say.

    Each entry sums to zero, so the balances do. Needs no key and no clock; for a home folder that
    nothing runs on.

    Raises:
        StoreError: the first thing that does not hold.
    """
    rows = connection.execute(
        "SELECT position, digest FROM settlement_entries ORDER BY sequence"
    ).fetchall()
    try:
        entries = [statements.verify(log.statement(position)) for position, _ in rows]
        balances = replay(entry.payload for entry in entries)
    except (RemoteError, LocalError) as error:
        raise StoreError(f"the ledger's entries do not replay: {error}") from error
    if [sha256(entry.payload).digest() for entry in entries] != [digest for _, digest in rows]:
        raise StoreError("the ledger names other entries than those on the log")
    for earlier, later in pairwise(entry.issuer for entry in entries):
        if later not in {earlier, *_followers(log, earlier)}:
            raise StoreError("the ledger's entries were signed by keys that do not follow")
    logged = sum(1 for entry in log.entries() if statements.verify(entry.statement).kind == KIND)
    if logged != len(entries):
        raise StoreError(
            f"the log has {logged} settlement entries, the ledger knows {len(entries)}"
        )
    kept = dict(connection.execute("SELECT account, balance FROM settlement_accounts").fetchall())
    if kept != balances:
        raise StoreError("the ledger's balances are not those that its entries give")
    for channel, funded, claimed, state in connection.execute(
        "SELECT channel, funded, claimed, state FROM settlement_channels"
    ):
        left = 0 if state == State.CLOSED.value else funded - claimed
        if balances.get(channel, 0) != left:
            raise StoreError(f"channel {channel.hex()[:16]} does not hold the {left} it should")
    return balances


def _followers(log: LogReader, key: PublicKey) -> Iterator[PublicKey]:
    """The keys that carried on after `key`, one after another."""
    follower = log.successor(key)
    while follower is not None:
        yield follower
        follower = log.successor(follower)


class EmbeddedSettlement:
    """The `Settlement` of one party on an embedded ledger: signs its orders and hands them over."""

    def __init__(self, book: Book, key: SigningKey) -> None:
        self._book = book
        self._key = key

    @property
    def ledger(self) -> str:
        """The name that channel ids are bound to."""
        return self._book.name

    @property
    def demo(self) -> bool:
        """Whether this ledger takes channels that carry simulated readings."""
        return self._book.demo

    async def balance(self, holder: PublicKey) -> int:
        """Minor units that `holder` can spend."""
        return self._book.balance(holder.thumbprint)

    async def open(self, terms: Terms, funded: int) -> View:
        """Open or top up to `funded`; raises RefusedError."""
        return self._order("open", terms.channel, funded, terms)

    async def status(self, channel: bytes) -> View | None:
        """The channel as it stands, or None."""
        return self._book.view(channel)

    async def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay the payees; bad claims are skipped and say why."""
        return self._book.claim(claims)

    async def close(self, channel: bytes) -> View:
        """Start the closing delay; raises RefusedError."""
        return self._order("close", channel)

    async def close_now(self, channel: bytes) -> View:
        """End it at once; raises RefusedError."""
        return self._order("close_now", channel)

    async def finish(self, channel: bytes) -> View:
        """End it after the delay; raises RefusedError."""
        return self._order("finish", channel)

    def _order(self, verb: str, channel: bytes, total: int = 0, terms: Terms | None = None) -> View:
        order = Order(verb, self._book.name, channel, total, terms)
        return self._book.order(self._key.public, sign_order(self._key, order))
