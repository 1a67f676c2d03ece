"""An old copy of a till is known by its mark: frozen, claimed, gone on from under a new salt."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from brokers import MemoryBroker
from market import BUYER, SELLER, accept, goods, introduce, memory, open_book, terms

from agent.desks import BuyingDesk, SellingDesk, SellingRules
from agent.pacing import Limits
from agent.tally import Buyer, Seller
from agent.till import Tidemark, Till
from ledger_client.channels import State, Terms, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import DamageError, RemoteError, StoreError
from ledger_client.messages import Standing
from ledger_client.settlement.embedded import EmbeddedSettlement

FAST = Limits(retry_first_s=0.02, retry_most_s=0.2, watch_s=0.05)
FUNDED = 100_000


def test_a_mark_holds_the_last_count_whatever_was_there(tmp_path: Path) -> None:
    mark = Tidemark.beside(tmp_path / "till.db")
    none = mark.read()
    (tmp_path / "till.mark").write_bytes(b"rubbish that is longer than any mark")
    rubbish = mark.read()

    mark.write(7)
    mark.write(12)

    assert (none, rubbish, mark.read()) == (None, None, 12)


def test_nothing_leaves_without_a_mark(tmp_path: Path) -> None:
    (tmp_path / "till.mark").mkdir()

    with pytest.raises(StoreError, match="nothing leaves"):
        Till.open(memory(), Tidemark.beside(tmp_path / "till.db"))


@pytest.mark.parametrize(
    ("count", "marked", "old"),
    [(0, None, False), (1, None, True), (4, 5, True), (5, 5, False), (6, 5, False)],
)
def test_a_till_behind_its_mark_or_without_one_is_an_old_copy(
    tmp_path: Path, count: int, marked: int | None, old: bool
) -> None:
    mark = Tidemark(tmp_path / "till.mark")
    if marked is not None:
        mark.write(marked)

    assert mark.behind(count) is old


def test_every_step_is_marked_before_anything_leaves(tmp_path: Path) -> None:
    mark = Tidemark(tmp_path / "till.mark")
    till = Till.open(memory(), mark)
    buying = BuyingDesk(BUYER, till, accept=accept)
    counts = [mark.read()]

    purchase = buying.prepare(terms())
    counts.append(mark.read())
    with till.transaction():
        voucher = sign_voucher(BUYER, purchase.terms.channel, 5)
        till.write_adopted(purchase, purchase.side.adopt(5), voucher)
        counts.append(mark.read())
    counts.append(mark.read())

    assert counts == [0, 1, 1, 2]


def test_the_count_never_goes_backwards() -> None:
    connection = memory()
    Till.open(connection).add_purchase(terms())

    with pytest.raises(sqlite3.IntegrityError, match="only rises"):
        connection.execute("UPDATE till_tide SET count = 0")


class Home:
    """A party's folder, out of which a copy can be taken and put back."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.database = folder / "till.db"
        self.copy = b""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Till]:
        with closing(open_database(self.database)) as connection:
            yield Till.open(connection, Tidemark.beside(self.database))

    def back_up(self) -> None:
        with closing(open_database(self.database)) as connection:
            self.copy = connection.serialize()

    def restore(self) -> None:
        for path in self.database.parent.glob("till.db*"):
            path.unlink()
        self.database.write_bytes(self.copy)


