"""A broker in memory that keeps every promise, for parties of one loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.broker import Message


class Wire:
    """One inbox for each party that subscribed."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self._inboxes: dict[str, asyncio.Queue[Message]] = {}

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        del retain
        await asyncio.sleep(0)
        for prefix, inbox in self._inboxes.items():
            if topic.startswith(prefix):
                await inbox.put(Message(topic, payload, retained=False))

    @asynccontextmanager
    async def subscribe(self, *filters: str) -> AsyncIterator[AsyncIterator[Message]]:
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inboxes[filters[0].removesuffix("+")] = inbox

        async def arriving() -> AsyncIterator[Message]:
            while True:
                yield await inbox.get()

        yield arriving()
