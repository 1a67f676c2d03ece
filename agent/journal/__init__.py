"""The journal: what was heard, on disk before anything moves on. SQLite, WAL, synchronous=FULL.

It holds opaque sealed bodies: packs (one group commit of one subject) that become batches. It is
bounded by `bytes_max`; what goes first when it is full says `agent.journal.room`. It never rebuilds
itself. Money is not here. All methods are blocking and safe to call from any thread.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.batching import PackHead
from agent.journal.file import JournalDamageError, JournalError, open_file
from agent.journal.room import RECEIPTED, Room
from agent.journal.rows import BATCH_COLUMNS, Batch, HeldPack, Losses, Pack, batch_of

__all__ = ["Batch", "Journal", "JournalDamageError", "JournalError", "Losses", "Pack"]


class Journal:
    """The one writer of journal.db."""

    def __init__(self, connection: sqlite3.Connection, bytes_max: int) -> None:
        """Use `Journal.open`."""
        self._db = connection
        self._room = Room(connection, bytes_max)
        self._rows = self._room.rows
        self._transaction = self._room.transaction

    @classmethod
    def open(cls, path: Path, bytes_max: int, *, create: bool = True) -> "Journal":
        """Open or create the journal at `path`; raises JournalError when it is damaged or foreign.

        A damaged file is left as it is: move it aside, keep it as evidence, and start again.
        """
        connection = open_file(path, create=create)
        try:
            return cls(connection, bytes_max)
        except JournalError:
            connection.close()
            raise

    def close(self) -> None:
        """Close the file; what was committed is safe."""
        self._room.close()

    def check(self) -> None:
        """Go through every page and index; raises JournalError when one is not in order."""
        ((found,),) = self._rows("PRAGMA integrity_check(1)")
        if found != "ok":
            raise JournalError(f"journal.db is damaged: {found}; keep it aside as it is")

    @property
    def bytes_used(self) -> int:
        """Bytes of the bodies and rows held, near enough for the limit."""
        return self._room.used

    # -- hearing

    def put(
        self,
        packs: Sequence[Pack],
        counters: Mapping[str, int],
        losses: Mapping[str, Losses],
        now_ms: int,
    ) -> None:
        """Commit a group: packs, the replay counters they moved and what was lost beside them."""
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
            self._room.lose(losses)
            self._room.take(sum(len(pack.body) for pack in packs), rows=len(packs))
            self._room.make()

    def lose(self, losses: Mapping[str, Losses]) -> None:
        """Count what was lost where no reading came with it."""
        with self._transaction():
            self._room.lose(losses)

    def counters(self) -> dict[str, int]:
        """The highest replay counter taken from each address."""
        return dict(self._rows("SELECT address, counter FROM counter"))

    # -- proving

    def unbatched(self) -> dict[str, list[PackHead]]:
        """The packs in no batch, oldest first, by subject."""
        rows = self._rows(
            "SELECT pack, subject, boot, readings, first_ms, last_ms, committed_ms FROM pack"
            " WHERE batch IS NULL ORDER BY pack"
        )
        heads: dict[str, list[PackHead]] = {}
        for row in rows:
            heads.setdefault(row[1], []).append(PackHead(*row))
        return heads

    def pending_readings(self) -> int:
        """Readings on disk that have no believed receipt yet."""
        ((readings,),) = self._rows(
            "SELECT coalesce(sum(readings), 0) FROM pack WHERE batch IS NULL OR batch IN"
            " (SELECT batch FROM batch WHERE state = 'sealed')"
        )
        return int(readings)

    def seal(self, packs: Sequence[PackHead], batch: bytes, kin: Sequence[str] = ()) -> None:
        """Name the batch of these packs, and give it the subject's losses, before it is signed.

        With them go the losses of `kin`, other streams of the same subject: one that ends tells no
        more of its own.

        Packs that were dropped to make room since they were listed are not in it; nothing is named
        when none is left.
        """
        first = packs[0]
        with self._transaction() as db:
            kept = [pack for pack in packs if self._name_pack(pack, batch)]
            if not kept:
                return
            lost = [
                row
                for name in {first.subject, *kin}
                for row in db.execute(
                    "DELETE FROM loss WHERE subject = ? RETURNING dropped, rejected, gap", (name,)
                )
            ]
            loss = [sum(kind) for kind in zip(*lost, strict=True)] or [0, 0, 0]
            db.execute(
                "INSERT INTO batch (batch, subject, boot, readings, first_ms, last_ms, dropped,"
                " rejected, gap, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'sealed')",
                (
                    batch,
                    first.subject,
                    first.boot,
                    sum(pack.readings for pack in kept),
                    min(pack.first_ms for pack in kept),
                    max(pack.last_ms for pack in kept),
                    *loss,
                ),
            )
            self._room.take(0, rows=1)

    def _name_pack(self, pack: PackHead, batch: bytes) -> bool:
        done = self._db.execute(
            "UPDATE pack SET batch = ? WHERE pack = ? AND batch IS NULL", (batch, pack.pack)
        )
        return done.rowcount == 1

    def sealed(self) -> list[Batch]:
        """Batches that were named and have no receipt yet, oldest first."""
        return self._batches("state = 'sealed'")

    def packs_of(self, batch: bytes) -> list[bytes]:
        """The bodies of a sealed batch, in order."""
        return [
            row[0]
            for row in self._rows("SELECT body FROM pack WHERE batch = ? ORDER BY pack", (batch,))
        ]

    def mark(self, receipted: Iterable[tuple[bytes, int, bytes]]) -> None:
        """Note the believed receipts: (batch, log index, sealed leaves). Told packs go."""
        with self._transaction() as db:
            for batch, index, body in receipted:
                done = db.execute(
                    "UPDATE batch SET state = 'receipted', log_index = ?, body = ?"
                    " WHERE batch = ? AND state = 'sealed'",
                    (index, body, batch),
                )
                self._room.take(len(body) * done.rowcount)
            self._delete_done()
            self._room.make()

    def _delete_done(self) -> None:
        gone = self._db.execute(
            f"DELETE FROM pack WHERE told = 1 AND {RECEIPTED} RETURNING length(body)"  # noqa: S608  # our own words only
        ).fetchall()
        self._room.take(-sum(size for (size,) in gone), rows=-len(gone))

    # -- telling

    def untold_packs(self, packs_max: int) -> list[tuple[int, str, bytes, bytes]]:
        """The oldest packs not yet published: (number, subject, boot, body)."""
        return self._rows(
            "SELECT pack, subject, boot, body FROM pack WHERE told = 0 ORDER BY pack LIMIT ?",
            (packs_max,),
        )

    def packs_told(self, packs: Iterable[int]) -> None:
        """The broker acknowledged these; those that are also receipted go."""
        with self._transaction() as db:
            db.executemany("UPDATE pack SET told = 1 WHERE pack = ?", [(pack,) for pack in packs])
            self._delete_done()

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
        rows = self._rows(
            f"SELECT {BATCH_COLUMNS} FROM batch WHERE batch = ?",  # noqa: S608  # our own words only
            (batch,),
        )
        return batch_of(rows[0]) if rows else None

    def receipted_count(self) -> int:
        """How many batches have a receipt; released ones too."""
        ((count,),) = self._rows("SELECT count(*) FROM batch WHERE state != 'sealed'")
        return int(count)

    def newest_receipted(self) -> Batch | None:
        """The last batch that was marked, if there is one."""
        rows = self._rows(
            f"SELECT {BATCH_COLUMNS} FROM batch WHERE log_index IS NOT NULL"  # noqa: S608  # our own words only
            " ORDER BY number DESC LIMIT 1"
        )
        return batch_of(rows[0]) if rows else None

    def leaves_of(self, batch: bytes) -> bytes | None:
        """The sealed leaves of a receipted batch; None when unknown or released to make room."""
        rows = self._rows("SELECT body FROM batch WHERE batch = ?", (batch,))
        return rows[0][0] if rows else None

    def _batches(self, where: str, batches_max: int = 1 << 30) -> list[Batch]:
        rows = self._rows(
            f"SELECT {BATCH_COLUMNS} FROM batch WHERE {where} ORDER BY number LIMIT ?",  # noqa: S608  # our own words only
            (batches_max,),
        )
        return [batch_of(row) for row in rows]

    def packs(self) -> list[HeldPack]:
        """Every pack that is held, oldest first, without its body: see `pack_body`."""
        rows = self._rows(
            "SELECT pack, subject, boot, readings, first_ms, last_ms, batch FROM pack ORDER BY pack"
        )
        return [HeldPack(*row) for row in rows]

    def pack_body(self, pack: int) -> bytes:
        """The sealed body of a pack that is held; raises JournalError when there is none."""
        rows = self._rows("SELECT body FROM pack WHERE pack = ?", (pack,))
        if not rows:
            raise JournalError(f"the journal has no pack {pack}")
        body: bytes = rows[0][0]
        return body
