"""What a payment costs: items paid end to end between two processes, and vouchers taken durably.

The seller is this process, the buyer another with a database of its own; between them a broker as
any gateway runs it. In the same run: signing and verifying alone, the limit of both here.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from random import Random

from agent import topics
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.desks import BuyingDesk, Goods, SellingDesk
from agent.pacing import LIMITS
from agent.tally import Buyer, Seller
from agent.till import Tidemark, Till
from ledger_client.channels import SALT_BYTES, State, Terms, Voucher, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import Log
from ledger_client.messages import Item, Standing
from ledger_client.settlement import View
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

LEDGER = "bench.milepost.local/log"
BODY_BYTES = 200
PRICE = 50
CREDIT_ITEMS = 512
RUN_MAX_S = 300.0
SIGNATURES = 2_000
BUSY_S = 0.2

_SELLER, _BUYER, _OPERATOR, _NOTARY = (SigningKey(bytes([n]) * 32) for n in range(1, 5))
"""Keys of nobody: what is paid here is play."""


def payments(folder: Path, count: int) -> dict[str, float | int]:
    """Items paid end to end, vouchers taken and signatures made each second, for `count` of each.

    Raises:
        TimeoutError: it took more than `RUN_MAX_S`.
    """
    paid_s = asyncio.run(_end_to_end(folder, count))
    taken_s, taken_cpu_s = _vouchers(folder, count)
    sign_s, verify_s = _signatures()
    limit = 1 / (2 * sign_s + 2 * verify_s)
    return {
        "items": count,
        "items_paid_per_s": round(count / paid_s),
        "vouchers_taken_per_s": round(count / taken_s),
        "vouchers_taken_per_cpu_s": round(count / taken_cpu_s),
        "signs_per_s": round(1 / sign_s),
        "verifies_per_s": round(1 / verify_s),
        "items_limit_per_s": round(limit),
        "share_of_limit": round(count / paid_s / limit, 3),
    }


def _terms(salt: int) -> Terms:
    return Terms(
        ledger=LEDGER,
        payer=_BUYER.public,
        signer=_BUYER.public,
        payee=_SELLER.public,
        asset="EUR/6",
        delay_s=60,
        salt=salt.to_bytes(SALT_BYTES, "big"),
        simulated=True,
    )


def _open_book(path: Path) -> Book:
    """The ledger, which both processes open: every movement is a transaction of its own."""
    connection = open_database(path)
    log = Log.open(
        connection, name=LEDGER, receipt_key=_OPERATOR, note_key=_NOTARY, demo=True, now_s=1
    )
    return Book.open(connection, log, _OPERATOR, now_s=lambda: 1)


def _goods(first: int, count: int) -> list[Goods]:
    padding = bytes(BODY_BYTES - 8)
    bodies = (number.to_bytes(8, "big") + padding for number in range(first, first + count))
    return [Goods(sha256(body).digest()[:16], PRICE, body, simulated=True) for body in bodies]


def _accept(_: Terms, item: Item) -> bytes:
    return sha256(item.body).digest()[:16]


def _blame(speaker: str, error: RemoteError) -> None:
    raise RuntimeError(f"{speaker} broke a rule on a bench: {error}") from error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the buyer finds everything."""

    folder: Path
    url: str
    password: str
    spendable: int


def _buy(place: _Place) -> None:
    """The other process: buys until it is ended."""
    asyncio.run(_buying(place))


