"""A gateway, its witnesses and a broker: cosignatures, forks, and a home restored from a copy."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import pytest
from box import Box

from agent import cosigning, inquiry, topics
from agent.broker import Message
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.cosigning import Cosigner, Known
from agent.httpd import Door, Limits
from agent.inquiry import Command
from agent.running import Connection
from agent.stores import Stores
from agent.witness import SIZE_TYPE, Desk
from ledger_client import checkpoints, witnessing
from ledger_client.checkpoints import Checkpoint, Verifier
from ledger_client.database import open_database
from ledger_client.errors import StoreError
from ledger_client.keys import SigningKey
from ledger_client.witness import Witness, origin_hash
from ledger_client.witnessing import Offer

WITNESS = SigningKey(bytes([41]) * 32)
NAME, NOW_S = "witness.example/w", 1_767_225_600
ME, THEY = "gateway", WITNESS.public.short_id


@dataclass
class Site:
    """A broker, and whatever the test starts on it."""

    box: Box
    folder: Path
    nats: EmbeddedBroker
    tasks: asyncio.TaskGroup
    started: list[asyncio.Task[None]] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)

    def broker(self, user: str, session: str = "") -> MqttBroker:
        endpoint = Endpoint(self.nats.url, session or user, user, f"secret-{user}")
        broker = MqttBroker(endpoint, random=Random(1))
        self.started.append(self.tasks.create_task(broker.run()))
        return broker

    def witness(self, stores: Stores) -> Witness:
        log = Verifier(stores.log.name, stores.home.key("note").public)
        one = Witness(open_database(self.folder / "witness.db"), WITNESS, NAME, [log])
        one.create()
        return one

    def witness_at_work(self, stores: Stores) -> Witness:
        one = self.witness(stores)
        desk = Desk(one, lambda: NOW_S)
        self.started.append(self.tasks.create_task(desk.run(self.broker(THEY), THEY, watch=True)))
        return one

    def gateway(self, stores: Stores, *urls: str) -> tuple[Cosigner, asyncio.Task[None]]:
        known = [
            Known(Verifier(NAME, WITNESS.public, checkpoints.COSIGNATURE), url) for url in urls
        ]
        cosigner = Cosigner(stores.log, stores.mark, ME, known)
        connection = Connection(self.broker(ME), lambda user: Endpoint(self.nats.url, user), [])
        task = asyncio.get_running_loop().create_task(cosigner.run(connection))
        self.started.append(task)
        return cosigner, task

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(15):
            while not true():  # noqa: ASYNC110  # of things that have no event
                await asyncio.sleep(0.05)

    async def stop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def site(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(cosigning, "EVERY_S", 0.1)
    users = [
        User(ME, f"secret-{ME}", topics.gateway_rules(ME, [])),
        User(THEY, f"secret-{THEY}", topics.witness_rules(THEY)),
        User("eye", "secret-eye", topics.DASHBOARD),
    ]
    nats = EmbeddedBroker(tmp_path / "broker", users, random=Random(1))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(nats.run())
        await nats.ready.wait()
        one = Site(box, tmp_path, nats, tasks)
        eye = one.broker("eye")

        async def watch() -> None:
            async with eye.subscribe(topics.said_by_all()) as messages:
                async for message in messages:
                    one.retained[message.topic] = message.payload

        one.started.append(tasks.create_task(watch()))
        yield one
        for task in [*one.started, running]:
            await one.stop(task)


@asynccontextmanager
async def over_http(witness: Witness) -> AsyncIterator[str]:
    door = Door(Desk(witness, lambda: NOW_S).routes(), Limits())
    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(door.serve("127.0.0.1", 0))
        await door.ready.wait()
        yield f"http://127.0.0.1:{door.port}"
        served.cancel()


def grow(site: Site, stores: Stores, times: int = 1) -> None:
    for _ in range(times):
        site.box.hear(stores)
        site.box.prove(stores)


def signers(note: str) -> tuple[str, ...]:
    known = Verifier(NAME, WITNESS.public, checkpoints.COSIGNATURE)
    return checkpoints.open_note(note, [known])[1]


async def test_every_head_is_cosigned_over_mqtt_and_shown_with_it(site: Site) -> None:
    stores = site.box.open()
    witness = site.witness_at_work(stores)
    cosigner, _ = site.gateway(stores, "mqtt")
    await site.until(cosigner.cleared.is_set)

    for more in (0, 1, 3):
        grow(site, stores, more)
        await site.until(lambda: witness.heads().get(stores.log.name) == stores.log.head.size)
    await site.until(lambda: NAME in cosigner.note())

    assert signers(cosigner.note()) == (NAME,)
    topic = topics.checkpoint(ME)
    await site.until(lambda: site.retained.get(topic, b"").decode() == cosigner.note())


async def test_after_a_start_the_witness_says_where_it_stands(site: Site) -> None:
    stores = site.box.open()
    witness = site.witness_at_work(stores)
    first, task = site.gateway(stores, "mqtt")
    grow(site, stores, 3)
    await site.until(lambda: NAME in first.note())
    await site.stop(task)
    grow(site, stores, 2)

    second, _ = site.gateway(stores, "mqtt")

    await site.until(lambda: witness.heads().get(stores.log.name) == 6)
    await site.until(lambda: NAME in second.note())


async def test_the_same_works_over_http(site: Site) -> None:
    stores = site.box.open()
    witness = site.witness(stores)
    async with over_http(witness) as url:
        cosigner, task = site.gateway(stores, url)
        grow(site, stores, 3)
        await site.until(lambda: NAME in cosigner.note())
        grow(site, stores, 2)
        await site.until(lambda: witness.heads().get(stores.log.name) == 6)
        await site.stop(task)


async def test_http_answers_as_the_specification_says(site: Site) -> None:
    stores = site.box.open()
    grow(site, stores, 2)
    witness, head = site.witness(stores), stores.log.head
    async with over_http(witness) as url, aiohttp.ClientSession() as session:

        async def post(body: bytes) -> tuple[int, str, str]:
            async with session.post(f"{url}/add-checkpoint", data=body) as answer:
                return answer.status, await answer.text(), answer.content_type

        async def latest(origin: str) -> tuple[int, str]:
            async with session.get(f"{url}/{origin_hash(origin)}/checkpoint") as answer:
                return answer.status, await answer.text()

        assert (await latest(stores.log.name))[0] == 404
        status, line, _ = await post(Offer(0, (), head.note).body)
        assert (status, signers(head.note + line)) == (200, (NAME,))
        assert await post(Offer(0, (), head.note).body) == (409, "3\n", SIZE_TYPE)
        assert (await post(b"old"))[0] == 400
        assert await latest(stores.log.name) == (200, head.note + line)
        assert (await latest("another log"))[0] == 404


async def test_a_fork_is_refused_kept_and_alerted(site: Site) -> None:
    stores = site.box.open()
    witness = site.witness_at_work(stores)
    grow(site, stores, 2)
    cosigner, _ = site.gateway(stores, "mqtt")
    await site.until(lambda: NAME in cosigner.note())
    other = checkpoints.sign(
        stores.home.key("note"), Checkpoint(stores.log.name, 3, bytes([7]) * 32)
    )

    desk = site.broker(ME, "another-session")
    command = Command("add-checkpoint", "1", Offer(3, (), other).body.decode())
    await desk.publish(topics.command(THEY, ME), inquiry.encode(command))

    topic = topics.alert(THEY, f"fork-{origin_hash(stores.log.name)[:16]}")
    await site.until(lambda: site.retained.get(topic))
    alert = json.loads(site.retained[topic])
    assert (alert["code"], alert["log"]) == ("fork", stores.log.name)
    assert (alert["pinned"], alert["shown"]) == (stores.log.head.note, other)
    (kept,) = witness.evidence()
    assert witnessing.parse(kept.offer).note == other


async def test_a_log_that_shows_others_another_head_is_caught(site: Site) -> None:
    stores = site.box.open()
    witness = site.witness_at_work(stores)
    grow(site, stores, 2)
    cosigner, task = site.gateway(stores, "mqtt")
    await site.until(lambda: NAME in cosigner.note())
    await site.stop(task)
    other = checkpoints.sign(
        stores.home.key("note"), Checkpoint(stores.log.name, 3, bytes([7]) * 32)
    )

    await site.broker(ME, "another-session").publish(
        topics.checkpoint(ME), other.encode(), retain=True
    )

    await site.until(lambda: any(each.forked for each in witness.evidence()))


async def test_a_retained_or_unknown_command_is_dropped(site: Site) -> None:
    stores = site.box.open()
    desk = Desk(site.witness(stores), lambda: NOW_S)

    assert desk._reply(Message("t", b"{}", retained=False)) is None
    assert desk._reply(Message("t", b'{"command":"reboot","id":"1","body":""}', False)) is None


def copy(stores: Stores, folder: Path) -> None:
    """The whole home, as somebody would copy it while nothing runs."""
    stores.close()
    shutil.copytree(stores.home.path, folder)


def restore(folder: Path, home: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(folder, home)


@pytest.mark.parametrize("way", ["broker", "mqtt", "http"])
async def test_a_home_restored_as_a_whole_signs_nothing_more(site: Site, way: str) -> None:
    """Nothing in the home can tell: the broker's retained note does, or a witness."""
    stores = site.box.open()
    grow(site, stores, 2)
    box = site.box
    box._stack.pop_all()
    copy(stores, site.folder / "copy")
    stores = box.open()
    urls = ["mqtt"] if way == "mqtt" else []
    if way == "mqtt":
        site.witness_at_work(stores)
    witness = site.witness(stores)
    async with over_http(witness) as url:
        urls += [url] if way == "http" else []
        first, task = site.gateway(stores, *urls)
        grow(site, stores, 3)
        if way == "broker":
            await asyncio.sleep(1.5)
        else:
            await site.until(lambda: NAME in first.note())
        await site.stop(task)
        if way != "broker":  # a broker that forgot
            other = site.broker(ME, "cleaner")
            await other.publish(topics.result(ME, ME), b"", retain=True)
        box._stack.pop_all()
        stores.close()
        restore(site.folder / "copy", stores.home.path)
        stores = box.open()
        grown = stores.log.head.size

        second, task = site.gateway(stores, *urls)
        await asyncio.wait([task], timeout=15)

    with pytest.raises(ExceptionGroup) as caught:
        task.result()
    assert caught.group_contains(StoreError, match="signed a head of 6 entries")
    assert not second.cleared.is_set()
    assert grown == stores.log.head.size == 3
    with pytest.raises(StoreError, match="Nothing is signed"):
        box.open()


