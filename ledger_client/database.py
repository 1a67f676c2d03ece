"""A database of ours: SQLite on disk, looked at when it is opened, written all or nothing.

WAL with synchronous=FULL: what was committed is there after a power cut.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ledger_client import examination
from ledger_client.errors import StoreError

BUSY_TIMEOUT_MS = 5_000


def open_database(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection in autocommit mode that was looked at; the file is its owner's alone.

    Raises:
        StoreError: missing (with `create=False`), not a database, or not to be opened.
        DamageError: not whole any more.
    """
    if not create and not path.is_file():
        raise StoreError(f"{path}: expected a database, there is no such file")
    try:
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot open the database: {error}") from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 256")  # 1 MiB beside the database
        connection.execute("PRAGMA foreign_keys = ON")
        examination.look(connection, path)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema"
            " (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"
        )
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damage may be in a message of SQLite
        connection.close()
        kind = examination.error_of(error)
        raise kind(f"{path}: cannot use the database: {error}; restore a copy") from error
    except StoreError:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: joins the caller's open transaction, or makes one, durable at its end.

    Raises:
        StoreError: the disk is full, the database locked (or DamageError); nothing was written.
    """
    if connection.in_transaction:
        yield
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        roll_back(connection)
        if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError):
            kind = examination.error_of(error)
            raise kind(f"the database refused to write: {error}; nothing was kept") from error
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is open; SQLite has done it already after some failures."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def migrate(connection: sqlite3.Connection, part: str, versions: Sequence[Sequence[str]]) -> None:
    """Bring the tables of `part` to the last of `versions`, each a sequence of SQL statements.

    Raises:
        StoreError: a newer milepost wrote this database.
    """
    with transaction(connection):
        row = connection.execute("SELECT version FROM schema WHERE part = ?", (part,)).fetchone()
        version = row[0] if row else 0
        if version > len(versions):
            raise StoreError(
                f"the {part} tables have version {version}, this milepost knows {len(versions)}; "
                "install a newer one"
            )
        for statement in (sql for steps in versions[version:] for sql in steps):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema VALUES (?, ?)"
            " ON CONFLICT (part) DO UPDATE SET version = excluded.version",
            (part, len(versions)),
        )
