"""What a reading costs from decoded to committed, signed and receipted, beside the plain way.

Both ways run in this process on the same readings and the same disk; CPU is process time, so that
waiting for the disk is not counted for either. The plain way is what a first version would do:
CBOR-encode each reading, sign it, insert it and commit.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random

import cbor2

from agent import proving
from agent.batching import BatchLimits
from agent.claims import Kept, pack
from agent.clock import ClockState, Quality
from agent.journal import Pack
from agent.registry import Registered
from agent.stores import Stores, Wanted, open_stores
from agent.uplink import Now, Uplink
from firmware_bridge.radio import Stamp
from ledger_client.keys import SigningKey

READINGS_PER_PACKET = 4
COMMIT_READINGS = 500
BATCH_READINGS = 4_096
PLAIN_READINGS_MAX = 2_000
SUBJECT = "bench"


def readings(count: int, start_ms: int) -> list[Kept]:
    """Packets of a foot pod at 10 Hz that carry `count` readings."""
    dice = Random(1)  # noqa: S311  # the same work each time
    return [
        Kept(
            "shoe-left",
            "running/1",
            1,
            start_ms + number * 100,
            number * 100,
            dice.randbytes(8),
            (
                ("speed", round(dice.uniform(2, 5), 2)),
                ("cadence", dice.randint(70, 95)),
                ("stride_length", round(dice.uniform(0.9, 1.4), 2)),
                ("distance", number * 0.4),
            ),
        )
        for number in range(count // READINGS_PER_PACKET)
    ]


def pipeline(folder: Path, count: int) -> dict[str, float | int]:
    """CPU microseconds for each of `count` readings, our way and the plain way, in `folder`."""
    now = Stamp(time.time_ns() // 1_000_000, 1_000_000)  # a bench is its own gateway
    kept = readings(count, now.wall_ms)
    ours_s, wall_s, stored = _ours(folder, kept, now)
    plain = kept[: PLAIN_READINGS_MAX // READINGS_PER_PACKET]
    plain_s = _plain(folder, plain)
    done, plain_done = len(kept) * READINGS_PER_PACKET, len(plain) * READINGS_PER_PACKET
    ours_us, plain_us = ours_s / done * 1e6, plain_s / plain_done * 1e6
    return {
        "readings": done,
        "cpu_us_per_reading": round(ours_us, 2),
        "plain_cpu_us_per_reading": round(plain_us, 2),
        "ratio": round(plain_us / ours_us, 1),
        "readings_per_s": round(done / wall_s),
        "bytes_per_reading_on_disk": round(stored / done, 1),
    }


def opened(folder: Path, now: Stamp) -> Stores:
    """The stores of a gateway with one foot pod, in `folder`."""
    component = Registered("shoe-left", "shoe", "F0:00:00:00:01:01", "running", SUBJECT, "")
    wanted = Wanted(
        home=folder / "home",
        log_name="bench.milepost.local/log",
        demo=False,
        journal_bytes_max=1 << 40,
        components=(component,),
    )
    return open_stores(wanted, now)


def uplink_of(stores: Stores, batch_readings: int) -> Uplink:
    """What signs the readings in `stores`, so many to a batch."""
    return proving.uplink(stores, BatchLimits(batch_readings, 1 << 40), batches_max=64)


def commit(stores: Stores, group: list[Kept]) -> None:
    """One group commit."""
    body = stores.vault.seal_pack(SUBJECT, pack(group))
    readings_in = len(group) * READINGS_PER_PACKET
    first, last = group[0].boottime_ms, group[-1].boottime_ms
    stores.journal.put([Pack(SUBJECT, stores.boot, readings_in, first, last, body)], {}, {}, last)


def moment(stores: Stores, at: Stamp) -> Now:
    """What this gateway knows of time."""
    return Now(at, Quality(ClockState.RESTORED, None), stores.boot, steps=0)


def _ours(folder: Path, kept: list[Kept], now: Stamp) -> tuple[float, float, int]:
    stores = opened(folder, now)
    try:
        uplink = uplink_of(stores, BATCH_READINGS)
        at = moment(stores, now)
        size = COMMIT_READINGS // READINGS_PER_PACKET
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        proved = 0
        for start in range(0, len(kept), size):
            commit(stores, kept[start : start + size])
            proved += sum(each.readings for each in uplink.step(at))
        proved += sum(each.readings for each in uplink.step(at, drain=True))
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        if proved != len(kept) * READINGS_PER_PACKET:
            raise RuntimeError(f"{proved} readings receipted of {len(kept) * READINGS_PER_PACKET}")
        return cpu_s, wall_s, stores.journal.bytes_used + stores.home.ledger_db.stat().st_size
    finally:
        stores.close()


def _plain(folder: Path, kept: list[Kept]) -> float:
    """Encode, sign and insert each reading, durably."""
    key = SigningKey.generate()
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE reading (n INTEGER PRIMARY KEY, body BLOB, signature BLOB)")
        cpu_s = time.process_time()
        for each in kept:
            for quantity, value in each.readings:
                name = f"{each.component}/{quantity}"
                body = cbor2.dumps({0: name, 2: value, 6: each.wall_ms / 1000})
                db.execute(
                    "INSERT INTO reading (body, signature) VALUES (?, ?)", (body, key.sign(body))
                )
        return time.process_time() - cpu_s
