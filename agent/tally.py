"""Payments over the broker: the shells around the two desks, which decide everything.

A shell gathers what came, hands it to its desk in one transaction, and publishes what the desk
answers once that is durable. It sends again what was not acknowledged: the oldest three items or
the last voucher, with a back-off of 1 s to 5 min, and where it stands on every reconnect.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from agent import topics
from agent.broker import Broker, Message
from agent.desks import RESEND_ITEMS_MAX, BuyingDesk, Effect, Goods, Look, SellingDesk, Send
from agent.pacing import LIMITS, Backoff, Limits, Mail
from agent.till import Purchase, Sale, Till
from ledger_client import messages
from ledger_client.channels import SALT_BYTES, State, Terms, Voucher
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import PublicKey
from ledger_client.messages import Item, Standing
from ledger_client.settlement import Claim, Outcome, Settlement

Blame = Callable[[str, RemoteError], None]
"""Told who sent what breaks a rule; the message itself was dropped."""


class _Shell:
    """What both shells do: listen, write in groups, post, send again, watch the ledger."""

    def __init__(  # collaborators of one running part
        self,
        party: PublicKey,
        desk: SellingDesk | BuyingDesk,
        till: Till,
        settlement: Settlement,
        *,
        blame: Blame,
        limits: Limits,
    ) -> None:
        self.party = party
        self._desk = desk
        self._till = till
        self._settlement = settlement
        self._blame = blame
        self._limits = limits
        self._mail = Mail(limits)
        self._retry = Backoff(limits)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(limits.inbox_max)
        self._settled = asyncio.Condition()

    async def run(self, broker: Broker) -> None:
        """Trade until cancelled. Whatever was sold, bought or promised before goes on."""
        filters = topics.said_to(self.party.short_id, "pay")
        async with broker.subscribe(filters) as arriving, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(arriving))
            tasks.create_task(self._work())
            tasks.create_task(self._post(broker))
            tasks.create_task(self._greet(broker))
            tasks.create_task(self._watch())

    async def _listen(self, arriving: AsyncIterator[Message]) -> None:
        async for message in arriving:
            await self._inbox.put(message)

    async def _work(self) -> None:
        while True:
            group = [await self._inbox.get()]
            while len(group) < self._limits.group_max and not self._inbox.empty():
                group.append(self._inbox.get_nowait())
            effects: list[Effect] = []
            with self._till.transaction():
                for message in group:
                    effects += self._receive(message)
            self._mail.put(effect for effect in effects if isinstance(effect, Send))
            looks = {effect.terms.channel: effect for effect in effects if isinstance(effect, Look)}
            for channel in looks:
                await self._look(channel)
            async with self._settled:
                self._settled.notify_all()

    def _receive(self, message: Message) -> list[Effect]:
        if not message.payload:
            return []  # a retained message was cleared
        speaker = message.topic.rpartition("/")[2]
        try:
            parsed = messages.parse(message.payload)
        except RemoteError as error:
            self._blame(speaker, error)
            return []
        try:
            effects = self._desk.receive(speaker, parsed)
        except RemoteError as error:
            self._blame(speaker, error)
            return list(self._refusal(parsed))
        return [*effects, *self._heard(parsed, effects)]

    def _refusal(self, message: messages.Message) -> list[Send]:
        """What to answer to a message that was refused."""
        del message
        return []

    def _heard(self, message: messages.Message, effects: list[Effect]) -> list[Send]:
        """Adjust what is to be sent again; what more is to be sent at once."""
        raise NotImplementedError

    def _again(self, channel: bytes) -> list[Send]:
        """What is to be sent again on this channel; nothing ends the repeating."""
        raise NotImplementedError

    async def _look(self, channel: bytes) -> None:
        view = await self._settlement.status(channel)
        if view is not None:
            self._mail.put(
                effect for effect in self._desk.observe(view) if isinstance(effect, Send)
            )

    async def _post(self, broker: Broker) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._mail.stirred.clear()
            for channel in self._retry.due(clock()):
                sends = self._again(channel)
                if not sends:
                    self._retry.done(channel)
                self._mail.put(sends)
            ready = self._mail.take(clock())
            for start in range(0, len(ready), self._limits.in_flight_max):
                async with asyncio.TaskGroup() as tasks:
                    for send in ready[start : start + self._limits.in_flight_max]:
                        tasks.create_task(self._publish(broker, send))
            if not ready:
                pause = min(self._mail.next(), self._retry.next()) - clock()
                with suppress(TimeoutError):  # not wait_for, which can lose a cancellation in 3.11
                    async with asyncio.timeout(min(pause, 60.0)):
                        await self._mail.stirred.wait()

    async def _publish(self, broker: Broker, send: Send) -> None:
        topic = topics.pay(send.peer, self.party.short_id)
        payload = messages.encode(send.message)
        await broker.publish(topic, payload, retain=isinstance(send.message, Voucher))

    async def _greet(self, broker: Broker) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await broker.connected.wait()
            self._mail.put(self._desk.greet())
            for held in self._desk.channels():
                self._retry.reset(held.terms.channel, now())
            while broker.connected.is_set():  # noqa: ASYNC110  # nothing tells of a disconnect
                await asyncio.sleep(self._limits.retry_first_s)

    async def _watch(self) -> None:
        while True:
            for held in self._desk.channels():
                await self._look(held.terms.channel)
            await self._watched()
            await asyncio.sleep(self._limits.watch_s)

    async def _watched(self) -> None:
        """What the ledger's news ask for."""


class Seller(_Shell):
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
        """Return when a voucher is held for everything that was delivered."""
        async with self._settled:
            await self._settled.wait_for(
                lambda: all(sale.side.due <= sale.side.best for sale in self._selling.channels())
            )

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
        if State.CLOSING in states.values():
            await self.settle()
        for channel, state in states.items():
            if state is State.FROZEN:  # it is claimed, and the buyer goes on under a new salt
                await self.close_now(channel)


class Buyer(_Shell):
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
        self._retry.start(purchase.terms.channel, asyncio.get_running_loop().time())
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


def _number(send: Send) -> int:
    if not isinstance(send.message, Item):
        raise EncodingError("only items are numbered")
    return send.message.invoice.n
