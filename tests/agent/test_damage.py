"""Whatever a disk does to a home, nothing is signed that contradicts what was signed before."""

import hashlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from box import Box

from agent.audit import verify_home
from agent.journal import JournalError
from agent.running import examine
from ledger_client import examination, merkle, receipts, statements
from ledger_client.database import open_database, transaction
from ledger_client.errors import DamageError, LedgerError, StoreError
from ledger_client.examination import KEPT_MAX, Examiner, keep_aside
from ledger_client.log import Head, LogReader

PAGE = 4_096
DATABASES = ("ledger.db", "journal.db")
# Where in a page: its kind, its cells, its pointers, what lies between and at its end.
PLACES = (0, 3, 5, 8, 13, 100, 2_048, 3_500, 4_000, 4_095)


def fill(box: Box) -> Head:
    """A home with batches of both subjects, closed; returns its last head."""
    stores = box.open()
    for _ in range(3):
        for subject in ("runner", "car"):
            box.hear(stores, 3, subject)
        box.prove(stores)
    head = stores.log.head
    box.close()
    return head


def contents(box: Box) -> dict[str, bytes]:
    """What lies in the home, but for keys and the lock."""
    return {path.name: path.read_bytes() for path in box.path.iterdir() if is_kept(path)}


def is_kept(path: Path) -> bool:
    return path.is_file() and path.suffix != ".sock"


def restore(box: Box, whole: dict[str, bytes]) -> None:
    """The home as it was."""
    shutil.rmtree(box.path / "damaged", ignore_errors=True)
    for path in box.path.iterdir():
        if is_kept(path):
            path.unlink()
    for name, content in whole.items():
        (box.path / name).write_bytes(content)


def go_on(box: Box) -> str:
    """Start, hear and sign; says which part noticed damage: "start", "verify" or nobody."""
    try:
        stores = box.open()
        box.hear(stores)
        box.prove(stores)
    except (LedgerError, JournalError):
        return "start"
    finally:
        box.close()
    try:
        verify_home(box.path)
    except (LedgerError, JournalError):
        return "verify"
    return ""


def heads(path: Path) -> list[tuple[int, bytes]]:
    """Every signed head that can still be read."""
    try:
        with closing(sqlite3.connect(path / "ledger.db")) as connection:
            return connection.execute("SELECT size, root FROM log_heads ORDER BY size").fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return []


def contradicts(box: Box, known: Head) -> bool:
    """Whether anything was signed since that does not continue the head that others hold."""
    newer = [size for size, _ in heads(box.path) if size > known.size]
    if not newer:
        return False
    with closing(open_database(box.path / "ledger.db", create=False)) as connection:
        reader = LogReader(connection)
        proof = reader.consistency(known.size)
        key = statements.verify(reader.statement(0)).issuer
        return receipts.verify_consistency(key, proof, known.root).new_root != reader.head.root


