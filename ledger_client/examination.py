"""Whether a database is whole: what is looked at when, so that a long log still opens at once.

| when | what |
|---|---|
| at every start | up to `START_BYTES_MAX`: every page (SQLite's quick_check) |
| at every start, of a log | the newest head against the hashes that the next one is built from |
| soon after a start | of a larger database: every page, while the gateway works; damage stops it |
| `milepost verify HOME` | every page, index, statement, hash and signature |

So what is signed always continues the last signed head, whatever else a disk has lost.
"""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from ledger_client.errors import DamageError, StoreError

START_BYTES_MAX = 64 << 20
KEPT_MAX = 8

_DISK = ("disk is full", "disk I/O", "readonly", "locked", "unable to open")


def look(connection: sqlite3.Connection, path: Path) -> None:
    """Go through every page of a database that is not too large for that at a start.

    Raises:
        DamageError: one is not in order.
    """
    if not is_large(path):
        _quick_check(connection, path)


def is_large(path: Path) -> bool:
    """Whether `look` leaves its pages for `Examiner`."""
    return path.stat().st_size > START_BYTES_MAX


def is_about_the_disk(error: Exception) -> bool:
    """Whether SQLite complains of the disk or of its rights there, not of what the file holds."""
    return isinstance(error, sqlite3.Error) and any(word in str(error) for word in _DISK)


def error_of(error: Exception) -> type[StoreError]:
    """What SQLite's complaint is here: of the disk, or of what the file holds."""
    return StoreError if is_about_the_disk(error) else DamageError


class Examiner:
    """Goes through every page of the database at `path`, beside those who use it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def run(self) -> None:
        """Block until it is done or stopped; for a thread of its own.

        Raises:
            StoreError: the disk does not give it.
            DamageError: a page is not in order.
        """
        link = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            connection = sqlite3.connect(
                link, uri=True, isolation_level=None, check_same_thread=False
            )
            with closing(connection):
                self._connection = connection
                _quick_check(connection, self._path)
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot be examined: {error}") from error
        finally:
            self._connection = None

    def stop(self) -> None:
        """End `run` at once, from another thread."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # it was closed in between
                connection.interrupt()


def _quick_check(connection: sqlite3.Connection, path: Path) -> None:
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # its message may be damaged too
        if "interrupted" in str(error):
            return
        if is_about_the_disk(error):
            raise
        raise DamageError(f"{path}: the database is damaged ({error}); restore a copy") from error
    if found != "ok":
        words = " ".join(str(found).split())
        raise DamageError(f"{path}: the database is damaged ({words}); restore a copy of it")


def keep_aside(folder: Path, files: list[Path]) -> str:
    """Copy each file and its write-ahead log into `folder`, once; says where, or why not.

    The files themselves stay: nobody begins another log in their place by accident.
    """
    kept = 0
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in [each for one in files for each in (one, Path(f"{one}-wal"))]:
            if not path.exists():
                continue
            copy = folder / f"{path.name}.{path.stat().st_mtime_ns:x}"
            full = len(list(folder.iterdir())) >= KEPT_MAX
            room = shutil.disk_usage(folder).free > 2 * path.stat().st_size
            if not copy.exists() and room and not full:
                copy.touch(mode=0o600)
                shutil.copyfile(path, copy)
            kept += copy.exists()
    except OSError as error:
        return f"they could not be copied aside ({error.strerror}): do not change them"
    return f"copies are in {folder}" if kept else "there is no room for a copy: do not change them"
