"""The messages of one subscription on their way to its reader, acknowledged when it goes on."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Self

import aiomqtt

from agent.broker import Message

READER_MAX_S = 10.0


class Unread(NamedTuple):
    """A message, the connection that it came over, and how many readers still have to take it."""

    message: Message
    client: aiomqtt.Client
    mid: int
    qos: int
    readers: list["Inbox"]


class Inbox:
    """The messages of one subscription; asking for the next one acknowledges the last."""

    def __init__(
        self, filters: tuple[str, ...], size_max: int, done: Callable[[Unread, "Inbox"], None]
    ) -> None:
        self.filters = filters
        self.queue: asyncio.Queue[Unread] = asyncio.Queue(size_max)
        self._taken: Unread | None = None
        self._done = done

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        self._release()
        self._taken = await self.queue.get()
        return self._taken.message

    def _release(self) -> None:
        if self._taken is not None:
            self._done(self._taken, self)
            self._taken = None

    def wants(self, topic: aiomqtt.Topic) -> bool:
        """Whether one of the filters matches."""
        return any(topic.matches(text) for text in self.filters)

    def forget(self) -> None:
        """Acknowledge what was taken and what nobody will read."""
        self._release()
        while not self.queue.empty():
            self._done(self.queue.get_nowait(), self)


async def put(inbox: Inbox, unread: Unread) -> None:
    """Wait for room in the inbox; MqttError, which ends the connection, when nobody makes any."""
    try:
        async with asyncio.timeout(READER_MAX_S):
            await inbox.queue.put(unread)
    except TimeoutError:
        raise aiomqtt.MqttError(
            f"nobody reads {unread.message.topic}: {inbox.queue.qsize()} messages wait"
        ) from None
