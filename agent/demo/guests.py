"""Those on the street who are not our gateway's, each over a broker connection of their own."""

import asyncio
from collections import deque
from dataclasses import replace
from random import Random

from agent import topics
from agent.broker.mqtt import MqttBroker
from agent.running import Connection, Deal
from agent.status import printable

TRAFFIC_SHOWN = 12
NOTICED_MAX = 64
DASHBOARD = "dashboard"


class Guest:
    """The deals of somebody else, over a connection of their own."""

    def __init__(self, user: str, *deals: Deal) -> None:
        self._user = user
        self._deals = deals

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        broker = MqttBroker(
            connection.endpoint(self._user),
            random=Random(),  # noqa: S311  # jitter, not a secret
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(broker.run())
            for deal in self._deals:
                tasks.create_task(deal.run(replace(connection, broker=broker)))

    async def settle(self) -> None:
        """As the deals do."""
        async with asyncio.TaskGroup() as tasks:
            for deal in self._deals:
                tasks.create_task(deal.settle())


class Onlooker:
    """A dashboard: reads what everybody says, writes nothing, shows the last few topics.

    It notices alerts, and payloads that somebody awaits: the last few, as topic and payload.
    """

    def __init__(self) -> None:
        self.seen: deque[str] = deque(maxlen=TRAFFIC_SHOWN)
        self.noticed: deque[tuple[str, bytes]] = deque(maxlen=NOTICED_MAX)
        self.awaited: set[bytes] = set()
        self.messages = 0

    async def run(self, connection: Connection) -> None:
        """Watch until cancelled."""
        async with connection.broker.subscribe(topics.said_by_all()) as messages:
            async for message in messages:
                self.messages += 1
                speaker, _, rest = message.topic.removeprefix(f"{topics.ROOT}/c/").partition("/")
                self.seen.append(printable(f"{speaker[:6]}…/{rest} {len(message.payload)} B"))
                alert = rest.startswith("alert/") and message.payload
                if alert or message.payload in self.awaited:
                    self.noticed.append((message.topic, message.payload))

    async def settle(self) -> None:
        """Nothing to settle."""
