"""From the configuration to what outsiders ask of a gateway: its ledger's counter, its apps."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.appdesk import Apps
from agent.config import Config
from agent.credit import Credit
from agent.desks import SellingDesk, SellingRules
from agent.disclosed import ITEM_PRICE_MAX
from agent.gateway.manners import CLOSING_DELAY_S_MIN
from agent.granting import SELLER
from agent.orders import Counter
from agent.running import Connection
from agent.status import printable
from agent.stores import Stores
from agent.tally import Seller
from ledger_client.errors import RemoteError
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

CREDIT_MINOR_UNITS = 2 * ITEM_PRICE_MAX
CREDIT = Credit(CREDIT_MINOR_UNITS, CREDIT_MINOR_UNITS, 1)
"""What an app may owe at most, over all channels that it ever opened."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Counting:
    """The counter as a deal."""

    counter: Counter

    async def run(self, connection: Connection) -> None:
        """Answer until cancelled."""
        await self.counter.run(connection.broker)

    async def settle(self) -> None:
        """Every answer was given."""


@dataclass(frozen=True, slots=True)
class Outsiders:
    """The two deals, and the short id under which apps are sold to."""

    counting: _Counting
    apps: Apps
    seller: str


def outsiders(config: Config, stores: Stores, now_s: Callable[[], int]) -> Outsiders:
    """What outsiders may ask for; `now_s` is Unix time to the minute."""
    asset = config.ledger.asset
    book = Book.open(stores.connection, stores.log, stores.signer, now_s=now_s, asset=asset)
    key = stores.home.key(SELLER)
    rules = SellingRules(delay_s_min=CLOSING_DELAY_S_MIN)
    desk = SellingDesk(key, stores.till, credit=CREDIT, rules=rules, now_s=now_s)
    seller = Seller(desk, stores.till, EmbeddedSettlement(book, key), blame=_blame)
    live = config.broker.url == "embedded"
    return Outsiders(
        _Counting(Counter(book, stores.signer.public.short_id)),
        Apps(stores, book, seller, now_s, live),
        key.public.short_id,
    )


def _blame(speaker: str, error: RemoteError) -> None:
    _log.info("%s: %s", printable(speaker), printable(str(error)))
