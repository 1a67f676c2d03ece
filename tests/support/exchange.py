"""A real broker on which brands offer and a gateway's home accepts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import contracts
import offering

from agent import topics
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import Limits, MqttBroker
from agent.offering import Offering
from ledger_client.keys import SigningKey
from ledger_client.offers import Signed

QUICK = Limits(backoff_max_s=0.5)
GATEWAY = "gateway"


class Exchange:
    """The broker, and connections to it."""

    def __init__(self, server: EmbeddedBroker) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Where it is."""
        return self._server.url

    def connection(
        self, name: str, offered: Offering | None = None, session: str = ""
    ) -> MqttBroker:
        """A connection as `name`; with an offer, which it publishes and clears."""
        return MqttBroker(
            self.endpoint(name, session),
            random=Random(1),
            limits=QUICK,
            will=offered.will if offered else None,
            hello=(lambda: offered.hello) if offered else None,
        )

    def endpoint(self, name: str = GATEWAY, session: str = "") -> Endpoint:
        """How `name` gets there."""
        return Endpoint(self.url, session or name, name, f"secret-{name}")

    @asynccontextmanager
    async def joined(self, name: str = GATEWAY, session: str = "") -> AsyncIterator[MqttBroker]:
        """A connection that answers."""
        broker = self.connection(name, session=session)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(broker.run())
            await asyncio.wait_for(broker.connected.wait(), 10)
            yield broker
            task.cancel()

    @asynccontextmanager
    async def offering(self, offered: Offering) -> AsyncIterator[Callable[[], None]]:
        """Somebody who offers, until the context ends; what is yielded ends it at once."""
        broker = self.connection(offered.me, offered)
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(broker.run()), tasks.create_task(offered.run(broker))]
            await asyncio.wait_for(broker.connected.wait(), 10)

            def leave() -> None:
                for task in both:
                    task.cancel()

            yield leave
            leave()


@asynccontextmanager
async def exchange(
    folder: Path, keys: Sequence[SigningKey], rules: Mapping[str, topics.Rules] | None = None
) -> AsyncIterator[Exchange]:
    """A broker for a gateway and these keys' holders; `rules` are of those who have others."""
    names = [GATEWAY, *(key.public.short_id for key in keys)]
    known = {name: topics.component_rules(name) for name in names} | dict(rules or {})
    users = [User(name, f"secret-{name}", rule) for name, rule in known.items()]
    server = EmbeddedBroker(folder, users, random=Random(1))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.run())
        await asyncio.wait_for(server.ready.wait(), 10)
        yield Exchange(server)
        task.cancel()


def brand(
    folder: Path,
    signed: Signed | None = None,
    *,
    key: SigningKey = contracts.BRAND,
    now_s: Callable[[], int] = lambda: offering.NOW_S,
    said: list[str] | None = None,
) -> Offering:
    """Who offers, with its deeds in `folder`."""
    lines = [] if said is None else said
    return Offering(signed or offering.signed(key=key), [key], folder, now_s, lines.append)
