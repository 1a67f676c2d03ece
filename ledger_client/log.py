"""The append-only log on SQLite: statements, the stored tree over them, and every signed head.

One RFC 9162 tree over SHA-256 of each statement without its receipts. An append adds log n hashes
and signs once for receipts and once for the note; all of it is one durable transaction, so a head
is on disk before any receipt leaves. Triggers refuse every change of what is written.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

from ledger_client import (
    chains,
    checkpoints,
    genesis,
    merkle,
    receipts,
    schema,
    statements,
)
from ledger_client.chains import Tip
from ledger_client.database import migrate, roll_back, transaction
from ledger_client.errors import DamageError, LocalError, StoreError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.statements import Statement
from ledger_client.watermark import Watermark

_POSITION_MAX = (1 << 63) - 1
_GENESIS_IDENTITY = b"genesis".ljust(16, b"\x00")


@dataclass(frozen=True, slots=True)
class Head:
    """A signed state of the log: `receipt` signs it for receipts, `note` is its checkpoint."""

    size: int
    root: bytes
    issued_s: int
    receipt: bytes
    note: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement at its place on the log."""

    index: int
    identity: bytes
    statement: bytes


class LogReader:
    """What anybody may ask of a log that lies in `connection`; needs no key."""

    def __init__(self, connection: sqlite3.Connection, size: int | None = None) -> None:
        """With `size` it is the log as it was under its head of so many entries."""
        self._connection = connection
        self._at = size
        self.nodes: merkle.Nodes = partial(_node, connection)
        """The stored hashes of complete subtrees."""

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read within sees the log at one moment, however others write.

        Raises:
            StoreError: what is read is no log, or damaged.
        """
        self._connection.execute("BEGIN")
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the log cannot be read: {error}") from error
        finally:
            roll_back(self._connection)

    @property
    def head(self) -> Head:
        """The newest head.

        Raises:
            StoreError: there is none.
        """
        columns = "SELECT size, root, issued_s, receipt, note FROM log_heads"
        if self._at is None:
            row = self._one(f"{columns} ORDER BY size DESC LIMIT 1")
        else:
            row = self._one(f"{columns} WHERE size = ?", (self._at,))
        if row is None:
            raise StoreError("the log has no head: it was never opened for writing")
        return Head(*row)

    def at(self, size: int) -> "LogReader":
        """The log as it was under its head of so many entries."""
        return LogReader(self._connection, size)

    def has_batches(self) -> bool:
        """Whether any batch was ever logged; also of a database that never became a log."""
        made = "SELECT 1 FROM sqlite_master WHERE name = 'log_chains'"
        if self._connection.execute(made).fetchone() is None:
            return False
        return self._connection.execute("SELECT 1 FROM log_chains LIMIT 1").fetchone() is not None

    def find(self, identity: bytes) -> int | None:
        """Where the entry of that identity stands, if it is logged."""
        query = "SELECT position FROM log_entries WHERE identity = ?"
        return cast("int | None", self._value(query, identity))

    def find_digest(self, digest: bytes) -> int | None:
        """Where the statement of that digest stands first, if it is logged."""
        query = "SELECT min(position) FROM log_nodes WHERE level = 0 AND hash = ?"
        return cast("int | None", self._value(query, merkle.leaf_hash(digest)))

    def root_at(self, size: int) -> bytes | None:
        """The root of the head of `size` entries, if this log signed one."""
        query = "SELECT root FROM log_heads WHERE size = ?"
        return cast("bytes | None", self._value(query, size))

    def _value(self, query: str, key: bytes | int) -> object:
        row = self._one(query, (key,))
        return None if row is None else row[0]

    def _one(self, query: str, values: tuple[bytes | int, ...] = ()) -> tuple[Any, ...] | None:
        """The first row, if there is any; a page that went bad since the start is a StoreError."""
        try:
            row = self._connection.execute(query, values).fetchone()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"the log cannot be read: {error}; nothing more is signed") from error
        return None if row is None else tuple(row)

    def statement(self, index: int) -> bytes:
        """The statement at `index`, without receipts."""
        found = self._value("SELECT statement FROM log_entries WHERE position = ?", index)
        if found is None:
            raise LocalError(f"the log has no entry {index}")
        return cast("bytes", found)

    def receipt(self, index: int) -> bytes:
        """The inclusion receipt of the entry at `index` under the newest head."""
        head = self.head
        path = merkle.inclusion_proof(index, head.size, self.nodes)
        return receipts.inclusion(head.receipt, head.size, index, path)

    def consistency(self, old: int) -> bytes:
        """The receipt that the newest head continues the one of `old` leaves, fewer."""
        head = self.head
        path = merkle.consistency_proof(old, head.size, self.nodes)
        return receipts.consistency(head.receipt, old, head.size, path)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """All entries from `start` on, in log order."""
        rows = self._connection.execute(
            "SELECT position, identity, statement FROM log_entries"
            " WHERE position >= ? AND position < ? ORDER BY position",
            (start, _POSITION_MAX if self._at is None else self._at),
        )
        return (Entry(*row) for row in rows)

    def heads(self) -> Iterator[Head]:
        """All heads ever signed, oldest first."""
        rows = self._connection.execute(
            "SELECT size, root, issued_s, receipt, note FROM log_heads ORDER BY size"
        )
        return (Head(*row) for row in rows)

    def stored_nodes(self) -> Iterator[tuple[int, int, bytes]]:
        """Every stored hash of the tree, as (level, position, hash), in this order."""
        rows = self._connection.execute(
            "SELECT level, position, hash FROM log_nodes ORDER BY level, position"
        )
        return ((int(level), int(position), bytes(digest)) for level, position, digest in rows)

    def tip(self, issuer: PublicKey) -> Tip:
        """The newest batch of `issuer`; sequence 0 before the first."""
        return chains.tip(self._connection, issuer)

    def successor(self, issuer: PublicKey) -> PublicKey | None:
        """The key that carries on after `issuer`, if a rotation named one."""
        return chains.successor(self._connection, issuer)

    def trust_positions(self) -> list[int]:
        """Where the certificates, revocations and rotations stand, in log order."""
        return chains.trust_positions(self._connection)


class Log(LogReader):
    """A log that its owner writes: `receipt_key` signs receipts, `note_key` checkpoints."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        name: str,
        receipt_key: SigningKey,
        note_key: SigningKey,
        mark: Watermark | None = None,
    ) -> None:
        super().__init__(connection)
        self.name = name
        self._mark = mark
        self._marked = 0
        self._receipt_key = receipt_key
        self._note_key = note_key

    @classmethod
    def open(  # noqa: PLR0913  # what a log is, and its mark
        cls,
        connection: sqlite3.Connection,
        *,
        name: str,
        receipt_key: SigningKey,
        note_key: SigningKey,
        demo: bool,
        now_s: int,
        mark: Watermark | None = None,
    ) -> Self:
        """The log in `connection`, begun at Unix time `now_s` if there is none yet.

        With a `mark` every head is marked before it is shown to anybody.

        Raises:
            StoreError: what is stored contradicts its last head or the mark, or is a log of other
                keys.
        """
        migrate(connection, "log", schema.VERSIONS)
        log = cls(connection, name, receipt_key, note_key, mark)
        if mark:
            mark.check(log.root_at)
        with transaction(connection):
            if connection.execute("SELECT 1 FROM log_heads").fetchone() is None:
                first = genesis.sign(receipt_key, note_key.public, name, now_s, demo=demo)
                log.append([(_GENESIS_IDENTITY, first)], now_s)
        log._check(demo=demo)
        return log

    @property
    def head(self) -> Head:
        """The newest head; marked, once it is committed."""
        head = super().head
        if self._mark and head.size != self._marked and not self._connection.in_transaction:
            self._mark.write(head.note)
            self._marked = head.size
        return head

    def append(self, entries: Sequence[tuple[bytes, bytes]], issued_s: int) -> Head:
        """Log (identity, statement) pairs, at least one, and sign one head over all of them.

        An identity is 16 to 32 bytes and stands for one entry for ever. Joins an open transaction,
        or makes its own; a batch must continue its issuer's chain.

        Raises:
            LocalError: an identity that is logged already, or a batch out of sequence.
            RemoteError: not a statement whose signature holds.
        """
        with transaction(self._connection):
            size = self._size()
            for index, (identity, data) in enumerate(entries, start=size):
                self._insert(index, identity, statements.verify(data))
            size += len(entries)
            root = merkle.root_of(size, self.nodes)
            signed = receipts.sign_head(self._receipt_key, self.name, size, root, issued_s)
            note = checkpoints.sign(self._note_key, checkpoints.Checkpoint(self.name, size, root))
            head = Head(size, root, issued_s, signed, note)
            self._connection.execute(
                "INSERT INTO log_heads VALUES (?, ?, ?, ?, ?)",
                (head.size, head.root, head.issued_s, head.receipt, head.note),
            )
        return head if self._connection.in_transaction else self.head

    def _size(self) -> int:
        row = self._connection.execute("SELECT max(position) FROM log_entries").fetchone()
        return 0 if row[0] is None else int(row[0]) + 1

    def _insert(self, index: int, identity: bytes, statement: Statement) -> None:
        try:
            self._connection.execute(
                "INSERT INTO log_entries VALUES (?, ?, ?)", (index, identity, statement.signed)
            )
        except sqlite3.IntegrityError as error:
            raise LocalError(f"entry {identity.hex()} cannot be logged: {error}") from error
        chains.add(self._connection, index, statement)
        leaf = merkle.leaf_hash(statement.digest)
        self._connection.executemany(
            "INSERT INTO log_nodes VALUES (?, ?, ?)", merkle.completed(index, leaf, self.nodes)
        )

    def _check(self, *, demo: bool) -> None:
        """The last head agrees with what is stored, and the log is the one that was meant."""
        head = self.head
        if self._size() != head.size or merkle.root_of(head.size, self.nodes) != head.root:
            raise DamageError(
                f"the log contradicts its last head of {head.size} entries; nothing is signed "
                "until a copy is restored"
            )
        held = genesis.verify(statements.verify(self.statement(0)))
        meant = genesis.Genesis(self.name, self._receipt_key.public, self._note_key.public, demo)
        if held != meant:
            raise StoreError(
                f"the log is {held.name!r} (demo: {held.demo}, receipt key "
                f"{held.receipt_key.short_id}, note key {held.note_key.short_id}), expected "
                f"{meant.name!r} (demo: {meant.demo}, receipt key {meant.receipt_key.short_id}, "
                f"note key {meant.note_key.short_id})"
            )


def _node(connection: sqlite3.Connection, level: int, position: int) -> bytes:
    row = connection.execute(
        "SELECT hash FROM log_nodes WHERE level = ? AND position = ?", (level, position)
    ).fetchone()
    if row is None:
        raise DamageError(f"the log lost the hash at level {level}, position {position}")
    return bytes(row[0])
