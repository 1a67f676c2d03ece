"""Both shells over a broker in memory, and a real one, and the real embedded ledger."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from brokers import MemoryBroker
from market import BUYER, SELLER, accept, goods, open_book, terms

from agent import topics
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.desks import BuyingDesk, Goods, SellingDesk
from agent.pacing import Limits
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import State, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.log import LogReader
from ledger_client.messages import Standing
from ledger_client.settlement import RefusedError, View
from ledger_client.settlement.accounts import check
from ledger_client.settlement.embedded import EmbeddedSettlement

FAST = Limits(retry_first_s=0.02, retry_most_s=0.2, watch_s=0.05)


class Market:
    """One seller and one buyer, each with its till, on one ledger."""

    def __init__(self, folder: Path) -> None:
        self.connection = open_database(folder / "ledger.db")
        self.now_s = 1_000
        self.book = open_book(self.connection, now_s=lambda: self.now_s)
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


async def test_two_strangers_trade_through_a_real_broker_that_is_killed(tmp_path: Path) -> None:
    market = Market(tmp_path)
    ids = [key.public.short_id for key in (SELLER, BUYER)]
    users = [User(name, f"secret-{name}", topics.component_rules(name)) for name in ids]
    server = EmbeddedBroker(tmp_path / "broker", users, random=Random(1))

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(server.run())]
        await server.ready.wait()
        for shell, name in zip((market.seller, market.buyer), ids, strict=True):
            endpoint = Endpoint(server.url, name, name, f"secret-{name}")
            broker = MqttBroker(endpoint, random=Random(2))
            running += [tasks.create_task(broker.run()), tasks.create_task(shell.run(broker))]
        channel = await market.buyer.open(terms(), 100_000)
        await sell_all(market.seller, channel, [goods(n) for n in range(50)])
        os.kill(server.pid, signal.SIGKILL)
        await sell_all(market.seller, channel, [goods(n) for n in range(50, 100)])
        await market.seller.wait_until_paid()
        outcomes = await market.seller.close_now(channel)
        for task in running:
            task.cancel()

    assert [outcome.claimed for outcome in outcomes] == [1000]
    assert server.restarts == 1
    assert market.till.check() == (2, 200)
    assert sum(check(market.connection, LogReader(market.connection)).values()) == 0
    assert market.blamed == []


async def test_a_buyer_closes_the_seller_claims_in_time_and_the_rest_comes_back(
    tmp_path: Path,
) -> None:
    market = Market(tmp_path)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, market.buyer)]
        channel = await market.buyer.open(terms(), 500)
        topped_up = await market.buyer.open(terms(salt=9), 700)
        await market.seller.wait_for_room(channel, 10)
        market.seller.sell(channel, [goods(1)])
        await market.seller.wait_until_paid()
        await market.buyer.close(channel)
        while market.book.balance(SELLER.public.thumbprint) == 0:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
        market.now_s += 60
        await market.buyer.finish(channel)
        while market.seller.channels():  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.01)
        for task in running:
            task.cancel()

    assert topped_up == channel
    assert market.book.balance(SELLER.public.thumbprint) == 10
    assert market.book.balance(BUYER.public.thumbprint) == 999_990
    assert market.buyer.channels() == []


async def test_a_buyer_can_claim_for_its_seller(tmp_path: Path) -> None:
    market = Market(tmp_path)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, market.buyer)]
        channel = await market.buyer.open(terms(), 500)
        await market.seller.wait_for_room(channel, 10)
        market.seller.sell(channel, [goods(1)])
        await market.seller.wait_until_paid()
        outcomes = await market.buyer.settle()
        twice = await market.buyer.settle()
        for task in running:
            task.cancel()

    assert [outcome.claimed for outcome in outcomes] == [10]
    assert twice == []


async def test_rubbish_is_blamed_on_who_sent_it_and_trade_goes_on(tmp_path: Path) -> None:
    market = Market(tmp_path)
    stranger = topics.pay(SELLER.public.short_id, "stranger")

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, market.buyer)]
        channel = await market.buyer.open(terms(), 500)
        await market.seller.wait_for_room(channel, 10)
        await broker.publish(stranger, b"\xff")
        await broker.publish(stranger, b"")
        market.seller.sell(channel, [goods(1)])
        await market.seller.wait_until_paid()
        for task in running:
            task.cancel()

    assert [type(error) for error in market.blamed] == [EncodingError]


class Nonsense(EmbeddedSettlement):
    """The ledger of somebody who answers to questions as it likes, once it was told to."""

    lies: type[RemoteError] | None = None
    asked = 0

    async def status(self, channel: bytes) -> View | None:
        """What it likes."""
        self.asked += 1
        if self.lies is not None:
            raise self.lies("the ledger answered about another channel")
        return await super().status(channel)


@pytest.mark.parametrize("lies", [EncodingError, RefusedError, RemoteError])
async def test_a_ledger_that_talks_nonsense_stops_nobody(
    tmp_path: Path, lies: type[RemoteError]
) -> None:
    market = Market(tmp_path)
    ledger = Nonsense(market.book, BUYER)
    desk = BuyingDesk(BUYER, market.till, accept=accept)
    buyer = Buyer(desk, market.till, ledger, blame=lambda _, __: None, limits=FAST)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, buyer)]
        channel = await buyer.open(terms(), 500)
        ledger.lies, asked = lies, ledger.asked
        while ledger.asked < asked + 2:  # noqa: ASYNC110  # the shell asks by itself
            await asyncio.sleep(0.01)
        await sell_all(market.seller, channel, [goods(1)])
        await market.seller.wait_until_paid()
        for task in running:
            task.cancel()

    assert buyer.channels()[0].side.signed == 10


async def test_a_peer_that_names_channels_without_end_cannot_have_the_ledger_asked_for_each(
    tmp_path: Path,
) -> None:
    market = Market(tmp_path)
    ledger = Nonsense(market.book, BUYER)
    desk = BuyingDesk(BUYER, market.till, accept=accept)
    few = replace(FAST, watch_s=60.0, unknown_per_s_max=1)
    buyer = Buyer(desk, market.till, ledger, blame=lambda _, __: None, limits=few)
    topic = topics.pay(BUYER.public.short_id, SELLER.public.short_id)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = tasks.create_task(buyer.run(broker))
        await asyncio.sleep(0.05)
        for salt in range(1, 201):
            said = Standing(terms(salt), 0, 0, 0, 0, None, None)
            await broker.publish(topic, messages.encode(said))
        channel = await buyer.open(terms(), 500)
        await asyncio.sleep(0.2)
        running.cancel()

    assert buyer.channels()[0].terms.channel == channel
    assert ledger.asked <= 20


async def test_an_overdrawn_voucher_makes_the_seller_ask_the_ledger(tmp_path: Path) -> None:
    market = Market(tmp_path)
    over = messages.encode(sign_voucher(BUYER, terms().channel, 600))

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        broker = MemoryBroker()
        running = [tasks.create_task(shell.run(broker)) for shell in (market.seller, market.buyer)]
        channel = await market.buyer.open(terms(), 500)
        await market.seller.wait_for_room(channel, 10)
        topic = topics.pay(SELLER.public.short_id, BUYER.public.short_id)
        await broker.publish(topic, over)
        await asyncio.sleep(0.1)
        for task in running:
            task.cancel()

    assert market.seller.room(channel) == 300
    assert market.till.sales()[0].side.best == 0


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
