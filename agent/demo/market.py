"""Who trades on the demo's street: runner and car, and the strangers brand and charger.

Nothing here fakes a stage: the listener, the pipeline, the log, the broker and the money are those
of any gateway. Only the things on the air are ours as well, and the strangers have keys, tills and
connections of their own.
"""

import logging
import os
from collections import Counter
from contextlib import closing

from agent import topics
from agent.accounts import SellerAccount
from agent.clock import minute_s
from agent.deals import Purchase, ReadingsOffer, ReadingsSale, UnitsSale
from agent.demo import deeds
from agent.demo.guests import DASHBOARD, Guest, Onlooker
from agent.demo.street import UNIT_J
from agent.desks import BuyingDesk, SellingDesk
from agent.goods import SIMULATED, ReadingsWanted, Tariff
from agent.running import Trade
from agent.status import Board, printable
from agent.stores import Stores
from agent.tally import Buyer, Seller
from agent.till import Till
from firmware_bridge.neighbourhood import Neighbourhood
from firmware_bridge.radio import Clock
from ledger_client.channels import SALT_BYTES, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import open_database
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

UNIT_PRICE = 4_900  # 0.49 EUR a kWh, in millionths
READING_PRICE = 50
PURSE = 10_000_000_000
BRAND_SPENDS = 5_000_000
CAR_SPENDS = 2_000_000
BRAND_CREDIT = 200_000
CAR_CREDIT = 4 * UNIT_PRICE
DELAY_S = 86_400

_log = logging.getLogger(__name__)


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
        self.licence = deeds.signed(
            home,
            self._book.name,
            stores.stream_for("runner", deeds.PURPOSE).urn,
            {
                "runner": self._runner,
                "brand": self._brand,
                "car": self._car,
                "charger": self._charger,
            },
            deeds.Prices(self._book.asset, READING_PRICE, UNIT_J, UNIT_PRICE),
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
