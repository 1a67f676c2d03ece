"""What a gateway keeps on disk, opened and checked together before anything runs.

ledger.db holds log, settlement, registry and till on one connection; journal.db holds readings.
"""

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from agent import keyring
from agent.agreed import Shelf
from agent.clock import kernel_boot_id, minute_s
from agent.home import Home, Vault, boot_identity
from agent.journal import Journal, JournalDamageError, JournalError, Losses
from agent.recording import make_stream
from agent.registry import Registered, Registry
from agent.streams import Stream, Streams
from agent.till import Tidemark, Till
from firmware_bridge.radio import Stamp
from ledger_client import examination, statements
from ledger_client.checkpoints import Verifier
from ledger_client.database import open_database
from ledger_client.errors import DamageError, RemoteError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.log import Log
from ledger_client.watermark import Watermark

_DAMAGE = (DamageError, JournalDamageError, RemoteError, sqlite3.DatabaseError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the configuration asks of the stores."""

    home: Path
    log_name: str
    demo: bool
    journal_bytes_max: int
    components: tuple[Registered, ...]


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything durable, open. `boot` names this boot of the box; `starts` counts within it."""

    home: Home
    connection: sqlite3.Connection
    log: Log
    mark: Watermark
    registry: Registry
    till: Till
    journal: Journal
    vault: Vault
    signer: SigningKey
    log_key: PublicKey
    streams: Streams
    components: dict[str, Registered]
    shelf: Shelf
    """The agreements of the home; whoever runs it opens them and looks again."""
    boot: bytes
    starts: int
    beside: ExitStack = field(default_factory=ExitStack)
    """What was opened in this home for others, such as a demo's strangers; closed with it."""

    @property
    def subjects(self) -> dict[str, str]:
        """The urn of each stream, by the name that the journal has for it."""
        return self.streams.urns

    def stream_for(self, subject: str, purpose: str) -> Stream:
        """The subject's stream for a purpose, made when it is asked for the first time."""
        known = self.streams.find(subject, purpose)
        if known is not None:
            return known
        stream = make_stream(self.home, self.registry, subject, purpose)
        self.vault.add(stream.name, self.home.subject_key(stream.urn))
        self.streams.add(stream)
        return stream

    def learn_streams(self) -> None:
        """Know also those that a command made beside us in this home."""
        made = self.registry.streams()
        for alias in made.aliases():
            for stream in made.of(alias):
                if stream.name not in self.streams.urns:
                    self.vault.add(stream.name, self.home.subject_key(stream.urn))
                    self.streams.add(stream)

    def close(self) -> None:
        """Close the databases and let the home go."""
        self.beside.close()
        self.journal.close()
        self.connection.close()
        self.home.unlock()


def open_stores(wanted: Wanted, now: Stamp) -> Stores:
    """Open, check and, the first time, make everything.

    Raises:
        HomeError: the folder cannot be written, or another process has it.
        LocalError: a key or a database that is missing or contradicts the rest; nothing was signed.
        JournalError: the journal is damaged.
    """
    home = Home(wanted.home)
    home.create()
    home.lock()
    with ExitStack() as opened:
        opened.callback(home.unlock)
        try:
            stores = _open(wanted, home, now, opened)
        except _DAMAGE as error:
            files = [home.ledger_db, home.journal_db, home.mark]
            kept = examination.keep_aside(home.damaged, files)
            kind = JournalDamageError if isinstance(error, JournalError) else DamageError
            raise kind(
                f"{error}. Nothing was signed since; of the files as they were found {kept};"
                f" milepost verify {home.path} says what still holds"
            ) from error
        opened.pop_all()
    return stores


def _open(wanted: Wanted, home: Home, now: Stamp, opened: ExitStack) -> Stores:
    _, receipt_key, note_key = (home.own_key(name) for name in ("gateway", "log", "note"))
    connection = opened.enter_context(closing(open_database(home.ledger_db)))
    mark = Watermark(home.mark, Verifier(wanted.log_name, note_key.public))
    log = Log.open(
        connection,
        name=wanted.log_name,
        receipt_key=receipt_key,
        note_key=note_key,
        demo=wanted.demo,
        now_s=minute_s(now.wall_ms),
        mark=mark,
    )
    signer = keyring.signer(home, log)
    registry = Registry(connection)
    registry.create()
    boot = boot_identity(receipt_key.public.raw, kernel_boot_id())
    _, starts = registry.boot(boot)
    components = _enrol(wanted.components, home, registry)
    streams = registry.streams()
    vault = home.vault(streams.urns)
    for each in components.values():
        vault.subject_key(each.subject)
    till = Till.open(connection, Tidemark.beside(home.ledger_db))
    journal = opened.enter_context(closing(Journal.open(home.journal_db, wanted.journal_bytes_max)))
    _check_ages(journal, log, signer.public, streams.urns.values())
    if starts > 1 or registry.boot_count(boot) > 1:
        journal.lose({each.subject: Losses(gap=1) for each in components.values()})
    return Stores(
        home=home,
        connection=connection,
        log=log,
        mark=mark,
        registry=registry,
        till=till,
        journal=journal,
        vault=vault,
        signer=signer,
        log_key=receipt_key.public,
        streams=streams,
        components=components,
        shelf=Shelf(home, log),
        boot=boot,
        starts=starts,
    )


def _check_ages(journal: Journal, log: Log, signer: PublicKey, registered: Collection[str]) -> None:
    """A log older than the journal would sign other batches under numbers it gave out before.

    A journal older than the log would sign the readings that it still holds a second time.
    """
    batch = journal.newest_receipted()
    if batch is not None and log.find(batch.batch) != batch.log_index:
        raise DamageError(
            f"the journal holds a receipt for entry {batch.log_index}, the log does not have it:"
            " ledger.db is older than journal.db; restore the two from one copy"
        )
    tip = log.tip(signer)
    if not tip.sequence:
        return
    index = log.find_digest(tip.digest)
    if index is None:
        raise DamageError(f"the log lost batch {tip.sequence}, which its chain ends with")
    identity, data = next((each.identity, each.statement) for each in log.entries(index))
    erased = statements.verify(data).subject not in registered
    if journal.find(identity) is None and not erased:
        raise DamageError(
            f"entry {index} of the log is a batch that the journal does not know: journal.db is"
            " older than ledger.db; restore the two from one copy"
        )


def _enrol(
    components: Iterable[Registered], home: Home, registry: Registry
) -> dict[str, Registered]:
    """Give each component its key and its subject its urn; returns them by alias, with ids."""
    enrolled: dict[str, Registered] = {}
    for each in components:
        if not registry.streams().of(each.subject):
            make_stream(home, registry, each.subject, "")
        short_id = home.key(f"component-{each.alias}").public.short_id
        known = Registered(
            each.alias, each.kind, each.address, each.profile, each.subject, short_id
        )
        registry.enrol(known)
        enrolled[each.alias] = known
    return enrolled
