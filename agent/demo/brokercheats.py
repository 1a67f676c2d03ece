"""Cheats over the broker: forged topics, a voucher that nobody owes, and an old one said again."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from random import Random

from agent import topics
from agent.broker.mqtt import MqttBroker
from agent.demo.cheats import Cheat, Finding, Outcome, Shown, until
from agent.demo.guests import Onlooker
from agent.running import Connection
from agent.till import Sale, Till
from ledger_client import messages
from ledger_client.channels import Voucher, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.messages import Standing

TRY_S = 1.5
WAIT_MAX_S = 6.0
TOO_MUCH = 1_000_000
HEARD_MAX = 256


@dataclass(frozen=True, slots=True)
class Victim:
    """Who is paid, by whom, and where that is looked up: its sales, and what it refused of whom."""

    payee: PublicKey
    payer: PublicKey
    till: Till
    refused: Callable[[PublicKey, PublicKey], str]

    def sale(self) -> Sale | None:
        """The newest channel between the two on which anything was promised."""
        promised = [
            sale
            for sale in self.till.sales(self.payee)
            if sale.terms.payer == self.payer and sale.voucher is not None
        ]
        return promised[-1] if promised else None

    def best(self, channel: bytes) -> int:
        """What the payee holds on a channel."""
        sale = self.till.sale(channel)
        return 0 if sale is None else sale.side.best


@asynccontextmanager
async def connected(connection: Connection, user: str, session: str) -> AsyncIterator[MqttBroker]:
    """A connection of `user` beside any other that it has; ends with the context."""
    endpoint = replace(connection.endpoint(user), client_id=f"milepost-{session}-{user}")
    broker = MqttBroker(endpoint, random=Random())  # noqa: S311  # jitter, not a secret
    async with asyncio.TaskGroup() as tasks:
        carrying = tasks.create_task(broker.run())
        await broker.connected.wait()
        try:
            yield broker
        finally:
            carrying.cancel()


async def _try(
    connection: Connection, user: str, topic: str, payload: bytes, *, retain: bool = False
) -> None:
    """Publish once, over a connection of its own: the broker may hang up on it, or not answer."""
    with suppress(TimeoutError):
        async with connected(connection, user, "cheat") as broker, asyncio.timeout(TRY_S):
            await broker.publish(topic, payload, retain=retain)


class Forger:
    """Says things under the gateway's topic and the brand's; honest ones of its own beside it."""

    name = "messages forged under another's topic"
    after_s = 9.0

    def __init__(self, key: SigningKey, victim: Victim, onlooker: Onlooker) -> None:
        self._key = key
        self._victim = victim
        self._onlooker = onlooker
        self._mark = os.urandom(16)
        self._heard: set[bytes] = set()
        self._topics: tuple[str, ...] = ()

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Forge a status and a payment; an own status shows that the onlooker hears at all."""
        me, gateway = self._key.public.short_id, shown.running.stores.signer.public.short_id
        payer, payee = self._victim.payer.short_id, self._victim.payee.short_id
        self._topics = (topics.status(gateway), topics.pay(payee, payer))
        self._onlooker.awaited |= {self._forged(topic) for topic in self._topics}
        self._onlooker.awaited |= {self._mark}
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(connection, payee))
            for topic in self._topics:
                await _try(connection, me, topic, self._forged(topic), retain=True)
            await _try(connection, me, topics.status(me), self._mark)
            await asyncio.sleep(TRY_S)
            listening.cancel()

    def _forged(self, topic: str) -> bytes:
        return self._mark + topic.encode()

    async def _listen(self, connection: Connection, payee: str) -> None:
        """What is delivered to the payee's inbox: the gateway relays for it and may read it."""
        async with connection.broker.subscribe(topics.said_to(payee, "pay")) as arriving:
            async for message in arriving:
                if len(self._heard) < HEARD_MAX:
                    self._heard.add(message.payload)

    def judge(self, shown: Shown) -> Finding:
        """What was delivered, to the onlooker and to the inbox."""
        del shown
        seen = self._heard | {payload for _, payload in self._onlooker.noticed}
        forged = [topic for topic in self._topics if self._forged(topic) in seen]
        evidence: dict[str, object] = {
            "forged": len(self._topics),
            "delivered": len(forged),
            "own_message_delivered": self._mark in seen,
        }
        if forged:
            return Finding(Outcome.TAKEN, f"{forged[0]} was delivered", evidence)
        if self._mark not in seen:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        says = f"by the broker: of {len(self._topics)} none was delivered, its own message was"
        return Finding(Outcome.REFUSED, says, evidence)


