"""A broker in memory, for shells whose other end is in the same loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.broker import Message


class MemoryBroker:
    """Keeps the Broker's promise within one loop; each `lose`-th publication is lost."""

    def __init__(self, lose: int = 0) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.published = 0
        self._lose = lose
        self._inboxes: list[tuple[str, asyncio.Queue[Message]]] = []
        self._retained: dict[str, bytes] = {}

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await asyncio.sleep(0)
        self.published += 1
        if retain:
            self._retained[topic] = payload
        if self._lose and self.published % self._lose == 0:
            return
        for prefix, inbox in self._inboxes:
            if topic.startswith(prefix):
                await inbox.put(Message(topic, payload, retained=False))

    @asynccontextmanager
    async def subscribe(self, *filters: str) -> AsyncIterator[AsyncIterator[Message]]:
        (only,) = filters
        prefix = only.removesuffix("+")
        inbox: asyncio.Queue[Message] = asyncio.Queue()
        for topic, payload in self._retained.items():
            if topic.startswith(prefix):
                inbox.put_nowait(Message(topic, payload, retained=True))
        self._inboxes.append((prefix, inbox))

        async def arriving() -> AsyncIterator[Message]:
            while True:
                yield await inbox.get()

        try:
            yield arriving()
        finally:
            self._inboxes.remove((prefix, inbox))
