"""A witness: remembers the newest head of every log it knows, and signs only what continues it.

The head is on disk before its cosignature exists. A head that cannot be true beside another one
that the same key signed is refused and kept with it: two signatures are all the proof there is to
a fork, and nobody needs to believe the witness. The newest `HEADS_MAX` heads of a log are kept, so
that an old size shown with another root is a proof as well.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from ledger_client import checkpoints, witnessing
from ledger_client.checkpoints import COSIGNATURE, Checkpoint, Verifier
from ledger_client.database import migrate, transaction
from ledger_client.errors import EncodingError, RemoteError, SignatureError
from ledger_client.keys import SigningKey
from ledger_client.witnessing import Offer, Verdict

HEADS_MAX = 4_096
EVIDENCE_MAX = 64

_SCHEMA = """
CREATE TABLE witness_heads (
    origin TEXT, size INTEGER, root BLOB NOT NULL, note TEXT NOT NULL, seen_s INTEGER NOT NULL,
    PRIMARY KEY (origin, size)) STRICT, WITHOUT ROWID;
CREATE TABLE witness_evidence (
    origin TEXT, verdict TEXT, size INTEGER, root BLOB,
    offer BLOB NOT NULL, pinned TEXT NOT NULL, seen_s INTEGER NOT NULL,
    PRIMARY KEY (origin, verdict, size, root)) STRICT, WITHOUT ROWID
