"""journal.db: its schema, and how it is opened. What is damaged is refused and left as it is."""

import sqlite3
from pathlib import Path

from ledger_client import examination
from ledger_client.errors import DamageError

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE pack (
    pack INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, boot BLOB NOT NULL,
    readings INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    committed_ms INTEGER NOT NULL, batch BLOB, told INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL) STRICT;
CREATE INDEX pack_batch ON pack (batch);
CREATE INDEX pack_told ON pack (told, pack);
CREATE TABLE batch (
    number INTEGER PRIMARY KEY AUTOINCREMENT, batch BLOB NOT NULL UNIQUE, subject TEXT NOT NULL,
    boot BLOB NOT NULL, readings INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL, dropped INTEGER NOT NULL, rejected INTEGER NOT NULL,
    gap INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('sealed', 'receipted', 'released')),
    log_index INTEGER, told INTEGER NOT NULL DEFAULT 0, body BLOB) STRICT;
CREATE INDEX batch_state ON batch (state);
CREATE INDEX batch_untold ON batch (number) WHERE told = 0;
CREATE TABLE loss (
    subject TEXT PRIMARY KEY, dropped INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0, gap INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE counter (
    address TEXT PRIMARY KEY, counter INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


class JournalError(Exception):
    """The journal cannot be opened or written: what came, and what to do."""


class JournalDamageError(JournalError):
    """The journal lost or changed what it held, or is no journal: keep it as evidence."""


def open_file(path: Path, *, create: bool) -> sqlite3.Connection:
    """The journal at `path`, or a new one: WAL, synchronous=FULL, for any thread.

    Raises:
        JournalError: the disk refuses, or the file is missing (with `create=False`), damaged,
            foreign or of another version.
    """
    if not create and not path.is_file():
        raise JournalError(f"{path}: expected a journal, there is no such file; restore a copy")
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"{path}: cannot be opened ({error}); mend that first") from error
    try:
        _prepare(connection, path, create=create)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=500")
        connection.execute(f"PRAGMA journal_size_limit={16 << 20}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and create:
            version = SCHEMA_VERSION
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
        examination.look(connection, path)
    except (
        sqlite3.Error,
        UnicodeDecodeError,
        DamageError,
    ) as error:  # damage may be in a message of SQLite
        if examination.is_about_the_disk(error):
            raise JournalError(f"{path}: cannot be opened ({error}); mend that first") from error
        raise JournalDamageError(
            f"{path}: expected a journal, got a damaged or foreign file ({error});"
            f" move it aside, keep it, and start again"
        ) from error
    if version != SCHEMA_VERSION:
        mend = "run the version of milepost that wrote it" if version else "it is empty: restore it"
        raise JournalError(
            f"{path}: expected schema version {SCHEMA_VERSION}, got {version}; {mend}"
        )
