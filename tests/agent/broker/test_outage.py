"""QoS 1 through kill -9 of the broker, of a reader and of us."""
# ruff: noqa: ANN401  # what a conftest yields cannot be imported in importlib mode

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent import topics
from agent.broker import BrokerError, Message
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import Limits, MqttBroker

TELE = topics.tele("shoe", "speed")


def client(server: EmbeddedBroker, name: str, limits: Limits | None = None) -> MqttBroker:
    endpoint = Endpoint(server.url, name, name, f"secret-{name}")
    return MqttBroker(endpoint, random=Random(2), limits=limits or Limits(backoff_max_s=0.3))


async def until(box: AsyncIterator[Message], last: bytes) -> list[bytes]:
    heard = []
    async with asyncio.timeout(30):
        async for message in box:
            heard.append(message.payload)
            if message.payload == last:
                break
    return heard


async def until_count(box: AsyncIterator[Message], count: int) -> set[bytes]:
    """Different messages; what was on its way when the broker was killed comes after the rest."""
    heard: set[bytes] = set()
    async with asyncio.timeout(40):
        async for message in box:
            heard.add(message.payload)
            if len(heard) == count:
                break
    return heard


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while not gone(pid):  # noqa: ASYNC110  # no event: it is not our child
            await asyncio.sleep(0.02)


async def test_no_acknowledged_message_is_lost_when_the_broker_is_killed(
    started: Any, run_all: Any
) -> None:
    async with started() as server:
        gateway, dashboard = client(server, "gateway"), client(server, "dashboard")
        async with (
            run_all(gateway, dashboard),
            dashboard.subscribe(topics.said_by_all()) as box,
        ):
            await dashboard.connected.wait()
            await gateway.connected.wait()
            for number in range(300):
                if number in {50, 150, 250}:
                    os.kill(server.pid, signal.SIGKILL)
                await gateway.publish(TELE, b"%d" % number)

            heard = await until_count(box, 300)

    assert heard == {b"%d" % number for number in range(300)}
    assert server.restarts == 3


async def crash(broker: MqttBroker, run_all: Any, *filters: str, take: int) -> None:
    """Connect, subscribe, take a number of messages and fail in the midst of the last one."""
    async with run_all(broker), broker.subscribe(*filters) as box:
        await broker.connected.wait()
        for _ in range(take):
            await asyncio.wait_for(anext(box), 10)
        raise RuntimeError("the reader crashes")


async def test_what_comes_while_the_reader_is_away_is_delivered_at_its_return(
    started: Any, run_all: Any
) -> None:
    async with started() as server:
        gateway, brand = client(server, "gateway"), client(server, "brand")
        async with run_all(gateway):
            with pytest.raises(ExceptionGroup):
                await crash(brand, run_all, topics.said_to("brand"), take=0)
            for number in range(20):
                await gateway.publish(topics.pay("brand", "gateway"), b"%d" % number)
            os.kill(server.pid, signal.SIGKILL)
            back = client(server, "brand")
            async with run_all(back), back.subscribe(topics.said_to("brand")) as box:
                heard = await until_count(box, 20)

    assert heard == {b"%d" % number for number in range(20)}


async def test_what_a_reader_took_but_did_not_finish_comes_again(
    started: Any, run_all: Any
) -> None:
    async with started() as server:
        gateway, brand = client(server, "gateway"), client(server, "brand")
        async with run_all(gateway), asyncio.TaskGroup() as group:
            group.create_task(gateway.publish(topics.pay("brand", "gateway"), b"1", retain=True))
            with pytest.raises(ExceptionGroup):
                await crash(brand, run_all, topics.said_to("brand"), take=1)
            again = client(server, "brand")
            async with run_all(again), again.subscribe(topics.said_to("brand")) as box:
                heard = await until(box, b"1")

    assert heard == [b"1"]


async def test_the_will_is_left_and_taken_back(started: Any, run_all: Any) -> None:
    status = topics.status("gateway")
    async with started() as server:
        dashboard = client(server, "dashboard")
        endpoint = Endpoint(server.url, "gateway", "gateway", "secret-gateway")
        gateway = MqttBroker(
            endpoint,
            random=Random(3),
            will=(status, b"offline"),
            hello=lambda: (status, b"online"),
        )
        async with run_all(dashboard), dashboard.subscribe(status) as box:
            await dashboard.connected.wait()
            async with run_all(gateway):
                await gateway.connected.wait()
            heard = await until(box, b"offline")

    assert heard == [b"online", b"offline"]


async def test_retained_messages_come_again_after_a_reconnect(started: Any, run_all: Any) -> None:
    async with started() as server:
        gateway, dashboard = client(server, "gateway"), client(server, "dashboard")
        async with run_all(gateway, dashboard):
            await gateway.publish(topics.checkpoint("gateway"), b"note", retain=True)
            async with dashboard.subscribe(topics.said_by_all()) as box:
                await dashboard.connected.wait()
                first = await asyncio.wait_for(anext(box), 10)
                os.kill(server.pid, signal.SIGKILL)
                second = await asyncio.wait_for(anext(box), 10)

    assert first == second == Message(topics.checkpoint("gateway"), b"note", retained=True)


