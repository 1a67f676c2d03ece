"""A home's money, counterparty by counterparty, each line down to the readings and their receipts.

What is earned or spent is from the till, what is settled from the ledger's own entries, replayed:
two books that must agree, or there is no statement at all. A line of readings has the time of its
batch or window, any other that at which the till wrote it.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent import agreed, behind
from agent.behind import Book
from agent.home import Home, HomeError
from agent.till import Purchase, Sale, Till
from ledger_client import bookkeeping, consents, estimates, genesis, offers, statements
from ledger_client.bookkeeping import Books
from ledger_client.database import open_database
from ledger_client.errors import ProofError
from ledger_client.log import LogReader
from ledger_client.settlement import accounts, movements, sharing
from ledger_client.statements import Statement as Said

OFFER_SUFFIX = ".offer"


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
    """One item: its price, whether a voucher paid it, and what is behind it.

    `what` says which goods. The `entries` of the log hold the batches that the readings are from,
    each under a receipt that was verified against the newest head; `readings` is how many of them
    were sold, as far as the agreement tells.
    """

    n: int
    price: int
    paid: bool
    at_s: int | None
    what: str
    readings: int | None = None
    agreement: str | None = None
    entries: tuple[int, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """One channel end. Amounts are minor units of `asset`, in the period but for `owed`.

    `amount` was invoiced, `promised` came by voucher of that; `owed` is due and not promised as of
    now. `claimed` is the channel's all-time total, `settled` what entries paid meanwhile; another
    gateway's entries are not here, so of its ledger, named by `elsewhere`, we know the all-time
    total alone. `fees` are those of the offer that the agreement came from; an embedded ledger
    takes none.
    """

    counterparty: str
    direction: str
    asset: str
    channel: str
    state: str
    agreement: str | None
    amount: int
    promised: int
    owed: int
    claimed: int
    settled: int
    fees: int
    fee_lines: tuple[tuple[str, int], ...]
    undated: int
    elsewhere: str | None
    lines: tuple[Line, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Share:
    """What one entry of the log gave a party of an agreement, out of what its collector was paid.

    `holder` is a did:key as far as the ledger knows whose account it is, else the account.
    """

    entry: int
    at_s: int
    agreement: str
    holder: str
    amount: int


@dataclass(frozen=True, slots=True)
class Netted:
    """What one brand paid another under an ecosystem, after netting, as one entry of the log."""

    entry: int
    at_s: int
    agreement: str
    payer: str
    payee: str
    amount: int


@dataclass(frozen=True, slots=True)
class Statement:
    """All of it, in a period."""

    accounts: tuple[Account, ...]
    shares: tuple[Share, ...]
    netted: tuple[Netted, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def statement(path: Path, period: Period, now_s: int) -> Statement:
    """Everything that the home at `path` earned and spent, also while a gateway runs on it.

    Raises:
        HomeError: there is no home.
        ProofError: till and ledger contradict each other.
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
            books = replayed(connection, log, first.name, found)
            held = _held(connection)
            book = behind.read(log, found, first, agreed.kept(home))
            every = [_account(connection, each, books, book, period) for each in held]
            charged = _with_fees(home, every, period, now_s)
            return Statement(
                tuple(charged),
                tuple(_shares(found, books, period)),
                tuple(_netted(books, book, period)),
            )


def replayed(
    connection: sqlite3.Connection, log: LogReader, name: str, found: Iterable[tuple[int, Said]]
) -> Books:
    """The ledger's books from its entries alone, the same as its tables say.

    Raises:
        ProofError: an account of which the two say something else.
    """
    books = bookkeeping.replay(name, found)
    if not connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = 'settlement_accounts'"
    ).fetchone():
        return books
    for account, balance in accounts.check(connection, log).items():
        if books.balances.get(account, 0) != balance:
            raise ProofError(
                f"account {account.hex()[:16]}: the tables say {balance}, the orders and vouchers"
                f" on the log come to {books.balances.get(account, 0)}"
            )
    return books


def _held(connection: sqlite3.Connection) -> list[Sale | Purchase]:
    if not connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = 'till_channels'"
    ).fetchone():
        return []
    till = Till(connection)
    return [*till.sales(), *till.purchases()]


