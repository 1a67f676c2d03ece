"""Who trades on the demo's street: runner and car, and the strangers brand and charger.

Nothing here fakes a stage: the listener, the pipeline, the log, the broker and the money are those
of any gateway. Only the things on the air are ours as well, and the strangers have keys, tills and
connections of their own.
"""

from agent import topics
from agent.accounts import SellerAccount
from agent.deals import Purchase, ReadingsOffer, ReadingsSale, UnitsSale
from agent.demo import deeds
from agent.demo.guests import DASHBOARD, Guest, Onlooker
from agent.demo.parties import Parties
from agent.demo.street import UNIT_J
from agent.goods import SIMULATED, ReadingsWanted, Tariff
from agent.running import Trade
from agent.status import Board
from firmware_bridge.neighbourhood import Neighbourhood
from ledger_client.channels import Terms
from ledger_client.messages import Item

UNIT_PRICE = 4_900  # 0.49 EUR a kWh, in millionths
READING_PRICE = 50
BRAND_SPENDS = 5_000_000
CAR_SPENDS = 2_000_000
BRAND_CREDIT = 200_000
CAR_CREDIT = 4 * UNIT_PRICE


class Market:
    """The honest trades: a brand buys the runner's readings, a car pays the charger by the unit."""

    def __init__(self, parties: Parties, board: Board, hood: Neighbourhood) -> None:
        """Signs the agreements the first time, and gives who pays a purse of play money."""
        stores = parties.stores
        self.parties = parties
        self._board = board
        self._hood = hood
        self.runner, self._car = parties.key("party-runner"), parties.key("party-car")
        self.brand, self._charger = parties.key("peer-brand"), parties.key("component-charger")
        self._tariff = Tariff(self._charger.public.did, UNIT_J, UNIT_PRICE, simulated=True)
        parties.fund(self.brand.public)
        parties.fund(self._car.public)
        self.licence = deeds.signed(
            stores.home,
            parties.book.name,
            stores.stream_for("runner", deeds.PURPOSE).urn,
            {
                "runner": self.runner,
                "brand": self.brand,
                "car": self._car,
                "charger": self._charger,
            },
            deeds.Prices(parties.book.asset, READING_PRICE, UNIT_J, UNIT_PRICE),
            parties.now_s(),
        )
        self.onlooker = Onlooker()
        self.accounts = (
            SellerAccount("reading batches", "brand", "runner", stores.till, self.runner.public),
            SellerAccount(
                "0.01 kWh units",
                "car",
                "charger",
                parties.till("charger"),
                self._charger.public,
            ),
        )

    def trade(self) -> Trade:
        """The four deals, and what our broker must know of them."""
        brand, charger = self.brand.public.short_id, self._charger.public.short_id
        return Trade(
            deals=(
                self._sale(),
                self._charging(),
                Guest(brand, self._buying()),
                Guest(charger, self._energy()),
                Guest(DASHBOARD, self.onlooker),
            ),
            relayed=(self.runner.public.short_id, self._car.public.short_id),
            guests={
                brand: topics.component_rules(brand),
                charger: topics.component_rules(charger),
                DASHBOARD: topics.DASHBOARD,
            },
        )

    def _sale(self) -> ReadingsSale:
        stores = self.parties.stores
        return ReadingsSale(
            self.parties.seller(self.runner, stores.till, BRAND_CREDIT),
            stores,
            "runner",
            {self.brand.public: ReadingsOffer(READING_PRICE, agreement=self.licence)},
        )

    def _buying(self) -> Purchase:
        parties, stores = self.parties, self.parties.stores
        wanted = ReadingsWanted(
            stores.signer.public,
            stores.log_key,
            READING_PRICE,
            SIMULATED,
            agreement=self.licence,
        )
        buyer = parties.buyer(self.brand, parties.till("brand"), wanted.accept)
        return Purchase(buyer, parties.terms(self.brand, self.runner), BRAND_SPENDS)

    def _energy(self) -> UnitsSale:
        till = self.parties.till("charger")
        return UnitsSale(
            self.parties.seller(self._charger, till, CAR_CREDIT),
            self._tariff,
            lambda: self._hood.car.delivered_j,
            sold_before=sum(sale.side.n for sale in till.sales()),
        )

    def _charging(self) -> Purchase:
        parties = self.parties

        def accept(_: Terms, item: Item) -> bytes:
            return self._tariff.accept(item, self._board.number("charger", "energy"))

        buyer = parties.buyer(self._car, parties.stores.till, accept)
        return Purchase(buyer, parties.terms(self._car, self._charger), CAR_SPENDS)
