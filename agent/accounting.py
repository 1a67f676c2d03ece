"""A home's money, counterparty by counterparty, each line down to the readings and their receipts.

What is earned or spent is from the till, what is settled from the ledger's own entries: two books
that must agree. An item of readings has the time of its batch; a unit of a meter has none in the
till, and is left out where a period is asked for.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.goods import SOURCE_BYTES
from agent.home import Home, HomeError
from agent.till import Purchase, Sale, Till
from ledger_client import batches, bookkeeping, genesis, receipts, statements
from ledger_client.bookkeeping import Books
from ledger_client.database import open_database
from ledger_client.genesis import Genesis
from ledger_client.log import LogReader

_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Period:
    """From one Unix second until before another."""

    from_s: float = float("-inf")
    until_s: float = float("inf")

    @property
    def whole(self) -> bool:
        """Whether it is all time."""
        return self == Period()

    def has(self, at_s: float | None) -> bool:
        """Whether this moment is in it; one that nobody knows is in all time only."""
        return self.whole if at_s is None else self.from_s <= at_s < self.until_s


@dataclass(frozen=True, slots=True)
class Line:
    """One item: its price, whether a voucher paid it, and the batch behind it, if it is readings.

    `entry` is its place on the log, under a receipt that was verified against the newest head.
    """

    n: int
    price: int
    paid: bool
    at_s: int | None = None
    readings: int | None = None
    entry: int | None = None
    statement: str | None = None
    agreement: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """One channel end. Amounts are minor units of `asset`, in the period but for `owed`.

    `amount` was invoiced, `promised` came by voucher of that; `owed` is due and not promised as of
    now. `claimed` is what the till knows of, `settled` what the ledger's entries paid out; an
    embedded ledger takes no `fees`.
    """

    counterparty: str
    direction: str
    asset: str
    channel: str
    state: str
    amount: int
    promised: int
    owed: int
    claimed: int
    settled: int
    fees: int
    undated: int
    lines: tuple[Line, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Batch:
    at_s: int
    readings: int
    entry: int
    statement: str
    agreement: str | None


def statement(path: Path, period: Period) -> list[Account]:
    """Every account of the home at `path` in this period, also while a gateway runs on it.

    Raises:
        HomeError: there is no home.
        LedgerError: log, ledger or till do not hold together.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    with closing(open_database(home.ledger_db, create=False)) as connection:
        log = LogReader(connection)
        with log.snapshot():
            found = [(each.index, statements.verify(each.statement)) for each in log.entries()]
            first = genesis.verify(found[0][1])
            books = bookkeeping.replay(first.name, found)
            known = dict(_batches(log, found, first))
            till = Till(connection)
            held: list[Sale | Purchase] = []
            if connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'till_channels'"
            ).fetchone():
                held = [*till.sales(), *till.purchases()]
            return [_account(connection, each, books, known, period) for each in held]


def _batches(
    log: LogReader, found: Iterable[tuple[int, statements.Statement]], first: Genesis
) -> Iterator[tuple[bytes, _Batch]]:
    """Each batch of the log by its content identity, its receipt verified."""
    for index, said in found:
        if said.kind != "batch":
            continue
        receipts.verify_inclusion(first.receipt_key, log.receipt(index), said.digest)
        batch = batches.decode(said.payload)
        yield (
            sha256(said.signed).digest()[:SOURCE_BYTES],
            _Batch(
                batch.last_minute * _MINUTE_S,
                batch.leaf_count,
                index,
                said.digest.hex(),
                None if batch.agreement is None else batch.agreement.hex(),
            ),
        )


def _account(
    connection: sqlite3.Connection,
    held: Sale | Purchase,
    books: Books,
    known: dict[bytes, _Batch],
    period: Period,
) -> Account:
    terms, side = held.terms, held.side
    selling = isinstance(held, Sale)
    total = held.voucher.total if held.voucher else 0
    every = list(_lines(connection, held.row, total, known))
    lines = tuple(line for line in every if period.has(line.at_s))
    settled = sum(
        each.amount
        for each in books.claims
        if each.channel == terms.channel and period.has(each.at_s)
    )
    return Account(
        counterparty=(terms.payer if selling else terms.payee).did,
        direction="earned" if selling else "spent",
        asset=terms.asset,
        channel=terms.channel.hex(),
        state=side.state.value,
        amount=sum(line.price for line in lines),
        promised=sum(line.price for line in lines if line.paid),
        owed=max(0, side.due - total),
        claimed=side.claimed if isinstance(held, Sale) else held.claimed,  # type: ignore[union-attr]  # a sale's side is Selling
        settled=settled,
        fees=0,
        undated=0 if period.whole else sum(line.at_s is None for line in every),
        lines=lines,
    )


def _lines(
    connection: sqlite3.Connection, row: int, total: int, known: dict[bytes, _Batch]
) -> Iterator[Line]:
    for n, price, due, source in connection.execute(
        "SELECT n, price, due, source FROM till_items WHERE id = ? ORDER BY n", (row,)
    ):
        batch = known.get(source)
        paid = due <= total
        if batch is None:
            yield Line(n, price, paid)
        else:
            yield Line(n, price, paid, **asdict(batch))
