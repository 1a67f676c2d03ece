"""The journal: what was heard, on disk before anything moves on. SQLite, WAL, synchronous=FULL.

It holds opaque sealed bodies: packs (one group commit of one subject) that become batches. It is
bounded by `bytes_max`; when full it drops, in this order, and never rebuilds itself:

1. the readings of receipted batches whose receipt was told, oldest first (statement, receipt and
   proof stay in the log; the row stays and says `released`);
2. packs that are in a receipted batch and only wait to be told as telemetry;
3. the oldest packs that are in no batch: counted as `dropped` and signed into the next statement.

Money is not here at all. All methods are blocking and safe to call from any thread.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from agent.batching import PackHead

SCHEMA_VERSION = 1
_ROW_BYTES = 128  # what a row costs beside its body, near enough for a limit

_SCHEMA = """
CREATE TABLE pack (
    pack INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, boot BLOB NOT NULL,
    readings INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    committed_ms INTEGER NOT NULL, body BLOB NOT NULL, batch BLOB, told INTEGER NOT NULL DEFAULT 0);
CREATE INDEX pack_batch ON pack (batch);
CREATE INDEX pack_told ON pack (told, pack);
CREATE TABLE batch (
    number INTEGER PRIMARY KEY AUTOINCREMENT, batch BLOB NOT NULL UNIQUE, subject TEXT NOT NULL,
    boot BLOB NOT NULL, readings INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, dropped INTEGER NOT NULL, rejected INTEGER NOT NULL,
    gap INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('sealed', 'receipted', 'released')),
    log_index INTEGER, body BLOB, told INTEGER NOT NULL DEFAULT 0);
