"""Erases a subject from a home: its key, its readings, and every name that leads to it.

What stays is the log: signed statements that name a random urn, count readings and give times to
the minute, and one more for each urn, that it was erased. Without the key their roots are hashes of
nothing that anybody could guess. Each step can be taken again, and the alias goes last: after a
crash the same command finishes the work.
"""

import mmap
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from agent import keyring, scrub
from agent.clock import minute_s
from agent.home import Home, HomeError
from agent.journal.erasure import batched, forget
from agent.registry import Registered, Registry
from agent.till import Till
from ledger_client import deeds, erasures, record
from ledger_client.database import open_database
from ledger_client.log import Log

_HEAD_BYTES = 32


@dataclass(frozen=True, slots=True)
class Erased:
    """What was taken out of a home.

    `kept` are signing keys that may be owed money, under names that say nothing; `left` are files
    that still name the subject, which are not ours.
    """

    subject: str
    urns: tuple[str, ...]
    batches: int
    packs: int
    goods: int
    files: tuple[str, ...]
    kept: tuple[str, ...]
    left: tuple[str, ...]


def erase_subject(path: Path, subject: str, now_s: int) -> Erased:
    """Destroy what the home at `path` holds of `subject`, an alias. It cannot be undone.

    The log says so, at Unix time `now_s`, by the urn alone.

    Raises:
        HomeError: there is no such home or subject, or a milepost is running on it.
        LedgerError, JournalError: a database refused; call again when that is mended.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    home.lock()
    try:
        with closing(open_database(home.ledger_db, create=False)) as ledger:
            registry = Registry(ledger)
            registry.create()
            known = registry.streams()
            if subject not in known.aliases():
                raise HomeError(
                    f"{subject}: expected a subject of this home:"
                    f" {', '.join(known.aliases()) or 'none'}"
                )
            scrub.forgetful(ledger)
            streams = known.of(subject)
            urns = [each.urn for each in streams]
            components = [each for each in registry.components() if each.subject == subject]
            log = keyring.open_log(home, ledger, now_s)
            for urn in urns:
                registry.mark_erased(urn)  # from here on nobody misses the readings
                home.destroy_subject_key(urn)
            on_log = batched(home.journal_db, [each.name for each in streams])
            _tell(home, log, [known.urns[name] for name in on_log], now_s)
            addresses = [each.address for each in components]
            batches, packs = forget(home.journal_db, [each.name for each in streams], addresses)
            till = Till.open(ledger)
            goods = sum(till.forget(urn.encode()) for urn in urns) + _forget_at_peers(home, urns)
            parties = till.parties() | _parties_of_peers(home)
            files = [*_broker_files(home, components), *_records(home, urns)]
            for file in files:
                scrub.destroy(file)
            shutil.rmtree(home.broker / "store", ignore_errors=True)  # the folders
            names = [f"party-{subject}", *(f"component-{each.alias}" for each in components)]
            kept = [home.retire_key(name, parties) for name in names]
            scrub.rewrite(ledger)  # while the alias still leads here, should this be cut short
            registry.forget(subject)
            scrub.rewrite(ledger)
        return Erased(
            subject=subject,
            urns=tuple(urns),
            batches=batches,
            packs=packs,
            goods=goods,
            files=tuple(str(file.relative_to(path)) for file in files),
            kept=tuple(str(key.relative_to(path)) for key in kept if key is not None),
            left=tuple(_mentions(home, urns, components)),
        )
    finally:
        home.unlock()


def _tell(home: Home, log: Log, urns: Iterable[str], now_s: int) -> None:
    """Put what was erased onto the log, once; no time there goes back."""
    signer, said_s = keyring.signer(home, log), max(minute_s(now_s * 1000), log.head.issued_s)
    entries = [
        (sha256(erasures.KIND.encode() + urn.encode()).digest(), erasures.sign(signer, urn, said_s))
        for urn in urns
    ]
    fresh = [entry for entry in entries if log.find(entry[0]) is None]
    if fresh:
        log.append(fresh, said_s)


def _peer_tills(home: Home) -> list[Path]:
    return sorted(home.path.glob("peers/*/till.db"))


def _forget_at_peers(home: Home, urns: Iterable[str]) -> int:
    """The strangers whom a demo plays live in this home too."""
    goods = 0
    for database in _peer_tills(home):
        with closing(open_database(database, create=False)) as connection:
            scrub.forgetful(connection)
            till = Till.open(connection)
            goods += sum(till.forget(urn.encode()) for urn in urns)
            scrub.rewrite(connection)
    return goods


def _parties_of_peers(home: Home) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for database in _peer_tills(home):
        with closing(open_database(database, create=False)) as connection:
            found |= Till.open(connection).parties()
    return found


def _broker_files(home: Home, components: Iterable[Registered]) -> Iterator[Path]:
    """Messages on their way, and the passwords and rules of the subject's components."""
    store = home.broker / "store"
    yield from sorted(each for each in store.rglob("*") if each.is_file())
    yield from (each for each in [home.broker / "nats.json"] if each.is_file())
    users = (home.broker_users / each.id for each in components)
    yield from (each for each in users if each.is_file())


def _records(home: Home, urns: Iterable[str]) -> Iterator[Path]:
    """Records, excerpts and agreements in the home that speak of the subject."""
    for path in _files(home):
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if (record.is_one(head) or deeds.is_one(head)) and _contains(
            path, [urn.encode() for urn in urns]
        ):
            yield path
            offer = path.with_suffix(".offer")  # what the agreement came from
            yield from [offer] if offer.is_file() else []


def _mentions(home: Home, urns: Iterable[str], components: Iterable[Registered]) -> Iterator[str]:
    """Files in which a name of the subject can still be found. The urns belong on the log."""
    identities = [str(UUID(urn)).encode() for urn in urns]
    names = [each.address.encode() for each in components]
    for path in _files(home):
        needles = names if path == home.ledger_db else [*names, *identities]
        if _contains(path, needles):
            yield str(path.relative_to(home.path))


def _files(home: Home) -> list[Path]:
    return sorted(each for each in home.path.rglob("*") if each.is_file() and not each.is_symlink())


def _contains(path: Path, needles: Iterable[bytes]) -> bool:
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(needle) >= 0 for needle in needles)
