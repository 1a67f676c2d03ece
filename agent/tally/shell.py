"""What both shells do: listen, write in groups, post, send again, watch the ledger."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from agent import topics
from agent.broker import Broker, Message
from agent.desks import BuyingDesk, Effect, Look, SellingDesk, Send
from agent.pacing import Backoff, Limits, Mail
from agent.rate import Bucket
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import Voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.settlement import Settlement

QUIET_TURNS = 8
"""Turns of the event loop without a message, after which what came is written."""

Blame = Callable[[str, RemoteError], None]
"""Told who sent what breaks a rule; the message itself was dropped."""


class Shell:
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
        self.dropped = 0
        """Messages beyond what one peer may send in a second; each will be said again."""
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(limits.inbox_max)
        self._rates: dict[str, Bucket] = {}
        self._unknown: dict[str, Bucket] = {}
        self._noisy: set[str] = set()
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
        clock = asyncio.get_running_loop().time
        async for message in arriving:
            speaker = _speaker(message)
            if self._rate(speaker).take(clock()):
                self._drop(speaker)
            else:
                await self._inbox.put(message)

    def _drop(self, speaker: str) -> None:
        """Count it; the first of a peer is told."""
        self.dropped += 1
        if speaker not in self._noisy:
            self._noisy.add(speaker)
            most = self._limits.messages_per_s_max
            self._blame(speaker, RemoteError(f"more than {most} messages a second: dropped"))

    def _rate(self, speaker: str) -> Bucket:
        """What is left to this peer; the one that was first heard goes for one too many."""
        if speaker not in self._rates:
            if len(self._rates) >= self._limits.peers_max:
                first = next(iter(self._rates))
                del self._rates[first]
                self._noisy.discard(first)
            self._rates[speaker] = Bucket(self._limits.messages_per_s_max)
        return self._rates[speaker]

    async def _work(self) -> None:
        while True:
            group = await self._gather()
            effects: list[Effect] = []
            with self._till.transaction():
                for message in group:
                    effects += self._receive(message)
            self._mail.put(effect for effect in effects if isinstance(effect, Send))
            looks = {effect.terms.channel: effect for effect in effects if isinstance(effect, Look)}
            for channel, look in looks.items():
                if self._may_look(look):
                    await self._look(channel)
            async with self._settled:
                self._settled.notify_all()

    def _may_look(self, look: Look) -> bool:
        """Whether to ask the ledger: a peer can name channels without end that nobody opened."""
        channel = look.terms.channel
        if self._till.sale(channel) is not None or self._till.purchase(channel) is not None:
            return True
        if look.peer not in self._unknown:
            if len(self._unknown) >= self._limits.peers_max:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[look.peer] = Bucket(self._limits.unknown_per_s_max)
        return not self._unknown[look.peer].take(asyncio.get_running_loop().time())

    async def _gather(self) -> list[Message]:
        """The next messages, for one commit: all that arrive without a pause between them.

        A message takes a few turns of the loop from the socket to the inbox. To wait for them costs
        next to nothing beside the disk, which then writes once for all.
        """
        group = [await self._inbox.get()]
        quiet = 0
        while len(group) < self._limits.group_max and quiet < QUIET_TURNS:
            if self._inbox.empty():
                quiet += 1
                await asyncio.sleep(0)
            else:
                group.append(self._inbox.get_nowait())
                quiet = 0
        return group

    def _receive(self, message: Message) -> list[Effect]:
        if not message.payload:
            return []  # a retained message was cleared
        speaker = _speaker(message)
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
        view = None
        with suppress(RemoteError):  # away, or it talks nonsense: asked again at the next watch
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
            with suppress(RemoteError):  # the same, or it says no for now
                await self._watched()
            await asyncio.sleep(self._limits.watch_s)

    async def _watched(self) -> None:
        """What the ledger's news ask for."""


def _speaker(message: Message) -> str:
    """The broker lets nobody publish under another's name."""
    return message.topic.rpartition("/")[2]
