"""A process that is killed while it appends loses nothing that it told anybody."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from ledger_client import verify
from ledger_client.database import open_database
from ledger_client.log import LogReader

KILLS = 8

WRITER = """
import sys
from pathlib import Path
from ledger_client import statements
from ledger_client.keys import SigningKey
from ledger_client.database import open_database
from ledger_client.log import Log

receipt_key, note_key, issuer = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
log = Log.open(
    open_database(Path(sys.argv[1])),
    name="crash.example",
    receipt_key=receipt_key,
    note_key=note_key,
    demo=True,
    now_s=1,
)
while True:
    size = log.head.size
    entries = [
        (b"identity" + number.to_bytes(8, "big"),
         statements.sign(issuer, "note", "urn:uuid:0", bytes(200), number))
        for number in range(size, size + 3)
    ]
    head = log.append(entries, size)
    print(head.size, head.root.hex(), flush=True)
"""


def told_before_the_kill(path: Path, seconds: float) -> list[tuple[int, str]]:
    """Run the writer, kill it, and return the heads that it told."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        lines = [first, *writer.stdout.read().splitlines()]
    whole = [line.split() for line in lines if len(line.strip().rpartition(" ")[2]) == 64]
    return [(int(size), root) for size, root in whole]


def test_every_head_that_was_told_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    chance = random.Random(7)
    told: dict[int, str] = {}

    for _ in range(KILLS):
        heads = told_before_the_kill(path, chance.uniform(0.01, 0.15))
        assert heads
        told.update(heads)

        connection = open_database(path, create=False)
        log = LogReader(connection)
        signed = {head.size: head.root.hex() for head in log.heads()}
        assert told.items() <= signed.items()
        assert verify.verify_log(log).size == max(signed)
        connection.close()
