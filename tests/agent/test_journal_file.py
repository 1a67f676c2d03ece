"""A file that is no sound journal is refused, and stays as it was."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.journal import Journal, JournalError, Pack


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_a_journal_of_a_later_version_is_left_alone(path: Path) -> None:
    Journal.open(path, 1 << 20).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 9")

    with pytest.raises(JournalError, match="expected schema version 1, got 9"):
        Journal.open(path, 1 << 20)


@pytest.mark.parametrize(
    "content", [b"not a database at all, by far" * 200, b"SQLite format 3\x00"]
)
def test_a_foreign_file_is_refused_and_stays_as_it_was(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(JournalError, match=r"damaged or foreign file.*move it aside"):
        Journal.open(path, 1 << 20)

    assert path.read_bytes() == content


def test_a_database_that_only_says_that_it_is_a_journal_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 1")

    with pytest.raises(JournalError, match="no such table"):
        Journal.open(path, 1 << 20)


def test_a_missing_journal_is_not_made_where_one_is_expected(path: Path) -> None:
    with pytest.raises(JournalError, match="no such file"):
        Journal.open(path, 1 << 20, create=False)

    assert not path.exists()


def test_an_empty_file_is_no_journal_where_one_is_expected(path: Path) -> None:
    path.touch()

    with pytest.raises(JournalError, match="expected schema version 1, got 0"):
        Journal.open(path, 1 << 20, create=False)


def test_a_folder_in_the_place_of_the_journal_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(path, 1 << 20)


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(tmp_path / "nowhere" / "journal.db", 1 << 20)


def test_a_damaged_page_is_found_when_it_is_checked_or_opened(path: Path) -> None:
    with closing(Journal.open(path, 1 << 20)) as journal:
        journal.put([Pack("runner", b"thisboot", 1, 0, 1, bytes(900))] * 50, {}, {}, now_ms=2)
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 5 * 4096 + 64] = os.urandom(64)
    path.write_bytes(data)

    with (
        pytest.raises(JournalError, match=r"damaged|sound"),
        closing(Journal.open(path, 1 << 20)) as journal,
    ):
        journal.check()
