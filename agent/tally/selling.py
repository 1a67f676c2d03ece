"""The seller's shell."""

import asyncio
from collections.abc import Iterable

from agent.desks import RESEND_ITEMS_MAX, Effect, Goods, SellingDesk, Send
from agent.pacing import LIMITS, Limits
from agent.tally.shell import Blame, Shell
from agent.till import Sale, Till
from ledger_client import messages
from ledger_client.channels import State, Voucher
from ledger_client.errors import EncodingError
from ledger_client.messages import Item
from ledger_client.settlement import Outcome, Settlement


class Seller(Shell):
    """Sells what it is given to whoever has a channel to it, and turns vouchers into money."""

    def __init__(
        self,
        desk: SellingDesk,
        till: Till,
        settlement: Settlement,
        *,
        blame: Blame,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(desk.party, desk, till, settlement, blame=blame, limits=limits)
        self._selling = desk
        self._sent: dict[bytes, int] = {}
        self._recovering: set[bytes] = set()

    def channels(self) -> list[Sale]:
        """The channels that are not over, and where each stands."""
        return self._selling.channels()

    def room(self, channel: bytes) -> int:
        """The greatest price that can be sold now, in minor units."""
        return self._selling.room(channel)

    def sell(self, channel: bytes, goods: Iterable[Goods]) -> int:
        """Sell in order while there is room, durably, at once; how many need not be offered again.

        Raises:
            RemoteError: no such channel.
            LocalError: a price below 1, a body or source of a wrong size, simulated goods on a
                channel that is not for them.
        """
        held = self._till.sale(channel)
        if held is not None:  # fewer than were sent, once something was taken back and sold anew
            self._sent[channel] = min(self._sent.get(channel, 0), held.side.n)
        done = self._selling.sell(channel, goods)
        size = self._limits.group_max
        while fresh := self._selling.outbox(
            channel, after=self._sent.get(channel, 0), items_max=size
        ):
            self._sent[channel] = _number(fresh[-1])
            self._mail.put(fresh)
            self._retry.start(channel, asyncio.get_running_loop().time())
        return done

    async def wait_for_room(self, channel: bytes, price: int) -> None:
        """Return when something at `price` can be sold."""
        async with self._settled:
            await self._settled.wait_for(lambda: self._selling.room(channel) >= price)

    async def wait_until_paid(self) -> None:
        """Return when everything was delivered and a voucher is held for it."""
        async with self._settled:
            await self._settled.wait_for(lambda: all(map(self._paid, self._selling.channels())))

    def _paid(self, sale: Sale) -> bool:
        unpaid = self._selling.outbox(sale.terms.channel, after=0, items_max=1)
        return sale.side.due <= sale.side.best and not unpaid

    async def settle(self) -> list[Outcome]:
        """Turn every voucher into money that was not yet; what became of each."""
        claims = self._selling.claims()
        outcomes = await self._settlement.claim(claims) if claims else []
        for outcome in outcomes:
            await self._look(outcome.channel)
        return outcomes

    async def close_now(self, channel: bytes) -> list[Outcome]:
        """Settle, then end the channel at once: the rest goes back to the buyer."""
        outcomes = await self.settle()
        await self._settlement.close_now(channel)
        await self._look(channel)
        return outcomes

    def _heard(self, message: messages.Message, effects: list[Effect]) -> list[Send]:
        resent = [effect for effect in effects if isinstance(effect, Send)]
        if any(isinstance(send.message, Item) for send in resent):
            self._recovering.add(resent[0].channel)
        if not isinstance(message, Voucher):
            return []
        self._retry.reset(message.channel, asyncio.get_running_loop().time())
        if message.channel not in self._recovering:
            return []
        self._recovering.discard(message.channel)
        return self._again(message.channel)  # the next three, until there are none

    def _again(self, channel: bytes) -> list[Send]:
        sends = self._selling.outbox(channel, after=0, items_max=RESEND_ITEMS_MAX)
        if sends:
            self._recovering.add(channel)
        return sends

    async def _watched(self) -> None:
        states = {sale.terms.channel: sale.side.state for sale in self._selling.channels()}
        if not {State.CLOSING, State.FROZEN}.isdisjoint(states.values()):
            await self.settle()
        for channel, state in states.items():
            if state is State.FROZEN and self._selling.heard(channel):
                await self.close_now(channel)  # the buyer goes on under a new salt


def _number(send: Send) -> int:
    if not isinstance(send.message, Item):
        raise EncodingError("only items are numbered")
    return send.message.invoice.n