def _account(
    connection: sqlite3.Connection,
    held: Sale | Purchase,
    books: Books,
    book: Book,
    period: Period,
) -> Account:
    terms, side = held.terms, held.side
    total = held.voucher.total if held.voucher else 0
    every = list(_lines(connection, held, total, book))
    claimed = held.side.claimed if isinstance(held, Sale) else held.claimed
    settled = claimed if period.whole else 0
    if terms.ledger == book.ledger:
        settled = sum(
            each.amount
            for each in books.claims
            if each.channel == terms.channel and period.has(each.at_s)
        )
        claimed = _agree(held, claimed, total, sum(line.price for line in every), books)
    lines = tuple(line for line in every if period.has(line.at_s))
    selling = isinstance(held, Sale)
    return Account(
        counterparty=(terms.payer if selling else terms.payee).did,
        direction="earned" if selling else "spent",
        asset=terms.asset,
        channel=terms.channel.hex(),
        state=side.state.value,
        agreement=terms.agreement.hex() or None,
        amount=sum(line.price for line in lines),
        promised=sum(line.price for line in lines if line.paid),
        owed=max(0, side.due - total),
        claimed=claimed,
        settled=settled,
        fees=0,
        fee_lines=(),
        undated=0 if period.whole else sum(line.at_s is None for line in every),
        elsewhere=None if terms.ledger == book.ledger else terms.ledger,
        lines=lines,
    )


def _agree(held: Sale | Purchase, claimed: int, total: int, lines: int, books: Books) -> int:
    """What was claimed in all. The till may be behind the ledger, never ahead.

    Raises:
        ProofError: they contradict each other.
    """
    channel = held.terms.channel
    where = f"channel {channel.hex()[:16]}"
    if lines != held.side.due:
        raise ProofError(f"{where}: its lines come to {lines}, due are {held.side.due}")
    known = books.channels.get(channel)
    paid, funded = (known.claimed, known.funded) if known else (0, 0)
    if claimed > paid or held.side.funded > funded:
        raise ProofError(
            f"{where}: the till says {claimed} claimed of {held.side.funded}, the ledger's entries"
            f" {paid} of {funded}"
        )
    if isinstance(held, Sale) and paid > total:
        raise ProofError(
            f"{where}: the ledger paid {paid}, the till knows of vouchers over {total}"
        )
    return paid


def _lines(
    connection: sqlite3.Connection, held: Sale | Purchase, total: int, book: Book
) -> Iterator[Line]:
    for n, price, due, source, at_s in connection.execute(
        "SELECT n, price, due, source, at_s FROM till_items WHERE id = ? ORDER BY n", (held.row,)
    ):
        goods = book.goods(source, price, held.terms.agreement)
        yield Line(
            n,
            price,
            due <= total,
            goods.at_s or at_s,
            goods.what,
            goods.readings,
            goods.agreement,
            tuple(each.entry for each in goods.batches),
            tuple(each.statement for each in goods.batches),
        )


def _with_fees(
    home: Home, every: Iterable[Account], period: Period, now_s: int
) -> Iterator[Account]:
    """The accounts with what each offer that was accepted charges for the period."""
    for account in every:
        path = agreed.path_of(home, bytes.fromhex(account.agreement or "00"))
        kept = path.with_suffix(OFFER_SUFFIX)
        if account.direction != "earned" or not (path.exists() and kept.exists()):
            yield account
            continue
        signed, deed = offers.from_json(kept.read_bytes()), agreed.read(path)
        standing = consents.standing(deed.agreement, deed.acts, now_s)
        begins_s = standing.from_s or now_s
        start_s = max(begins_s, period.from_s)
        span_s = max(0, int(min(standing.until_s, period.until_s, now_s) - start_s))
        readings = sum(line.readings or 0 for line in account.lines)
        charges = estimates.charges(
            signed.offer.fees,
            account.amount,
            readings,
            span_s,
            once=period.has(begins_s),
        )
        yield _charged(account, charges)


def _charged(account: Account, charges: tuple[tuple[str, int], ...]) -> Account:
    plain = {name: getattr(account, name) for name in Account.__dataclass_fields__}
    total = sum(amount for _, amount in charges)
    return Account(**(plain | {"fees": total, "fee_lines": charges}))


def _shares(found: Iterable[tuple[int, Said]], books: Books, period: Period) -> Iterator[Share]:
    for index, said in found:
        if said.kind != bookkeeping.KIND or not period.has(said.issued_s):
            continue
        movement = movements.parse_movement(said.payload)
        if movement.verb != sharing.VERB:
            continue
        agreement = sharing.verify(movement.evidence[0]).agreement.hex()
        for account, amount in movement.postings:
            if amount > 0:
                holder = _holder(books, account)
                yield Share(index, said.issued_s, agreement, holder, amount)


def _holder(books: Books, account: bytes) -> str:
    key = books.holders.get(account)
    return account.hex() if key is None else key.did


def _netted(books: Books, book: Book, period: Period) -> Iterator[Netted]:
    for claim in books.claims:
        terms = books.channels[claim.channel].terms
        if terms.agreement in book.ecosystems and period.has(claim.at_s):
            yield Netted(
                claim.index,
                claim.at_s,
                terms.agreement.hex(),
                terms.payer.did,
                terms.payee.did,
                claim.amount,
            )
