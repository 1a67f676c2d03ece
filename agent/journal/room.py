"""The limit of the journal: one connection, one writer at a time, and what its rows weigh.

When it is full it drops, in this order:

1. the readings of receipted batches whose receipt was told, oldest first (statement, receipt and
   proof stay in the log; the row stays and says `released`);
2. packs that are in a receipted batch and only wait to be told as telemetry;
3. the oldest packs that are in no batch: counted as `dropped` and signed into the next statement;
4. the readings of receipted batches whose receipt was not told yet (it still will be).

What is left then are packs between name and receipt, and a row for every batch.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.journal.file import JournalDamageError, JournalError
from agent.journal.rows import Losses
from ledger_client import examination

RECEIPTED = (
    "EXISTS (SELECT 1 FROM batch AS its WHERE its.batch = pack.batch AND its.state != 'sealed')"
)

_ROW_BYTES = 128  # what a row costs beside its body, near enough for a limit


class Room:
    """What may be held. `take`, `lose` and `make` belong into a transaction."""

    def __init__(self, connection: sqlite3.Connection, bytes_max: int) -> None:
        """Weigh what is there; raises JournalError when it cannot be read."""
        self._db = connection
        self._bytes_max = bytes_max
        self._lock = threading.RLock()
        self._bytes = self._count_bytes()

    def close(self) -> None:
        """Close the connection when nobody uses it."""
        with self._lock:
            self._db.close()

    @property
    def used(self) -> int:
        """Bytes of the bodies and rows held, near enough for the limit."""
        return self._bytes

    def take(self, size: int, rows: int = 0) -> None:
        """Count bytes of bodies, and rows, that came (or, below 0, went)."""
        self._bytes += size + rows * _ROW_BYTES

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, the count of bytes too; raises JournalError when the disk refuses."""
        with self._lock:
            bytes_before = self._bytes
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                self._bytes = bytes_before
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error) and not isinstance(
                    error, sqlite3.IntegrityError
                ):
                    raise JournalError(
                        f"the journal cannot be written ({error}): free some space or check the"
                        " disk; nothing that was committed is lost"
                    ) from error
                raise

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """All rows of one query; raises JournalError when the disk does not give them."""
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                disk = examination.is_about_the_disk(error)
                raise (JournalError if disk else JournalDamageError)(
                    f"the journal cannot be read ({error}): check the disk, keep the file aside"
                ) from error

    def lose(self, losses: Mapping[str, Losses]) -> None:
        """Count losses of subjects, to be signed into the next statement of each."""
        self._db.executemany(
            "INSERT INTO loss VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " dropped = dropped + excluded.dropped, rejected = rejected + excluded.rejected,"
            " gap = gap + excluded.gap",
            [(subject, x.dropped, x.rejected, x.gap) for subject, x in losses.items()],
        )

    def _count_bytes(self) -> int:
        total = 0
        for table in ("pack", "batch"):
            ((size,),) = self.rows(
                f"SELECT coalesce(sum(coalesce(length(body), 0) + {_ROW_BYTES}), 0) FROM {table}"  # noqa: S608  # our own words only
            )
            total += size
        return total

    def make(self) -> None:
        """Drop in the written order until what is held fits `bytes_max`."""
        self._release("told = 1")
        self._drop(RECEIPTED, counted=False)
        self._drop("batch IS NULL", counted=True)
        self._release("told = 0")

    def _release(self, where: str) -> None:
        if self._bytes <= self._bytes_max:
            return
        rows = self._db.execute(
            f"SELECT number, length(body) FROM batch WHERE state = 'receipted' AND {where}"  # noqa: S608  # our own words only
            " ORDER BY number"
        )
        gone = []
        for number, size in rows:
            if self._bytes <= self._bytes_max:
                break
            gone.append((number,))
            self._bytes -= size
        self._db.executemany(
            "UPDATE batch SET state = 'released', body = NULL WHERE number = ?", gone
        )

    def _drop(self, where: str, *, counted: bool) -> None:
        if self._bytes <= self._bytes_max:
            return
        gone: list[tuple[int, str, int]] = []
        rows = self._db.execute(
            f"SELECT pack, subject, readings, length(body) FROM pack WHERE {where} ORDER BY pack"  # noqa: S608  # our own words only
        )
        for pack, subject, readings, size in rows:
            if self._bytes <= self._bytes_max:
                break
            gone.append((pack, subject, readings))
            self._bytes -= size + _ROW_BYTES
        self._db.executemany("DELETE FROM pack WHERE pack = ?", [(pack,) for pack, _, _ in gone])
        if counted:
            for _, subject, readings in gone:
                self.lose({subject: Losses(dropped=readings)})
