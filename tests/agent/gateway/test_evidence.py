"""The log's service and its witnesses, as a configuration asks for them."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from agent.audit import verify_home
from agent.broker.embedded import read_password
from agent.config import Config, ConfigError, parse, read
from agent.gateway.evidence import witness, witness_verifier
from agent.gateway.serving import serve
from agent.home import Home
from agent.systemd import Notifier
from ledger_client import checkpoints, statements
from ledger_client.checkpoints import COSIGNATURE, Verifier
from ledger_client.keys import SigningKey

CONFIGS = Path(__file__).parents[3] / "configs"
ISSUER = SigningKey(bytes([61]) * 32)
Table = dict[str, Any]
LOG, NAME, NOW_S = "replay.example/log", "witness.example/w", 1_767_225_600


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def key(home: Path, name: str) -> SigningKey:
    place = Home(home)
    place.create()
    return place.key(name)


def gateway_config(tmp_path: Path, port: int, ledger: Table) -> Config:
    shipped = read(CONFIGS / "replay.toml")
    change = msgspec.structs.replace
    tables = {"gateway": {"home": "x"}, "ledger": {"name": LOG, **ledger}}
    return change(
        shipped,
        gateway=change(shipped.gateway, home=str(tmp_path / "home")),
        radio=change(
            shipped.radio,
            replay_file=str(CONFIGS / "replay.jsonl"),
            replay_as_fast_as_possible=True,
        ),
        batch=change(shipped.batch, age_max_s=0.5),
        broker=change(shipped.broker, port=port),
        ledger=parse(tables).ledger,
    )


def witness_config(tmp_path: Path, tables: Table) -> Config:
    log = Verifier(LOG, key(tmp_path / "home", "note").public).vkey
    mine = {"name": NAME, "logs": [log], **tables.get("witness", {})}
    return parse({"gateway": {"home": str(tmp_path / "witness")}, **tables, "witness": mine})


def verifier(tmp_path: Path) -> Verifier:
    return Verifier(NAME, key(tmp_path / "witness", "witness").public, COSIGNATURE)


@asynccontextmanager
async def running(*parts: Callable[[asyncio.Event], Any]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part(stop))
        try:
            yield
        finally:
            stop.set()


async def cosigned(url: str, by: Verifier, size_min: int) -> str:
    """The checkpoint that the service shows, once it is as large and cosigned."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            await asyncio.sleep(0.2)
            try:
                async with session.get(f"{url}/checkpoint") as answer:
                    note = await answer.text()
            except aiohttp.ClientError:
                continue
            if by.name in note and int(note.split("\n")[1]) >= size_min:
                return note


@pytest.mark.slow
@pytest.mark.parametrize("way", ["mqtt", "http"])
async def test_a_gateway_serves_its_log_with_the_cosignature_of_its_witness(
    tmp_path: Path, way: str
) -> None:
    port, service, door = free_port(), free_port(), free_port()
    by = verifier(tmp_path)
    config = gateway_config(
        tmp_path,
        port,
        {
            "service": {"enabled": True, "port": service, "issuers": [ISSUER.public.did]},
            "witnesses": [
                {"vkey": by.vkey, "url": "mqtt" if way == "mqtt" else f"http://127.0.0.1:{door}"}
            ],
        },
    )
    password = tmp_path / "password"
    password.write_text(
        read_password(Home(tmp_path / "home").broker_users, by.public.short_id), encoding="utf-8"
    )
    broker = {"url": f"mqtt://127.0.0.1:{port}", "password_file": str(password)}
    theirs = (
        witness_config(tmp_path, {"broker": broker})
        if way == "mqtt"
        else witness_config(tmp_path, {"witness": {"enabled": True, "port": door}})
    )
    said: list[str] = []
    data = statements.sign(ISSUER, "note", "urn:uuid:x", b"hello", NOW_S)

    async with running(
        lambda stop: serve(config, stop, Notifier({})),
        lambda stop: witness(theirs, lambda: NOW_S, stop, said.append),
    ):
        url = f"http://127.0.0.1:{service}"
        note = await cosigned(url, by, 4)
        async with (
            aiohttp.ClientSession(headers={"Content-Type": "application/cose"}) as session,
            session.post(f"{url}/entries", data=data) as answer,
        ):
            assert answer.status == 201

    assert checkpoints.open_note(note, [by])[1] == (NAME,)
    assert said == [f"{by.public.short_id} cosigns for 1 logs as {by.vkey}"]
    assert verify_home(tmp_path / "home").log.kinds["note"] == 1


def test_a_witness_tells_its_verifier_key_before_it_knows_any_log(tmp_path: Path) -> None:
    home = {"home": str(tmp_path / "witness")}
    config = parse({"gateway": home, "witness": {"name": NAME}})

    told = [witness_verifier(config) for _ in range(2)]

    assert told == [verifier(tmp_path)] * 2
    with pytest.raises(ConfigError, match="expected name"):
        witness_verifier(parse({"gateway": home}))


@pytest.mark.parametrize(
    "witness_table",
    [
        {"witness": {"name": "", "enabled": True}},
        {"witness": {"logs": [], "enabled": True}},
        {"witness": {}},
        {"witness": {"logs": ["nonsense"], "enabled": True}},
        {"witness": {"logs": [Verifier(LOG, ISSUER.public, COSIGNATURE).vkey], "enabled": True}},
    ],
)
async def test_a_witness_that_lacks_something_says_what(
    tmp_path: Path, witness_table: Table
) -> None:
    with pytest.raises(ConfigError):
        await witness(
            witness_config(tmp_path, witness_table), lambda: NOW_S, asyncio.Event(), print
        )


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        table = {"enabled": True, "port": busy.getsockname()[1]}
        config = witness_config(tmp_path, {"witness": table})
        with pytest.raises(ExceptionGroup) as caught:
            await witness(config, lambda: NOW_S, asyncio.Event(), print)

    assert caught.group_contains(ConfigError, match="expected an address that is free")


def test_http_is_imported_only_where_it_is_switched_on() -> None:
    program = (
        "import sys, agent.gateway.serving, agent.gateway.evidence, agent.witness, agent.cosigning;"
        "print('aiohttp' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


def test_the_command_cosigns_until_it_is_told_to_end(tmp_path: Path) -> None:
    log = Verifier(LOG, ISSUER.public).vkey
    config = tmp_path / "witness.toml"
    config.write_text(
        f'[gateway]\nhome = "{tmp_path}/home"\n[witness]\nname = "{NAME}"\nlogs = ["{log}"]\n'
        f"enabled = true\nport = {free_port()}\n",
        encoding="utf-8",
    )
    milepost = Path(sys.executable).with_name("milepost")

    with subprocess.Popen(
        [milepost, "witness", "--config", config], stdout=subprocess.PIPE, text=True
    ) as running_one:
        assert running_one.stdout is not None
        said = running_one.stdout.readline()
        running_one.terminate()

    assert f"cosigns for 1 logs as {NAME}+" in said
    assert running_one.returncode == 0