class Town:
    """A seller and a buyer with a home each, on one ledger; it closes channels without delay."""

    def __init__(self, folder: Path) -> None:
        self.book = open_book(memory())
        self.book.issue(BUYER.public, 10 * FUNDED)
        self.homes = {key: Home(folder / name) for key, name in ((SELLER, "s"), (BUYER, "b"))}
        self.broker = MemoryBroker()
        self.blamed: list[RemoteError] = []
        self.restored: list[int] = []

    def terms(self, salt: int) -> Terms:
        return terms(salt, delay_s=0)

    async def trade(self, salt: int, numbers: range) -> None:
        """Both live for as long as it takes to sell these and be paid, on any channel."""
        async with (
            asyncio.timeout(20),
            self.homes[SELLER].open() as selling,
            self.homes[BUYER].open() as buying,
            asyncio.TaskGroup() as tasks,
        ):
            seller = Seller(
                SellingDesk(SELLER, selling, credit=50, rules=SellingRules(delay_s_min=0)),
                selling,
                EmbeddedSettlement(self.book, SELLER),
                blame=lambda _, error: self.blamed.append(error),
                limits=FAST,
            )
            buyer = Buyer(
                BuyingDesk(BUYER, buying, accept=accept),
                buying,
                EmbeddedSettlement(self.book, BUYER),
                blame=lambda _, error: self.blamed.append(error),
                limits=FAST,
            )
            self.restored = [selling.restores(), buying.restores()]
            running = [tasks.create_task(each.run(self.broker)) for each in (seller, buyer)]
            await buyer.keep(self.terms(salt), FUNDED)
            things = [goods(number) for number in numbers]
            while sum(sale.side.best for sale in selling.sales()) < 10 * numbers[-1]:
                for sale in seller.channels():
                    seller.sell(sale.terms.channel, things)
                await asyncio.sleep(0.01)
            await seller.settle()
            while self.left_in_channels() > FUNDED or any(  # noqa: ASYNC110  # by the clock
                each.side.state is State.FROZEN for each in buyer.channels()
            ):
                await asyncio.sleep(0.01)
            for task in running:
                task.cancel()

    def paid(self) -> int:
        return self.book.balance(SELLER.public.thumbprint)

    def left_in_channels(self) -> int:
        return 10 * FUNDED - self.book.balance(BUYER.public.thumbprint) - self.paid()


@pytest.mark.parametrize("who", [SELLER, BUYER], ids=["seller", "buyer"])
async def test_an_old_copy_is_frozen_claimed_and_trade_goes_on_under_a_new_salt(
    tmp_path: Path, who: object
) -> None:
    town = Town(tmp_path)
    home = next(town.homes[key] for key in town.homes if key is who)
    await town.trade(1, range(1, 11))
    home.back_up()
    await town.trade(2, range(11, 21))
    paid = town.paid()

    home.restore()
    await town.trade(3, range(21, 31))

    assert sum(town.restored) == 1
    assert (paid, town.paid()) == (200, 300)
    assert town.book.view(town.terms(1).channel).state is State.CLOSED  # type: ignore[union-attr]  # opened first
    assert town.left_in_channels() == FUNDED - 100
    assert town.blamed == []
    with closing(open_database(home.database)) as connection:
        assert Till(connection, Tidemark.beside(home.database)).check()[0] == 2


async def test_what_a_restored_buyer_does_not_remember_is_closed_and_comes_back(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path)
    async with town.homes[BUYER].open():
        pass
    town.homes[BUYER].back_up()
    await town.trade(1, range(1, 11))

    town.homes[BUYER].restore()
    await town.trade(2, range(11, 21))

    assert town.paid() == 200
    assert town.left_in_channels() == FUNDED - 100


def test_only_a_channel_of_our_own_is_looked_back_at() -> None:
    buying = BuyingDesk(BUYER, Till.open(memory()), accept=accept)
    unknown = Standing(terms(), 0, 0, 0, 0, None, None)

    with pytest.raises(RemoteError, match="not ours"):
        buying.receive(BUYER.public.short_id, unknown)


def test_the_check_says_that_a_till_is_an_old_copy(tmp_path: Path) -> None:
    connection, mark = memory(), Tidemark(tmp_path / "till.mark")
    till = Till.open(connection, mark)
    till.add_purchase(terms())
    whole = till.check()
    mark.write(9)

    with pytest.raises(DamageError, match="old copy"):
        till.check()

    assert whole == (1, 0)


@pytest.mark.parametrize("marked", [True, False])
async def test_only_its_mark_keeps_an_old_copy_from_using_a_number_twice_that_nobody_saw(
    tmp_path: Path, marked: bool
) -> None:
    mark, book, signed = Tidemark(tmp_path / "till.mark"), open_book(memory()), []
    book.issue(BUYER.public, FUNDED)
    view = await EmbeddedSettlement(book, BUYER).open(terms(), 500)
    buying = BuyingDesk(BUYER, Till.open(memory()), accept=accept)
    buying.prepare(terms())
    buying.observe(view)
    connection = memory()
    SellingDesk(SELLER, Till.open(connection, mark), credit=50).observe(view)
    copy = connection.serialize()

    for number in (1, 2):  # the first is lost on its way, and forgotten with the database
        connection = memory()
        connection.deserialize(copy)
        selling = SellingDesk(SELLER, Till.open(connection, mark if marked else None), credit=50)
        introduce(selling, buying)
        selling.sell(terms().channel, [goods(number)])
        signed += selling.outbox(terms().channel, after=0, items_max=1)

    assert len(signed) == (1 if marked else 2)
