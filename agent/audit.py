"""Checks a whole home while nothing runs: databases, log and heads, journal, sequences, money.

What `ledger_client.verify` does for a stranger with a record, this does for the owner with the
folder: it also opens what is sealed, and compares the two databases with each other.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.home import Home, HomeError, Vault
from agent.journal import Journal
from agent.registry import Registry
from agent.till import Till
from ledger_client import batches, leaves, statements
from ledger_client.errors import ProofError, StoreError
from ledger_client.log import LogReader, open_database
from ledger_client.report import Report
from ledger_client.settlement import embedded
from ledger_client.verify import BATCH, verify_log

JOURNAL_BYTES_MAX = 1 << 44


@dataclass(frozen=True, slots=True)
class HomeReport:
    """What holds in a home. `pending` batches are named but have no believed receipt yet."""

    log: Report
    receipted: int
    released: int
    pending: int
    unproved_packs: int
    tills: int
    channels: int
    sold_and_bought: int
    balances: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.log.as_json(),
            "journal": {
                "receipted": self.receipted,
                "released": self.released,
                "pending": self.pending,
                "unproved_packs": self.unproved_packs,
            },
            "money": {
                "tills": self.tills,
                "channels": self.channels,
                "items": self.sold_and_bought,
                "balances": self.balances,
                "sum": sum(self.balances.values()),
            },
        }

    def lines(self) -> list[str]:
        """For people, one fact a line."""
        return [
            *self.log.lines(),
            (
                f"journal      {self.receipted} batches receipted, {self.released} released,"
                f" {self.pending} pending, {self.unproved_packs} packs waiting"
            ),
            (
                f"money        {self.channels} channel ends in {self.tills} tills,"
                f" {self.sold_and_bought} items, {len(self.balances)} balances that sum to"
                f" {sum(self.balances.values())}"
            ),
        ]


def verify_home(path: Path) -> HomeReport:
    """What holds in the home at `path`; nothing is written to it.

    Raises:
        HomeError: there is none, or a milepost is running on it.
        LedgerError: the first thing that is wrong.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    home.lock()
    try:
        with _whole(home.ledger_db) as ledger, _whole(home.journal_db) as readings:
            return _verify(home, ledger, readings)
    finally:
        home.unlock()


@contextmanager
def _whole(path: Path) -> Iterator[sqlite3.Connection]:
    """An open database whose every page and index is in order."""
    with closing(open_database(path, create=False)) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreError(f"{path}: the database is damaged: {found}; keep it aside as it is")
        yield connection


def _verify(home: Home, ledger: sqlite3.Connection, readings: sqlite3.Connection) -> HomeReport:
    log = LogReader(ledger)
    report = verify_log(log)
    subjects = Registry(ledger).subjects()
    vault = Vault({alias: home.subject_key(urn) for alias, urn in subjects.items()})
    journal = Journal(readings, JOURNAL_BYTES_MAX)
    states = _verify_journal(journal, log, vault, subjects)
    tills = [Till(ledger).check()]
    for database in sorted(home.path.glob("peers/*/till.db")):
        with _whole(database) as connection:
            tills.append(Till(connection).check())
    return HomeReport(
        log=report,
        receipted=states["receipted"],
        released=states["released"],
        pending=states["sealed"],
        unproved_packs=sum(map(len, journal.unbatched().values())),
        tills=len(tills),
        channels=sum(channels for channels, _ in tills),
        sold_and_bought=sum(lines for _, lines in tills),
        balances={
            account.hex()[:16]: balance for account, balance in embedded.check(ledger, log).items()
        },
    )


def _verify_journal(
    journal: Journal, log: LogReader, vault: Vault, subjects: dict[str, str]
) -> dict[str, int]:
    """Each batch of the journal is where it says on the log, and each of the log's is here."""
    states = {"receipted": 0, "released": 0, "sealed": len(journal.sealed())}
    known = {batch.batch for batch in journal.sealed()}
    for batch in journal.receipted():
        where = f"batch {batch.number} of the journal"
        if batch.log_index is None or log.find(batch.batch) != batch.log_index:
            raise ProofError(f"{where}: it is not entry {batch.log_index} of the log")
        statement = statements.verify(log.statement(batch.log_index))
        said = batches.decode(statement.payload)
        if (statement.subject, said.leaf_count) != (subjects[batch.subject], batch.readings):
            raise ProofError(f"{where}: entry {batch.log_index} is of other readings")
        body = journal.leaves_of(batch.batch)
        if batch.state == "receipted":
            if body is None:
                raise ProofError(f"{where}: its {batch.readings} receipted readings are missing")
            leaves.verify(vault.open_leaves(batch.subject, batch.batch, body), said)
        states[batch.state] += 1
        known.add(batch.batch)
    for entry in log.entries():
        if statements.verify(entry.statement).kind == BATCH and entry.identity not in known:
            raise ProofError(f"entry {entry.index}: the journal does not know its readings")
    return states
