"""The Broker protocol: what milepost asks of any MQTT broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol


class BrokerError(Exception):
    """The broker cannot be had: a busy port, a refused password, a certificate that is not ours."""


class Message(NamedTuple):
    """One message as the broker handed it over; a `retained` one is old and replayed."""

    topic: str
    payload: bytes
    retained: bool


class Broker(Protocol):
    """A connection that mends itself. A PUBACK is not durable storage: keep your own until told."""

    connected: asyncio.Event
    """Set while the broker answers."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and return after the PUBACK; waits, and sends again, through an outage.

        So the message may arrive more than once. BrokerError if it is larger than the limit.
        """

    def subscribe(self, *filters: str) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Subscribe at QoS 1 while the context is open; survives reconnects, not our own restart.

        Asking for the next message acknowledges the last: what was not finished comes again, so
        messages may come twice, and after an outage out of order. Retained ones come again after
        each reconnect. The inbox is bounded: when it is full every subscription here waits for it.
        """
