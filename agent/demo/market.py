"""Who trades on the demo's street: runner and car, and the strangers brand and charger.

Nothing here fakes a stage: the listener, the pipeline, the log, the broker and the money are those
of any gateway. Only the things on the air are ours as well, and the strangers have keys, tills and
connections of their own.
"""

from agent import topics
from agent.accounts import SellerAccount
from agent.collecting import Collecting
from agent.demo import deeds
from agent.demo.activating import Activating
from agent.demo.guests import DASHBOARD, Guest, Onlooker
from agent.demo.loyalty import Loyalty
from agent.demo.parties import Parties
from agent.demo.street import UNIT_J
from agent.goods import SIMULATED
from agent.paying import Paying
from agent.running import Trade
from agent.status import Board
from firmware_bridge.neighbourhood import Neighbourhood
from firmware_bridge.neighbourhood.behaviour import TYRES as CORNERS

UNIT_PRICE = 4_900  # 0.49 EUR a kWh, in millionths
READING_PRICE = 50
BRAND_SPENDS = CAR_SPENDS = 1_000_000_000
"""For as long as the agreement holds, over all runs on a home."""
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

    def _sale(self) -> Collecting:
        till = self.parties.stores.till
        return self.parties.collecting(self.runner, till, BRAND_CREDIT, self._board)

    def _buying(self) -> Paying:
        till = self.parties.till("brand")
        return self.parties.paying(self.brand, till, BRAND_SPENDS, self._board)

    def _energy(self) -> Collecting:
        till, meter = self.parties.till("charger"), OwnMeter(self._hood)
        return self.parties.collecting(self._charger, till, CAR_CREDIT, meter)

    def _charging(self) -> Paying:
        till = self.parties.stores.till
        return self.parties.paying(self._car, till, CAR_SPENDS, self._board)


class OwnMeter(Board):
    """What the charger knows of itself: where its meter stands, whoever hears it."""

    def __init__(self, hood: Neighbourhood) -> None:
        super().__init__()
        self._hood = hood

    def newest(self, alias: str, quantity: str) -> tuple[float, int] | None:
        """The meter in joules, simulated as it is; None for anything else."""
        if (alias, quantity) != ("charger", "energy"):
            return None
        return self._hood.car.delivered_j, SIMULATED
