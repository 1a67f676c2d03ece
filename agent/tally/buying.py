"""The buyer's shell."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace

from agent.desks import BuyingDesk, Effect, Send
from agent.pacing import LIMITS, Limits
from agent.tally.shell import Blame, Shell
from agent.till import Purchase, Till
from ledger_client import messages
from ledger_client.channels import SALT_BYTES, State, Terms, Voucher
from ledger_client.errors import RemoteError
from ledger_client.messages import Standing
from ledger_client.settlement import Claim, Outcome, Settlement


class Buyer(Shell):
    """Opens channels, judges what comes, and promises to pay for what it took."""

    def __init__(
        self,
        desk: BuyingDesk,
        till: Till,
        settlement: Settlement,
        *,
        blame: Blame,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(desk.party, desk, till, settlement, blame=blame, limits=limits)
        self._buying = desk
        self._kept: dict[bytes, tuple[Terms, int]] = {}

    def channels(self) -> list[Purchase]:
        """The channels that are not over, and where each stands."""
        return self._buying.channels()

    async def open(self, terms: Terms, spendable: int) -> bytes:
        """Have a channel on these terms (any salt) with `spendable` minor units not yet due.

        One that is open or was being opened is used again and topped up; else `terms` become a
        new one. Returns its id.

        Raises:
            RefusedError: the ledger says no; ask again later, the channel is remembered.
        """
        purchase = self._buying.prepare(terms)
        await self._settlement.open(purchase.terms, purchase.side.due + spendable)
        await self._look(purchase.terms.channel)
        now = asyncio.get_running_loop().time()
        self._retry.start(purchase.terms.channel, now, self._limits.introduce_s)
        return purchase.terms.channel

    async def keep(self, terms: Terms, spendable: int) -> bytes:
        """As `open`, and go on under a new salt whenever the channel ends, up to `spendable`.

        A channel that the till still held for open may turn out to be closed on the ledger.
        """
        due: dict[bytes, int] = {}
        channel = b""
        while channel not in due:
            channel = await self.open(terms, spendable)
            due = {held.terms.channel: held.side.due for held in self.channels()}
        self._kept[channel] = (terms, due[channel] + spendable)
        return channel

    async def _watched(self) -> None:
        for purchase in self.channels():
            with suppress(RemoteError):  # not yet, or somebody else did
                if purchase.side.state is State.FROZEN:
                    await self.close(purchase.terms.channel)
                elif purchase.side.state is State.CLOSING:
                    await self.finish(purchase.terms.channel)
        for channel, (terms, most) in list(self._kept.items()):
            held = self._till.purchase(channel)
            if held is not None and held.side.state in {State.CLOSING, State.CLOSED}:
                left = most - max(held.side.due, held.side.signed)
                with suppress(RemoteError):  # not covered for now; asked again
                    if left > 0:
                        await self.keep(replace(terms, salt=os.urandom(SALT_BYTES)), left)
                    del self._kept[channel]

    def _refusal(self, message: messages.Message) -> list[Send]:
        return self._buying.refusal(message)

    async def close(self, channel: bytes) -> None:
        """Start the closing delay; what was promised can be claimed until it is over."""
        await self._settlement.close(channel)
        await self._look(channel)

    async def settle(self) -> list[Outcome]:
        """Turn our own promises into the seller's money: for a ledger that the seller cannot reach.

        Anybody who holds terms and voucher may claim. What became of each.
        """
        claims = [
            Claim(purchase.terms, purchase.voucher)
            for purchase in self.channels()
            if purchase.voucher is not None and purchase.side.signed > purchase.claimed
        ]
        outcomes = await self._settlement.claim(claims) if claims else []
        for outcome in outcomes:
            await self._look(outcome.channel)
        return outcomes

    async def finish(self, channel: bytes) -> None:
        """After the delay: the rest comes back."""
        await self._settlement.finish(channel)
        await self._look(channel)

    def _heard(self, message: messages.Message, effects: list[Effect]) -> list[Send]:
        sends = [effect for effect in effects if isinstance(effect, Send)]
        promised = [send for send in sends if isinstance(send.message, Voucher)]
        for send in promised:
            self._retry.reset(send.channel, asyncio.get_running_loop().time())
        if isinstance(message, Standing) and not promised:
            self._retry.done(message.terms.channel)  # the seller holds our last word
        return []

    def _again(self, channel: bytes) -> list[Send]:
        """The last promise; before the first one, that we are here, until the seller answers."""
        return self._buying.promise(channel) or [
            send for send in self._buying.greet() if send.channel == channel
        ]
