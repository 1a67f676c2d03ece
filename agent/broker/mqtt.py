"""Any MQTT 3.1.1 broker through aiomqtt: one connection that mends itself, QoS 1 both ways.

Three things that the libraries do not do by themselves. A message is acknowledged only when its
reader asks for the next one, so the broker's own window is the back-pressure and a crash loses
nothing. A publish survives any number of connections. After a connection the subscriptions are made
anew even if the broker says that it kept the session.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from random import Random
from typing import TYPE_CHECKING

import aiomqtt

from agent.broker import BrokerError, Message
from agent.broker.endpoint import Endpoint
from agent.broker.inbox import Inbox, Unread, put
from firmware_bridge.cancellation import stop_if_cancelled

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

BACKOFF_FIRST_S = 0.5
CONNECT_MAX_S = 5.0
FAREWELL_MAX_S = 2.0
# MQTT 3.1.1 section 3.2.2.3: client id, password, permission; paho gives them MQTT 5 numbers
REFUSED_CODES = frozenset({2, 4, 5, 0x85, 0x86, 0x87})
SUBSCRIPTION_REFUSED = 0x80

_log = logging.getLogger(__name__)
_paho_log = logging.getLogger("paho")
_paho_log.setLevel(logging.CRITICAL)  # whatever it complains of comes as an MqttError too


@dataclass(frozen=True, slots=True)
class Limits:
    """At `inbox_max` unread messages of one subscription all wait for its reader.

    Twice as many more are held; beyond that the broker, unacknowledged, delivers again.
    """

    in_flight_max: int = 32
    inbox_max: int = 1_000
    payload_bytes_max: int = 256 << 10
    puback_max_s: float = 10.0
    keepalive_s: int = 20
    backoff_max_s: float = 30.0


class MqttBroker:
    """A Broker anywhere. `run` is the connection; everything else waits for it.

    `will` is left with the broker, retained, and published when we vanish or leave; `hello` makes
    the message, retained, that takes it back after each connection. `random` spreads reconnects.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        random: Random,
        limits: Limits | None = None,
        will: tuple[str, bytes] | None = None,
        hello: Callable[[], tuple[str, bytes]] | None = None,
    ) -> None:
        self.connected = asyncio.Event()
        self.strays = 0
        """Messages of an earlier run's subscription that nobody asked for again; dropped."""
        self._endpoint = endpoint
        self._random = random
        self._limits = limits or Limits()
        self._will = will
        self._hello = hello
        self._inboxes: list[Inbox] = []
        self._client: aiomqtt.Client | None = None
        self._window = asyncio.Semaphore(self._limits.in_flight_max)
        self._held: set[int] = set()
        self._deadlines: set[asyncio.Timeout] = set()
        self._failures = 0

    async def run(self) -> None:
        """Keep the connection until cancelled, then say the will and leave.

        Raises BrokerError if the broker answers the first time and refuses us, or if url or
        certificates are unusable. Any other trouble is retried with full jitter, for ever.
        """
        tls = self._endpoint.tls()
        clock = asyncio.get_running_loop().time
        welcomed, away = False, False
        while True:
            since_s = clock()
            try:
                async with self._connection(tls) as client:
                    welcomed, away = True, False
                    await self._converse(client)
            except aiomqtt.MqttError as error:
                reason = "" if welcomed else await _refusal(self._endpoint, tls, error)
                if reason:
                    raise BrokerError(
                        f"{self._endpoint.url} refuses {self._endpoint.client_id}: {reason}; check"
                        " the user, password and certificate files of [broker]"
                    ) from error
                if not away:
                    _log.warning("broker %s is away: %s", self._endpoint.url, error)
                away = True
            finally:
                self.connected.clear()
                self._client = None
                for deadline in self._deadlines:
                    if not deadline.expired():
                        deadline.reschedule(clock())
            if clock() - since_s > self._limits.backoff_max_s:
                self._failures = 0  # it held; two agents that share a client id never get here
            stop_if_cancelled()
            await asyncio.sleep(self._backoff_s())

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and return after the PUBACK; waits, and sends again, through an outage.

        BrokerError if the payload is over the limit: such a one would break every connection.
        """
        if len(payload) > self._limits.payload_bytes_max:
            raise BrokerError(
                f"{topic}: expected at most {self._limits.payload_bytes_max} bytes, "
                f"got {len(payload)}; send it in parts"
            )
        async with self._window:
            while True:
                await self.connected.wait()
                try:
                    await self._publish(topic, payload, retain=retain)
                except (aiomqtt.MqttError, TimeoutError) as error:
                    _log.debug("publishing to %s again: %r", topic, error)
                    await asyncio.sleep(BACKOFF_FIRST_S * self._random.random())
                else:
                    return

    async def _publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish over this connection; `run` cuts the wait short when the connection ends."""
        if self._client is None:
            raise aiomqtt.MqttError("not connected")
        async with self._answer():
            await self._client.publish(topic, payload, qos=1, retain=retain, timeout=inf)

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[None]:
        """Bound a question to the broker; its connection's end is the end of the wait."""
        async with asyncio.timeout(self._limits.puback_max_s) as deadline:
            self._deadlines.add(deadline)
            try:
                yield
            finally:
                self._deadlines.discard(deadline)
        stop_if_cancelled()

    @asynccontextmanager
    async def subscribe(self, *filters: str) -> AsyncIterator[AsyncIterator[Message]]:
        """Subscribe at QoS 1 while the context is open; now if connected, else when we are.

        Leaving by an exception (a crash, a shutdown) keeps the subscription in the session, so the
        broker collects for the next run. BrokerError if the broker refuses a filter.
        """
        inbox = Inbox(filters, self._limits.inbox_max, self._done)
        self._inboxes.append(inbox)
        try:
            if self._client is not None and self.connected.is_set():
                with suppress(aiomqtt.MqttError, TimeoutError):  # `run` does so when it is back
                    async with self._answer():
                        await _subscribe(self._client, filters)
            yield inbox
            others = {text for box in self._inboxes if box is not inbox for text in box.filters}
            unused = sorted(set(filters) - others)
            if unused and self._client is not None:
                with suppress(aiomqtt.MqttError, TimeoutError):
                    async with self._answer():
                        await self._client.unsubscribe(unused, timeout=inf)
        finally:
            self._inboxes.remove(inbox)
        inbox.forget()

    @asynccontextmanager
    async def _connection(self, tls: ssl.SSLContext | None) -> AsyncIterator[aiomqtt.Client]:
        """Connect and disconnect; a connection attempt that is cancelled is finished, then closed.

        aiomqtt connects in a thread, which cannot be cancelled: without this a socket would stay.
        """
        client = self._new_client(tls)
        entering = asyncio.get_running_loop().create_task(client.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            with suppress(aiomqtt.MqttError):
                await entering
                await client.__aexit__(None, None, None)
            raise
        try:
            yield client
        finally:
            with suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)

    def _new_client(self, tls: ssl.SSLContext | None) -> aiomqtt.Client:
        client = aiomqtt.Client(
            self._endpoint.host,
            self._endpoint.port,
            identifier=self._endpoint.session,
            username=self._endpoint.user or None,
            password=self._endpoint.password or None,
            clean_session=False,
            will=aiomqtt.Will(*self._will, qos=1, retain=True) if self._will else None,
            tls_context=tls,
            logger=_paho_log,
            timeout=CONNECT_MAX_S,
            keepalive=self._limits.keepalive_s,
            max_inflight_messages=self._limits.in_flight_max,
            max_queued_incoming_messages=2 * self._limits.inbox_max,
        )
        client.pending_calls_threshold = self._limits.in_flight_max + len(self._inboxes)
        # aiomqtt has no door to manual acknowledgement, without which a full queue loses messages
        client._client.manual_ack_set(on=True)  # noqa: SLF001  # see the line above
        return client

    async def _converse(self, client: aiomqtt.Client) -> None:
        """Take back the will, subscribe anew, and sort what comes until the connection ends."""
        try:
            if self._hello is not None:
                topic, payload = self._hello()
                await client.publish(topic, payload, qos=1, retain=True)
            self._client = client
            for inbox in tuple(self._inboxes):
                await _subscribe(client, inbox.filters)
            stop_if_cancelled()
            self.connected.set()
            _log.info("broker %s answers", self._endpoint.url)
            await self._sort(client)
        except asyncio.CancelledError:
            if self._will is not None:
                with suppress(aiomqtt.MqttError):
                    await client.publish(*self._will, qos=1, retain=True, timeout=FAREWELL_MAX_S)
            raise

    async def _sort(self, client: aiomqtt.Client) -> None:
        """Put each message into the inboxes that asked for it."""
        messages = client.messages
        self._held = set()
        async for raw in messages:
            if raw.qos and raw.mid in self._held:
                continue  # sent again because its reader is slow: it is in the inbox already
            readers = [box for box in self._inboxes if box.wants(raw.topic)]
            message = Message(raw.topic.value, raw.payload, raw.retain)
            unread = Unread(message, client, raw.mid, raw.qos, readers)
            self._held.add(raw.mid)
            if not readers:
                self.strays += 1
                self._acknowledge(unread)
            for inbox in tuple(readers):
                await put(inbox, unread)

    def _done(self, unread: Unread, inbox: Inbox) -> None:
        unread.readers.remove(inbox)
        if not unread.readers and unread.client is self._client:
            self._acknowledge(unread)

    def _acknowledge(self, unread: Unread) -> None:
        self._held.discard(unread.mid)
        unread.client._client.ack(unread.mid, unread.qos)  # noqa: SLF001  # see _new_client

    def _backoff_s(self) -> float:
        ceiling_s = min(self._limits.backoff_max_s, BACKOFF_FIRST_S * 2 ** min(self._failures, 16))
        self._failures += 1
        return self._random.uniform(0, ceiling_s)


async def _refusal(endpoint: Endpoint, tls: ssl.SSLContext | None, error: aiomqtt.MqttError) -> str:
    """Say what the broker has against us for good; empty if it may be better next time."""
    if isinstance(error, aiomqtt.MqttCodeError) and error.rc is not None:
        code = error.rc if isinstance(error.rc, int) else error.rc.value
        return str(error) if code in REFUSED_CODES else ""
    return "" if tls is None else await endpoint.tls_refusal(tls)


async def _subscribe(client: aiomqtt.Client, filters: Iterable[str]) -> None:
    wanted = [(text, 1) for text in filters]
    codes: Sequence[int | ReasonCode] = await client.subscribe(wanted)
    for (text, _), code in zip(wanted, codes, strict=True):
        if (code if isinstance(code, int) else code.value) >= SUBSCRIPTION_REFUSED:
            raise BrokerError(f"the broker refuses us the filter {text}; see its access rules")
