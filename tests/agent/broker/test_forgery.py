"""No component speaks as another or reads another's inbox, proved by what is delivered.

A PUBACK proves nothing: brokers acknowledge a forbidden publish and drop it.
"""
# ruff: noqa: ANN401  # what a conftest yields cannot be imported in importlib mode

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Any

import aiomqtt
import pytest

from agent import topics
from agent.broker import BrokerError
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker

VICTIM_TOPICS = [
    topics.status("brand"),
    topics.tele("shoe", "speed"),
    topics.offer("gateway", "best"),
    topics.checkpoint("gateway"),
    topics.pay("brand", "gateway"),
    topics.pay("mallory", "gateway"),
    topics.command("shoe", "gateway"),
    topics.result("brand", "brand"),
    topics.discovery("shoe"),
    f"{topics.ROOT}/c/brand",
    f"{topics.ROOT}/in/brand",
    f"{topics.ROOT}/in/brand/pay/x/mallory",
    f"{topics.ROOT}/in/brand/mallory",
    "milepost.v1.c.brand.status",
    "milepost/v1.c.brand/status",
    "/milepost/v1/c/brand/status",
    "milepost/v1/c//brand/status",
]
VICTIM_FILTERS = [
    topics.said_to("brand"),
    f"{topics.ROOT}/in/brand/#",
    f"{topics.ROOT}/in/#",
    f"{topics.ROOT}/in/+/pay/#",
    f"{topics.ROOT}/in/+/+/+",
    f"{topics.ROOT}/c/#",
    topics.status("brand"),
    f"{topics.ROOT}/#",
    "#",
    "+/#",
    "/#",
    "$MQTT/sub/#",
    "$MQTT/#",
    "$SYS/#",
    "$JS/#",
    "$share/group/milepost/v1/in/brand/#",
    "milepost.v1.in.brand.>",
    ">",
]
HONEST = [
    ("brand", topics.status("brand")),
    ("brand", topics.pay("gateway", "brand")),
    ("gateway", topics.tele("shoe", "speed")),
    ("gateway", topics.pay("brand", "shoe")),
    ("gateway", topics.discovery("shoe")),
    ("mallory", topics.pay("brand", "mallory")),
    ("mallory", topics.status("mallory")),
    ("mallory", topics.offer("mallory", "best")),
]


async def collect(client: aiomqtt.Client, last: bytes) -> list[tuple[str, bytes]]:
    """Everything that comes up to the message with the payload `last`."""
    heard: list[tuple[str, bytes]] = []
    async with asyncio.timeout(10):
        async for message in client.messages:
            if message.payload == last:
                return heard
            heard.append((message.topic.value, bytes(message.payload)))
    raise AssertionError("unreachable")


READERS = {
    "dashboard": topics.DASHBOARD.subscribe,
    "brand": topics.component_rules("brand").subscribe,
    "gateway": topics.gateway_rules("gateway", ["shoe"]).subscribe,
}


@asynccontextmanager
async def listening(site: Any) -> AsyncIterator[dict[str, aiomqtt.Client]]:
    """The three who could be deceived, each subscribed to all that it may."""
    async with AsyncExitStack() as stack:
        clients = {}
        for name, filters in READERS.items():
            clients[name] = await stack.enter_async_context(site.client(name))
            await clients[name].subscribe([(text, 1) for text in filters])
        yield clients


async def hear(clients: dict[str, aiomqtt.Client]) -> list[tuple[str, bytes]]:
    """What the three heard up to one honest message each: after it no forgery is on its way."""
    await clients["brand"].publish(topics.status("brand"), b"end", qos=1)
    await clients["brand"].publish(topics.pay("gateway", "brand"), b"end", qos=1)
    await clients["gateway"].publish(topics.pay("brand", "gateway"), b"end", qos=1)
    return [item for client in clients.values() for item in await collect(client, b"end")]


async def attempt(site: Any, *actions: Callable[[aiomqtt.Client], Awaitable[Any]]) -> None:
    """Do each as mallory over a connection of its own; the broker may hang up on it."""
    for action in actions:
        with suppress(aiomqtt.MqttError):
            async with site.client("mallory") as mallory:
                await action(mallory)


async def test_what_the_rules_allow_is_delivered(open_site: Any) -> None:
    async with (
        open_site() as site,
        listening(site) as clients,
        site.client("mallory") as mallory,
    ):
        for name, topic in HONEST:
            await clients.get(name, mallory).publish(topic, b"honest", qos=1)

        heard = await hear(clients)

    assert {topic for topic, _ in heard} == {topic for _, topic in HONEST}


@pytest.mark.parametrize("retain", [False, True], ids=["live", "retained"])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_nothing_published_as_another_is_delivered(
    open_site: Any, qos: int, retain: bool
) -> None:
    def forge(topic: str) -> Callable[[aiomqtt.Client], Awaitable[Any]]:
        return lambda mallory: mallory.publish(topic, b"forged", qos=qos, retain=retain)

    async with open_site() as site:
        async with listening(site) as clients:
            await attempt(site, *(forge(topic) for topic in VICTIM_TOPICS))
            live = await hear(clients)
        async with listening(site) as clients:
            later = await hear(clients)

    assert [item for item in live + later if item[1] == b"forged"] == []


