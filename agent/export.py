"""Writes the record that a stranger can check: the whole log, with the owner's readings in it.

And takes in and gives out again what other gateways recorded.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from agent import witnessed
from agent.formats import raw
from agent.formats.points import Point, points_of
from agent.home import Home, HomeError, Vault
from agent.imports import Evidence, accept, imported
from agent.journal import Journal
from agent.registry import Registry
from agent.streams import Streams
from ledger_client import durable, genesis, record, statements
from ledger_client.database import open_database
from ledger_client.log import Entry, LogReader

JOURNAL_BYTES_MAX = 1 << 44


def export_home(path: Path, *, cosigned: bool = False) -> bytes:
    """The record of a home, also while a gateway runs on it.

    It carries the cosignatures on its head, if there are any; if they are asked for, it is of the
    newest head that has them.

    Raises:
        HomeError: there is no home, or no head was cosigned.
        LedgerError: log, keys or journal do not hold together.
    """
    home = _existing(path)
    with closing(open_database(home.ledger_db, create=False)) as ledger:
        vault = home.vault(Registry(ledger).streams().urns)
        with closing(open_journal(home)) as journal:
            log, head = witnessed.head_of(path, LogReader(ledger), asked=cosigned)
            return record.build(log, disclosing(journal, vault), head)


def import_into(path: Path, data: bytes) -> Evidence:
    """Keep the record or excerpt in `data` in the home at `path`; nothing happens the second time.

    Raises:
        HomeError: there is no home, it is full, or it cannot be written.
        LedgerError: it does not verify, or it contradicts what is here.
    """
    home = _existing(path)
    with closing(open_database(home.ledger_db, create=False)) as ledger:
        log = LogReader(ledger)
        own = genesis.verify(statements.verify(log.statement(0))).verifier.vkey
        evidence = accept(home, {head.size: head.root for head in log.heads()}, own, data)
    if not evidence.path.exists():
        try:
            evidence.path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(f"{evidence.path.parent}: cannot be made: {error.strerror}") from error
        write_whole(evidence.path, data)
    return evidence


def imported_into(path: Path) -> Iterator[Evidence]:
    """What was imported into the home at `path`, verified; raises as `imported` does."""
    return imported(_existing(path))


def points_of_all(records: Iterable[bytes], urns: Collection[str]) -> Iterator[Point]:
    """The disclosed readings of verified records, each once, of these urns, if there are any."""
    seen: set[bytes] = set()
    for data in records:
        for point in points_of(data):
            if point.leaf not in seen and (not urns or point.subject in urns):
                seen.add(point.leaf)
                yield point


def urns_of(home: Path | None, subject: str | None) -> tuple[str, ...]:
    """The urns of a subject: given as such, or by its alias in this home; none for all.

    Raises:
        HomeError: there is no such alias.
    """
    if subject is None or subject.startswith("urn:"):
        return () if subject is None else (subject,)
    streams = Streams(())
    if home is not None:
        with closing(open_database(home / "ledger.db", create=False)) as ledger:
            streams = Registry(ledger).streams()
    urns = tuple(each.urn for each in streams.of(subject))
    if not urns:
        raise HomeError(
            f"{subject}: expected a subject of this home ({', '.join(streams.aliases()) or 'none'})"
            " or the urn of one"
        )
    return urns


def _existing(path: Path) -> Home:
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    return home


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
    try:
        durable.write(path, data)
    except OSError as error:
        raise HomeError(f"{path}: cannot be written: {error.strerror}; name another") from error


def write_folder(path: Path, records: Iterable[tuple[str, bytes]]) -> int:
    """Each artefact of verified records as a file; the folder appears whole or not at all.

    The files of a record with a name are in a folder of their own, `imported-<name>`. Returns how
    many files there are.

    Raises:
        HomeError: the folder is there and not empty, or it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    count = 0
    try:
        if path.exists() and any(path.iterdir()):
            raise HomeError(f"{path}: expected a new folder or an empty one; name another")
        shutil.rmtree(fresh, ignore_errors=True)  # what a crash half way left
        for name, data in records:
            folder = fresh / f"imported-{name}" if name else fresh
            folder.mkdir(mode=0o700)
            for file, content in raw.files(data):
                descriptor = os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as opened:
                    opened.write(content)
                    opened.flush()
                    os.fsync(opened.fileno())
                count += 1
            durable.sync_folder(folder)
        fresh.rename(path)
        durable.sync_folder(path.parent)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise HomeError(f"{path}: cannot be written: {error.strerror}; name another") from error
    return count