"""


class Refused(RemoteError):  # noqa: N818  # the word of the protocol
    """An offer that is not cosigned: `status` is the protocol's, `size` what it is told with."""

    def __init__(self, status: int, reason: str, size: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.size = size


@dataclass(frozen=True, slots=True)
class Evidence:
    """A signed head that was refused, the offer it came in, and the head that we had cosigned.

    `forked` is proved by the two notes (and the path in the offer). Otherwise nobody showed yet
    how the head continues ours; it no longer counts when a head as large was cosigned.
    """

    origin: str
    forked: bool
    size: int
    offer: bytes
    pinned: str
    seen_s: int


class Witness:
    """Cosigns as `name` for `logs`. `key` signs cosignatures and nothing else."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        key: SigningKey,
        name: str,
        logs: Iterable[Verifier],
    ) -> None:
        self._connection = connection
        self._key = key
        self.verifier = Verifier(name, key.public, COSIGNATURE)
        self.logs = {log.name: log for log in logs}

    def create(self) -> None:
        """Make or bring forward the tables; raises StoreError."""
        migrate(self._connection, "witness", (_SCHEMA.split(";"),))

    def add(self, body: bytes, now_s: int) -> str:
        """The signature line with which we cosign the head in an add-checkpoint request.

        Raises:
            Refused: why not; what proves a fork, or may, is on disk.
            StoreError: the disk refuses.
        """
        offer, offered = self._open(body)
        with transaction(self._connection):
            seen_s = self._seen_s(offered.origin, now_s)
            refusal = self._judge(offer, offered, seen_s)
            if refusal is None:
                self._pin(offer, offered, seen_s)
        if refusal is not None:
            raise refusal
        cosigned = checkpoints.cosign(self._key, self.verifier.name, offer.note, seen_s)
        return cosigned.removeprefix(offer.note)

    def latest(self, origin: str) -> str | None:
        """The newest head that we cosigned, with our cosignature; None when there is none."""
        row = self._newest(origin)
        if row is None:
            return None
        return checkpoints.cosign(self._key, self.verifier.name, row[1], row[2])

    def look(self, note: str, now_s: int) -> Evidence | None:
        """Compare a head that a known log showed to others with those that we cosigned.

        Raises:
            RemoteError: not a head of a log that we know.
        """
        offer, offered = self._open(Offer(0, (), note).body)
        with transaction(self._connection):
            self._against_history(offer, offered, now_s)
        return next((each for each in self.evidence() if each.offer == offer.body), None)

    def evidence(self) -> tuple[Evidence, ...]:
        """Every proof of a fork, and every head whose growth nobody proved yet."""
        rows = self._connection.execute(
            "SELECT origin, verdict, size, offer, pinned, seen_s FROM witness_evidence AS its"
            " WHERE verdict = 'forked' OR size > (SELECT max(size) FROM witness_heads AS head"
            " WHERE head.origin = its.origin) ORDER BY seen_s, origin, size"
        )
        return tuple(
            Evidence(origin, verdict == Verdict.FORKED.value, size, offer, pinned, seen_s)
            for origin, verdict, size, offer, pinned, seen_s in rows
        )

    def heads(self) -> dict[str, int]:
        """The size that we cosigned last, by log."""
        rows = self._connection.execute("SELECT origin, max(size) FROM witness_heads GROUP BY 1")
        return {str(origin): int(size) for origin, size in rows}

    def _open(self, body: bytes) -> tuple[Offer, Checkpoint]:
        """The offer, its checkpoint signed by a log that we know."""
        try:
            offer = witnessing.parse(body)
            origin = offer.note.partition("\n")[0]
            log = self.logs.get(origin)
            if log is None:
                raise Refused(404, f"a log that this witness does not know: {origin[:200]!a}")
            offered = checkpoints.open_checkpoint(offer.note, log)
        except SignatureError as error:
            raise Refused(403, str(error)) from error
        except EncodingError as error:
            raise Refused(400, str(error)) from error
        if offer.old > offered.size:
            raise Refused(400, f"the old size {offer.old} is larger than {offered.size}")
        return offer, offered

    def _judge(self, offer: Offer, offered: Checkpoint, seen_s: int) -> Refused | None:
        known = self._newest(offered.origin)
        size = known[0] if known else 0
        if self._against_history(offer, offered, seen_s):
            return Refused(409, "this log signed another head of that size", size)
        if offer.old != size:
            return Refused(409, f"the newest head that was cosigned has {size} entries", size)
        pinned = checkpoints.open_checkpoint(known[1], self.logs[offered.origin]) if known else None
        verdict = witnessing.judge(pinned, offered, offer.path)
        if verdict is Verdict.GROWN:
            return None
        if known:
            self._keep(verdict, offer, offered, known[1], seen_s)
        if verdict is Verdict.FORKED:
            return Refused(422, f"a fork: this head does not contain the one of {size} entries")
        return Refused(422, f"the path does not lead from {size} entries to {offered.size}")

    def _against_history(self, offer: Offer, offered: Checkpoint, seen_s: int) -> bool:
        """Whether we cosigned another head of that size; then it is kept as a proof."""
        row = self._connection.execute(
            "SELECT root, note FROM witness_heads WHERE origin = ? AND size = ?",
            (offered.origin, offered.size),
        ).fetchone()
        if row is None or row[0] == offered.root:
            return False
        self._keep(Verdict.FORKED, offer, offered, row[1], seen_s)
        return True

    def _newest(self, origin: str) -> tuple[int, str, int] | None:
        row = self._connection.execute(
            "SELECT size, note, seen_s FROM witness_heads WHERE origin = ?"
            " ORDER BY size DESC LIMIT 1",
            (origin,),
        ).fetchone()
        return None if row is None else (int(row[0]), str(row[1]), int(row[2]))

    def _seen_s(self, origin: str, now_s: int) -> int:
        """Now, and never before the last time: a clock that was set back changes no order."""
        known = self._newest(origin)
        return max(now_s, known[2] if known else 0)

    def _pin(self, offer: Offer, offered: Checkpoint, seen_s: int) -> None:
        self._connection.execute(
            "INSERT INTO witness_heads VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET note = excluded.note, seen_s = excluded.seen_s",
            (offered.origin, offered.size, offered.root, offer.note, seen_s),
        )
        self._connection.execute(
            "DELETE FROM witness_heads WHERE origin = ? AND size < (SELECT size FROM witness_heads"
            " WHERE origin = ? ORDER BY size DESC LIMIT 1 OFFSET ?)",
            (offered.origin, offered.origin, HEADS_MAX - 1),
        )

    def _keep(
        self, verdict: Verdict, offer: Offer, offered: Checkpoint, pinned: str, seen_s: int
    ) -> None:
        """The first proofs of a fork stay, they are as good as later ones; of doubts the last."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM witness_evidence WHERE origin = ? AND verdict = ?",
            (offered.origin, verdict.value),
        ).fetchone()
        if count >= EVIDENCE_MAX:
            if verdict is Verdict.FORKED:
                return
            self._connection.execute(
                "DELETE FROM witness_evidence WHERE (origin, verdict, size, root) = (SELECT origin,"
                " verdict, size, root FROM witness_evidence WHERE origin = ? AND verdict = ?"
                " ORDER BY seen_s, size LIMIT 1)",
                (offered.origin, verdict.value),
            )
        self._connection.execute(
            "INSERT OR IGNORE INTO witness_evidence VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                offered.origin,
                verdict.value,
                offered.size,
                offered.root,
                offer.body,
                pinned,
                seen_s,
            ),
        )


def origin_hash(origin: str) -> str:
    """How the protocol names a log in a path: SHA-256 of its origin, lower-case hexadecimal."""
    return sha256(origin.encode()).hexdigest()