async def test_a_note_that_is_not_ours_stops_nobody(site: Site) -> None:
    stores = site.box.open()
    stranger = checkpoints.sign(
        SigningKey(bytes([9]) * 32), Checkpoint(stores.log.name, 99, bytes(32))
    )
    broker = site.broker(ME, "another-session")
    note = inquiry.encode(inquiry.Result("head", "", 200, stranger))
    await broker.publish(topics.result(ME, ME), note, retain=True)

    cosigner, task = site.gateway(stores)

    await site.until(cosigner.cleared.is_set)
    assert not task.done()


async def test_a_witness_that_is_away_does_not_stop_the_log(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosigning, "ASK_MAX_S", 0.5)
    stores = site.box.open()

    cosigner, task = site.gateway(stores, "mqtt", "http://127.0.0.1:9")

    await site.until(cosigner.cleared.is_set)
    await asyncio.sleep(0.3)
    assert not task.done()
    assert cosigner.note() == stores.log.head.note


async def test_a_broker_that_is_away_is_waited_for_a_while(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosigning, "RECALL_MAX_S", 0.3)
    stores = box.open()
    cosigner = Cosigner(stores.log, stores.mark, ME, [])
    broker = MqttBroker(Endpoint("mqtt://127.0.0.1:9", ME), random=Random(1))
    connection = Connection(broker, lambda _: Endpoint("mqtt://127.0.0.1:9", ME), [])

    task = asyncio.get_running_loop().create_task(cosigner.run(connection))
    async with asyncio.timeout(5):
        await cosigner.cleared.wait()

    await cosigner.settle()
    task.cancel()
    await asyncio.wait([task])
