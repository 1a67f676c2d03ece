"""Writes the record that a stranger can check: the whole log, with the owner's readings in it."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from agent.home import Home, HomeError, Vault
from agent.journal import Journal
from agent.registry import Registry
from ledger_client import record
from ledger_client.log import Entry, LogReader, open_database

JOURNAL_BYTES_MAX = 1 << 44


def export_home(path: Path) -> bytes:
    """The record of a home, also while a gateway runs on it.

    Raises:
        HomeError: there is no home.
        LedgerError: log, keys or journal do not hold together.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    with closing(open_database(home.ledger_db, create=False)) as ledger:
        vault = home.vault(Registry(ledger).subjects())
        with closing(open_journal(home)) as journal:
            return record.build(LogReader(ledger), disclosing(journal, vault))


def open_journal(home: Home) -> Journal:
    """The readings of a home that is there already."""
    return Journal.open(home.journal_db, JOURNAL_BYTES_MAX, create=False)


def disclosing(journal: Journal, vault: Vault) -> Callable[[Entry], Sequence[bytes] | None]:
    """The leaves of each entry that is a batch of ours, as far as the journal still has them."""

    def leaves_of(entry: Entry) -> Sequence[bytes] | None:
        batch = journal.find(entry.identity)
        body = journal.leaves_of(entry.identity)
        if batch is None or body is None:
            return None
        return vault.open_leaves(batch.subject, batch.batch, body)

    return leaves_of


def write_whole(path: Path, data: bytes) -> None:
    """The file appears whole or not at all, for its owner alone: it holds readings.

    Raises:
        HomeError: it cannot be written.
    """
    if not path.name or path.is_dir():
        raise HomeError(f"{path}: expected the name of a file, got a folder; name another")
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)  # what a crash half way left
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise HomeError(f"{path}: cannot be written: {error.strerror}; name another") from error