@pytest.mark.parametrize("retain", [False, True], ids=["live", "retained"])
async def test_nobody_plants_a_voucher_of_another_in_its_own_inbox(
    open_site: Any, retain: bool
) -> None:
    async with open_site() as site, site.client("mallory") as mallory:
        await mallory.subscribe(topics.said_to("mallory"), qos=1)
        await mallory.publish(topics.pay("mallory", "brand"), b"forged", qos=1, retain=retain)
        await mallory.subscribe(topics.said_to("mallory", "pay"), qos=1)
        await mallory.publish(topics.pay("mallory", "mallory"), b"end", qos=1)

        heard = await collect(mallory, b"end")

    assert heard == []


async def test_a_last_will_in_the_name_of_another_is_not_delivered(open_site: Any) -> None:
    async with open_site() as site:
        async with listening(site) as clients:
            for topic in (
                topics.status("brand"),
                topics.pay("brand", "gateway"),
                topics.status("mallory"),
            ):
                will = aiomqtt.Will(topic, b"forged", qos=1, retain=True)
                with suppress(aiomqtt.MqttError):
                    async with site.client("mallory", will=will) as mallory:
                        mallory._client._sock_close()
                        raise aiomqtt.MqttError("vanish without DISCONNECT")
            live = await hear(clients)
            async with asyncio.timeout(10):
                while (topics.status("mallory"), b"forged") not in live:  # its last will of three
                    live += await hear(clients)
            live += await hear(clients)
        async with listening(site) as clients:
            later = await hear(clients)

    forged = [topic for topic, payload in live + later if payload == b"forged"]
    assert forged == [topics.status("mallory")] * 2, (
        "its own will, live and retained, proves the test"
    )


async def test_no_filter_shows_the_inbox_of_another(open_site: Any) -> None:
    async with open_site() as site, listening(site) as clients:
        await clients["gateway"].publish(
            topics.pay("brand", "gateway"), b"kept secret", qos=1, retain=True
        )
        async with AsyncExitStack() as stack:
            spies: list[aiomqtt.Client] = []
            for number, text in enumerate(VICTIM_FILTERS):
                for qos in (0, 1):
                    with suppress(aiomqtt.MqttError, ValueError):
                        # where the certificate names the session, spies have to take turns
                        if site.kind == "nats" or not spies:
                            spy = await stack.enter_async_context(
                                site.client("mallory", identifier=f"spy-{number}-{qos}")
                            )
                            spies.append(spy)
                        await spies[-1].subscribe(text, qos=qos)
            await clients["gateway"].publish(topics.pay("brand", "gateway"), b"secret", qos=1)
            await clients["brand"].publish(topics.status("brand"), b"secret", qos=1)
            await hear(clients)
            await asyncio.sleep(0.3)
            overheard = [
                (await anext(spy.messages)).payload
                for spy in spies
                for _ in range(len(spy.messages))
            ]

    assert spies
    assert overheard == []


async def test_nobody_takes_over_the_session_of_another(open_site: Any) -> None:
    """A persistent session is named by its client id alone, which is no secret."""
    async with open_site() as site:
        async with site.client("brand", clean_session=False) as brand:
            await brand.subscribe(topics.said_to("brand"), qos=1)
        async with site.client("gateway") as gateway:
            await gateway.publish(topics.pay("brand", "gateway"), b"secret", qos=1)

        overheard = []
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with site.client("mallory", identifier="brand", clean_session=False) as mallory:
                async with asyncio.timeout(1):
                    overheard.append((await anext(mallory.messages)).payload)
        async with site.client("brand", clean_session=False) as brand:
            async with asyncio.timeout(10):
                delivered = await anext(brand.messages)

    assert overheard == []
    assert delivered.payload == b"secret"


async def test_mosquitto_listens_with_tls_only(open_site: Any) -> None:
    """An option of a listener, written above it, opens a second listener without TLS."""
    async with open_site() as site:
        opened = [line for line in site.log().splitlines() if "listen socket" in line]

    assert len(opened) == (1 if site.kind == "mosquitto" else 0)


async def test_a_wrong_password_or_no_certificate_is_refused(open_site: Any) -> None:
    async with open_site() as site:
        endpoint = site.endpoint("mallory")
        stranger = Endpoint(endpoint.url, "stranger", "mallory", "wrong", ca=endpoint.ca)
        broker = MqttBroker(stranger, random=Random(1))

        with pytest.raises(BrokerError, match="refuses stranger"):
            await asyncio.wait_for(broker.run(), 20)


async def test_a_witness_is_delivered_every_checkpoint_and_nothing_else_of_others(
    open_site: Any,
) -> None:
    async with (
        open_site() as site,
        site.client("witness") as witness,
        site.client("gateway") as gateway,
    ):
        for filters in (
            topics.checkpoint_of_all(),
            topics.said_by_all(),
            topics.said_to("gateway"),
        ):
            with suppress(aiomqtt.MqttError):
                await witness.subscribe(filters, qos=1)
        await gateway.publish(topics.status("gateway"), b"private", qos=1)
        await gateway.publish(topics.checkpoint("gateway"), b"head", qos=1, retain=True)
        await gateway.publish(topics.tele("shoe", "speed"), b"private", qos=1)
        await gateway.publish(topics.checkpoint("gateway"), b"end", qos=1, retain=True)

        heard = await collect(witness, b"end")

    assert set(heard) == {(topics.checkpoint("gateway"), b"head")}
