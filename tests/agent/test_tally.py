"""Both shells over a broker in memory and the real embedded ledger."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from market import BUYER, SELLER, accept, goods, open_book, terms

from agent.broker import Message
from agent.desks import BuyingDesk, Goods, SellingDesk
from agent.pacing import Limits
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client.channels import State
from ledger_client.log import LogReader, open_database
from ledger_client.settlement.embedded import EmbeddedSettlement, check

if TYPE_CHECKING:
    from ledger_client.errors import RemoteError

FAST = Limits(retry_first_s=0.02, retry_most_s=0.2, watch_s=0.05)


class MemoryBroker:
    """Keeps the Broker's promise within one loop; each `lose`-th publication is lost."""

    def __init__(self, lose: int = 0) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.published = 0
        self._lose = lose
        self._inboxes: list[tuple[str, asyncio.Queue[Message]]] = []
        self._retained: dict[str, bytes] = {}

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await asyncio.sleep(0)
        self.published += 1
        if retain:
            self._retained[topic] = payload
        if self._lose and self.published % self._lose == 0:
            return
        for prefix, inbox in self._inboxes:
            if topic.startswith(prefix):
                await inbox.put(Message(topic, payload, retained=False))

    @asynccontextmanager
    async def subscribe(self, *filters: str) -> AsyncIterator[AsyncIterator[Message]]:
        (only,) = filters
        prefix = only.removesuffix("+")
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        for topic, payload in self._retained.items():
            if topic.startswith(prefix):
                inbox.put_nowait(Message(topic, payload, retained=True))
        self._inboxes.append((prefix, inbox))

        async def arriving() -> AsyncIterator[Message]:
            while True:
                yield await inbox.get()

        try:
            yield arriving()
        finally:
            self._inboxes.remove((prefix, inbox))


class Market:
    """One seller and one buyer, each with its till, on one ledger."""

    def __init__(self, folder: Path) -> None:
        self.connection = open_database(folder / "ledger.db")
        self.book = open_book(self.connection)
        self.book.issue(BUYER.public, 1_000_000)
        self.till = Till.open(self.connection)
        self.blamed: list[RemoteError] = []
        self.seller = Seller(
            SellingDesk(SELLER, self.till, credit=300),
            self.till,
            EmbeddedSettlement(self.book, SELLER),
            blame=lambda _, error: self.blamed.append(error),
            limits=FAST,
        )
        self.buyer = Buyer(
            BuyingDesk(BUYER, self.till, accept=accept),
            self.till,
            EmbeddedSettlement(self.book, BUYER),
            blame=lambda _, error: self.blamed.append(error),
            limits=FAST,
        )


async def sell_all(seller: Seller, channel: bytes, things: list[Goods]) -> None:
    while things:
        await seller.wait_for_room(channel, things[0].price)
        del things[: seller.sell(channel, things)]


async def test_what_is_sold_is_paid_and_settled_through_a_broker_that_loses_one_in_five(
    tmp_path: Path,
) -> None:
    market = Market(tmp_path)
    broker = MemoryBroker(lose=5)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, market.buyer)]
        channel = await market.buyer.open(terms(), 100_000)
        await sell_all(market.seller, channel, [goods(n) for n in range(200)])
        await market.seller.wait_for_room(channel, 300)
        outcomes = await market.seller.close_now(channel)
        for task in running:
            task.cancel()

    assert [outcome.claimed for outcome in outcomes] == [2000]
    assert market.book.balance(SELLER.public.thumbprint) == 2000
    assert market.book.balance(BUYER.public.thumbprint) == 998_000
    assert sum(check(market.connection, LogReader(market.connection)).values()) == 0
    assert market.till.check() == (2, 400)
    assert market.till.sales()[0].side.state is State.CLOSED
    assert market.blamed == []


async def test_the_same_source_is_sold_once(tmp_path: Path) -> None:
    market = Market(tmp_path)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, market.buyer)]
        channel = await market.buyer.open(terms(), 100_000)
        await market.seller.wait_for_room(channel, 10)
        first = market.seller.sell(channel, [goods(1)])
        second = market.seller.sell(channel, [goods(1), goods(2)])
        for task in running:
            task.cancel()

    assert (first, second) == (1, 2)
    assert market.till.sales()[0].side.due == 20
