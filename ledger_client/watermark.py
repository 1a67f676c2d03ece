"""The newest head that may have left a log, as a note in a file beside its database.

A log that is older than its mark is an old copy of itself: what it signed next would contradict
what others hold. The mark is on disk before a receipt leaves, so it lags behind the database by a
crash at the most, and is never ahead of it. Whoever shows us a head that our key signed and our log
does not have leaves it here too: then the log stays shut until somebody has looked.
"""

from collections.abc import Callable
from pathlib import Path

from ledger_client import checkpoints, durable
from ledger_client.checkpoints import NOTE_BYTES_MAX, Checkpoint, Verifier
from ledger_client.errors import DamageError, RemoteError, StoreError

RootAt = Callable[[int], bytes | None]
"""The root of the head of so many entries, if the log signed one."""


class Watermark:
    """The file at `path`, which holds one checkpoint of the log that `verifier` speaks for."""

    def __init__(self, path: Path, verifier: Verifier) -> None:
        self._path = path
        self._verifier = verifier

    def read(self) -> Checkpoint | None:
        """The marked head; None when none was ever marked.

        Raises:
            StoreError: the file is damaged, cannot be read, or is of another log.
        """
        try:
            note = self._path.read_bytes()[: 4 * NOTE_BYTES_MAX].decode()
            return checkpoints.open_checkpoint(note, self._verifier)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, RemoteError) as error:
            raise StoreError(
                f"{self._path}: expected the newest checkpoint of {self._verifier.name}: {error};"
                " nothing is signed until the file that belongs to this log is restored"
            ) from error

    def write(self, note: str) -> None:
        """Mark the head in `note`; durable when it returns.

        Raises:
            StoreError: the disk refuses.
        """
        try:
            durable.write(self._path, note.encode())
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be written: {error.strerror}; no receipt leaves without it"
            ) from error

    def check(self, root_at: RootAt) -> None:
        """Return if the log signed the marked head, or none is marked.

        Raises:
            DamageError: it did not: it is an old copy of itself.
        """
        marked = self.read()
        if marked is not None and root_at(marked.size) != marked.root:
            raise DamageError(
                f"{self._path}: this log signed a head of {marked.size} entries with root"
                f" {marked.root.hex()} that its database does not have: the database is an old"
                " copy, or another log signs with its keys. Nothing is signed. Restore the newest"
                " copy of the whole home; if there is none, move this home aside, keep it as"
                " evidence, and start a new one, with new keys"
            )

    def show(self, note: str, root_at: RootAt) -> None:
        """Return if the log has the head in `note`, which somebody showed; else mark it.

        Raises:
            RemoteError: not a checkpoint that this log's key signed: it says nothing.
            StoreError: it is one, and the log does not have it.
        """
        shown = checkpoints.open_checkpoint(note, self._verifier)
        if root_at(shown.size) != shown.root:
            self.write(note)
            self.check(root_at)
