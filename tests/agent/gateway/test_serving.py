"""The gateway as a service: a recording, an embedded broker, systemd and an observer."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest

from agent import gateway, statusboard, topics
from agent.audit import verify_home
from agent.broker.embedded import read_password
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.config import Config, read
from agent.gateway.serving import Progress, serve
from agent.home import Home, HomeError
from agent.status import Snapshot
from agent.systemd import Notifier

CONFIGS = Path(__file__).parents[3] / "configs"


def config(tmp_path: Path, port: int) -> Config:
    shipped = read(CONFIGS / "replay.toml")
    change = msgspec.structs.replace
    return change(
        shipped,
        gateway=change(shipped.gateway, home=str(tmp_path / "home")),
        radio=change(
            shipped.radio,
            replay_file=str(CONFIGS / "replay.jsonl"),
            replay_as_fast_as_possible=True,
        ),
        batch=change(shipped.batch, age_max_s=0.5),
        broker=change(shipped.broker, port=port, observers=("observer",)),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[tuple[Notifier, socket.socket]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"{tmp_path}/notify")
        listener.settimeout(20)
        environment = {"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "400000"}
        yield Notifier(environment), listener


@asynccontextmanager
async def observing(home: Home, port: int, seen: dict[str, bytes]) -> AsyncIterator[None]:
    """What an observer of the broker holds of each topic in the end."""
    password = read_password(home.broker_users, "observer")
    endpoint = Endpoint(f"mqtt://127.0.0.1:{port}", "observer", "observer", password)
    broker = MqttBroker(endpoint, random=Random(1))

    async def watch() -> None:
        async with broker.subscribe(topics.said_by_all()) as messages:
            async for message in messages:
                seen[message.topic.removeprefix("milepost/v1/c/")] = message.payload

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(broker.run()), tasks.create_task(watch())]
        await broker.connected.wait()
        yield
        for task in both:
            task.cancel()


async def _listen(listener: socket.socket, last: bytes) -> list[bytes]:
    """What systemd hears up to `last`: the first line of each."""
    heard = [b""]
    while heard[-1] != last:
        heard.append((await asyncio.to_thread(listener.recv, 999)).split(b"\n")[0])
    return heard[1:]


async def test_it_tells_systemd_serves_its_status_and_ends_with_everything_proved(
    tmp_path: Path, systemd: tuple[Notifier, socket.socket]
) -> None:
    notifier, listener = systemd
    port, stop, seen = free_port(), asyncio.Event(), dict[str, bytes]()
    settings, home = config(tmp_path, port), Home(tmp_path / "home")

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve(settings, stop, notifier))
        heard = await _listen(listener, b"READY=1")
        rest = tasks.create_task(_listen(listener, b"STOPPING=1"))
        async with observing(home, port, seen):
            await asyncio.sleep(3)
            data = await asyncio.to_thread(statusboard.read, home.socket)
            stop.set()
            await asyncio.wait([task])
        heard += await rest

    assert set(heard) == {b"WATCHDOG=1", b"READY=1", b"STOPPING=1"}
    snapshot = msgspec.json.decode(data or b"", type=Snapshot)
    assert (snapshot.radio, len(snapshot.components)) == ("replay", 9)
    assert snapshot.readings > 200
    assert snapshot.broker_connected
    report = verify_home(home.path)
    assert (report.pending, report.unproved_packs) == (0, 0)
    states = {json.loads(each)["state"] for topic, each in seen.items() if "/status" in topic}
    kinds = {json.loads(each)["kind"] for topic, each in seen.items() if "/status" in topic}
    assert states <= {"online", "offline"}
    assert kinds == {"gateway", *(each.kind for each in settings.components)}
    assert not any("heart_rate" in topic or "glucose" in topic for topic in seen)


async def test_a_second_gateway_on_the_same_home_is_refused(tmp_path: Path) -> None:
    settings = config(tmp_path, 0)
    home = Home(tmp_path / "home")
    home.create()
    home.lock()

    with pytest.raises(HomeError, match="another milepost is running"):
        await serve(settings, asyncio.Event(), Notifier({}))


class _Committer:
    def __init__(self) -> None:
        self.waiting, self.commits = False, 0


def test_the_watchdog_is_fed_while_nothing_waits_or_commits_move_on() -> None:
    committer = _Committer()
    progress = Progress(committer)  # type: ignore[arg-type]  # the two facts that it looks at

    idle = [progress.alive(), progress.alive()]
    committer.waiting, committer.commits = True, 1
    moving = progress.alive()
    stuck = progress.alive()
    committer.commits = 2
    again = progress.alive()

    assert (idle, moving, stuck, again) == ([True, True], True, False, True)


async def test_with_the_broker_away_the_service_is_up_all_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    systemd: tuple[Notifier, socket.socket],
) -> None:
    monkeypatch.setattr("agent.gateway.serving.BROKER_WAIT_MAX_S", 0.2)
    monkeypatch.setattr("agent.running.FAREWELL_MAX_S", 0.2)
    notifier, listener = systemd
    settings = config(tmp_path, 0)
    away = msgspec.structs.replace(settings.broker, url=f"mqtt://127.0.0.1:{free_port()}")
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(msgspec.structs.replace(settings, broker=away), stop, notifier))
        said = b""
        while not said.startswith(b"READY=1"):
            said = await asyncio.to_thread(listener.recv, 999)
        stop.set()

    assert b"waits on disk" in said
    assert verify_home(tmp_path / "home").pending == 0


def test_the_two_clocks_are_read_in_one_place() -> None:
    assert gateway.clock().wall_ms > gateway.clock().boottime_ms
