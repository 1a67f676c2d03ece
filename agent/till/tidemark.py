"""How far a till has come, in a file beside its database: by it an old copy is known at once.

The database counts every step after which something may leave: a channel, an item, a promise. The
file has that count once the step is durable and before anything leaves. So it lags behind the till
by a step at the most and is never ahead of it; a till that is behind its file is an old copy. It
is forced to the disk when it is made and not each time: a power cut can take seconds from it, which
no backup is young enough to profit from, and never the file. Who restores the file too, is known by
what the other side holds.
"""

import os
from pathlib import Path

from ledger_client import durable
from ledger_client.errors import StoreError

MARK_BYTES = 21
NAME = "till.mark"

VERSIONS = (
    (
        "CREATE TABLE till_tide (count INTEGER NOT NULL, restores INTEGER NOT NULL) STRICT",
        "INSERT INTO till_tide VALUES (0, 0)",
        (
            "CREATE TRIGGER till_tide_rises BEFORE UPDATE ON till_tide"
            " WHEN NEW.count <= OLD.count OR NEW.restores < OLD.restores"
            " BEGIN SELECT RAISE (ABORT, 'the count of the till only rises'); END"
        ),
        (
            "CREATE TRIGGER till_tide_opened AFTER INSERT ON till_channels"
            " BEGIN UPDATE till_tide SET count = count + 1; END"
        ),
        (
            "CREATE TRIGGER till_tide_moved AFTER UPDATE OF n, due, total ON till_channels"
            " WHEN NEW.n != OLD.n OR NEW.due != OLD.due OR NEW.total != OLD.total"
            " BEGIN UPDATE till_tide SET count = count + 1; END"
        ),
    ),
)
"""Tables of their own, version by version, beside those of the till."""


class Tidemark:
    """The file at `path`, which holds one count in decimal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, database: Path) -> "Tidemark":
        """The one that belongs to the till in this database."""
        return cls(database.with_name(NAME))

    def read(self) -> int | None:
        """The count that was marked last; None where there is none, or none that can be read."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        return int(data) if len(data) == MARK_BYTES and data.strip().isdigit() else None

    def write(self, count: int) -> None:
        """Mark this count; it outlives this process when it returns.

        Raises:
            StoreError: the disk refuses.
        """
        line = b"%020d\n" % count
        try:
            if self.read() is None:
                durable.write(self.path, line)
                return
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(descriptor, line, 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror}; nothing leaves without it"
            ) from error

    def behind(self, count: int) -> bool:
        """Whether a till that counted so far is an old copy of itself.

        A till that has a past and no mark to show for it counts as one: what it has forgotten
        nobody can tell, and to be frozen costs it little.
        """
        marked = self.read()
        return count > 0 if marked is None else count < marked
