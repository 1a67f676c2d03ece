"""The demo's street: a virtual runner, a virtual car, and two strangers to trade with.

Nothing here fakes a stage: the listener, the pipeline, the log, the broker and the money are those
of any gateway. Only the things on the air are ours as well, and two strangers with keys, tills and
connections of their own: a brand that buys the runner's readings and a charger that sells energy.
"""

import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from random import Random
from typing import NamedTuple

from agent import streetdeeds, topics
from agent.accounts import SellerAccount
from agent.broker.mqtt import MqttBroker
from agent.clock import minute_s
from agent.deals import Purchase, ReadingsOffer, ReadingsSale, UnitsSale
from agent.desks import BuyingDesk, SellingDesk
from agent.goods import SIMULATED, ReadingsWanted, Tariff
from agent.home import Home
from agent.pipeline import Component
from agent.running import Connection, Deal, Ears, Trade
from agent.status import Board, printable
from agent.stores import Stores
from agent.tally import Buyer, Seller
from agent.till import Till
from firmware_bridge.neighbourhood import Neighbourhood, Thing
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air
from ledger_client.channels import SALT_BYTES, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import open_database
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

UNIT_J = 36_000  # 0.01 kWh
UNIT_PRICE = 4_900  # 0.49 EUR a kWh, in millionths
READING_PRICE = 50
PURSE = 10_000_000_000
BRAND_SPENDS = 5_000_000
CAR_SPENDS = 2_000_000
BRAND_CREDIT = 200_000
CAR_CREDIT = 4 * UNIT_PRICE
DELAY_S = 86_400

TRAFFIC_SHOWN = 12
DASHBOARD = "dashboard"

_log = logging.getLogger(__name__)


class Street(NamedTuple):
    """Everything that can be heard, and what the things know of themselves."""

    ears: Ears
    neighbourhood: Neighbourhood


def component(thing: Thing) -> Component:
    """A virtual thing as somebody would have registered it."""
    return Component(
        alias=thing.alias,
        kind=thing.kind,
        address=thing.address,
        subject=thing.subject,
        profile=by_name(thing.profile),
        key=thing.key,
        silence_max_ms=int(thing.silence_max_s * 1000),
        pair=thing.pair,
    )


@asynccontextmanager
async def street(
    clock: Clock, seed: int, connections_max: int, meter_j: float
) -> AsyncIterator[Street]:
    """The same seed gives the same people and things; `meter_j` is where the charger goes on."""
    async with (
        Air(slots_max=connections_max) as air,
        Neighbourhood(air, clock, seed=seed, meter_j=meter_j) as hood,
    ):
        components = [component(thing) for thing in hood.things]
        devices = [
            Device(each.address, each.profile, each.pair, each.silence_max_ms / 1000)
            for each in components
        ]
        listener = Listener(
            VirtualBackend(air),
            devices,
            clock,
            Random(seed).random,  # noqa: S311  # jitter, not a secret
            Limits(connections_max=connections_max),
        )
        yield Street(Ears(listener, components), hood)


