"""Makes sure that what was deleted is gone: from databases, their logs and free pages, from files.

A flash chip may keep old copies of a block where no software reaches them. What is kept there of
readings is sealed; with the key gone, and it is the first to go, nobody can open them.
"""

import os
import sqlite3
from pathlib import Path

from ledger_client import durable
from ledger_client.errors import StoreError

_CHUNK_BYTES = 1 << 20


def forgetful(connection: sqlite3.Connection) -> None:
    """From here on, what this connection deletes is overwritten with zeros."""
    connection.execute("PRAGMA secure_delete = ON")


def rewrite(connection: sqlite3.Connection) -> None:
    """Write the database anew without its free pages, and empty its write-ahead log.

    Raises:
        StoreError: somebody else has it open, or the disk is full; it is as it was, only larger.
    """
    try:
        connection.execute("VACUUM")
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"the database cannot be written anew: {error}; try again") from error
    if busy:
        raise StoreError("the database is in use, its old pages stay; end what reads it, try again")


def destroy(path: Path) -> None:
    """Overwrite a file and remove it, durably; one that is not there is fine."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "wb", closefd=True) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(bytes(min(left, _CHUNK_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    durable.sync_folder(path.parent)
