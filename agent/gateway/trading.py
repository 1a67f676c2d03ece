"""The parties of a home at work: whom its agreements make sell, pay and be let in, as they stand.

Money is on the embedded ledger, this gateway's own book; what we pay may also be on the ledger of
the gateway that an agreement's payee names. `[trading]` says what our operator vouches for, and how
much is sold on credit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent import gateway, topics
from agent.accounts import Account, BuyerAccount, SellerAccount
from agent.agreed import Holding
from agent.bases import open_bases
from agent.broker import BrokerError
from agent.clock import minute_s
from agent.collecting import Collecting
from agent.config import Config
from agent.gateway import manners
from agent.partners import Office, Paid, collector_of, item_price_max, payer_of
from agent.paying import Paying
from agent.running import Connection, Deal, Trade
from agent.status import Board
from agent.stores import Stores
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.settlement.embedded import Book

if TYPE_CHECKING:
    from agent.gateway.listening import Scene

LOOK_EVERY_S = 0.5
LINGER_S = 2.0
"""How long after the last moment of a batch its receipt may take to be there."""
PAYERS_MAX = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trading:
    """The deals, and how each is shown; the accounts grow with what is agreed."""

    trade: Trade = field(default_factory=Trade)
    accounts: Sequence[Account] = ()


def trading(config: Config, stores: Stores, board: Board, scene: "Scene") -> Trading:
    """What the home's agreements ask for; on a demo street also what its strangers do."""
    if scene.hood is not None and config.gateway.demo:
        from agent.demo.market import Market  # noqa: PLC0415  # heavy: bumble
        from agent.demo.parties import Parties  # noqa: PLC0415  # same

        market = Market(Parties(stores, gateway.clock), board, scene.hood)
        return Trading(market.trade(), market.accounts)
    desk = Desk(config, stores, board)
    return Trading(Trade((desk,), desk.relayed, desk.guests), desk.accounts)


class Desk:
    """Has a desk for each of our parties that an agreement names, from its first look on.

    `relayed`, `guests` and `accounts` are what the agreements ask for by now.
    """

    def __init__(self, config: Config, stores: Stores, board: Board) -> None:
        """Looks at the agreements that are there, and takes up none of them yet."""
        book = Book.open(
            stores.connection,
            stores.log,
            stores.signer,
            now_s=lambda: minute_s(gateway.clock().wall_ms),
            asset=config.ledger.asset,
        )
        self._office = Office(
            stores=stores,
            till=stores.till,
            shelf=stores.shelf,
            book=book,
            board=board,
            base=open_bases(stores.connection),
            now_s=lambda: gateway.clock().wall_ms // 1000,
            linger_s=config.batch.age_max_s + LINGER_S,
        )
        self._settings = config.trading
        self._seen: object = None
        self._collecting: dict[PublicKey, Collecting] = {}
        self._paying: dict[PublicKey, Paying] = {}
        self._tasks: dict[Deal, asyncio.Task[None]] = {}
        self.relayed: list[str] = []
        self.guests: dict[str, topics.Rules] = {}
        self.accounts: list[Account] = []
        self._arrange()

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled; whatever is signed meanwhile is taken up."""
        async with asyncio.TaskGroup() as tasks:
            for deal in self._deals():
                self._tasks[deal] = tasks.create_task(deal.run(connection))
            while True:
                await self._step(connection, tasks)
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """As each party does."""
        async with asyncio.TaskGroup() as tasks:
            for deal in self._deals():
                tasks.create_task(deal.settle())

    def _deals(self) -> list[Deal]:
        return [*self._collecting.values(), *self._paying.values()]

    async def _step(self, connection: Connection, tasks: asyncio.TaskGroup) -> None:
        if self._office.shelf.holdings() == self._seen:
            return
        users = len(self.relayed) + len(self.guests)
        self._arrange()
        if len(self.relayed) + len(self.guests) != users:
            try:
                await connection.refresh()
            except BrokerError as error:
                _log.warning("%s", error)
                self._seen = None  # and it is tried again
        wanted = self._deals()
        for deal in [deal for deal in self._tasks if deal not in wanted]:
            task = self._tasks.pop(deal)
            task.cancel()
            await asyncio.wait([task])
        for deal in wanted:
            if deal not in self._tasks:
                self._tasks[deal] = tasks.create_task(deal.run(connection))

    def _arrange(self) -> None:
        """Make the parties that the agreements ask for and that are not there yet."""
        self._seen = self._office.shelf.holdings()
        ours = {key.public: key for key in self._office.stores.home.parties().values()}
        agreed = Counter[PublicKey]()
        for holding, agreement in self._office.paid():
            payer, collector = payer_of(agreement), collector_of(agreement)
            here = {payer, collector} & ours.keys()
            if holding.standing.from_s is None or not here:
                continue
            if len({*agreed, payer}) > PAYERS_MAX:
                _log.warning("more than %s payers: the others do not trade here", PAYERS_MAX)
                break
            agreed[payer] += 1
            self._let_in((payer, collector), ours)
            self._show(holding, agreement, ours)
            if collector in here:
                self._collect(ours[collector], agreement)
            if payer in here:
                self._pay(ours[payer])
        for holding, agreement in self._office.elsewhere():
            payer = payer_of(agreement)
            if holding.standing.from_s is not None and payer in ours:
                self._let_in((payer,), ours)
                self._show(holding, agreement, ours)
                self._pay(ours[payer])
        for payer, count in agreed.items():
            self._office.book.issue(payer, count * self._settings.funded_minor_units)

    def _let_in(self, parties: Iterable[PublicKey], ours: Collection[PublicKey]) -> None:
        for party in parties:
            if party not in ours:
                self.guests[party.short_id] = topics.component_rules(party.short_id)
            elif party.short_id not in self.relayed:
                self.relayed.append(party.short_id)

    def _collect(self, key: SigningKey, agreement: Paid) -> None:
        """Have this party sell; anew, if an item costs more than what it sells on credit."""
        settings = self._settings
        credit = manners.credit(settings, item_price_max(agreement))
        found = self._collecting.get(key.public)
        if found is None or abs(found.credit.first) < abs(credit.first):
            self._collecting[key.public] = Collecting(
                key, self._office, credit, manners.selling(settings), manners.pace(settings)
            )

    def _pay(self, key: SigningKey) -> None:
        if key.public not in self._paying:
            settings = self._settings
            certificate = manners.certificate(self._office, key.public)
            self._paying[key.public] = Paying(
                key,
                self._office,
                settings.funded_minor_units,
                manners.buying(settings, certificate),
                manners.pace(settings),
            )

    def _show(self, holding: Holding, agreement: Paid, ours: Collection[PublicKey]) -> None:
        """Have an account of each side that is ours, once."""
        till, digest = self._office.stores.till, holding.digest
        payer, collector = payer_of(agreement), collector_of(agreement)
        names = (agreement.payer, agreement.collector)
        what = f"{holding.kind} {digest.hex()[:8]}"
        shown: list[Account] = []
        if collector in ours:
            shown.append(SellerAccount(f"{what} sold", *names, till, collector, digest))
        if payer in ours:
            shown.append(BuyerAccount(f"{what} bought", *names, till, payer, digest))
        self.accounts += [account for account in shown if account not in self.accounts]