class Guest:
    """A deal of somebody else, over a connection of their own."""

    def __init__(self, user: str, deal: Deal) -> None:
        self._user = user
        self._deal = deal

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        broker = MqttBroker(
            connection.endpoint(self._user),
            random=Random(),  # noqa: S311  # jitter, not a secret
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(broker.run())
            tasks.create_task(self._deal.run(replace(connection, broker=broker)))

    async def settle(self) -> None:
        """As the deal does."""
        await self._deal.settle()


class Onlooker:
    """A dashboard: reads what everybody says, writes nothing, shows the last few topics."""

    def __init__(self) -> None:
        self.seen: deque[str] = deque(maxlen=TRAFFIC_SHOWN)
        self.messages = 0

    async def run(self, connection: Connection) -> None:
        """Watch until cancelled."""
        async with connection.broker.subscribe(topics.said_by_all()) as messages:
            async for message in messages:
                self.messages += 1
                speaker, _, rest = message.topic.removeprefix(f"{topics.ROOT}/c/").partition("/")
                self.seen.append(printable(f"{speaker[:6]}…/{rest} {len(message.payload)} B"))

    async def settle(self) -> None:
        """Nothing to settle."""


class Market:
    """Who trades on the street: runner, brand, car and charger, each with a key and a till."""

    def __init__(self, stores: Stores, board: Board, hood: Neighbourhood, clock: Clock) -> None:
        """Opens the strangers' tills, closed with `stores`.

        The money is play and issued by the demo's own ledger.
        """
        self._stores = stores
        self._board = board
        self._hood = hood
        home = stores.home
        self._runner, self._car = home.key("party-runner"), home.key("party-car")
        self._brand, self._charger = home.key("peer-brand"), home.key("component-charger")
        self._tariff = Tariff(self._charger.public.did, UNIT_J, UNIT_PRICE, simulated=True)
        self._tills = {name: self._peer_till(name) for name in ("brand", "charger")}
        self._book = Book.open(
            stores.connection, stores.log, stores.signer, now_s=lambda: minute_s(clock().wall_ms)
        )
        self._book.issue(self._brand.public, PURSE)
        self._book.issue(self._car.public, PURSE)
        self.licence = streetdeeds.signed(
            home,
            self._book.name,
            stores.subjects["runner"],
            {
                "runner": self._runner,
                "brand": self._brand,
                "car": self._car,
                "charger": self._charger,
            },
            streetdeeds.Prices(self._book.asset, READING_PRICE, UNIT_J, UNIT_PRICE),
            minute_s(clock().wall_ms),
        )
        self.blamed: Counter[str] = Counter()
        self.onlooker = Onlooker()
        self.accounts = (
            SellerAccount("reading batches", "brand", "runner", stores.till, self._runner.public),
            SellerAccount(
                "0.01 kWh units", "car", "charger", self._tills["charger"], self._charger.public
            ),
        )

    def _peer_till(self, name: str) -> Till:
        path = self._stores.home.peer_till(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Till.open(self._stores.beside.enter_context(closing(open_database(path))))

    def trade(self) -> Trade:
        """The four deals, and what our broker must know of them."""
        brand, charger = self._brand.public.short_id, self._charger.public.short_id
        return Trade(
            deals=(
                self._sale(),
                self._charging(),
                Guest(brand, self._buying()),
                Guest(charger, self._energy()),
                Guest(DASHBOARD, self.onlooker),
            ),
            relayed=(self._runner.public.short_id, self._car.public.short_id),
            guests={
                brand: topics.component_rules(brand),
                charger: topics.component_rules(charger),
                DASHBOARD: topics.DASHBOARD,
            },
        )

    def _sale(self) -> ReadingsSale:
        stores = self._stores
        desk = SellingDesk(self._runner, stores.till, credit=BRAND_CREDIT)
        return ReadingsSale(
            self._seller(desk, stores.till, self._runner),
            stores,
            "runner",
            {self._brand.public: ReadingsOffer(READING_PRICE, agreement=self.licence)},
        )

    def _buying(self) -> Purchase:
        wanted = ReadingsWanted(
            self._stores.signer.public,
            self._stores.log_key,
            READING_PRICE,
            SIMULATED,
            agreement=self.licence,
        )
        till = self._tills["brand"]
        desk = BuyingDesk(self._brand, till, accept=wanted.accept)
        buyer = Buyer(desk, till, self._settlement(self._brand), blame=self._blame)
        return Purchase(buyer, self._terms(self._brand, self._runner), BRAND_SPENDS)

    def _energy(self) -> UnitsSale:
        till = self._tills["charger"]
        desk = SellingDesk(self._charger, till, credit=CAR_CREDIT)
        return UnitsSale(
            self._seller(desk, till, self._charger),
            self._tariff,
            lambda: self._hood.car.delivered_j,
            sold_before=sum(sale.side.n for sale in till.sales()),
        )

    def _charging(self) -> Purchase:
        till = self._stores.till

        def accept(_: Terms, item: Item) -> bytes:
            return self._tariff.accept(item, self._board.number("charger", "energy"))

        buyer = Buyer(
            BuyingDesk(self._car, till, accept=accept),
            till,
            self._settlement(self._car),
            blame=self._blame,
        )
        return Purchase(buyer, self._terms(self._car, self._charger), CAR_SPENDS)

    def _seller(self, desk: SellingDesk, till: Till, key: SigningKey) -> Seller:
        return Seller(desk, till, self._settlement(key), blame=self._blame)

    def _settlement(self, key: SigningKey) -> EmbeddedSettlement:
        return EmbeddedSettlement(self._book, key)

    def _terms(self, payer: SigningKey, payee: SigningKey) -> Terms:
        return Terms(
            ledger=self._book.name,
            payer=payer.public,
            signer=payer.public,
            payee=payee.public,
            asset=self._book.asset,
            delay_s=DELAY_S,
            salt=os.urandom(SALT_BYTES),
            simulated=True,
        )

    def _blame(self, speaker: str, error: RemoteError) -> None:
        self.blamed[speaker] += 1
        _log.info("%s: %s", printable(speaker), printable(str(error)))


def units_sold(home: Home) -> int:
    """Units that the charger sold in earlier runs on this home: its meter goes on from there."""
    path = home.peer_till("charger")
    if not path.exists():
        return 0
    with closing(open_database(path)) as connection:
        return sum(sale.side.n for sale in Till.open(connection).sales())
