"""Checks a whole home while nothing runs: databases, log and heads, journal, sequences, money.

What `ledger_client.verify` does for a stranger with a record, this does for the owner with the
folder: it also opens what is sealed, and compares the two databases with each other.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.claims import unpack
from agent.home import Home, HomeError, Vault
from agent.imports import imported, line
from agent.journal import Batch, Journal
from agent.registry import Registry
from agent.till import Tidemark, Till
from ledger_client import batches, leaves
from ledger_client.audit import Judged
from ledger_client.checkpoints import parse_vkey
from ledger_client.database import open_database
from ledger_client.errors import ProofError, StoreError
from ledger_client.log import Entry, LogReader
from ledger_client.report import Report
from ledger_client.settlement import accounts
from ledger_client.statements import Statement
from ledger_client.verify import verify_log
from ledger_client.vouching import NOBODY, Anchors
from ledger_client.watermark import Watermark

JOURNAL_BYTES_MAX = 1 << 44
BATCHES_AT_ONCE = 4_096
DAMAGED = (
    "Look at the disk first; if that is sound, keep this home as it is, as evidence, and go on with"
    " the newest copy of the whole home"
)


@dataclass(frozen=True, slots=True)
class HomeReport:
    """What holds in a home. `pending` batches are named but have no believed receipt yet.

    `restores` is how often a till was an old copy of itself, and froze; `imported` what other
    gateways' records in it establish, by the name of their file.
    """

    log: Report
    receipted: int
    released: int
    erased: int
    pending: int
    unproved_packs: int
    tills: int
    channels: int
    sold_and_bought: int
    restores: int
    balances: dict[str, int]
    imported: Mapping[str, Report]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **self.log.as_json(),
            "journal": {
                "receipted": self.receipted,
                "released": self.released,
                "erased": self.erased,
                "pending": self.pending,
                "unproved_packs": self.unproved_packs,
            },
            "money": {
                "tills": self.tills,
                "channels": self.channels,
                "items": self.sold_and_bought,
                "restores": self.restores,
                "balances": self.balances,
                "sum": sum(self.balances.values()),
            },
            "imported": {name: report.as_json() for name, report in self.imported.items()},
        }

    def lines(self) -> list[str]:
        """For people, one fact a line."""
        return [
            *self.log.lines(),
            (
                f"journal      {self.receipted} batches receipted, {self.released} released,"
                f" {self.erased} erased, {self.pending} pending,"
                f" {self.unproved_packs} packs waiting"
            ),
            (
                f"money        {self.channels} channel ends in {self.tills} tills,"
                f" {self.sold_and_bought} items, {len(self.balances)} balances that sum to"
                f" {sum(self.balances.values())}{self._restored()}"
            ),
            *(line(name, report) for name, report in self.imported.items()),
        ]

    def _restored(self) -> str:
        times = "once" if self.restores == 1 else f"{self.restores} times"
        return f"; {times} an old copy, which froze" if self.restores else ""


def verify_home(path: Path, anchors: Anchors = NOBODY) -> HomeReport:
    """What holds in the home at `path`. SQLite may tidy its own files, nothing else is written.

    Raises:
        HomeError: there is none, or a milepost is running on it.
        LedgerError, JournalError: the first thing that is wrong.
    """
    home = Home(path)
    if not home.exists():
        if home.mark.exists() or home.journal_db.exists():
            raise StoreError(f"{home.ledger_db}: expected the ledger, it is gone. {DAMAGED}")
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    home.lock()
    try:
        return _verify_locked(home, anchors)
    finally:
        home.unlock()


def _verify_locked(home: Home, anchors: Anchors) -> HomeReport:
    with _whole(home.ledger_db) as ledger:
        if not home.journal_db.exists() and not LogReader(ledger).has_batches():
            raise HomeError(
                f"{home.path}: nothing was kept here yet, its first start was cut short;"
                " start it again"
            )
        with closing(Journal.open(home.journal_db, JOURNAL_BYTES_MAX, create=False)) as journal:
            journal.check()
            return _verify(home, ledger, journal, anchors)


@contextmanager
def _whole(path: Path) -> Iterator[sqlite3.Connection]:
    """An open database whose every page and index is in order, and stays so while it is read."""
    try:
        opened = open_database(path, create=False)
    except StoreError as error:
        raise type(error)(f"{error}. {DAMAGED}") from error
    with closing(opened) as connection:
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise StoreError(f"{path}: the database is damaged: {found}. {DAMAGED}")
            yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise StoreError(f"{path}: the database cannot be read: {error}. {DAMAGED}") from error


def _verify(
    home: Home, ledger: sqlite3.Connection, journal: Journal, anchors: Anchors
) -> HomeReport:
    log = LogReader(ledger)
    registry = Registry(ledger)
    vault = home.vault(registry.streams().urns)
    known = _Batches(journal, log, vault, registry)
    report = verify_log(log, anchors, known.check)
    Watermark(home.mark, parse_vkey(report.vkey)).check(log.root_at)
    known.finish()
    states = known.states
    unproved = _verify_packs(journal, vault)
    till = Till(ledger, Tidemark.beside(home.ledger_db))
    tills, restores = [till.check()], till.restores()
    for database in sorted(home.path.glob("peers/*/till.db")):
        with _whole(database) as connection:
            till = Till(connection, Tidemark.beside(database))
            tills.append(till.check())
            restores += till.restores()
    return HomeReport(
        log=report,
        receipted=states["receipted"],
        released=states["released"],
        erased=states["erased"],
        pending=states["sealed"],
        unproved_packs=unproved,
        tills=len(tills),
        channels=sum(channels for channels, _ in tills),
        sold_and_bought=sum(lines for _, lines in tills),
        restores=restores,
        balances={
            account.hex()[:16]: balance for account, balance in _balances(ledger, log, report.kinds)
        },
        imported={each.name: each.report for each in imported(home)},
    )


def _balances(
    ledger: sqlite3.Connection, log: LogReader, kinds: Mapping[str, int]
) -> list[tuple[bytes, int]]:
    """What every account holds; nobody holds anything where no money was ever kept."""
    kept = ledger.execute("SELECT 1 FROM schema WHERE part = 'settlement'").fetchone()
    if kept is not None:
        return list(accounts.check(ledger, log).items())
    if accounts.KIND in kinds:
        raise ProofError(f"{kinds[accounts.KIND]} movements are on the log, the ledger knows none")
    return []


class _Batches:
    """Each batch of the journal is where it says on the log, and each of the log's is here.

    Those of an erased subject are on the log alone. Asked while the log is gone through, so that
    every statement is verified once and a million of them take no more room than one.
    """

    def __init__(self, journal: Journal, log: LogReader, vault: Vault, registry: Registry) -> None:
        self.states = Counter(sealed=len(journal.sealed()))
        self._journal, self._log, self._vault = journal, log, vault
        self._subjects, self._erased = registry.streams().urns, registry.erased()

    def check(self, entry: Entry, judged: Judged) -> None:
        """Compare the next entry of the log with what the journal holds of it."""
        statement, said = judged.statement, judged.batch
        if said is None or _is_guest(entry, statement):
            return
        batch = self._journal.find(entry.identity)
        if batch is None:
            if statement.subject not in self._erased:
                raise ProofError(f"entry {entry.index}: the journal does not know its readings")
            self.states["erased"] += 1
        elif batch.state != "sealed":  # else logged before a crash: only the mark is missing
            self._compare(batch, entry.index, statement, said)
            self.states[batch.state] += 1

    def _compare(self, batch: Batch, index: int, statement: Statement, said: batches.Batch) -> None:
        where = f"batch {batch.number} of the journal"
        if batch.log_index != index:
            raise ProofError(f"{where}: it is not entry {batch.log_index} of the log")
        subject = self._subjects.get(batch.subject)
        if statement.subject != subject or _said(said) != _kept(batch):
            raise ProofError(f"{where}: entry {index} is of other readings")
        if batch.state == "receipted":
            body = self._journal.leaves_of(batch.batch)
            if body is None:
                raise ProofError(f"{where}: its {batch.readings} receipted readings are missing")
            leaves.verify(self._vault.open_leaves(batch.subject, batch.batch, body), said)

    def finish(self) -> None:
        """Return if no batch of the journal was left over that is said to be on the log."""
        if self.states["receipted"] + self.states["released"] == self._journal.receipted_count():
            return
        for batch in _receipted(self._journal):
            if self._log.find(batch.batch) is None:
                raise ProofError(
                    f"batch {batch.number} of the journal:"
                    f" it is not entry {batch.log_index} of the log"
                )


def _receipted(journal: Journal) -> Iterator[Batch]:
    """All of them, some at a time."""
    after = 0
    while some := journal.receipted(after, BATCHES_AT_ONCE):
        yield from some
        after = some[-1].number


def _is_guest(entry: Entry, statement: Statement) -> bool:
    """Whether it was registered from outside, by another gateway: its digest is its identity."""
    return entry.identity == statement.digest


def _said(said: batches.Batch) -> tuple[object, ...]:
    losses, clock = said.losses, said.clock
    times = (clock.boot, clock.first_ms, clock.last_ms)
    return (said.leaf_count, *times, losses.dropped, losses.rejected, losses.gap)


def _kept(batch: Batch) -> tuple[object, ...]:
    losses = batch.losses
    times = (batch.boot, batch.first_ms, batch.last_ms)
    return (batch.readings, *times, losses.dropped, losses.rejected, losses.gap)


def _verify_packs(journal: Journal, vault: Vault) -> int:
    """How many packs are in no batch; each that is held opens, and holds what its row says."""
    named: Counter[bytes] = Counter()
    unproved = 0
    for pack in journal.packs():
        kept = unpack(vault.open_pack(pack.subject, journal.pack_body(pack.pack)))
        readings = sum(len(each.readings) for each in kept)
        held = (readings, kept[0].boottime_ms, kept[-1].boottime_ms)
        if held != (pack.readings, pack.first_ms, pack.last_ms):
            raise ProofError(f"pack {pack.pack} of the journal: it holds other readings")
        if pack.batch is None:
            unproved += 1
        else:
            named[pack.batch] += readings
    for batch in journal.sealed():
        if named[batch.batch] != batch.readings:
            raise ProofError(f"batch {batch.number} of the journal: some of its packs are missing")
    return unproved