async def test_a_reader_that_stops_reading_loses_nothing_and_holds_a_bounded_number(
    started: Any, run_all: Any
) -> None:
    async with started() as server:
        gateway = client(server, "gateway")
        slow = client(server, "dashboard", Limits(backoff_max_s=0.3, inbox_max=50))
        async with run_all(gateway, slow), slow.subscribe(topics.said_by_all()) as box:
            await slow.connected.wait()
            for number in range(200):
                await gateway.publish(TELE, b"%d" % number)

            heard = await until_count(box, 200)

    assert heard == {b"%d" % number for number in range(200)}


async def test_an_observer_that_never_returns_does_not_fill_the_store(
    started: Any, run_all: Any
) -> None:
    """What it missed goes, oldest first; without the limit nobody could even connect any more."""
    async with started(bytes_max=2 << 20) as server:
        gateway, gone_for_good = client(server, "gateway"), client(server, "dashboard")
        with pytest.raises(ExceptionGroup):
            await crash(gone_for_good, run_all, topics.said_by_all(), take=0)
        async with run_all(gateway):
            for _ in range(240):
                await asyncio.wait_for(gateway.publish(TELE, bytes(50_000)), 10)
            late = client(server, "brand")
            async with run_all(late):
                await asyncio.wait_for(late.connected.wait(), 10)

    stored = sum(path.stat().st_size for path in server._folder.rglob("*") if path.is_file())
    assert stored < 6 << 20  # of 12; a block of the file goes only when all in it may go


async def test_a_message_over_the_limit_is_refused_here(open_nats: Any) -> None:
    broker = client(open_nats(port=1), "gateway", Limits(payload_bytes_max=10))

    with pytest.raises(BrokerError, match="expected at most 10 bytes, got 11"):
        await broker.publish(TELE, bytes(11))


async def test_a_filter_that_the_rules_forbid_is_an_error(started: Any, run_all: Any) -> None:
    async with started() as server:
        brand = client(server, "brand")
        async with run_all(brand):
            await brand.connected.wait()
            with pytest.raises(BrokerError, match="refuses us the filter"):
                async with brand.subscribe(topics.said_to("gateway")):
                    pass

        assert server.violations >= 1


async def test_leaving_a_subscription_in_peace_ends_it(started: Any, run_all: Any) -> None:
    async with started() as server:
        gateway, brand = client(server, "gateway"), client(server, "brand")
        async with run_all(gateway, brand):
            await brand.connected.wait()
            async with brand.subscribe(topics.said_to("brand", "pay")) as box:
                await gateway.publish(topics.pay("brand", "gateway"), b"1")
                await gateway.publish(topics.pay("brand", "gateway"), b"2")
                assert (await asyncio.wait_for(anext(box), 10)).payload == b"1"
            await gateway.publish(topics.pay("brand", "gateway"), b"3")
            async with brand.subscribe(topics.said_to("brand", "cmd")) as box:
                await gateway.publish(topics.command("brand", "gateway"), b"4")
                heard = await until(box, b"4")

    assert heard == [b"4"]
    assert brand.strays == 0


async def test_a_user_admitted_while_running_can_connect(started: Any, run_all: Any) -> None:
    async with started() as server:
        await server.admit([User("late", "secret-late", topics.component_rules("late"))])
        late = client(server, "late")
        async with run_all(late):
            await asyncio.wait_for(late.connected.wait(), 10)

        stranger = client(server, "gateway")
        with pytest.raises(BrokerError, match="refuses gateway"):
            await asyncio.wait_for(stranger.run(), 10)


PARENT = """
    import asyncio, sys
    from pathlib import Path
    from random import Random
    from agent.broker.embedded import EmbeddedBroker

    async def main():
        server = EmbeddedBroker(Path(sys.argv[1]), [], random=Random(1), port=int(sys.argv[2]))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            await server.ready.wait()
            print(server.pid, flush=True)

    asyncio.run(main())
"""


async def test_the_child_goes_when_we_are_killed_and_the_port_is_free_again(
    tmp_path: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(3):
        parent = subprocess.Popen(  # noqa: ASYNC220  # it has to be killed like anything else
            [sys.executable, "-c", textwrap.dedent(PARENT), tmp_path / "home", str(port)],
            stdout=subprocess.PIPE,
        )
        assert parent.stdout is not None
        child = int(await asyncio.to_thread(parent.stdout.readline))
        parent.kill()
        parent.communicate()

        await until_gone(child)


async def test_the_child_goes_when_we_are_cancelled(started: Any) -> None:
    async with started() as server:
        child = server.pid

    assert gone(child)
    assert server.pid == 0
