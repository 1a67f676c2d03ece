"""A home is checked whole, a record leaves it whole, and damage does not go unnoticed."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from box import Box

from agent.audit import verify_home
from agent.export import export_home, write_whole
from agent.home import HomeError
from agent.journal import JournalError
from ledger_client.errors import LedgerError, LocalError, ProofError, StoreError
from ledger_client.settlement.embedded import Book
from ledger_client.verify import verify_record

# What nobody signed: damage here can only be seen when it breaks the table or contradicts the rest.
UNSIGNED = ("loss", "counter", "registry_component", "registry_boot", "sqlite_sequence", "schema")
BOOKKEEPING = ("told", "committed_ms")  # told twice is harmless, an age only closes a batch


def fill(box: Box, *, money: bool = False) -> None:
    """A home with a released, a receipted and a sealed batch, a waiting pack, and perhaps money."""
    stores = box.open()
    if money:
        book = Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: 1)
        book.issue(stores.log_key, 1_000)
    for subject in ("runner", "car"):
        box.hear(stores, 3, subject, dropped=1)
    box.prove(stores)
    box.hear(stores, 2)
    (packs,) = stores.journal.unbatched().values()
    stores.journal.seal(packs, b"sealed".ljust(16))
    box.hear(stores, 4)
    box.close()


def test_a_whole_home_verifies_and_counts_what_is_in_it(box: Box) -> None:
    fill(box, money=True)

    report = verify_home(box.path)

    assert (report.receipted, report.released, report.pending, report.unproved_packs) == (
        2,
        0,
        1,
        1,
    )
    assert report.as_json()["journal"]["receipted"] == 2
    assert report.as_json()["money"]["sum"] == 0
    assert len(report.balances) == 2
    assert "balances that sum to 0" in report.lines()[-1]
    json.dumps(report.as_json())


def test_a_home_without_money_verifies_too(box: Box) -> None:
    fill(box)

    assert verify_home(box.path).balances == {}


def test_looking_changes_nothing(box: Box) -> None:
    fill(box)
    before = dump(box.path)

    verify_home(box.path)

    assert dump(box.path) == before


def test_no_home_and_a_running_one_are_said_to_be_so(box: Box) -> None:
    with pytest.raises(HomeError, match=r"there is no ledger\.db"):
        verify_home(box.path)
    with pytest.raises(HomeError, match=r"there is no ledger\.db"):
        export_home(box.path)
    box.open()

    with pytest.raises(HomeError, match="another milepost"):
        verify_home(box.path)


def dump(path: Path) -> dict[str, list[str]]:
    """Everything that SQLite reads out of the two databases, by table, but for its bookkeeping."""
    tables: dict[str, list[str]] = {}
    for name in ("ledger.db", "journal.db"):
        with closing(sqlite3.connect(path / name)) as connection:
            connection.text_factory = lambda data: data.decode(errors="replace")
            connection.row_factory = sqlite3.Row
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall():
                rows = connection.execute(f"SELECT * FROM '{table}'") if table.isascii() else ()
                tables[table] = [
                    repr([(key, row[key]) for key in row.keys() if key not in BOOKKEEPING])  # noqa: SIM118  # a Row iterates over its values
                    for row in rows
                ]
    return tables


def change(sql: str, name: str = "journal.db") -> Callable[[Path], None]:
    """One change behind everybody's back."""

    def run(path: Path) -> None:
        with closing(sqlite3.connect(path / name, isolation_level=None)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            for (trigger,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
            connection.executescript(sql)

    return run


def without(*parts: str) -> Callable[[Path], None]:
    """A file or folder that is gone."""

    def run(path: Path) -> None:
        for part in parts:
            for found in path.glob(part):
                if found.is_dir():
                    shutil.rmtree(found)
                else:
                    found.unlink()

    return run


@pytest.mark.parametrize("bytes_left", [None, 0, 5_000])
def test_a_ledger_that_is_gone_empty_or_cut_off_is_named_with_what_to_do(
    box: Box, bytes_left: int | None
) -> None:
    fill(box)
    without("ledger.db*")(box.path)
    if bytes_left is not None:
        (box.path / "ledger.db").write_bytes(b"SQLite format 3\0".ljust(bytes_left)[:bytes_left])

    with pytest.raises(StoreError, match=r"ledger\.db: .*newest copy of the whole home"):
        verify_home(box.path)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (change("UPDATE batch SET log_index = 3 WHERE subject = 'runner'"), "is not entry 3"),
        (change("UPDATE batch SET log_index = NULL WHERE number = 1"), "is not entry None"),
        (
            change("UPDATE batch SET state = 'released', log_index = 9 WHERE state = 'sealed'"),
            "batch 3 of the journal: it is not entry 9",
        ),
        (change("UPDATE batch SET readings = 4 WHERE number = 1"), "of other readings"),
        (change("UPDATE batch SET dropped = 9 WHERE number = 1"), "of other readings"),
        (change("UPDATE batch SET first_ms = 9 WHERE number = 1"), "of other readings"),
        (change("UPDATE batch SET subject = 'nobody' WHERE number = 1"), "of other readings"),
        (change("UPDATE batch SET body = NULL WHERE number = 1"), "readings are missing"),
        (change("UPDATE batch SET body = x'00' WHERE number = 1"), ""),
        (change("UPDATE batch SET readings = 1 WHERE state = 'sealed'"), "packs are missing"),
        (change("DELETE FROM batch WHERE number = 1"), "does not know its readings"),
        (change("DELETE FROM pack WHERE batch IS NOT NULL AND pack = 3"), "packs are missing"),
        (change("UPDATE pack SET readings = 9 WHERE pack = 4"), "pack 4 .* other readings"),
        (change("UPDATE pack SET last_ms = 9 WHERE pack = 4"), "pack 4 .* other readings"),
        (change("UPDATE pack SET body = x'00' WHERE pack = 4"), ""),
        (change("UPDATE pack SET subject = 'nobody' WHERE pack = 4"), "no key for subject nobody"),
        (change("DROP TABLE pack"), "no such table"),
        (change("PRAGMA user_version = 7"), "schema version 1, got 7"),
        (change("UPDATE log_entries SET statement = x'00' WHERE position = 1", "ledger.db"), ""),
        (change("DELETE FROM log_entries WHERE position = 3", "ledger.db"), ""),
        (change("DELETE FROM log_heads WHERE size > 2", "ledger.db"), ""),
        (change("UPDATE log_heads SET size = 0 WHERE size = 1", "ledger.db"), "head of 0"),
        (change("UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 0", "ledger.db"), ""),
        (change("UPDATE registry_subject SET urn = 'x' || alias", "ledger.db"), "urn"),
        (change("DROP TABLE registry_subject", "ledger.db"), "cannot be read"),
        (change("UPDATE settlement_accounts SET balance = 5", "ledger.db"), "balances"),
        (
            change("DELETE FROM schema WHERE part = 'settlement'", "ledger.db"),
            "the ledger knows none",
        ),
        (without("keys/subjects"), "no key for subject"),
        (without("journal.db*"), "no such file"),
    ],
)
def test_damage_is_named(box: Box, damage: Callable[[Path], None], complaint: str) -> None:
    fill(box, money=True)
    damage(box.path)

    with pytest.raises((LedgerError, JournalError), match=complaint or "."):
        verify_home(box.path)


