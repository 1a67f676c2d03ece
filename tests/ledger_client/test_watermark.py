"""A log never signs two heads that disagree: what the mark beside its database notices."""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client import checkpoints
from ledger_client.checkpoints import Verifier
from ledger_client.database import open_database
from ledger_client.errors import RemoteError, StoreError
from ledger_client.keys import SigningKey
from ledger_client.log import Log
from ledger_client.watermark import Watermark

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

NAME = "milepost.example/gw"


def mark_of(ledger: "Ledger", name: str = NAME) -> Watermark:
    return Watermark(ledger.path.with_name("head"), Verifier(name, ledger.note_key.public))


def reopen(ledger: "Ledger", database: Path | None = None) -> Log:
    """The log with its mark, after a start, from its database or from another."""
    ledger.connection.close()
    ledger.connection = open_database(database or ledger.path)
    ledger.log = Log.open(
        ledger.connection,
        name=NAME,
        receipt_key=ledger.receipt_key,
        note_key=ledger.note_key,
        demo=True,
        now_s=ledger.now_s,
        mark=mark_of(ledger),
    )
    return ledger.log


def test_every_head_is_marked_before_it_is_shown(ledger: "Ledger") -> None:
    log = reopen(ledger)

    for size in range(2, 6):
        head = log.append([ledger.issue()], ledger.now_s)
        marked = mark_of(ledger).read()
        assert marked is not None
        assert (head.size, marked.size, marked.root) == (size, size, head.root)


def test_a_head_within_an_open_transaction_is_not_marked(ledger: "Ledger") -> None:
    log = reopen(ledger)
    before = mark_of(ledger).read()
    ledger.connection.execute("BEGIN IMMEDIATE")

    log.append([ledger.issue()], ledger.now_s)
    ledger.connection.execute("ROLLBACK")

    assert mark_of(ledger).read() == before
    assert log.head.size == 1


def test_an_old_copy_of_the_database_signs_nothing(ledger: "Ledger", tmp_path: Path) -> None:
    reopen(ledger)
    ledger.grow(2)
    ledger.connection.close()
    shutil.copy(ledger.path, tmp_path / "copy.db")
    reopen(ledger)
    ledger.grow(3)

    with pytest.raises(StoreError, match="signed a head of 6 entries"):
        reopen(ledger, tmp_path / "copy.db")
    assert reopen(ledger).head.size == 6


def test_a_lost_database_is_not_begun_again(ledger: "Ledger", tmp_path: Path) -> None:
    reopen(ledger)
    ledger.grow(2)

    with pytest.raises(StoreError, match="Nothing is signed"):
        reopen(ledger, tmp_path / "new.db")

    rows = ledger.connection.execute("SELECT count(*) FROM log_heads").fetchone()
    assert rows == (0,)


def test_a_mark_behind_the_database_is_a_crash_and_no_fault(ledger: "Ledger") -> None:
    reopen(ledger)
    ledger.grow(1)
    note = ledger.log.head.note
    ledger.grow(3)
    mark_of(ledger).write(note)

    assert reopen(ledger).head.size == 5
    assert ledger.log.root_at(2) is not None


@pytest.mark.parametrize("content", [b"", b"\xff", b"milepost.example/gw\n3\nAAAA\n"])
def test_a_damaged_mark_keeps_the_log_shut(ledger: "Ledger", content: bytes) -> None:
    ledger.path.with_name("head").write_bytes(content)

    with pytest.raises(StoreError, match="expected the newest checkpoint"):
        reopen(ledger)


def test_a_mark_of_another_log_keeps_this_one_shut(ledger: "Ledger") -> None:
    reopen(ledger)

    with pytest.raises(StoreError):
        mark_of(ledger, "another.example/log").read()


def test_a_mark_that_cannot_be_written_lets_no_head_out(ledger: "Ledger") -> None:
    log = reopen(ledger)
    ledger.path.with_name(".head.new").mkdir()

    with pytest.raises(StoreError, match="no receipt leaves"):
        log.append([ledger.issue()], ledger.now_s)


def test_a_head_that_a_stranger_shows_shuts_a_log_that_does_not_have_it(ledger: "Ledger") -> None:
    log, mark = reopen(ledger), mark_of(ledger)
    ledger.grow(2)
    own = log.head.note
    foreign = checkpoints.sign(ledger.note_key, checkpoints.Checkpoint(NAME, 9, bytes(32)))
    forged = checkpoints.sign(
        SigningKey(bytes([99]) * 32), checkpoints.Checkpoint(NAME, 9, bytes(32))
    )

    mark.show(own, log.root_at)
    with pytest.raises(RemoteError):
        mark.show(forged, log.root_at)
    with pytest.raises(StoreError, match="signed a head of 9 entries"):
        mark.show(foreign, log.root_at)
    with pytest.raises(StoreError, match="signed a head of 9 entries"):
        reopen(ledger)


def test_a_statement_is_found_by_its_digest(ledger: "Ledger") -> None:
    ledger.grow(3)

    digests = [hashlib.sha256(each.statement).digest() for each in ledger.log.entries()]

    assert [ledger.log.find_digest(digest) for digest in digests] == [0, 1, 2, 3]
    assert ledger.log.find_digest(bytes(32)) is None
    assert ledger.log.root_at(9) is None
