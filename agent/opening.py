"""One line of a statement opened: the batches behind it, their receipts, and the readings sold."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from agent import agreed, behind, licensed
from agent.behind import Goods, Proved
from agent.home import Home, HomeError
from agent.journal import Journal
from agent.registry import Registry
from agent.till import Purchase, Sale, Till
from ledger_client import genesis, leaves, statements
from ledger_client.database import open_database
from ledger_client.leaves import Leaf
from ledger_client.log import LogReader

JOURNAL_BYTES_MAX = 1 << 44


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch behind a line; `readings` were sold of it, None where they are no longer here."""

    proved: Proved
    readings: tuple[Leaf, ...] | None


@dataclass(frozen=True, slots=True)
class Opened:
    """Item `n` of a channel, with what it is and every batch behind it."""

    n: int
    price: int
    goods: Goods
    batches: tuple[Batch, ...]


def opened(path: Path, wanted: str) -> tuple[Opened, ...]:
    """What is behind the items of a channel, `CHANNEL`, or behind one of them, `CHANNEL:ITEM`.

    The channel is named by the start of its id. Receipts were verified on the way.

    Raises:
        HomeError: there is no such channel or item, or more than one.
        LedgerError: log, keys and journal do not hold together.
    """
    home = Home(path)
    name, _, number = wanted.partition(":")
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    with (
        closing(open_database(home.ledger_db, create=False)) as connection,
        closing(Journal.open(home.journal_db, JOURNAL_BYTES_MAX, create=False)) as journal,
    ):
        log = LogReader(connection)
        with log.snapshot():
            found = [(each.index, statements.verify(each.statement)) for each in log.entries()]
            till, first = Till(connection), genesis.verify(found[0][1])
            held = _channel(till, name)
            book = behind.read(log, found, first, agreed.kept(home))
        rows = [
            row
            for row in connection.execute(
                "SELECT n, price, source FROM till_items WHERE id = ? ORDER BY n", (held.row,)
            )
            if not number or str(row[0]) == number
        ]
        if not rows:
            raise HomeError(f"{wanted}: expected an item of this channel, as --lines tells them")
        registry = Registry(connection)
        registry.create()
        vault = home.vault(registry.streams().urns)
        at_entry = {each.log_index: each for each in journal.receipted()}

        def read(proved: Proved) -> list[bytes] | None:
            batch = at_entry.get(proved.entry)
            body = None if batch is None else journal.leaves_of(batch.batch)
            if batch is None or body is None:
                return None
            return vault.open_leaves(batch.subject, batch.batch, body)

        found_items = []
        for n, price, source in rows:
            goods = book.goods(source, price, held.terms.agreement)
            parts = tuple(Batch(each, _sold(goods, read(each), held)) for each in goods.batches)
            found_items.append(Opened(n, price, goods, parts))
        return tuple(found_items)


def _channel(till: Till, name: str) -> Sale | Purchase:
    every: list[Sale | Purchase] = [*till.sales(), *till.purchases()]
    chosen = [each for each in every if name and each.terms.channel.hex().startswith(name)]
    if len(chosen) != 1:
        known = ", ".join(each.terms.channel.hex()[:16] for each in every) or "none"
        raise HomeError(f"expected the start of one channel's id, got {name!a}; known: {known}")
    return chosen[0]


def _sold(
    goods: Goods, every: list[bytes] | None, held: Sale | Purchase
) -> tuple[Leaf, ...] | None:
    """The readings of one batch that this line is about."""
    if every is None:
        return None
    parsed = [leaves.parse(leaf) for leaf in every]
    if goods.held is None or goods.number is None:
        return tuple(parsed)
    chosen = licensed.chosen(goods.held, every, demo=held.terms.simulated)
    return tuple(parsed[each.index] for each in chosen if each.window == goods.number)


def told(item: Opened) -> Iterator[str]:
    """The item as lines of text."""
    yield f"item {item.n}: {item.goods.what}"
    for batch in item.batches:
        proved = batch.proved
        yield f"  entry {proved.entry} of the log, {proved.readings} readings; its receipt holds"
        yield f"    statement {proved.statement}"
        if batch.readings is None:
            yield "    the readings were released, erased, or are another's"
        for leaf in batch.readings or ():
            value = leaf.value if isinstance(leaf.value, str) else format(leaf.value, ".6g")
            yield (
                f"    {leaf.name} {value} {leaf.unit} at {leaf.time_s:.3f},"
                f" provenance {leaf.provenance}"
            )