async def _buying(place: _Place) -> None:
    till = Till.open(
        open_database(place.folder / "buyer.db"), Tidemark(place.folder / "buyer.mark")
    )
    settlement = EmbeddedSettlement(_open_book(place.folder / "ledger.db"), _BUYER)
    buyer = Buyer(BuyingDesk(_BUYER, till, accept=_accept), till, settlement, blame=_blame)
    name = _BUYER.public.short_id
    broker = MqttBroker(
        Endpoint(place.url, name, name, place.password),
        random=Random(2),  # noqa: S311  # jitter, not a secret
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(broker.run())
        tasks.create_task(buyer.run(broker))
        await buyer.open(_terms(0), place.spendable)


async def _end_to_end(folder: Path, count: int) -> float:
    """Seconds from the first item to the last voucher, both durable."""
    passwords = {key.public.short_id: os.urandom(16).hex() for key in (_SELLER, _BUYER)}
    users = [User(name, word, topics.component_rules(name)) for name, word in passwords.items()]
    server = EmbeddedBroker(folder / "broker", users, random=Random(1))  # noqa: S311  # jitter
    book = _open_book(folder / "ledger.db")
    book.issue(_BUYER.public, 2 * PRICE * count)
    till = Till.open(open_database(folder / "seller.db"), Tidemark(folder / "seller.mark"))
    desk = SellingDesk(_SELLER, till, credit=PRICE * CREDIT_ITEMS)
    seller = Seller(desk, till, EmbeddedSettlement(book, _SELLER), blame=_blame)
    name = _SELLER.public.short_id
    async with asyncio.timeout(RUN_MAX_S), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(server.run())]
        await server.ready.wait()
        broker = MqttBroker(
            Endpoint(server.url, name, name, passwords[name]),
            random=Random(3),  # noqa: S311  # jitter, not a secret
        )
        running += [tasks.create_task(broker.run()), tasks.create_task(seller.run(broker))]
        password = passwords[_BUYER.public.short_id]
        place = _Place(folder, server.url, password, PRICE * count)
        buyer = get_context("spawn").Process(target=_buy, args=(place,), daemon=True)
        buyer.start()
        try:
            took_s = await _sell_all(seller, _goods(0, count))
        finally:
            buyer.terminate()
            await asyncio.to_thread(buyer.join)
        for task in reversed(running):
            task.cancel()
    return took_s


async def _sell_all(seller: Seller, goods: list[Goods]) -> float:
    channel = _terms(0).channel
    while not seller.channels():  # noqa: ASYNC110  # the buyer's process is starting
        await asyncio.sleep(BUSY_S)
    await seller.wait_for_room(channel, PRICE)
    begun, sold = time.perf_counter(), 0
    while sold < len(goods):
        await seller.wait_for_room(channel, PRICE)
        sold += seller.sell(channel, goods[sold : sold + CREDIT_ITEMS])
    await seller.wait_until_paid()
    return time.perf_counter() - begun


def _vouchers(folder: Path, count: int) -> tuple[float, float]:
    """Seconds to verify and commit `count` vouchers in groups, as the seller's shell does.

    On the clock, and of this process alone: what others do on the same box does not count there.
    """
    terms = _terms(1)
    with closing(open_database(folder / "vouchers.db")) as connection:
        till = Till.open(connection, Tidemark(folder / "vouchers.mark"))
        desk = SellingDesk(_SELLER, till, credit=PRICE * count, run=b"a bench.")
        desk.observe(View(terms, State.OPEN, PRICE * count, 0, None))
        peer = _BUYER.public.short_id
        desk.receive(peer, Standing(terms, 0, 0, 0, 0, None, None, b"a bench."))
        took_s = cpu_s = 0.0
        for first in range(0, count, CREDIT_ITEMS):
            goods = _goods(first, min(CREDIT_ITEMS, count - first))
            numbers = range(first + 1, first + desk.sell(terms.channel, goods) + 1)
            vouchers = [sign_voucher(_BUYER, terms.channel, PRICE * number) for number in numbers]
            begun_s = time.process_time()
            took_s += _timed(partial(_take, desk, till, peer, vouchers))
            cpu_s += time.process_time() - begun_s
        return took_s, cpu_s


def _take(desk: SellingDesk, till: Till, peer: str, vouchers: list[Voucher]) -> None:
    for start in range(0, len(vouchers), LIMITS.group_max):
        with till.transaction():
            for voucher in vouchers[start : start + LIMITS.group_max]:
                desk.receive(peer, voucher)


def _signatures() -> tuple[float, float]:
    """Seconds for one voucher signed, and for one verified, alone."""
    channel = _terms(2).channel
    vouchers: list[Voucher] = []

    def sign(totals: Iterable[int]) -> None:
        vouchers.extend(sign_voucher(_BUYER, channel, total) for total in totals)

    def verify() -> None:
        for voucher in vouchers:
            voucher.verify(_BUYER.public)

    sign_s = _timed(lambda: sign(range(1, SIGNATURES + 1)))
    return sign_s / SIGNATURES, _timed(verify) / SIGNATURES


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