class FalseVoucher:
    """A promise on the brand's channel that the brand never signed, from one's own place."""

    name = "a voucher that the payer did not sign"
    after_s = 9.5

    def __init__(self, key: SigningKey, victim: Victim) -> None:
        self._key = key
        self._victim = victim
        self._voucher: Voucher | None = None

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Promise in the brand's name, as a message of one's own that the broker lets through."""
        del shown
        await until(self._victim.sale, WAIT_MAX_S)
        sale = self._victim.sale()
        if sale is None:
            return
        total = sale.side.best + TOO_MUCH
        self._voucher = sign_voucher(self._key, sale.terms.channel, total)
        me = self._key.public.short_id
        topic = topics.pay(self._victim.payee.short_id, me)
        await _try(connection, me, topic, messages.encode(self._voucher))

    def judge(self, shown: Shown) -> Finding:
        """Whether the payee holds it, or said why not."""
        del shown
        if self._voucher is None:
            return Finding(Outcome.UNSEEN)
        held = self._victim.best(self._voucher.channel)
        why = self._victim.refused(self._victim.payee, self._key.public)
        evidence: dict[str, object] = {"promised": self._voucher.total, "held": held, "why": why}
        if held >= self._voucher.total:
            return Finding(Outcome.TAKEN, f"the payee holds {held}", evidence)
        if not why:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        return Finding(Outcome.REFUSED, f"by the runner's till: {why}", evidence)


class StaleVoucher:
    """An old voucher of the brand, kept and published again in the place of the newest."""

    name = "a stale voucher published again"
    after_s = 6.0

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self._old: Voucher | None = None
        self._before = 0
        self._answered = 0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Keep one, wait for a higher one, publish the old one as the brand, retained."""
        del shown
        await until(self._victim.sale, WAIT_MAX_S)
        sale = self._victim.sale()
        if sale is None or sale.voucher is None:
            return
        old, channel = sale.voucher, sale.terms.channel
        await until(lambda: self._victim.best(channel) > old.total, WAIT_MAX_S)
        self._before = self._victim.best(channel)
        payer, payee = self._victim.payer.short_id, self._victim.payee.short_id
        async with (
            connected(connection, payer, "restored") as thief,
            thief.subscribe(topics.said_to(payer, "pay")) as arriving,
        ):
            self._old = old
            topic = topics.pay(payee, payer)
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_MAX_S):
                    await thief.publish(topic, messages.encode(old), retain=True)
                    async for message in arriving:
                        self._hear(message.payload, channel)
                        if self._answered > old.total:
                            break

    def _hear(self, payload: bytes, channel: bytes) -> None:
        """What the payee answers to the brand."""
        with suppress(RemoteError):
            said = messages.parse(payload)
            if isinstance(said, Standing) and said.voucher and said.terms.channel == channel:
                self._answered = max(self._answered, said.voucher.total)

    def judge(self, shown: Shown) -> Finding:
        """What the payee holds, and what it answered."""
        del shown
        if self._old is None:
            return Finding(Outcome.UNSEEN)
        held = self._victim.best(self._old.channel)
        evidence: dict[str, object] = {
            "stale": self._old.total,
            "held_before": self._before,
            "held": held,
            "answered_with": self._answered,
        }
        if held < self._before or held <= self._old.total:
            return Finding(Outcome.TAKEN, f"the payee fell back to {held}", evidence)
        if self._answered <= self._old.total:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        says = (
            f"by the runner's till: {self._old.total} is no more than it holds; it keeps"
            f" {self._answered}, and answered so"
        )
        return Finding(Outcome.REFUSED, says, evidence)


def over_the_broker(stranger: SigningKey, victim: Victim, onlooker: Onlooker) -> list[Cheat]:
    """All of them; `stranger` may use the broker for itself, as any component."""
    return [
        Forger(stranger, victim, onlooker),
        FalseVoucher(stranger, victim),
        StaleVoucher(victim),
    ]
