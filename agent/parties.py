"""Who accepts an offer: a subject of a home, its key, its urns and what was proved of it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from agent import agreed
from agent.home import Home, HomeError
from agent.journal import Journal
from agent.recording import make_stream
from agent.registry import Registry
from agent.stores import Stores
from ledger_client import batches, genesis, leaves, statements
from ledger_client.database import open_database
from ledger_client.dues import Measured
from ledger_client.estimates import History, Window
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader

JOURNAL_BYTES_MAX = 1 << 44
READINGS_MAX = 200_000
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Party:
    """The key that signs for a subject of this home, called `alias`; its ledger, and if it is play.

    `urn_for` makes or finds the subject's urn for a purpose; `urns` are those that there are.
    `changes_s` are the times at which the gateway got another owner.
    """

    home: Home
    alias: str
    key: SigningKey
    ledger: str
    demo: bool
    urn_for: Callable[[str], str]
    urns: Callable[[], Iterable[str]]
    changes_s: tuple[int, ...] = ()


def of_stores(stores: Stores, alias: str) -> Party:
    """A subject of the gateway that runs on these stores."""
    log = stores.log
    first = genesis.verify(statements.verify(log.statement(0)))
    return Party(
        stores.home,
        alias,
        stores.home.key(f"party-{alias}"),
        first.name,
        first.demo,
        lambda purpose: stores.stream_for(alias, purpose).urn,
        lambda: [each.urn for each in stores.streams.of(alias)],
        tuple(agreed.owner_changes_s(log)),
    )


@contextmanager
def of_home(home: Home, alias: str) -> Iterator[Party]:
    """A subject of a home, also while a gateway runs on it; `alias` may be "" if there is one only.

    Raises:
        HomeError: there is no such home or subject.
    """
    if not home.exists():
        raise HomeError(f"{home.path}: expected the home of a gateway, there is no ledger.db")
    with closing(open_database(home.ledger_db, create=False)) as connection:
        log, registry = LogReader(connection), Registry(connection)
        registry.create()
        known = registry.streams().aliases()
        chosen = known[0] if not alias and len(known) == 1 else alias
        if chosen not in known:
            raise HomeError(f"expected --subject with one of {', '.join(known) or 'none'}")
        first = genesis.verify(statements.verify(log.statement(0)))

        def urn_for(purpose: str) -> str:
            found = registry.streams().find(chosen, purpose)
            return (found or make_stream(home, registry, chosen, purpose)).urn

        yield Party(
            home,
            chosen,
            home.key(f"party-{chosen}"),
            first.name,
            first.demo,
            urn_for,
            lambda: [each.urn for each in registry.streams().of(chosen)],
            tuple(agreed.owner_changes_s(log)),
        )


def past(party: Party, window: Window, readings_max: int = READINGS_MAX) -> History:
    """What this home proved of the subject in that time: of more than the limit, the newest.

    Whatever was released to make room is not among it. Opens the databases anew, so that it may be
    called from another thread.

    Raises:
        JournalError, LedgerError: log, keys and journal do not hold together.
    """
    found: list[Measured] = []
    with (
        closing(open_database(party.home.ledger_db, create=False)) as ledger,
        closing(Journal.open(party.home.journal_db, JOURNAL_BYTES_MAX, create=False)) as journal,
    ):
        log, streams = LogReader(ledger), Registry(ledger).streams()
        names = {each.name for each in streams.of(party.alias)}
        vault = party.home.vault(streams.urns)
        for batch in reversed(journal.receipted()):
            if batch.subject not in names or batch.log_index is None:
                continue
            said = batches.decode(statements.verify(log.statement(batch.log_index)).payload)
            body = journal.leaves_of(batch.batch)
            if body is not None and _overlaps(said, window):
                every = vault.open_leaves(batch.subject, batch.batch, body)
                found += [
                    Measured(each.name.partition("/")[2], each.time_s, each.provenance)
                    for each in leaves.verify(every, said)
                    if window.from_s <= each.time_s < window.until_s
                ]
            if len(found) >= readings_max:
                break
    return History(found[:readings_max], window, party.demo)


def _overlaps(said: batches.Batch, window: Window) -> bool:
    first_s, after_s = said.first_minute * _MINUTE_S, (said.last_minute + 1) * _MINUTE_S
    return first_s < window.until_s and window.from_s < after_s
