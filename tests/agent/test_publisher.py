"""What the journal and the log hold is told once the broker is there, and never lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import cbor2
import pytest
from box import Box

from agent import proving, topics
from agent.broker import BrokerError, Message
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.publisher import Publisher
from agent.stores import Stores
from ledger_client import checkpoints


class Slate:
    """A broker that writes down what it is told, and refuses after `accepts` messages."""

    def __init__(self, accepts: int = 1_000) -> None:
        self.connected = asyncio.Event()
        self.said: list[tuple[str, bytes, bool]] = []
        self.accepts = accepts

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await asyncio.sleep(0)
        if len(self.said) >= self.accepts:
            raise BrokerError("away")
        self.said.append((topic, payload, retain))

    @asynccontextmanager
    async def subscribe(self, *filters: str) -> AsyncIterator[AsyncIterator[Message]]:
        del filters
        yield _nothing()

    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.said]


async def _nothing() -> AsyncIterator[Message]:
    nothing: tuple[Message, ...] = ()
    for message in nothing:
        yield message


def publisher(stores: Stores, slate: Slate | MqttBroker, *, personal: bool = False) -> Publisher:
    return proving.publisher(stores, slate, personal=personal)


async def test_telemetry_receipts_and_checkpoint_are_told_once(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 2, "car")
    box.prove(stores)
    slate, gateway = Slate(), stores.signer.public.short_id
    tyre = stores.components["tyre"].id
    telling = publisher(stores, slate)

    first, second = await telling.step(), await telling.step()

    assert (first, second, telling.published) == (False, False, 3)
    assert slate.topics() == [
        topics.tele(tyre, "tyre_pressure"),
        topics.receipt(gateway),
        topics.checkpoint(gateway),
    ]
    assert [retained for _, _, retained in slate.said] == [False, False, True]
    assert stores.journal.untold_packs(10) == []
    assert stores.journal.untold_batches(10) == []


async def test_what_is_told_names_pack_batch_and_head(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 2, "car", dropped=3)
    (proved,) = box.prove(stores)
    slate = Slate()

    await publisher(stores, slate).step()

    (_, tele, _), (_, receipt, _), (_, note, _) = slate.said
    assert cbor2.loads(tele)[0]["pk"] == f"{stores.boot.hex()}-1"
    assert cbor2.loads(tele)[0][-2] == f"{stores.subjects['car']}:"
    said = json.loads(receipt)
    assert (said["batch"], said["sequence"], said["n"]) == (proved.batch.hex(), 1, 2)
    assert (said["index"], said["size"]) == (1, 2)
    assert said["provenance"] == {"9": 2}
    assert said["losses"] == {"dropped": 3, "rejected": 0, "gap": 0}
    assert checkpoints.parse(note.decode().partition("\n\n")[0] + "\n").size == 2


@pytest.mark.parametrize(("personal", "told"), [(False, 0), (True, 1)])
async def test_a_body_is_talked_about_only_where_the_configuration_says_so(
    box: Box, personal: bool, told: int
) -> None:
    stores = box.open()
    box.hear(stores, 2, "runner")
    slate = Slate()

    await publisher(stores, slate, personal=personal).step()

    assert len([topic for topic in slate.topics() if "/tele/" in topic]) == told
    assert stores.journal.untold_packs(10) == []


@pytest.mark.parametrize("accepts", range(4))
async def test_what_the_broker_did_not_take_is_told_again(box: Box, accepts: int) -> None:
    stores = box.open()
    box.hear(stores, 1, "car")
    box.hear(stores, 1, "car")
    box.prove(stores)
    slate = Slate(accepts)

    with pytest.raises((BrokerError, ExceptionGroup)):
        await publisher(stores, slate).step()
    slate.accepts = 1_000
    await publisher(stores, slate).step()

    assert {topic.split("/")[4] for topic in slate.topics()} == {"tele", "receipt", "checkpoint"}
    identities = {cbor2.loads(data)[0]["pk"] for topic, data, _ in slate.said if "/tele/" in topic}
    assert identities == {f"{stores.boot.hex()}-{number}" for number in (1, 2)}


async def test_a_long_backlog_is_told_in_steps_and_then_there_is_a_rest(box: Box) -> None:
    stores = box.open()
    for _ in range(70):
        box.hear(stores, 1, "car")
    telling = publisher(stores, Slate())
    rests = 0

    async def rest(_: float) -> None:
        nonlocal rests
        rests += 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await telling.run(0.25, rest)

    assert rests == 1
    assert telling.published == 71


async def test_everything_arrives_through_the_real_broker(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 2, "car")
    box.prove(stores)
    gateway = stores.signer.public.short_id
    rules = topics.gateway_rules(gateway, [each.id for each in stores.components.values()])
    users = [User(gateway, "secret", rules), User("dashboard", "secret", topics.DASHBOARD)]
    embedded = EmbeddedBroker(stores.home.broker, users, random=Random(1))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(embedded.run())]
        await embedded.ready.wait()
        speaker, listener = (
            MqttBroker(Endpoint(embedded.url, name, name, "secret"), random=Random(1))
            for name in (gateway, "dashboard")
        )
        running += [tasks.create_task(each.run()) for each in (speaker, listener)]
        await listener.connected.wait()  # what is told before it subscribed never reaches it
        async with listener.subscribe(topics.said_by_all()) as messages:
            telling = tasks.create_task(publisher(stores, speaker).step())
            heard = [await anext(messages) for _ in range(3)]
            await telling
        for task in reversed(running):
            task.cancel()
            await asyncio.wait([task])

    assert {message.topic for message in heard} == {
        topics.tele(stores.components["tyre"].id, "tyre_pressure"),
        topics.receipt(gateway),
        topics.checkpoint(gateway),
    }
