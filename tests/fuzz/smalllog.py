"""A log of a genesis, a batch and a note by keys that everybody knows: what targets begin from."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import contracts

from ledger_client import batches, cbor, checkpoints, merkle, statements
from ledger_client.keys import SigningKey
from ledger_client.log import Log

NOW_S = contracts.BEGINS_S
SUBJECT = contracts.SUBJECT
RECEIPT_KEY, NOTE_KEY, GATEWAY, WITNESS = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3, 4))
VERIFIER = checkpoints.Verifier("box.example/log", NOTE_KEY.public)


@contextmanager
def opened(agreement: bytes | None = None) -> Iterator[tuple[Log, bytes, bytes]]:
    """The log, the leaf that its batch has twice, and the batch's statement, which is entry 1."""
    leaf = cbor.encode(
        [bytes(16), {0: "strap/heart_rate", 1: "beat/min", 2: 60, 6: NOW_S + 1}, 1, 0, bytes(8)]
    )
    body = batches.Batch(
        leaf_count=2,
        root=merkle.root([merkle.leaf_hash(leaf)] * 2),
        first_minute=NOW_S // 60,
        last_minute=NOW_S // 60,
        clock=batches.Clock(2, b"bootboot", 1, 1_000, 2_000, 50, 12),
        previous=bytes(32),
        sequence=1,
        provenance={1: 2},
        losses=batches.Losses(dropped=1),
        profiles=("heart-rate/1",),
        agreement=agreement,
    ).encode()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE schema (part TEXT PRIMARY KEY, version INTEGER)")
        log = Log.open(
            connection,
            name=VERIFIER.name,
            receipt_key=RECEIPT_KEY,
            note_key=NOTE_KEY,
            demo=True,
            now_s=NOW_S,
        )
        first = statements.sign(GATEWAY, "batch", SUBJECT, body, NOW_S)
        log.append([(bytes(16), first), (b"note".ljust(16), noted(b""))], NOW_S)
        yield log, leaf, first


def noted(payload: bytes) -> bytes:
    """A note of the gateway."""
    return statements.sign(GATEWAY, "note", SUBJECT, payload, NOW_S)
