"""log: durable, append-only, one chain an issuer, and never two heads that disagree."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client import checkpoints, genesis, merkle, receipts, statements
from ledger_client.chains import Tip
from ledger_client.database import migrate, open_database, transaction
from ledger_client.errors import LocalError, RemoteError, StoreError
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger


def identity(number: int) -> bytes:
    return b"note" + number.to_bytes(16, "big")


def test_a_new_log_begins_with_its_genesis(ledger: "Ledger") -> None:
    first = genesis.verify(statements.verify(ledger.log.statement(0)))

    assert first.name == "milepost.example/gw"
    assert first.receipt_key == ledger.receipt_key.public
    assert ledger.log.head.size == 1
    assert ledger.log.head.issued_s == ledger.now_s
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_each_entry_is_proved_under_the_newest_head(ledger: "Ledger") -> None:
    ledger.grow(9)
    head = ledger.log.head

    for entry in ledger.log.entries():
        leaf = statements.verify(entry.statement).digest
        receipt = ledger.log.receipt(entry.index)
        found = receipts.verify_inclusion(ledger.receipt_key.public, receipt, leaf)
        assert (found.index, found.tree_size, found.root) == (entry.index, 10, head.root)
        assert ledger.log.find(entry.identity) == entry.index
    verifier = checkpoints.Verifier(ledger.log.name, ledger.note_key.public)
    assert checkpoints.open_checkpoint(head.note, verifier).root == head.root


def test_each_older_head_is_continued_by_the_newest(ledger: "Ledger") -> None:
    ledger.grow(9)
    *older, newest = ledger.log.heads()

    for head in older:
        receipt = ledger.log.consistency(head.size)
        found = receipts.verify_consistency(ledger.receipt_key.public, receipt, head.root)
        assert (found.old_size, found.new_root) == (head.size, newest.root)


def test_many_entries_share_one_head(ledger: "Ledger") -> None:
    notes = [(identity(number), ledger.statement(bytes([number]))) for number in range(5)]

    head = ledger.log.append(notes, ledger.now_s)

    assert head == ledger.log.head
    assert head.size == 6
    assert [each.size for each in ledger.log.heads()] == [1, 6]
    assert [entry.index for entry in ledger.log.entries(start=4)] == [4, 5]


def test_the_tree_is_the_one_over_the_digests(ledger: "Ledger") -> None:
    ledger.grow(6)
    digests = [statements.verify(entry.statement).digest for entry in ledger.log.entries()]

    assert ledger.log.head.root == merkle.root([merkle.leaf_hash(each) for each in digests])


def test_receipts_of_others_do_not_go_on_the_log(ledger: "Ledger") -> None:
    data = ledger.statement(b"payload")

    ledger.log.append([(identity(1), statements.attach(data, [b"receipt"]))], ledger.now_s)

    assert ledger.log.statement(1) == data


def test_an_issuer_chain_goes_on_from_its_tip(ledger: "Ledger") -> None:
    assert ledger.log.tip(ledger.gateway.public) == Tip(0, bytes(32))
    ledger.grow(3)

    tip = ledger.log.tip(ledger.gateway.public)

    assert tip == Tip(3, statements.verify(ledger.log.statement(3)).digest)
    assert ledger.log.tip(ledger.note_key.public) == Tip()


@pytest.mark.parametrize("sequence", [1, 2, 4])
def test_a_batch_out_of_sequence_is_not_logged(ledger: "Ledger", sequence: int) -> None:
    ledger.grow(2)
    previous = bytes(32) if sequence == 1 else b"p" * 32
    payload = ledger.batch([ledger.leaf()], sequence, previous).encode()

    with pytest.raises(LocalError, match="expected sequence 3"):
        ledger.log.append([(identity(1), ledger.statement(payload, "batch"))], ledger.now_s)
    assert ledger.log.head.size == 3


def test_an_identity_stands_for_one_entry_for_ever(ledger: "Ledger") -> None:
    ledger.log.append([(identity(1), ledger.statement(b"a"))], ledger.now_s)

    with pytest.raises(LocalError, match="cannot be logged"):
        ledger.log.append([(identity(1), ledger.statement(b"b"))], ledger.now_s)
    with pytest.raises(LocalError, match="cannot be logged"):
        ledger.log.append([(b"short", ledger.statement(b"b"))], ledger.now_s)


def test_what_is_no_statement_is_not_logged(ledger: "Ledger") -> None:
    for data in (b"", ledger.statement()[:-1], ledger.statement(b"text", "batch")):
        with pytest.raises(RemoteError):
            ledger.log.append([(identity(1), data)], ledger.now_s)
    assert ledger.log.head.size == 1


def test_one_bad_entry_keeps_all_of_its_append_out(ledger: "Ledger") -> None:
    with pytest.raises(RemoteError):
        ledger.log.append([(identity(1), ledger.statement()), (identity(2), b"")], ledger.now_s)

    assert ledger.log.find(identity(1)) is None
    assert len(list(ledger.log.entries())) == ledger.log.head.size == 1


def test_an_append_joins_the_transaction_of_its_caller(ledger: "Ledger") -> None:
    class BoomError(Exception):
        pass

    def append_and_fail() -> None:
        with transaction(ledger.connection):
            ledger.log.append([(identity(1), ledger.statement())], ledger.now_s)
            assert ledger.log.head.size == 2
            raise BoomError

    with pytest.raises(BoomError):
        append_and_fail()

    assert ledger.log.head.size == 1
    with transaction(ledger.connection):
        ledger.log.append([(identity(1), ledger.statement())], ledger.now_s)
    assert ledger.log.head.size == 2


@pytest.mark.parametrize("table", ["log_entries", "log_nodes", "log_heads", "log_chains"])
def test_nothing_written_can_be_changed_or_removed(ledger: "Ledger", table: str) -> None:
    ledger.grow(2)
    column = {"log_heads": "size", "log_chains": "sequence"}.get(table, "position")

    for change in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column} + 100"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            ledger.connection.execute(change)


def test_a_log_opens_again_and_goes_on(ledger: "Ledger") -> None:
    ledger.grow(3)

    again = ledger.open()

    assert again.head == ledger.log.head
    ledger.log = again
    assert ledger.grow(1).size == 5


def test_the_log_of_somebody_else_is_not_written(ledger: "Ledger") -> None:
    for changes in ({"name": "other"}, {"demo": False}):
        with pytest.raises(StoreError, match="expected"):
            ledger.open(**changes)
    ledger.note_key = SigningKey(b"\x09" * 32)
    with pytest.raises(StoreError, match="note key"):
        ledger.open()


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO log_entries VALUES (4, x'00000000000000000000000000000000', x'00')",
        "DROP TRIGGER log_entries_no_DELETE; DELETE FROM log_entries WHERE position = 3",
        "DROP TRIGGER log_nodes_no_UPDATE; UPDATE log_nodes SET hash = zeroblob(32)",
        "DROP TRIGGER log_nodes_no_DELETE; DELETE FROM log_nodes WHERE level = 2",
    ],
)
def test_a_store_that_contradicts_its_head_signs_nothing(ledger: "Ledger", damage: str) -> None:
    ledger.grow(3)
    ledger.connection.execute("PRAGMA foreign_keys = OFF")
    for statement in damage.split(";"):
        ledger.connection.execute(statement)

    with pytest.raises(StoreError):
        ledger.open()


def test_an_empty_database_has_no_head(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "empty.db")
    migrate(connection, "log", [["CREATE TABLE log_heads (size, root, issued_s, receipt, note)"]])

    with pytest.raises(StoreError, match="no head"):
        _ = LogReader(connection).head
    connection.close()


def test_there_is_no_statement_beyond_the_end(ledger: "Ledger") -> None:
    with pytest.raises(LocalError, match="no entry 7"):
        ledger.log.statement(7)
    assert ledger.log.find(identity(7)) is None


def test_what_is_committed_survives_a_power_cut(ledger: "Ledger") -> None:
    modes = [
        ledger.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    ]

    assert modes == ["wal", 2, 1]


def test_missing_and_damaged_databases_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with pytest.raises(StoreError, match="no such file"):
        open_database(path, create=False)
    with pytest.raises(StoreError, match="cannot open"):
        open_database(tmp_path / "absent" / "ledger.db")
    path.write_bytes(b"not a database at all, but text of some length" * 100)
    with pytest.raises(StoreError, match="restore"):
        open_database(path)


def test_a_page_of_rubbish_in_the_middle_is_found_at_start(ledger: "Ledger") -> None:
    ledger.grow(60, leaf_count=1)
    ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.connection.close()
    content = bytearray(ledger.path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    ledger.path.write_bytes(content)

    with pytest.raises(StoreError, match="restore"):
        open_database(ledger.path)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "ledger.db")
    migrate(connection, "till", [["CREATE TABLE a (x)"], ["CREATE TABLE b (x)"]])

    migrate(connection, "till", [["fails"], ["fails"], ["CREATE TABLE c (x)"]])
    with pytest.raises(StoreError, match="version 3"):
        migrate(connection, "till", [["CREATE TABLE a (x)"]])

    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    assert {"a", "b", "c", "schema"} <= tables
    connection.close()


def test_a_full_disk_keeps_the_log_as_it_was(ledger: "Ledger") -> None:
    ledger.grow(2)
    ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger.connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(50):
            ledger.log.append([(identity(number), ledger.statement(b"x" * 4000))], ledger.now_s)

    with pytest.raises(StoreError, match="full"):
        fill()

    ledger.connection.execute("PRAGMA max_page_count = 100000")
    assert ledger.open().head == ledger.log.head
    size = ledger.log.head.size
    assert ledger.grow(1).size == size + 1


def test_a_database_that_another_writes_to_is_waited_for_and_then_named(
    ledger: "Ledger",
) -> None:
    other = open_database(ledger.path)
    other.execute("BEGIN IMMEDIATE")
    ledger.connection.execute("PRAGMA busy_timeout = 10")

    with pytest.raises(StoreError, match="locked"):
        ledger.log.append([(identity(1), ledger.statement())], ledger.now_s)
    other.close()


def test_a_reader_needs_no_key_and_sees_one_moment(ledger: "Ledger") -> None:
    ledger.grow(2)
    other = open_database(ledger.path, create=False)
    reader = LogReader(other)

    with reader.snapshot():
        before = reader.head
        ledger.grow(1)
        assert reader.head == before
        assert len(list(reader.entries())) == before.size
    assert reader.head.size == before.size + 1
    other.close()


def test_an_uncommitted_append_is_gone_after_a_crash(ledger: "Ledger") -> None:
    ledger.grow(1)
    ledger.connection.execute("BEGIN")
    ledger.grow(1)
    ledger.connection.close()  # what the kernel does for a killed process

    ledger.connection = open_database(ledger.path)
    assert ledger.open().head.size == 2