CREATE INDEX batch_state ON batch (state);
CREATE TABLE loss (
    subject TEXT PRIMARY KEY, dropped INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0, gap INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE counter (address TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
"""


class JournalError(Exception):
    """The journal cannot be opened or written: what came, and what to do."""


class Pack(msgspec.Struct, frozen=True, gc=False):
    """One group commit of one subject: `body` is sealed, the times are boot time in ms."""

    subject: str
    boot: bytes
    readings: int
    first_ms: int
    last_ms: int
    body: bytes


class Losses(msgspec.Struct, frozen=True, gc=False):
    """What did not become a reading of a subject since its last statement."""

    dropped: int = 0
    rejected: int = 0
    gap: int = 0


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One batch as the journal knows it; `log_index` is None until its receipt is believed."""

    number: int
    batch: bytes
    subject: str
    boot: bytes
    readings: int
    first_ms: int
    last_ms: int
    losses: Losses
    state: str
    log_index: int | None


_BATCH_COLUMNS = (
    "number, batch, subject, boot, readings, first_ms, last_ms, dropped, rejected, gap, state,"
    " log_index"
)


def _batch(row: tuple[Any, ...]) -> Batch:
    number, batch, subject, boot, readings, first_ms, last_ms, *lost, state, log_index = row
    return Batch(
        number,
        batch,
        subject,
        boot,
        readings,
        first_ms,
        last_ms,
        Losses(*lost),
        state,
        log_index,
    )


class Journal:
    """The one writer of journal.db."""

    def __init__(self, connection: sqlite3.Connection, bytes_max: int) -> None:
        """Use `Journal.open`."""
        self._db = connection
        self._bytes_max = bytes_max
        self._lock = threading.RLock()
        self._bytes = self._count_bytes()

    @classmethod
    def open(cls, path: Path, bytes_max: int) -> "Journal":
        """Open or create the journal at `path`; raises JournalError when it is damaged or foreign.

        A damaged file is left as it is: move it aside, keep it as evidence, and start again.
        """
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=1000")
            connection.execute(f"PRAGMA journal_size_limit={16 << 20}")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                connection.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
                )
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise JournalError(
                f"{path}: expected a journal, got a damaged or foreign file ({error});"
                f" move it aside, keep it, and start again"
            ) from error
        if version not in {0, SCHEMA_VERSION}:
            raise JournalError(
                f"{path}: expected schema version {SCHEMA_VERSION}, got {version};"
                " run the version of milepost that wrote it"
            )
        if verdict != "ok":
            raise JournalError(
                f"{path}: expected a sound database, got {verdict!r}; move it aside and keep it"
            )
        return cls(connection, bytes_max)

    def close(self) -> None:
        """Close the file; what was committed is safe."""
        with self._lock:
            self._db.close()

    @property
    def bytes_used(self) -> int:
        """Bytes of the bodies and rows held, near enough for the limit."""
        return self._bytes

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._rollback()
                raise JournalError(
                    f"the journal cannot be written ({error}): free some space or check the disk;"
                    " nothing that was committed is lost"
                ) from error
            except BaseException:
                self._rollback()
                raise

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    # -- hearing

    def put(
        self,
        packs: Sequence[Pack],
        counters: Mapping[str, int],
        losses: Mapping[str, Losses],
        now_ms: int,
    ) -> None:
        """Commit a group: packs, the replay counters they moved and what was lost beside them."""
        added = sum(len(pack.body) + _ROW_BYTES for pack in packs)
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO pack (subject, boot, readings, first_ms, last_ms, committed_ms, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (p.subject, p.boot, p.readings, p.first_ms, p.last_ms, now_ms, p.body)
                    for p in packs
                ],
            )
            db.executemany(
                "INSERT INTO counter VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET counter = max(counter, excluded.counter)",
                counters.items(),
            )
            self._lose(losses)
            freed = self._make_room(self._bytes + added - self._bytes_max)
        self._bytes += added - freed

    def lose(self, losses: Mapping[str, Losses]) -> None:
        """Count what was lost where no reading came with it."""
        with self._transaction():
            self._lose(losses)

    def _lose(self, losses: Mapping[str, Losses]) -> None:
        self._db.executemany(
            "INSERT INTO loss VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " dropped = dropped + excluded.dropped, rejected = rejected + excluded.rejected,"
            " gap = gap + excluded.gap",
            [(subject, x.dropped, x.rejected, x.gap) for subject, x in losses.items()],
        )

    def counters(self) -> dict[str, int]:
        """The highest replay counter taken from each address."""
        with self._lock:
            return dict(self._db.execute("SELECT address, counter FROM counter"))

    # -- proving

    def unbatched(self) -> dict[str, list[PackHead]]:
        """The packs in no batch, oldest first, by subject."""
        with self._lock:
            rows = self._db.execute(
                "SELECT pack, subject, boot, readings, first_ms, last_ms, committed_ms FROM pack"
                " WHERE batch IS NULL ORDER BY pack"
            ).fetchall()
        heads: dict[str, list[PackHead]] = {}
        for row in rows:
            heads.setdefault(row[1], []).append(PackHead(*row))
        return heads

    def pending_readings(self) -> int:
        """Readings on disk that have no believed receipt yet."""
        with self._lock:
            row = self._db.execute(
                "SELECT coalesce(sum(readings), 0) FROM pack WHERE batch IS NULL OR batch IN"
                " (SELECT batch FROM batch WHERE state = 'sealed')"
            ).fetchone()
        return int(row[0])

    def seal(self, packs: Sequence[PackHead], batch: bytes) -> None:
        """Name the batch of these packs, and give it the subject's losses, before it is signed."""
        first = packs[0]
        with self._transaction() as db:
            loss = db.execute(
                "DELETE FROM loss WHERE subject = ? RETURNING dropped, rejected, gap",
                (first.subject,),
            ).fetchone() or (0, 0, 0)
            db.execute(
                "INSERT INTO batch (batch, subject, boot, readings, first_ms, last_ms, dropped,"
                " rejected, gap, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'sealed')",
                (
                    batch,
                    first.subject,
                    first.boot,
                    sum(pack.readings for pack in packs),
                    min(pack.first_ms for pack in packs),
                    max(pack.last_ms for pack in packs),
                    *loss,
                ),
            )
            db.executemany(
                "UPDATE pack SET batch = ? WHERE pack = ?", [(batch, pack.pack) for pack in packs]
            )

    def sealed(self) -> list[Batch]:
        """Batches that were named and have no receipt yet, oldest first."""
        return self._batches("state = 'sealed'")

    def packs_of(self, batch: bytes) -> list[bytes]:
        """The bodies of a sealed batch, in order."""
        with self._lock:
            return [
                row[0]
                for row in self._db.execute(
                    "SELECT body FROM pack WHERE batch = ? ORDER BY pack", (batch,)
                )
            ]

    def mark(self, receipted: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Note the believed receipts: (batch, log index, sealed leaves). Told packs go."""
        rows = [(index, body, batch) for batch, index, body in receipted]
        with self._transaction() as db:
            db.executemany(
                "UPDATE batch SET state = 'receipted', log_index = ?, body = ?"
                " WHERE batch = ? AND state = 'sealed'",
                rows,
            )
            freed = self._delete_done()
        self._bytes += sum(len(body) + _ROW_BYTES for _, body, _ in rows) - freed

    def _delete_done(self) -> int:
        gone = self._db.execute(
            "DELETE FROM pack WHERE told = 1 AND batch IN"
            " (SELECT batch FROM batch WHERE state != 'sealed') RETURNING length(body)"
        ).fetchall()
        return sum(row[0] + _ROW_BYTES for row in gone)

    # -- telling

    def untold_packs(self, packs_max: int) -> list[tuple[int, str, bytes, bytes]]:
        """The oldest packs not yet published: (number, subject, boot, body)."""
        with self._lock:
            return self._db.execute(
                "SELECT pack, subject, boot, body FROM pack WHERE told = 0 ORDER BY pack LIMIT ?",
                (packs_max,),
            ).fetchall()

    def packs_told(self, packs: Iterable[int]) -> None:
        """The broker acknowledged these; those that are also receipted go."""
        with self._transaction() as db:
            db.executemany("UPDATE pack SET told = 1 WHERE pack = ?", [(pack,) for pack in packs])
            freed = self._delete_done()
        self._bytes -= freed

    def untold_batches(self, batches_max: int) -> list[Batch]:
        """Receipted batches whose receipt was not yet published, oldest first."""
        return self._batches("told = 0 AND state != 'sealed'", batches_max)

    def batches_told(self, batches: Iterable[bytes]) -> None:
        """The broker acknowledged the receipts of these."""
        with self._transaction() as db:
            db.executemany(
                "UPDATE batch SET told = 1 WHERE batch = ?", [(batch,) for batch in batches]
            )

    # -- reading back

    def receipted(self, after: int = 0, batches_max: int = 1 << 30) -> list[Batch]:
        """Batches with a receipt and number > `after`, in order; released ones too."""
        return self._batches(f"state != 'sealed' AND number > {int(after)}", batches_max)

    def find(self, batch: bytes) -> Batch | None:
        """The batch of that name, whatever its state."""
        with self._lock:
            row = self._db.execute(
                f"SELECT {_BATCH_COLUMNS} FROM batch WHERE batch = ?",  # noqa: S608  # our own words only
                (batch,),
            ).fetchone()
        return None if row is None else _batch(row)

    def leaves_of(self, batch: bytes) -> bytes | None:
        """The sealed leaves of a receipted batch; None when unknown or released to make room."""
        with self._lock:
            row = self._db.execute("SELECT body FROM batch WHERE batch = ?", (batch,)).fetchone()
        return None if row is None else row[0]

    def _batches(self, where: str, batches_max: int = 1 << 30) -> list[Batch]:
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_BATCH_COLUMNS} FROM batch WHERE {where} ORDER BY number LIMIT ?",  # noqa: S608  # our own words only
                (batches_max,),
            ).fetchall()
        return [_batch(row) for row in rows]

    # -- the limit

    def _count_bytes(self) -> int:
        total = 0
        for table in ("pack", "batch"):
            total += self._db.execute(
                f"SELECT coalesce(sum(coalesce(length(body), 0) + {_ROW_BYTES}), 0) FROM {table}"  # noqa: S608  # our own words only
            ).fetchone()[0]
        return total

    def _make_room(self, excess: int) -> int:
        """Drop in the written order until `excess` bytes are free; returns what was freed."""
        freed = 0
        if freed < excess:
            freed += self._release(excess - freed)
        if freed < excess:
            freed += self._drop(
                excess - freed,
                "batch IN (SELECT batch FROM batch WHERE state != 'sealed')",
                counted=False,
            )
        if freed < excess:
            freed += self._drop(excess - freed, "batch IS NULL", counted=True)
        return freed

    def _release(self, excess: int) -> int:
        freed = 0
        rows = self._db.execute(
            "SELECT number, length(body) FROM batch"
            " WHERE state = 'receipted' AND told = 1 ORDER BY number"
        )
        gone = []
        for number, size in rows:
            if freed >= excess:
                break
            gone.append((number,))
            freed += size
        self._db.executemany(
            "UPDATE batch SET state = 'released', body = NULL WHERE number = ?", gone
        )
        return freed

    def _drop(self, excess: int, where: str, *, counted: bool) -> int:
        freed = 0
        gone: list[tuple[int, str, int]] = []
        rows = self._db.execute(
            f"SELECT pack, subject, readings, length(body) FROM pack WHERE {where} ORDER BY pack"  # noqa: S608  # our own words only
        )
        for pack, subject, readings, size in rows:
            if freed >= excess:
                break
            gone.append((pack, subject, readings))
            freed += size + _ROW_BYTES
        self._db.executemany("DELETE FROM pack WHERE pack = ?", [(pack,) for pack, _, _ in gone])
        if counted:
            for _, subject, readings in gone:
                self._lose({subject: Losses(dropped=readings)})
        return freed
