"""A stranger's program at a running gateway: it buys, it is paid for, it is cut off.

The program is docs/examples/buy_tyres.py as it stands there; the gateway is `milepost run` with the
virtual car on the air.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import aiomqtt
import pytest
from typer.testing import CliRunner

from agent import keyring, topics
from agent.audit import verify_home
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.cli.main import application
from agent.remote import Ledger, RemoteSettlement
from ledger_client.bookkeeping import replay
from ledger_client.channels import State, Terms
from ledger_client.database import open_database
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.log import LogReader
from ledger_client.settlement import RefusedError
from ledger_client.statements import Statement, verify

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "buy_tyres.py"
MILEPOST = (sys.executable, "-c", "from agent.cli.main import main; main()")
IMPORTS_MAX = {"aiomqtt", "nacl", "tiny"}
ITEMS = 3

Process = asyncio.subprocess.Process


@asynccontextmanager
async def started(*command: str, **pipes: int) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, **pipes)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Path]:
    """The demo's street as a service; its home. It is stopped as systemd would."""
    text = (ROOT / "configs" / "demo.toml").read_text(encoding="utf-8")  # small
    for old, new in (
        ('"demo-home"', f'"{folder}/home"'),
        ("port = 1883", "port = 0"),
        ("websocket_port = 8083", "websocket_port = 0"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = folder / "demo.toml"
    config.write_text(text, encoding="utf-8")
    command = (*MILEPOST, "run", "--config", str(config))
    async with started(*command, stderr=asyncio.subprocess.PIPE) as process:
        await heard(process.stderr, "ready after")
        draining = asyncio.get_running_loop().create_task(heard(process.stderr, None))
        yield folder / "home"
        process.terminate()
        await asyncio.wait([draining])
        assert await process.wait() == 0


async def heard(stream: asyncio.StreamReader | None, wanted: str | None) -> list[str]:
    """The lines up to the one that has `wanted` in it; all of them for None."""
    assert stream is not None
    lines: list[str] = []
    async with asyncio.timeout(100):
        while line := (await stream.readline()).decode():
            lines.append(line)
            if wanted is not None and wanted in line:
                return lines
    assert wanted is None, f"no {wanted!r} in {lines}"
    return lines


async def milepost(*words: str) -> str:
    def run() -> str:
        done = CliRunner().invoke(application("app"), ["app", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    return await asyncio.to_thread(run)


async def granted(home: Path, name: str) -> dict[str, Any]:
    said = await milepost(
        *("grant", name, "--read", "tyre_pressure", "--pay-at-most", "0.5/day", "--home", str(home))
    )
    credentials: dict[str, Any] = json.loads(said)
    kept = home / "apps" / f"{name}.credentials"
    assert json.loads(kept.read_text(encoding="utf-8")) == credentials
    assert kept.stat().st_mode & 0o777 == 0o600
    return credentials


def client(told: dict[str, Any]) -> aiomqtt.Client:
    return aiomqtt.Client(
        told["host"],
        told["port"],
        username=told["id"],
        password=told["password"],
        identifier=told["id"],
        timeout=5,
    )


async def collect(messages: AsyncIterator[aiomqtt.Message], last: bytes) -> list[bytes]:
    """Every payload up to `last`."""
    payloads: list[bytes] = []
    async with asyncio.timeout(20):
        async for message in messages:
            payloads.append(bytes(message.payload))
            if message.payload == last:
                break
    return payloads


async def order_beyond_the_budget(told: dict[str, Any]) -> str:
    """What the gateway says to a hostile app that wants one minor unit more than it may spend."""
    key = SigningKey(bytes.fromhex(told["seed"]))
    seller = PublicKey(bytes.fromhex(told["seller_key"]))
    terms = Terms(
        *(told["ledger"], key.public, key.public, seller, told["asset"], 3_600, bytes(16), True)
    )
    url = f"mqtt://{told['host']}:{told['port']}"
    broker = MqttBroker(Endpoint(url, told["id"], told["id"], told["password"]), random=Random(1))
    ledger = RemoteSettlement(key, Ledger(told["gateway"], told["ledger"], demo=True))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(broker.run()), tasks.create_task(ledger.run(broker))]
        assert await ledger.balance(key.public) == told["most"]
        opened = await ledger.open(terms, told["most"])
        assert opened.funded == told["most"]
        with pytest.raises(RefusedError) as refused:
            await ledger.open(terms, told["most"] + 1)
        for task in running:
            task.cancel()
    return str(refused.value)


@pytest.mark.slow
async def test_a_strangers_program_buys_tyre_readings_until_it_is_cut_off(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as home:
        told, other, greedy = [await granted(home, name) for name in ("tyres", "other", "greedy")]
        credentials = home / "apps" / "tyres.credentials"

        async with started(
            *(sys.executable, str(EXAMPLE), str(credentials)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        ) as app:
            bought = await heard(app.stdout, f"paid in all: {ITEMS * 4 * told['price']}")
            refusal = await order_beyond_the_budget(greedy)
            await milepost("revoke", "tyres", "--home", str(home))
            last_words = await heard(app.stderr, None)
            assert await app.wait() != 0

        async with client(other) as bystander, client(greedy) as spy:
            await bystander.subscribe(topics.said_to(other["id"]), qos=1)
            await spy.subscribe([(topics.said_to(greedy["id"]), 1), (tele(), 1)])
            await spy.publish(topics.pay(other["id"], greedy["id"]), b"before", qos=1)
            assert await collect(bystander.messages, b"before") == [b"before"]

            async with asyncio.timeout(60):
                reading = await anext(spy.messages)

            await milepost("revoke", "greedy", "--home", str(home))
            await bystander.publish(topics.pay(greedy["id"], other["id"]), b"after", qos=1)
            with suppress(aiomqtt.MqttError):
                await spy.publish(topics.pay(other["id"], greedy["id"]), b"after", timeout=2)
            overheard = await what_it_still_hears(spy)
            for cut in (told, greedy):
                with pytest.raises(aiomqtt.MqttError, match="authori"):
                    async with client(cut):
                        pass
            await bystander.publish(topics.pay(other["id"], other["id"]), b"end", qos=1)
            heard_by_bystander = await collect(bystander.messages, b"end")
        listed = json.loads(await milepost("list", "--home", str(home), "--json"))["apps"]

    assert "paid in all" in bought[-1]
    assert "tyre-front-left/tyre_pressure" in "".join(bought)
    assert "beyond the certificate" in refusal
    assert "Disconnected" in last_words[-1]
    assert reading.topic.matches(tele())
    assert b"after" not in overheard
    assert heard_by_bystander == [b"end"], "over the connection that it always had"
    assert {row["name"]: row["state"] for row in listed} == {
        "tyres": "cut off",
        "other": "in force",
        "greedy": "cut off",
    }
    assert not credentials.exists()
    check_books(home, told)


def tele() -> str:
    return f"{topics.ROOT}/c/+/tele/tyre_pressure"


async def what_it_still_hears(spy: aiomqtt.Client) -> list[bytes]:
    """What is delivered to a client until it notices that its connection is gone."""
    payloads: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            async for message in spy.messages:
                payloads += [bytes(message.payload)]
    except aiomqtt.MqttError:
        return payloads
    raise AssertionError("its connection was not cut")


def check_books(home: Path, told: dict[str, Any]) -> None:
    """Everything that it promised is the seller's, the rest went back, the certificate is gone."""
    assert sum(verify_home(home).balances.values()) == 0
    seller = PublicKey(bytes.fromhex(told["seller_key"]))
    app = PublicKey.from_did(told["did"])
    with closing(open_database(home / "ledger.db", create=False)) as connection:
        log = LogReader(connection)
        assert keyring.known(log).chain(app) is None
        books = replay(told["ledger"], settled(log))
    (channel,) = [each for each in books.channels.values() if each.terms.payer == app]
    assert (channel.state, channel.terms.payee) == (State.CLOSED, seller)
    assert channel.claimed >= ITEMS * 4 * told["price"]
    assert books.balances[app.thumbprint] == told["most"] - channel.claimed


def settled(log: LogReader) -> list[tuple[int, Statement]]:
    return [(each.index, verify(each.statement)) for each in log.entries()]


def test_the_example_needs_nothing_but_aiomqtt_and_pynacl() -> None:
    for path in EXAMPLE.parent.glob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        words = [line.split() for line in lines if line.startswith(("import ", "from "))]
        named = {word[1].partition(".")[0] for word in words}
        assert named - set(sys.stdlib_module_names) <= IMPORTS_MAX
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 60
