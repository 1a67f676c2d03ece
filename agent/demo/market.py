"""Who trades on the demo's street: runner and car, and the strangers brand and charger.

Nothing here fakes a stage: the listener, the pipeline, the log, the broker and the money are those
of any gateway. Only the things on the air are ours as well, and the strangers have keys, tills and
connections of their own.
"""

from agent import topics
from agent.accounts import SellerAccount
from agent.deals import Purchase, ReadingsOffer, ReadingsSale, UnitsSale
from agent.demo import deeds
from agent.demo.activating import Activating
from agent.demo.deeds import Deeds
from agent.demo.guests import DASHBOARD, Guest, Onlooker
from agent.demo.loyalty import Loyalty
from agent.demo.parties import Parties
from agent.demo.street import UNIT_J
from agent.goods import SIMULATED, ReadingsWanted, Tariff
from agent.running import Connection, Trade
from agent.status import Board
from firmware_bridge.neighbourhood import Neighbourhood
from firmware_bridge.neighbourhood.behaviour import TYRES as CORNERS
from ledger_client.channels import Terms
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.settlement import sharing
from ledger_client.settlement.sharing import ShareOrder

UNIT_PRICE = 4_900  # 0.49 EUR a kWh, in millionths
READING_PRICE = 50
BRAND_SPENDS = 5_000_000
CAR_SPENDS = 2_000_000
BRAND_CREDIT = 200_000
CAR_CREDIT = 4 * UNIT_PRICE
UNITS_A_NOTE = 5
TYRES = tuple(f"tyre-{corner}" for corner in CORNERS)


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
        self._insurer, self._maker = parties.key("peer-insurer"), parties.key("peer-maker")
        self.deeds = deeds.signed(
            stores.home,
            parties.book.name,
            stores.stream_for("runner", deeds.PURPOSE).urn,
            {
                "runner": self.runner,
                "maker": self._maker,
                "brand": self.brand,
                "car": self._car,
                "charger": self._charger,
                "insurer": self._insurer,
            },
            deeds.Prices(parties.book.asset, READING_PRICE, UNIT_J, UNIT_PRICE),
            parties.now_s(),
        )
        self.onlooker = Onlooker()
        self.activating = Activating(parties, self.deeds, self.brand, self.runner.public, board)
        self.loyalty = Loyalty(
            parties,
            self.deeds,
            {"brand": self.brand, "charger": self._charger, "insurer": self._insurer},
            {
                "brand": lambda: self.activating.done,
                "charger": lambda: self._items("charger") // UNITS_A_NOTE,
                "insurer": lambda: all(board.number(tyre, "tyre_pressure") for tyre in TYRES),
            },
        )
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
        """Every deal, and what our broker must know of them."""
        brand, charger = self.brand.public.short_id, self._charger.public.short_id
        insurer, desks = self._insurer.public.short_id, self.loyalty.desks
        return Trade(
            deals=(
                self._sale(),
                self._charging(),
                Guest(brand, self._buying(), desks["brand"], self.activating),
                Guest(charger, self._energy(), desks["charger"]),
                Guest(insurer, desks["insurer"]),
                Guest(DASHBOARD, self.onlooker),
                self.loyalty,
            ),
            relayed=(
                self.runner.public.short_id,
                self._car.public.short_id,
                *self.loyalty.wallet.ids,
            ),
            guests={
                brand: topics.component_rules(brand),
                charger: topics.component_rules(charger),
                insurer: topics.component_rules(insurer),
                DASHBOARD: topics.DASHBOARD,
            },
        )

    @property
    def licence(self) -> bytes:
        """The name of the runner's licence."""
        return self.deeds.licence.digest

    def _items(self, seller: str) -> int:
        return sum(sale.side.n for sale in self.parties.till(seller).sales())

    def _sale(self) -> "Shared":
        stores = self.parties.stores
        sale = ReadingsSale(
            self.parties.seller(self.runner, stores.till, BRAND_CREDIT),
            stores,
            "runner",
            {self.brand.public: ReadingsOffer(READING_PRICE, agreement=self.licence)},
        )
        return Shared(sale, self.parties, self.runner, self.deeds)

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
        terms = parties.terms(self.brand, self.runner, self.licence)
        return Purchase(buyer, terms, BRAND_SPENDS)

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


class Shared:
    """A sale whose earnings the ledger divides among the parties of its licence at the end."""

    def __init__(
        self, sale: ReadingsSale, parties: Parties, seller: SigningKey, signed: Deeds
    ) -> None:
        self._sale = sale
        self._parties = parties
        self._seller = seller
        self._signed = signed

    async def run(self, connection: Connection) -> None:
        """As the sale does."""
        await self._sale.run(connection)

    async def settle(self) -> None:
        """As the sale does; then each party has its part."""
        await self._sale.settle()
        licence = self._signed.data
        parts = tuple(
            (licence.key_of(party.name).thumbprint, party.share_bps) for party in licence.parties
        )
        book = self._parties.book
        order = ShareOrder(book.name, self._signed.licence.digest, self._seller.public, parts)
        book.share(sharing.sign(self._seller, order))
