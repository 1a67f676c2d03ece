"""What the ledger's tests share: fixed keys, and a log with batches in it."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ledger_client import batches, cbor, merkle, statements
from ledger_client.database import open_database
from ledger_client.keys import SigningKey
from ledger_client.log import Head, Log

NOW_S = 1_767_225_600
SUBJECT = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"


@dataclass
class Ledger:
    """A log, its keys, an issuer of batches, and the leaves of what it issued."""

    connection: sqlite3.Connection
    path: Path
    receipt_key: SigningKey
    note_key: SigningKey
    gateway: SigningKey
    log: Log
    leaves: dict[bytes, list[bytes]] = field(default_factory=dict)

    now_s = NOW_S
    subject = SUBJECT

    @staticmethod
    def leaf(number: int = 0, **changes: object) -> bytes:
        """One reading's leaf, as the gateway makes it."""
        record = {0: "shoe-left/cadence", 1: "1/min", 2: 160.5 + number, 6: NOW_S + 0.25}
        parts = {"salt": number.to_bytes(16, "big"), "record": record, "provenance": 9}
        return cbor.encode([*({**parts, "profile": 0, "packet": b"packet!!", **changes}).values()])

    @staticmethod
    def batch(
        leaves: Sequence[bytes], sequence: int = 1, previous: bytes = bytes(32)
    ) -> batches.Batch:
        """The batch over simulated leaves."""
        return batches.Batch(
            leaf_count=len(leaves),
            root=merkle.root([merkle.leaf_hash(each) for each in leaves]),
            first_minute=NOW_S // 60,
            last_minute=NOW_S // 60 + 1,
            clock=batches.Clock(2, b"bootboot", 1, 1_000, 2_000, 50, 12),
            previous=previous,
            sequence=sequence,
            provenance={9: len(leaves)},
            losses=batches.Losses(dropped=sequence % 2),
            profiles=("running/1",),
        )

    def statement(
        self, payload: bytes = b"", kind: str = "note", key: SigningKey | None = None
    ) -> bytes:
        """A statement of the gateway, or of another key."""
        return statements.sign(key or self.gateway, kind, SUBJECT, payload, NOW_S + 60)

    def open(self, *, name: str = "milepost.example/gw", demo: bool = True) -> Log:
        """The log once more, as after a restart."""
        return Log.open(
            self.connection,
            name=name,
            receipt_key=self.receipt_key,
            note_key=self.note_key,
            demo=demo,
            now_s=NOW_S,
        )

    def issue(self, count: int = 3) -> tuple[bytes, bytes]:
        """Identity and statement of the gateway's next batch."""
        tip = self.log.tip(self.gateway.public)
        leaves = [self.leaf(number) for number in range(count)]
        payload = self.batch(leaves, tip.sequence + 1, tip.digest).encode()
        identity = (tip.sequence + 1).to_bytes(16, "big")
        self.leaves[identity] = leaves
        return identity, self.statement(payload, "batch")

    def grow(self, batch_count: int, leaf_count: int = 3) -> Head:
        """Log so many batches, a head for each."""
        for _ in range(batch_count):
            self.log.append([self.issue(leaf_count)], NOW_S + 61)
        return self.log.head


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    receipt_key, note_key, gateway = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
    connection = open_database(tmp_path / "ledger.db")
    log = Log.open(
        connection,
        name="milepost.example/gw",
        receipt_key=receipt_key,
        note_key=note_key,
        demo=True,
        now_s=NOW_S,
    )
    yield Ledger(connection, tmp_path / "ledger.db", receipt_key, note_key, gateway, log)
    connection.close()