@pytest.mark.parametrize("name", ["ledger.db", "journal.db"])
def test_flipped_bytes_are_noticed_or_change_nothing_that_was_signed(box: Box, name: str) -> None:
    fill(box, money=True)
    whole = {path.name: path.read_bytes() for path in box.path.glob("*.db")}
    known = dump(box.path)
    data, dice = whole[name], random.Random(7)
    unnoticed: list[tuple[int, list[str]]] = []
    noticed = 0

    for place in sorted(dice.sample(range(len(data)), 120)):
        for each, content in whole.items():
            (box.path / each).write_bytes(content)
        flipped = bytearray(data)
        flipped[place] ^= 1 << dice.randrange(8)
        (box.path / name).write_bytes(flipped)
        try:
            verify_home(box.path)
        except (LedgerError, JournalError):
            noticed += 1
            continue
        after = dump(box.path)
        changed = [table for table in known if after.get(table) != known[table]]
        if set(changed) - set(UNSIGNED):
            unnoticed.append((place, changed))

    assert unnoticed == []
    assert noticed > 5


def test_the_record_of_a_home_verifies_with_the_readings_that_are_held(box: Box) -> None:
    fill(box, money=True)

    report = verify_record(export_home(box.path))

    assert (report.readings, report.disclosed) == (6, 6)


def test_a_record_can_be_taken_while_a_gateway_runs(box: Box) -> None:
    fill(box)
    stores = box.open()
    box.hear(stores)

    report = verify_record(export_home(box.path))

    assert report.disclosed == 6


def test_released_readings_stay_proved_and_are_not_disclosed(box: Box) -> None:
    fill(box)
    change("UPDATE batch SET state = 'released', body = NULL WHERE number = 1")(box.path)

    report = verify_record(export_home(box.path))

    assert (report.readings, report.disclosed) == (6, 3)
    assert verify_home(box.path).released == 1


def test_a_home_without_the_key_of_a_subject_gives_no_record_of_it(box: Box) -> None:
    fill(box)
    without("keys/subjects")(box.path)

    with pytest.raises(LocalError, match="no key for subject"):
        export_home(box.path)
    assert not (box.path / "keys" / "subjects").exists()


def test_a_till_that_is_damaged_is_found(box: Box) -> None:
    fill(box)
    folder = box.path / "peers" / "brand"
    folder.mkdir(parents=True)
    (folder / "till.db").write_bytes(b"no database " * 100)

    with pytest.raises(StoreError, match=r"till\.db"):
        verify_home(box.path)


def test_a_file_appears_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.cbor"
    path.write_bytes(b"the one before")
    (tmp_path / ".record.cbor.new").write_bytes(b"half of one that a crash left")

    write_whole(path, b"record")

    assert path.read_bytes() == b"record"
    assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "folder", "nowhere/record.cbor"])
def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(HomeError, match="name another"):
        write_whole(tmp_path / name, b"record")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_first_wrong_thing_is_a_proof_error_with_its_place(box: Box) -> None:
    fill(box)
    change("UPDATE batch SET readings = 4 WHERE number = 2")(box.path)

    with pytest.raises(ProofError, match="batch 2 of the journal: entry 2 is of other readings"):
        verify_home(box.path)


@pytest.mark.parametrize("made", ["", "CREATE TABLE log_chains (issuer BLOB)"])
def test_a_home_whose_first_start_was_cut_short_says_so(tmp_path: Path, made: str) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.executescript(f"PRAGMA user_version = 1; {made}")

    with pytest.raises(HomeError, match="nothing was kept here yet"):
        verify_home(tmp_path)
