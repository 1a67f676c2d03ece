"""One of our parties that is paid: it sells what its agreements cover, claims, and shares.

What is agreed is asked for again at every look. When an agreement is over nothing more is sold
under it; what the payer still owes has `GRACE_S` to come, then the channel is claimed and ended,
and what is left of a deposit goes back.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator
from contextlib import suppress

from agent.credit import Credit
from agent.desks import Goods, SellingDesk, SellingRules
from agent.keeping import Telling
from agent.licensed import Held
from agent.metering import Metered
from agent.pacing import Limits
from agent.partners import Office, collector_of, share_order
from agent.running import Connection
from agent.sales import LicenceGoods
from agent.tally import Seller
from agent.till import Sale
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.settlement import sharing
from ledger_client.settlement.embedded import EmbeddedSettlement

LOOK_EVERY_S = 0.5
SETTLE_EVERY_S = 3_600.0
PAID_WAIT_MAX_S = 3.0
GRACE_S = 10.0

_log = logging.getLogger(__name__)


class Collecting:
    """Everything that is paid to `key`, on `credit` for each payer, or ahead."""

    def __init__(
        self, key: SigningKey, office: Office, credit: Credit, rules: SellingRules, limits: Limits
    ) -> None:
        self.party = key.public
        self.credit = credit
        self._key = key
        self._office = office
        settlement = EmbeddedSettlement(office.book, key)
        till = office.till
        desk = SellingDesk(key, till, credit=credit, rules=rules, now_s=office.now_s)
        self._seller = Seller(desk, till, settlement, blame=office.blame, limits=limits)
        self._telling = Telling(key, office)
        self._goods: dict[bytes, LicenceGoods] = {}
        self._passed: dict[tuple[bytes, str], int] = {}
        self._last: dict[bytes, Metered] = {}
        self._over: dict[bytes, float] = {}
        self._ending = False

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._seller.run(connection.broker))
            tasks.create_task(self._telling.run(connection.broker))
            tasks.create_task(self._settle_again())
            while not self._ending:
                await self._look_around()
                await asyncio.sleep(LOOK_EVERY_S)

    async def _look_around(self) -> None:
        sales = self._seller.channels()
        for sale in sales:
            await self._look(sale)
        self._forget({sale.terms.channel for sale in sales})

    def _forget(self, live: Collection[bytes]) -> None:
        """What was remembered of channels that are over."""
        for held in (self._goods, self._last, self._over):
            for channel in held.keys() - live:
                del held[channel]
        for place in [place for place in self._passed if place[0] not in live]:
            del self._passed[place]

    async def settle(self) -> None:
        """Sell the last of it, wait a little for the payers, claim and share.

        The channels stay; nothing more is sold on them by us.
        """
        self._ending = True
        await self._look_around()
        with suppress(TimeoutError):
            async with asyncio.timeout(PAID_WAIT_MAX_S):
                await self._seller.wait_until_paid()
        await self._claim()

    async def _settle_again(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_EVERY_S)
            await self._claim()

    async def _claim(self) -> None:
        with suppress(RemoteError):  # not now; what is promised stays
            await self._seller.settle()
        for holding, agreement in self._office.paid():
            if collector_of(agreement) == self.party:
                order = sharing.sign(self._key, share_order(agreement, holding.digest))
                try:
                    self._office.book.share(order)
                except RemoteError as error:
                    _log.warning("agreement %s: %s", holding.digest.hex()[:16], error)

    async def _look(self, sale: Sale) -> None:
        holding = self._office.shelf.find(sale.terms.agreement)
        if holding is None:
            return
        held = self._office.held(holding)
        if held is None or not held.fits(sale.terms):
            return
        if holding.standing.covers(self._office.now_s()):
            self._offer(sale, held)
        elif self._office.now_s() >= holding.standing.until_s:
            await self._end(sale, held)

    def _offer(self, sale: Sale, held: Held | Metered) -> None:
        channel = sale.terms.channel
        if isinstance(held, Held):
            packer = self._goods.setdefault(
                channel, LicenceGoods(self._office.stores, linger_s=self._office.linger_s)
            )
            self._seller.sell(channel, packer.goods(held, sale, self._office.now_s()))
        elif sale.side.funded >= held.service.deposit_minor_units:
            self._last[channel] = held
            self._seller.sell(channel, self._units(held, sale))

    async def _end(self, sale: Sale, held: Held | Metered) -> None:
        """Bill the last units of a service, let the payer pay, claim, and end the channel."""
        channel, now = sale.terms.channel, asyncio.get_running_loop().time()
        last = self._last.get(channel)
        if isinstance(held, Metered) and last is not None:
            final = held.ended(last)
            if self._seller.sell(channel, self._units(final, sale)):
                return
        since = self._over.setdefault(channel, now)
        if sale.side.due <= sale.side.best or now - since > GRACE_S:
            with suppress(RemoteError):  # the ledger says no for now; asked again
                await self._seller.close_now(channel)
                await self._claim()

    def _units(self, metered: Metered, sale: Sale) -> Iterator[Goods]:
        at_s = min(self._office.now_s(), metered.standing.until_s - 1)
        for price, number in metered.passed():
            place = sale.terms.channel, price.unit
            if number <= self._passed.get(place, 0):
                continue
            yield Goods(
                metered.source(price.unit, number),
                price.minor_units,
                metered.body(price.unit, number, at_s),
                simulated=metered.simulated,
            )
            self._passed[place] = number  # not reached when there was no room: tried again
