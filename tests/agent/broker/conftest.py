"""Two real brokers behind one face: the embedded one, and Debian's Mosquitto with mutual TLS."""
# ruff: noqa: ANN401  # options are passed on as they are

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiomqtt
import pytest

from agent import topics
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import Limits, MqttBroker

CONFIGS = Path(__file__).parents[3] / "configs" / "mosquitto"
RULES = {
    "gateway": topics.gateway_rules("gateway", ["shoe"]),
    "brand": topics.component_rules("brand"),
    "mallory": topics.component_rules("mallory"),
    "dashboard": topics.DASHBOARD,
    "witness": topics.witness_rules("witness"),
}
QUICK = Limits(backoff_max_s=0.5)


@dataclass(frozen=True)
class Site:
    """A running broker with the users of RULES."""

    kind: str
    endpoint: Callable[[str], Endpoint]
    log: Callable[[], str] = str

    def client(self, name: str, **options: Any) -> aiomqtt.Client:
        """Return a bare client, which may try anything."""
        endpoint = self.endpoint(name)
        options.setdefault("identifier", name)
        return aiomqtt.Client(
            endpoint.host,
            endpoint.port,
            username=endpoint.user or None,
            password=endpoint.password or None,
            tls_context=endpoint.tls(),
            timeout=5,
            **options,
        )

    def broker(self, name: str, **options: Any) -> MqttBroker:
        """Return our own connection."""
        options.setdefault("limits", QUICK)
        return MqttBroker(self.endpoint(name), random=Random(1), **options)


OpenSite = Callable[[], AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    """Run each part's `run` while the context is open."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run()) for part in parts]
        yield
        for task in tasks:
            task.cancel()


def nats(folder: Path, **options: Any) -> EmbeddedBroker:
    users = [User(name, f"secret-{name}", rules) for name, rules in RULES.items()]
    return EmbeddedBroker(folder, users, random=Random(1), **options)


@asynccontextmanager
async def nats_site(folder: Path) -> AsyncIterator[Site]:
    server = nats(folder)

    def endpoint(name: str) -> Endpoint:
        return Endpoint(server.url, name, name, f"secret-{name}")

    async with running(server):
        await asyncio.wait_for(server.ready.wait(), 10)
        yield Site("nats", endpoint)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def mosquitto_site(folder: Path, certificates: Path) -> AsyncIterator[Site]:
    port = free_port()
    text = (CONFIGS / "mosquitto.conf").read_text()
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1")
    text = text.replace("/etc/mosquitto/milepost/acl", str(folder / "acl"))
    text = text.replace("/etc/mosquitto/milepost/", f"{certificates}/")
    text = text.replace("/var/lib/mosquitto/", f"{folder}/")
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240  # nothing else runs yet
    access = topics.mosquitto_acl({"gateway": ["shoe"]}, ["dashboard"], ["witness"])
    (folder / "acl").write_text(access)
    conf = folder / "mosquitto.conf"
    conf.write_text(text + ("user root\n" if os.getuid() == 0 else ""))

    def endpoint(name: str) -> Endpoint:
        own = certificates / name
        return Endpoint(
            f"mqtts://127.0.0.1:{port}",
            name,
            ca=certificates / "ca.crt",
            certificate=own.with_suffix(".crt"),
            key=own.with_suffix(".key"),
        )

    with (folder / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            mosquitto() or "", "-c", str(conf), stdout=log, stderr=log
        )
        try:
            await until_open(port)
            yield Site("mosquitto", endpoint, (folder / "log").read_text)
        finally:
            child.terminate()
            await child.wait()


async def until_open(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return


def mosquitto() -> str | None:
    return shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([CONFIGS / "make-certificates.sh", folder, "127.0.0.1", *RULES], check=True)
    return folder


@pytest.fixture(params=["nats", "mosquitto"])
def open_site(request: pytest.FixtureRequest, tmp_path: Path) -> OpenSite:
    if request.param == "nats":
        return lambda: nats_site(tmp_path / "site")
    if mosquitto() is None:
        pytest.skip("mosquitto is not installed here: apt-get install mosquitto")
    certificates: Path = request.getfixturevalue("certificates")
    return lambda: mosquitto_site(tmp_path / "site", certificates)


@pytest.fixture
def open_nats(tmp_path: Path) -> Callable[..., EmbeddedBroker]:
    return lambda **options: nats(tmp_path / "site", **options)


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[EmbeddedBroker]]:
    """A broker that is up, to be entered by the test itself: a task group belongs to one task."""

    @asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[EmbeddedBroker]:
        server = nats(tmp_path / "site", **options)
        async with running(server):
            await server.ready.wait()
            yield server

    return start


@pytest.fixture
def run_all() -> Callable[..., AbstractAsyncContextManager[None]]:
    return running
