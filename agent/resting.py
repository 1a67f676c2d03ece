"""What the databases of a home say when no gateway can be asked."""

from contextlib import closing
from typing import Any, NamedTuple

from agent.home import Home, HomeError
from agent.journal import Journal
from agent.registry import Registry
from ledger_client.database import open_database
from ledger_client.log import LogReader

JOURNAL_BYTES_MAX = 1 << 44


class Resting(NamedTuple):
    """A home as it lies on disk. `head_s` is the Unix second in which its newest head was signed.

    `waiting` readings are on disk and not proved yet: the next start proves them.
    """

    components: tuple[str, ...]
    log_size: int
    head_s: int
    batches: int
    waiting: int
    journal_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self._asdict(), "components": list(self.components)}


def at_rest(home: Home) -> Resting:
    """What is there; nothing of it is changed.

    Raises:
        HomeError: there is no home.
        LedgerError, JournalError: a database is damaged.
    """
    if not home.exists():
        raise HomeError(f"{home.path}: expected the home folder of a gateway, no ledger.db there")
    with (
        closing(open_database(home.ledger_db, create=False)) as ledger,
        closing(Journal.open(home.journal_db, JOURNAL_BYTES_MAX)) as journal,
    ):
        head = LogReader(ledger).head
        return Resting(
            tuple(each.alias for each in Registry(ledger).components()),
            head.size,
            head.issued_s,
            len(journal.receipted()),
            journal.pending_readings(),
            journal.bytes_used,
        )
