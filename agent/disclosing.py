"""Gives chosen readings of one subject away, each with its proof, and nothing else."""

from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from agent import witnessed
from agent.home import Home, HomeError, Vault
from agent.journal import Journal
from agent.registry import Registry
from firmware_bridge.readings import QUANTITIES
from ledger_client import (
    batches,
    disclosure,
    genesis,
    leaves,
    merkle,
    pins,
    record,
    statements,
    trust,
)
from ledger_client.database import open_database
from ledger_client.disclosure import Disclosure
from ledger_client.leaves import Leaf
from ledger_client.log import LogReader

JOURNAL_BYTES_MAX = 1 << 44
MINUTE_S = 60

_TRUST = frozenset({trust.CERTIFICATE, trust.REVOCATION, trust.ROTATION})


@dataclass(frozen=True, slots=True)
class Wish:
    """Which readings: of whom, of which quantities (none named: all), from when until before when.

    `subject` is an alias, for every purpose, or one urn, for that purpose alone. A quantity may
    stand alone or behind its component (`strap/heart_rate`). Times are Unix seconds.
    """

    subject: str
    quantities: frozenset[str] = frozenset()
    from_s: float = float("-inf")
    until_s: float = float("inf")

    def wants(self, reading: Leaf) -> bool:
        """Whether this reading is one of them."""
        names = {reading.name, reading.name.partition("/")[2]}
        return self.from_s <= reading.time_s < self.until_s and (
            not self.quantities or not names.isdisjoint(self.quantities)
        )

    def may_be_in(self, batch: batches.Batch) -> bool:
        """Whether such a reading can be in a batch of these minutes."""
        first_s, after_s = batch.first_minute * MINUTE_S, (batch.last_minute + 1) * MINUTE_S
        return first_s < self.until_s and self.from_s < after_s


@dataclass(frozen=True, slots=True)
class Given:
    """An excerpt, the readings in it, and in how many batches of that time readings are gone."""

    data: bytes
    readings: int
    released: int


def disclose(
    path: Path, wish: Wish, pinned: pins.Pins | None = None, *, cosigned: bool = False
) -> Given:
    """The excerpt of a home with the readings of `wish`, also while a gateway runs on it.

    With `pinned` heads it proves that it continues that of this log. It carries cosignatures as
    `export_home` does. The log's statements of trust come along: certificates, revocations and
    rotations of keys.

    Raises:
        HomeError: no such home, subject or quantity, or no such reading; a pin of another log, or
            of a head that this one did not grow from.
        LedgerError: log, keys or journal do not hold together.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    for name in wish.quantities:
        if name.rpartition("/")[2] not in QUANTITIES:
            raise HomeError(f"{name}: expected a quantity: {', '.join(QUANTITIES)}")
    with (
        closing(open_database(home.ledger_db, create=False)) as ledger,
        closing(Journal.open(home.journal_db, JOURNAL_BYTES_MAX, create=False)) as journal,
    ):
        streams = Registry(ledger).streams()
        names = {each.name for each in streams.of(wish.subject)}
        if not names:
            known = ", ".join(streams.aliases()) or "none"
            raise HomeError(f"{wish.subject}: expected a subject of this home: {known}")
        log, head = witnessed.head_of(path, LogReader(ledger), asked=cosigned)
        if pinned is not None:
            head = replace(head, since=_since(log, pinned))
        found = dict(_found(wish, names, log, journal, home.vault(streams.urns)))
        chosen = {index: given for index, given in found.items() if given is not None}
        if not chosen:
            raise HomeError(
                f"{wish.subject}: no such reading is held here; ask for another time or quantity"
            )
        vouching = dict.fromkeys(
            entry.index
            for entry in log.entries()
            if statements.verify(entry.statement).kind in _TRUST
        )
        data = record.excerpt(log, {**vouching, **chosen}, head)
    return Given(data, sum(map(_count, chosen.values())), len(found) - len(chosen))


def _since(log: LogReader, pinned: pins.Pins) -> str:
    """The pinned head of this log, to be continued; nothing where it is the newest already."""
    first = genesis.verify(statements.verify(log.statement(0)))
    pin = pinned.get(first.name)
    if pin is None or pin.vkey != first.verifier.vkey:
        raise HomeError(f"expected a pinned head of {first.verifier.vkey}, there is none")
    old, size = pin.checkpoint, log.head.size
    if old.size > size or merkle.root_of(old.size, log.nodes) != old.root:
        raise HomeError(
            f"the pinned head of {old.size} entries with root {old.root.hex()} is none of this log,"
            f" which has {size}: one of the two is an old copy, or was rewritten"
        )
    return pin.note if old.size < size else ""


def _found(
    wish: Wish, names: Collection[str], log: LogReader, journal: Journal, vault: Vault
) -> Iterator[tuple[int, Disclosure | None]]:
    """What there is in each batch that may have such readings; None where they were released."""
    size = log.head.size
    for batch in journal.receipted():
        if batch.subject not in names or batch.log_index is None or batch.log_index >= size:
            continue
        said = batches.decode(statements.verify(log.statement(batch.log_index)).payload)
        if not wish.may_be_in(said):
            continue
        body = journal.leaves_of(batch.batch)
        if body is None:
            yield batch.log_index, None
            continue
        every = vault.open_leaves(batch.subject, batch.batch, body)
        wanted = {index for index, leaf in enumerate(every) if wish.wants(leaves.parse(leaf))}
        if wanted:
            yield batch.log_index, disclosure.choose(every, wanted)


def _count(given: Disclosure) -> int:
    return len(given.chosen if isinstance(given, disclosure.Part) else given)
