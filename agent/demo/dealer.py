"""A component that sells what it has twice: to the same buyer, and to another who has no licence.

The dealer's desk is that of anybody; it only gives the same batch out under a new name. Both buyers
are honest: a customer who takes any proved batch once, and a rival whose licence nobody granted.
"""

import os
from typing import TYPE_CHECKING

from agent.demo.cheats import Cheat, Finding, Outcome, Shown, until
from agent.demo.parties import Parties
from agent.desks import Goods
from agent.goods import readings_body
from agent.running import Connection
from agent.tally import Seller
from agent.till import Till
from ledger_client.channels import Terms
from ledger_client.keys import PublicKey

if TYPE_CHECKING:
    from agent.demo.traces import Told

WAIT_MAX_S = 6.0
SOURCE_BYTES = 16
GOODS = "tyre-front-left"


class Dealer:
    """The seller, as a deal of its own: it waits for a batch and for those who buy."""

    def __init__(self, key: PublicKey, seller: Seller, till: Till, price: int) -> None:
        self.key = key
        self.till = till
        self._seller = seller
        self._price = price
        self._chosen: Told | None = None

    async def run(self, connection: Connection) -> None:
        """Deal until cancelled."""
        await self._seller.run(connection.broker)

    async def settle(self) -> None:
        """Take what was promised for the first sale."""
        await self._seller.settle()

    async def sell(self, payer: PublicKey, shown: Shown) -> bytes:
        """Sell the one batch to `payer`, again if need be; the channel, or nothing."""
        await until(lambda: self._ready(payer, shown), WAIT_MAX_S)
        terms = self._open(payer)
        if terms is None or self._chosen is None:
            return b""
        index = self._chosen.entry
        body = readings_body(
            self._chosen.statement,
            shown.running.stores.log.receipt(index),
            list(self._chosen.leaves),
        )
        price = self._price * len(self._chosen.leaves)
        goods = Goods(os.urandom(SOURCE_BYTES), price, body, simulated=True)  # a new name for it
        self._seller.sell(terms.channel, [goods])
        return terms.channel

    def _ready(self, payer: PublicKey, shown: Shown) -> bool:
        shown.traces.look()
        if self._chosen is None:
            self._chosen = next((told for told in shown.traces.told if told.of(GOODS)), None)
        terms = self._open(payer)
        return bool(terms and self._chosen and self._seller.room(terms.channel))

    def _open(self, payer: PublicKey) -> Terms | None:
        held = [sale.terms for sale in self._seller.channels() if sale.terms.payer == payer]
        return held[-1] if held else None


class _Sale:
    """What both cheats share: how a sale on the dealer's books stands."""

    def __init__(self, dealer: Dealer, buyer: PublicKey, parties: Parties) -> None:
        self._dealer = dealer
        self._buyer = buyer
        self._parties = parties
        self._channel = b""

    def _stands(self) -> tuple[int, int, int]:
        """Items sold, what was asked for them, and what was promised, by the dealer's till."""
        sale = self._dealer.till.sale(self._channel)
        return (sale.side.n, sale.side.due, sale.side.best) if sale else (0, 0, 0)

    def _finding(self, honest: int) -> Finding:
        """Refused, if more than `honest` was asked and no more promised, and the buyer says why."""
        n, due, best = self._stands()
        why = self._parties.refused(self._buyer, self._dealer.key)
        evidence: dict[str, object] = {"sold": n, "asked": due, "promised": best, "why": why}
        if n and best > honest:
            return Finding(Outcome.TAKEN, f"{best} was promised for it", evidence)
        if not n or not why:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        return Finding(Outcome.REFUSED, f"by the buyer's till: {why}", evidence)


class TwiceToOne(_Sale):
    """The same batch to the same buyer, as item 1 and as item 2."""

    name = "the same readings sold twice to one buyer"
    after_s = 10.0
    _first = 0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Sell, be paid, sell again."""
        del connection
        self._channel = await self._dealer.sell(self._buyer, shown)
        await until(lambda: self._stands()[2], WAIT_MAX_S)
        self._first = self._stands()[2]
        await self._dealer.sell(self._buyer, shown)

    def judge(self, shown: Shown) -> Finding:
        """The first was paid; was the second?"""
        del shown
        if not self._first or self._stands()[0] < 2:  # noqa: PLR2004  # twice
            return Finding(Outcome.UNSEEN)
        return self._finding(self._first)


class ToAnother(_Sale):
    """The same batch to a second buyer, whom its subject licensed nothing."""

    name = "the same readings sold to a second buyer"
    after_s = 12.0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Sell it to the rival too."""
        del connection
        self._channel = await self._dealer.sell(self._buyer, shown)

    def judge(self, shown: Shown) -> Finding:
        """Was anything promised for it?"""
        del shown
        return self._finding(0)


def by_the_dealer(
    dealer: Dealer, customer: PublicKey, rival: PublicKey, parties: Parties
) -> list[Cheat]:
    """Both; what the two buyers refused is read where all parties of the street keep it."""
    return [TwiceToOne(dealer, customer, parties), ToAnother(dealer, rival, parties)]
