"""What a log costs as it grows: append, prove, verify, open, and bytes on disk for each reading.

A log is filled with entries of one real size beside their tree, in large transactions, unsigned: a
million signatures would measure the signer. What is timed then goes the way that a gateway goes.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from sqlite3 import Connection
from statistics import median
from typing import NamedTuple

from agent import bench
from agent.claims import Kept
from agent.stores import Stores
from firmware_bridge.radio import Stamp
from firmware_bridge.readings import QUANTITIES
from ledger_client import cbor, cose, merkle, receipts, statements
from ledger_client.database import open_database, transaction
from ledger_client.examination import Examiner
from ledger_client.keys import SigningKey
from ledger_client.log import Log

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SAMPLES = 200
ROWS_AT_ONCE = 10_000
STATEMENT_BYTES = 420  # of a batch with one profile
BATCH_READINGS = 1_200  # a foot pod at 10 Hz for the 30 s that a batch may wait
COMMIT_READINGS = 12  # and for the 250 ms that a commit may wait
DISK_READINGS = 120_000
PACKS_TOLD_AT_ONCE = 100


class Keys(NamedTuple):
    """Of one log."""

    receipt: SigningKey
    note: SigningKey


@dataclass(frozen=True, slots=True)
class Figures:
    """By size, how they grow beside log n, and the disk."""

    sizes: list[dict[str, float]]
    growth: dict[str, float]
    disk: dict[str, float]


def run(folder: Path, sizes: tuple[int, ...] = SIZES, count: int = DISK_READINGS) -> Figures:
    """Everything; needs about 1 GB in `folder` for a million entries."""
    rows = [measure(folder / f"{size}.db", size) for size in sizes]
    grown = ("append_cpu_us", "append_hashes", "prove_us", "proof_hashes")
    growth = {name: round(rows[-1][name] / rows[0][name], 2) for name in grown}
    growth["log_n"] = round(math.log(sizes[-1]) / math.log(sizes[0]), 2)
    return Figures(rows, growth, disk(folder, count))


def measure(path: Path, size: int) -> dict[str, float]:
    """One log of `size` entries. Times are medians; `open_ms` includes the first proof."""
    keys = Keys(SigningKey.generate(), SigningKey.generate())
    with closing(open_database(path)) as connection:
        log = _log(connection, keys)
        _fill(connection, log, size - SAMPLES)
        walls, cpus = zip(*(_append(log, keys) for _ in range(SAMPLES)), strict=True)
    opened_s = time.perf_counter()
    with closing(open_database(path)) as connection:
        log = _log(connection, keys)
        log.receipt(size // 3)
        opened_s = time.perf_counter() - opened_s
        dice = Random(size)  # noqa: S311  # the same entries each time
        places = [dice.randrange(1, size) for _ in range(SAMPLES)]
        proved = [_seconds(lambda place=place: log.receipt(place)) for place in places]  # type: ignore[misc]  # a place of its own
        judged = [_judge(log, keys, place) for place in places]
        path_hashes = len(receipts.place_of(log.receipt(size // 3))[2])
    return {
        "entries": size,
        "append_ms": _rounded(walls, 1e3),
        "append_cpu_us": _rounded(cpus, 1e6),
        "append_hashes": _hashes_of_an_append(size),
        "prove_us": _rounded(proved, 1e6),
        "proof_hashes": path_hashes,
        "verify_us": _rounded([whole for whole, _ in judged], 1e6),
        "verify_beyond_signature_us": _rounded([whole - signed for whole, signed in judged], 1e6),
        "open_and_first_proof_ms": round(opened_s * 1e3, 1),
        "examine_every_page_ms": round(_seconds(Examiner(path).run) * 1e3, 1),
        "bytes_per_entry": round(path.stat().st_size / size, 1),
    }


def _log(connection: Connection, keys: Keys) -> Log:
    return Log.open(
        connection,
        name="bench.milepost.local/log",
        receipt_key=keys.receipt,
        note_key=keys.note,
        demo=False,
        now_s=1,
    )


def _fill(connection: Connection, log: Log, size: int) -> None:
    """Rows up to entry `size` - 1 with their part of the tree; the next append signs them all."""
    left = {0: log.nodes(0, 0)}
    for start in range(1, size, ROWS_AT_ONCE):
        entries: list[tuple[int, bytes, bytes]] = []
        nodes: list[tuple[int, int, bytes]] = []
        for index in range(start, min(start + ROWS_AT_ONCE, size)):
            statement = os.urandom(STATEMENT_BYTES)
            leaf = merkle.leaf_hash(hashlib.sha256(statement).digest())
            done = merkle.completed(index, leaf, lambda level, _: left[level])
            left.update((level, digest) for level, at, digest in done if not at & 1)
            entries.append((index, os.urandom(16), statement))
            nodes += done
        with transaction(connection):
            connection.executemany("INSERT INTO log_entries VALUES (?, ?, ?)", entries)
            connection.executemany("INSERT INTO log_nodes VALUES (?, ?, ?)", nodes)


def _append(log: Log, keys: Keys) -> tuple[float, float]:
    """Seconds of the wall and of the CPU that one entry and its head take."""
    statement = statements.sign(keys.receipt, "note", "urn:uuid:0", os.urandom(150), 1)
    cpu_s = time.process_time()
    wall_s = _seconds(lambda: log.append([(os.urandom(16), statement)], 1))
    return wall_s, time.process_time() - cpu_s


def _judge(log: Log, keys: Keys, place: int) -> tuple[float, float]:
    """Seconds to verify a receipt, and of these for its one signature."""
    receipt, key = log.receipt(place), keys.receipt.public
    leaf = hashlib.sha256(log.statement(place)).digest()
    message, root = cose.parse_sign1(receipt), log.head.root
    whole_s = _seconds(lambda: receipts.verify_inclusion(key, receipt, leaf))
    return whole_s, _seconds(lambda: cose.verify_sign1(key, message, root))


def _hashes_of_an_append(size: int) -> float:
    """Hashes computed for the entry that makes a log `size` long, on average over 1024 of them."""
    sizes = range(size, size + 1024)
    return round(sum(_trailing_ones(at - 1) + at.bit_count() for at in sizes) / len(sizes), 1)


def _trailing_ones(number: int) -> int:
    return (~number & number + 1).bit_length() - 1


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _rounded(seconds: tuple[float, ...] | list[float], unit: float) -> float:
    return round(median(seconds) * unit, 2)


def disk(folder: Path, count: int) -> dict[str, float]:
    """What `count` readings leave on disk once they are signed, receipted and told.

    At the pace of a foot pod: small commits, batches of 30 s. All files count: both databases,
    their write-ahead logs and free pages.
    """
    now = Stamp(time.time_ns() // 1_000_000, 1_000_000)  # a bench is its own gateway
    kept = bench.readings(count, now.wall_ms)
    own = sum(map(_cbor_bytes, kept))
    stores = bench.opened(folder, now)
    try:
        uplink, at = bench.uplink_of(stores, BATCH_READINGS), bench.moment(stores, now)
        size = COMMIT_READINGS // bench.READINGS_PER_PACKET
        for start in range(0, len(kept), size):
            bench.commit(stores, kept[start : start + size])
            uplink.step(at)
            _tell(stores)
        uplink.step(at, drain=True)
        _tell(stores)
        batches = stores.log.head.size - 1
        files = {path.name: path.stat().st_size for path in stores.home.path.glob("*.db*")}
    finally:
        stores.close()
    closed = sum(path.stat().st_size for path in stores.home.path.glob("*.db"))
    ledger = stores.home.ledger_db.stat().st_size
    return {
        "readings": count,
        "batches": batches,
        "own_cbor_bytes_per_reading": round(own / count, 1),
        "bytes_per_reading": round(closed / count, 1),
        "ratio": round(closed / own, 2),
        "ratio_while_running": round(sum(files.values()) / own, 2),
        "write_ahead_log_bytes": sum(size for name, size in files.items() if name.endswith("-wal")),
        "ledger_bytes_per_batch": round(ledger / batches, 1),
    }


def _cbor_bytes(kept: Kept) -> int:
    """The readings of a packet as CBOR, each {0: name, 1: unit, 2: value, 6: time}."""
    return sum(
        len(
            cbor.encode(
                {
                    0: f"{kept.component}/{quantity}",
                    1: QUANTITIES[quantity].unit,
                    2: value,
                    6: kept.wall_ms / 1000,
                }
            )
        )
        for quantity, value in kept.readings
    )


def _tell(stores: Stores) -> None:
    """As if the broker had acknowledged everything."""
    packs = stores.journal.untold_packs(PACKS_TOLD_AT_ONCE)
    if packs:
        stores.journal.packs_told([pack[0] for pack in packs])
    batches = stores.journal.untold_batches(PACKS_TOLD_AT_ONCE)
    if batches:
        stores.journal.batches_told([batch.batch for batch in batches])
