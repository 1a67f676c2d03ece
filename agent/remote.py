"""A settlement engine that is elsewhere: another gateway's embedded ledger, by commands over MQTT.

Orders are signed here and sent until they are answered: a repeat changes nothing. The ledger's word
about a channel is taken as that of any ledger; nobody can order in our name.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from agent import commands, topics
from agent.broker import Broker, Message
from agent.commands import Answer, Balance, Claims, Status
from agent.status import printable
from ledger_client.channels import Terms
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.settlement import AwayError, Claim, Outcome, RefusedError, View
from ledger_client.settlement.movements import Order, sign_order

ID_BYTES = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ledger:
    """Whose ledger: the short id of its gateway, its name, whether it is play."""

    gateway: str
    name: str
    demo: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """A question is asked again after `retry_first_s`, later each time, for `answer_max_s`."""

    retry_first_s: float = 1.0
    answer_max_s: float = 10.0
    waiting_max: int = 64


class Line:
    """Questions of `me` to the ledger of `gateway`, each until it is answered, while `run` runs."""

    def __init__(self, me: str, gateway: str, limits: Limits | None = None) -> None:
        self._me = me
        self._gateway = gateway
        self._limits = limits or Limits()
        self._broker: Broker | None = None
        self._there = asyncio.Event()
        self._waiting: dict[str, asyncio.Queue[Answer]] = {}

    async def run(self, broker: Broker) -> None:
        """Listen for answers until cancelled."""
        async with broker.subscribe(topics.result(self._me, self._gateway)) as messages:
            self._broker = broker
            self._there.set()
            try:
                await self._listen(messages)
            finally:
                self._broker = None
                self._there.clear()

    async def _listen(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            try:
                answer = commands.parse_answer(message.payload)
            except ValueError:
                continue  # nothing that we asked for: no id to look for
            waiting = self._waiting.get(answer.id)
            if waiting is not None and answer.status != commands.TOO_MANY and waiting.empty():
                waiting.put_nowait(answer)

    async def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay the payees; bad claims are skipped and say why."""
        outcomes: list[Outcome] = []
        for start in range(0, len(claims), commands.CLAIMS_MAX):
            some = claims[start : start + commands.CLAIMS_MAX]
            answer = await self.ask(Claims(_name(), tuple(map(commands.promise_of, some))))
            found = _there(answer.claims)
            if [each.channel for each in found] != [each.terms.channel for each in some]:
                raise EncodingError("the ledger answered about other claims")
            outcomes += [
                Outcome(each.channel, each.claimed, each.refusal and printable(each.refusal))
                for each in found
            ]
        return outcomes

    async def ask(self, asked: commands.Asked | commands.Keeper) -> Answer:
        """The ledger's answer; raises RefusedError if it refuses, AwayError if there is none."""
        if len(self._waiting) >= self._limits.waiting_max:
            raise AwayError(f"{len(self._waiting)} questions wait for {self._gateway}")
        waiting = self._waiting[asked.id] = asyncio.Queue(1)
        try:
            async with asyncio.timeout(self._limits.answer_max_s):
                answer = await self._until_answered(asked, waiting)
        except TimeoutError:
            raise AwayError(
                f"the ledger of {self._gateway} did not answer in {self._limits.answer_max_s:.0f} s"
            ) from None
        finally:
            del self._waiting[asked.id]
        if answer.status not in {commands.DONE, commands.ABSENT}:
            raise RefusedError(printable(answer.error, 300) or "the ledger gave no reason")
        return answer

    async def _until_answered(
        self, asked: commands.Asked | commands.Keeper, waiting: asyncio.Queue[Answer]
    ) -> Answer:
        topic = topics.command(self._gateway, self._me)
        await self._there.wait()
        delay_s = self._limits.retry_first_s
        while (broker := self._broker) is not None:
            await broker.publish(topic, commands.encode(asked))
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    return await waiting.get()
            delay_s *= 2
        raise AwayError("nobody listens for the answers of this ledger any more")


class RemoteSettlement:
    """The `Settlement` of one party on another gateway's ledger, while `run` runs.

    Beside what the protocol says, everything raises AwayError when the ledger does not answer.
    """

    def __init__(self, key: SigningKey, ledger: Ledger, limits: Limits | None = None) -> None:
        self._key = key
        self._ledger = ledger
        self._line = Line(key.public.short_id, ledger.gateway, limits)

    @property
    def ledger(self) -> str:
        """The name that channel ids are bound to."""
        return self._ledger.name

    @property
    def demo(self) -> bool:
        """Whether this ledger takes channels that carry simulated readings."""
        return self._ledger.demo

    async def run(self, broker: Broker) -> None:
        """Listen for answers until cancelled."""
        await self._line.run(broker)

    async def balance(self, holder: PublicKey) -> int:
        """Minor units that `holder` can spend."""
        answer = await self._line.ask(Balance(_name(), holder.did))
        return _there(answer.balance)

    async def open(self, terms: Terms, funded: int) -> View:
        """Open or top up to `funded`; raises RefusedError."""
        return await self._order("open", terms.channel, funded, terms)

    async def status(self, channel: bytes) -> View | None:
        """The channel as it stands, or None."""
        answer = await self._line.ask(Status(_name(), channel))
        if answer.status == commands.ABSENT:
            return None
        return commands.view_of(_there(answer.channel), channel)

    async def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay the payees; bad claims are skipped and say why."""
        return await self._line.claim(claims)

    async def close(self, channel: bytes) -> View:
        """Start the closing delay; raises RefusedError."""
        return await self._order("close", channel)

    async def close_now(self, channel: bytes) -> View:
        """End it at once; raises RefusedError."""
        return await self._order("close_now", channel)

    async def finish(self, channel: bytes) -> View:
        """End it after the delay; raises RefusedError."""
        return await self._order("finish", channel)

    async def _order(
        self, verb: str, channel: bytes, total: int = 0, terms: Terms | None = None
    ) -> View:
        order = sign_order(self._key, Order(verb, self._ledger.name, channel, total, terms))
        answer = await self._line.ask(commands.Order(_name(), self._key.public.did, order))
        return commands.view_of(_there(answer.channel), channel)


def _name() -> str:
    return os.urandom(ID_BYTES).hex()


def _there(found: _T | None) -> _T:
    if found is None:
        raise EncodingError("the ledger left out what was asked for")
    return found
