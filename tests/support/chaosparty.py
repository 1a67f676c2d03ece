"""One party of the chaos scenario as a process of its own: it trades until it is killed.

Its till is its own, the ledger lies beside. It writes down whom it blames, and once it may stop
and everything is paid and settled, that it is done.
"""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

from market import BUYER, SELLER, accept, open_book, terms

from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import Limits as MqttLimits
from agent.broker.mqtt import MqttBroker
from agent.desks import BuyingDesk, Goods, SellingDesk
from agent.pacing import Limits
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.settlement.embedded import EmbeddedSettlement

PARTIES = {"seller": SELLER, "buyer": BUYER}
PRICE_MAX = 7
AT_ONCE_MAX = 8
PAUSE_S = 0.02
SPENDABLE = 2_000
MADE_LEAST = 20
"""Goods, also when the storm let none through."""
TALLY = Limits(retry_first_s=0.2, retry_most_s=2.0, watch_s=0.5)
MQTT = MqttLimits(puback_max_s=1.5, keepalive_s=2, backoff_max_s=0.5)


@dataclass(frozen=True)
class Place:
    """Where a party is: its role, the scenario's folder, the way to the broker, its dice."""

    role: str
    folder: str
    url: str
    password: str
    window: int
    seed: int

    @property
    def home(self) -> Path:
        """The party's own folder."""
        return Path(self.folder) / self.role

    @property
    def up(self) -> Path:
        """What is there as soon as this life of the party has a broker."""
        return self.home / "up"

    @property
    def key(self) -> SigningKey:
        """The party's own key."""
        return PARTIES[self.role]

    def command(self) -> list[str]:
        """What starts this party."""
        return [sys.executable, str(Path(__file__)), json.dumps(asdict(self))]


def body_of(number: int) -> bytes:
    """The goods of that number."""
    return b"reading %d" % number


def price_of(number: int) -> int:
    """What they cost: 1 to PRICE_MAX, the same whoever asks."""
    return 1 + sha256(body_of(number)).digest()[0] % PRICE_MAX


def thing(number: int) -> Goods:
    """The goods of that number as they are offered."""
    body = body_of(number)
    return Goods(sha256(body).digest(), price_of(number), body, simulated=True)


class _Party:
    """What both roles need."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.dice = Random(place.seed)
        self.till = Till.open(open_database(place.home / "till.db"))
        book = open_book(open_database(Path(place.folder) / "ledger.db"))
        self.settlement = EmbeddedSettlement(book, place.key)

    def blame(self, speaker: str, error: RemoteError) -> None:
        """Write it down."""
        with (self.place.home / "blamed").open("a") as file:
            file.write(f"{speaker}: {error}\n")

    def told_to_stop(self) -> bool:
        """Whether the storm is over and nothing new is to be made."""
        return (Path(self.place.folder) / "stop").exists()

    def limit(self) -> int:
        """Up to which number goods are sold, fixed once we are told to stop; 0 before."""
        made = self.place.home / "made"
        if not self.told_to_stop():
            return 0
        if not made.exists():
            made.write_text(str(max(MADE_LEAST, self._most_sold())))
        return int(made.read_text())

    def _most_sold(self) -> int:
        """The highest number of goods that was ever sold."""
        rows = self.till._db.execute("SELECT digest FROM till_items")
        digests = {bytes(row[0]) for row in rows}
        number = 0
        while digests:
            number += 1
            digests.discard(sha256(body_of(number)).digest())
        return number

    def first_unsold(self) -> int:
        """The lowest number of goods that no channel holds for sold; 1 before the first channel."""
        sales, number = self.till.sales(), 1
        while sales and self.till.sold(sales[0], thing(number).source):
            number += 1
        return number


async def sell(party: _Party, broker: MqttBroker) -> None:
    """Sell goods by number, claim and close now and then; in the end all up to the limit."""
    desk = SellingDesk(SELLER, party.till, credit=party.place.window)
    seller = Seller(desk, party.till, party.settlement, blame=party.blame, limits=TALLY)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(seller.run(broker))
        first = party.first_unsold()
        while True:
            limit = party.limit()
            for sale in seller.channels():
                count = party.dice.randint(1, AT_ONCE_MAX)
                most = min(limit, first + count - 1) if limit else first + count - 1
                first += seller.sell(sale.terms.channel, map(thing, range(first, most + 1)))
            first = await _end_some(party, seller, first, limit)
            await asyncio.sleep(PAUSE_S)


async def _end_some(party: _Party, seller: Seller, first: int, limit: int) -> int:
    """Claim, close, or say that all is done; where to go on selling."""
    sales = seller.channels()
    if limit and first > limit and all(sale.side.due == sale.side.best for sale in sales):
        if (unsold := party.first_unsold()) <= limit:
            return unsold  # a channel ended before they were paid
        for sale in sales:
            await seller.close_now(sale.terms.channel)
        (party.place.home / "done").touch()
        return first
    with suppress(RemoteError):  # somebody else closed it
        if party.dice.random() < 0.03:
            await seller.settle()
        if not limit and party.dice.random() < 0.002:
            for sale in sales:
                await seller.close_now(sale.terms.channel)
            return party.first_unsold()
    return first


async def buy(party: _Party, broker: MqttBroker) -> None:
    """Keep a channel open, with more in it whenever it runs low."""
    desk = BuyingDesk(BUYER, party.till, accept=accept)
    buyer = Buyer(desk, party.till, party.settlement, blame=party.blame, limits=TALLY)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(buyer.run(broker))
        while True:
            left = [held.side.funded - held.side.due for held in buyer.channels()]
            done = party.told_to_stop() and (party.place.home.parent / "seller" / "done").exists()
            if not done and max(left, default=0) < SPENDABLE // 2:
                salt = party.dice.getrandbits(120)
                with suppress(RemoteError):  # it was closed meanwhile
                    await buyer.open(terms(salt), SPENDABLE)
            await asyncio.sleep(TALLY.watch_s)


async def trade(place: Place) -> None:
    """Be this party until killed."""
    party = _Party(place)
    name = place.key.public.short_id
    broker = MqttBroker(
        Endpoint(place.url, name, name, place.password), random=party.dice, limits=MQTT
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(broker.run())
        tasks.create_task((sell if place.role == "seller" else buy)(party, broker))
        await broker.connected.wait()
        place.up.touch()


if __name__ == "__main__":
    asyncio.run(trade(Place(**json.loads(sys.argv[1]))))
