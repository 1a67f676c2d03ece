"""The embedded ledger's accounts: tables, the entries on the log that move them, and their check.

Tables `settlement_*` lie on the log's own connection, so a movement, its entry and the new head are
one transaction. Balances are a cache of the entries: `check` replays them from the log. What may
move, and on whose word, is decided in `embedded`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from itertools import pairwise
from typing import Any

from ledger_client import statements
from ledger_client.channels import State, Terms, parse_terms
from ledger_client.database import migrate, transaction
from ledger_client.errors import LocalError, RemoteError, StoreError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.log import Log, LogReader
from ledger_client.settlement import View
from ledger_client.settlement.movements import Movement, Posting, after, replay

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
        (
            "CREATE TABLE settlement_spent (number INTEGER PRIMARY KEY, account BLOB NOT NULL,"
            " channel BLOB NOT NULL REFERENCES settlement_channels, at_s INTEGER NOT NULL,"
            " amount INTEGER NOT NULL CHECK (amount > 0)) STRICT"
        ),
        "CREATE INDEX settlement_spent_account ON settlement_spent (account, at_s)",
        "CREATE INDEX settlement_spent_channel ON settlement_spent (channel)",
    ),
    (
        (
            "CREATE TABLE settlement_shares (agreement BLOB NOT NULL, place INTEGER NOT NULL,"
            " account BLOB NOT NULL, bps INTEGER NOT NULL, credited INTEGER NOT NULL,"
            " PRIMARY KEY (agreement, place)) STRICT, WITHOUT ROWID"
        ),
        (
            "CREATE TRIGGER settlement_shares_rise BEFORE UPDATE ON settlement_shares"
            " WHEN NEW.credited < OLD.credited OR NEW.account != OLD.account OR NEW.bps != OLD.bps"
            " BEGIN SELECT RAISE (ABORT, 'what was divided stays divided'); END"
        ),
    ),
)


class Accounts:
    """One asset's accounts and channels as the tables have them; `key` signs the entries."""

    def __init__(
        self, connection: sqlite3.Connection, log: Log, key: SigningKey, asset: str
    ) -> None:
        self._db = connection
        self._log = log
        self._key = key
        self._asset = asset

    def create(self) -> None:
        """Make the tables that are missing; raises StoreError for those of a newer version."""
        migrate(self._db, KIND, _VERSIONS)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: what moves, its entry and the new head."""
        return transaction(self._db)

    def balance(self, account: bytes) -> int:
        """Minor units in an account: a key's thumbprint, a channel, or `ISSUANCE`."""
        row = self._row("SELECT balance FROM settlement_accounts WHERE account = ?", account)
        return 0 if row is None else int(row[0])

    def issued(self, account: bytes) -> int:
        """The all-time total that was issued to an account."""
        row = self._row("SELECT issued FROM settlement_accounts WHERE account = ?", account)
        return 0 if row is None else int(row[0])

    def note_issued(self, account: bytes, total: int) -> None:
        """Keep the all-time total that was issued to an account which has moved before."""
        self._db.execute(
            "UPDATE settlement_accounts SET issued = ? WHERE account = ?", (total, account)
        )

    def channel(self, channel: bytes) -> View | None:
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

    def put(self, view: View) -> None:
        """Keep a channel as it stands now."""
        self._db.execute(
            "INSERT INTO settlement_channels VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (channel) DO UPDATE SET state = excluded.state, funded = excluded.funded,"
            " claimed = excluded.claimed, closes_at_s = excluded.closes_at_s",
            (
                view.terms.channel,
                view.terms.encoded,
                view.state.value,
                view.funded,
                view.claimed,
                view.closes_at_s,
            ),
        )

    def spend(self, terms: Terms, amount: int, now_s: int) -> None:
        """Note when a payer put money into a channel: until it comes back it counts as spent."""
        self._db.execute(
            "INSERT INTO settlement_spent (account, channel, at_s, amount) VALUES (?, ?, ?, ?)",
            (terms.payer.thumbprint, terms.channel, now_s, amount),
        )

    def unspend(self, terms: Terms, amount: int) -> None:
        """Note that so much came back out of a channel: what was put in last counts no more."""
        rows = self._db.execute(
            "SELECT number, amount FROM settlement_spent WHERE channel = ? ORDER BY number DESC",
            (terms.channel,),
        ).fetchall()
        for number, put_in in rows:
            back = min(amount, put_in)
            amount -= back
            if back == put_in:
                self._db.execute("DELETE FROM settlement_spent WHERE number = ?", (number,))
            elif back:
                self._db.execute(
                    "UPDATE settlement_spent SET amount = ? WHERE number = ?",
                    (put_in - back, number),
                )

    def spent(self, account: bytes, since_s: int) -> int:
        """What a payer put into channels after that Unix second and did not get back."""
        row = self._row(
            "SELECT coalesce(sum(amount), 0) FROM settlement_spent WHERE account = ? AND at_s > ?",
            account,
            since_s,
        )
        return 0 if row is None else int(row[0])

    def earned(self, agreement: bytes, payee: PublicKey) -> int:
        """What a payee ever claimed on channels of an agreement."""
        rows = self._db.execute(
            "SELECT terms, claimed FROM settlement_channels WHERE instr(terms, ?) > 0", (agreement,)
        )
        held = [(parse_terms(terms), int(claimed)) for terms, claimed in rows]
        return sum(
            claimed
            for terms, claimed in held
            if (terms.agreement, terms.payee) == (agreement, payee)
        )

    def shares(self, agreement: bytes) -> list[tuple[bytes, int, int]]:
        """Account, basis points and credited total of each part; none before the first division."""
        return self._db.execute(
            "SELECT account, bps, credited FROM settlement_shares WHERE agreement = ?"
            " ORDER BY place",
            (agreement,),
        ).fetchall()

    def note_shares(self, agreement: bytes, parts: Sequence[tuple[bytes, int, int]]) -> None:
        """Keep what each part has of an agreement by now."""
        self._db.executemany(
            "INSERT INTO settlement_shares VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (agreement, place) DO UPDATE SET account = excluded.account,"
            " bps = excluded.bps, credited = excluded.credited",
            [(agreement, place, *part) for place, part in enumerate(parts)],
        )

    def move(
        self, verb: str, postings: Sequence[Posting], proofs: Sequence[bytes], now_s: int
    ) -> None:
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
            sequence + 1, previous, verb, self._asset, tuple(postings), tuple(proofs)
        )
        payload = movement.encoded()
        digest = sha256(payload).digest()
        entry = statements.sign(self._key, KIND, self._log.name, payload, now_s)
        head = self._log.append([(digest, entry)], now_s)
        self._db.execute(
            "INSERT INTO settlement_entries VALUES (?, ?, ?)",
            (sequence + 1, digest, head.size - 1),
        )

    def _row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._db.execute(statement, values).fetchall()
        return tuple(rows[0]) if rows else None


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