@pytest.mark.slow
@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("large", [False, True])
def test_a_byte_flipped_in_any_page_is_noticed_or_changes_nothing(
    box: Box, name: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in databases that are too large for every page to be looked at before the start."""
    monkeypatch.setattr(examination, "START_BYTES_MAX", 0 if large else 1 << 30)
    known = fill(box)
    whole = contents(box)
    noticed: dict[str, int] = {"start": 0, "verify": 0, "": 0}

    for page in range(0, len(whole[name]), PAGE):
        for place in PLACES[page // PAGE % 3 :: 3]:
            restore(box, whole)
            flipped = bytearray(whole[name])
            flipped[page + place] ^= 0x41
            (box.path / name).write_bytes(flipped)

            noticed[go_on(box)] += 1

            assert not contradicts(box, known), (page, place)

    assert noticed["start"] > 10
    assert sum(noticed.values()) >= len(whole[name]) // PAGE * 3


def commits(box: Box) -> tuple[dict[str, bytes], Head]:
    """A home as a kill finds it: all that was written lies in the write-ahead logs."""
    stores = box.open()
    for _ in range(2):
        box.hear(stores)
        box.prove(stores)
    whole, head = contents(box), stores.log.head
    box.close()
    return whole, head


def frames(wal: bytes) -> Iterator[int]:
    """Where each frame of a write-ahead log begins, and the middle of each."""
    for start in range(32, len(wal), 24 + PAGE):
        yield start
        yield start + 24 + PAGE // 2


@pytest.mark.slow
@pytest.mark.parametrize("name", DATABASES)
def test_a_write_ahead_log_cut_anywhere_is_noticed_or_is_an_earlier_moment(
    box: Box, name: str
) -> None:
    whole, known = commits(box)
    wal = whole[f"{name}-wal"]
    noticed: dict[str, int] = {"start": 0, "verify": 0, "": 0}

    for cut in list(frames(wal))[::3]:
        restore(box, whole)
        (box.path / f"{name}-wal").write_bytes(wal[:cut])
        (box.path / f"{name}-shm").unlink()

        noticed[go_on(box)] += 1

        assert not contradicts(box, known), cut

    assert noticed["start"] > 5


def test_an_old_copy_of_a_home_is_refused_and_kept(box: Box) -> None:
    fill(box)
    old = contents(box)
    fill(box)
    mark = (box.path / "head").read_bytes()
    restore(box, old)
    (box.path / "head").write_bytes(mark)

    with pytest.raises(StoreError, match=r"old copy.*Nothing was signed.*milepost verify"):
        box.open()

    assert (box.path / "ledger.db").read_bytes() == old["ledger.db"]
    kept = {path.name.partition(".db")[0] for path in (box.path / "damaged").iterdir()}
    assert {"ledger", "journal"} <= kept


@pytest.mark.parametrize("journal", [True, False])
def test_the_older_of_two_databases_is_refused(box: Box, journal: bool) -> None:
    fill(box)
    old = contents(box)
    fill(box)
    name = "journal.db" if journal else "ledger.db"
    (box.path / name).write_bytes(old[name])
    (box.path / "head").unlink()

    with pytest.raises(StoreError, match=f"{name} is older"):
        box.open()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM log_entries WHERE position > 5",
        "DELETE FROM log_heads WHERE size > 5",
        "DELETE FROM log_entries WHERE position > 5; DELETE FROM log_heads WHERE size > 5",
        (
            "DELETE FROM log_entries WHERE position > 4; DELETE FROM log_heads WHERE size > 5;"
            "DELETE FROM log_chains WHERE position > 4; DELETE FROM log_nodes WHERE level = 0 AND"
            " position > 4"
        ),
    ],
)
def test_last_rows_that_are_gone_are_noticed_at_the_start(box: Box, damage: str) -> None:
    fill(box)
    with closing(sqlite3.connect(box.path / "ledger.db", isolation_level=None)) as connection:
        for (trigger,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.executescript(damage)
    before = heads(box.path)

    for _ in range(2):
        with pytest.raises(DamageError, match=r"Nothing was signed since.*copies are in .*damaged"):
            box.open()

    assert heads(box.path) == before
    assert len(list((box.path / "damaged").iterdir())) <= KEPT_MAX


def test_damage_that_is_too_large_for_the_start_is_found_while_running(tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    with closing(open_database(path)) as connection:
        connection.execute("CREATE TABLE t (x BLOB)")
        connection.executemany("INSERT INTO t VALUES (?)", [(bytes(3_000),)] * 100)
    Examiner(path).run()
    content = bytearray(path.read_bytes())
    content[60 * PAGE : 61 * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)
    examiner = Examiner(path)

    with pytest.raises(DamageError, match="restore a copy"):
        examiner.run()

    examiner.stop()


def test_an_examination_of_what_is_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be examined"):
        Examiner(tmp_path / "absent.db").run()


def test_an_examination_can_be_ended(tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    with closing(open_database(path)) as connection, transaction(connection):
        connection.execute("CREATE TABLE t (x TEXT, y TEXT UNIQUE)")
        rows = ((f"{number:0500}", f"{number:0500}") for number in range(20_000))
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    examiner = Examiner(path)
    thread = threading.Thread(target=examiner.run)

    thread.start()
    while thread.is_alive():
        examiner.stop()

    thread.join()


async def test_a_gateway_examines_large_databases_while_it_runs(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "START_BYTES_MAX", 0)
    fill(box)
    box.open()
    content = bytearray((box.path / "ledger.db").read_bytes())
    content[PAGE * 8 : PAGE * 9] = b"\xff" * PAGE
    (box.path / "ledger.db").write_bytes(content)

    with pytest.raises(DamageError, match="restore"):
        await examine(box.path / "ledger.db", box.path / "journal.db")


def test_no_copy_is_made_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"damaged")
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _folder: SimpleNamespace(total=1, used=1, free=0)
    )

    assert "no room" in keep_aside(tmp_path / "damaged", [path])
    assert list((tmp_path / "damaged").iterdir()) == []


def test_copies_are_few_and_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    path, folder = tmp_path / "ledger.db", tmp_path / "damaged"
    for number in range(KEPT_MAX + 3):
        path.write_bytes(hashlib.sha256(bytes([number])).digest())
        keep_aside(folder, [path, tmp_path / "absent"])
    (tmp_path / "file").touch()

    assert len(list(folder.iterdir())) <= KEPT_MAX
    assert "do not change them" in keep_aside(tmp_path / "file", [path])
    assert path.stat().st_size == merkle.HASH_BYTES
