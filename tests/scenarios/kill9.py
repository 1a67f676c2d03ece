"""kill -9 of a running demo's process group at random moments, all with one home.

Before each restart the home must verify (sequences without a hole, no receipted reading missing, no
voucher backwards, money summing to zero). Beside it an MQTT observer of its own writes down every
receipt that it ever sees; in the end each of them must be on the log. Run: make kill9 [KILLS=50]
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import aiomqtt

from agent.broker.embedded import read_password
from agent.home import Home
from ledger_client.database import open_database
from ledger_client.log import LogReader

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "1"))
PORT = 28_831
ALIVE_S = (0.4, 9.0)
UNBORN = "nothing was kept here yet"
MILEPOST = Path(sys.executable).with_name("milepost")


async def observe(home: Path, seen: dict[str, dict[str, object]]) -> None:
    """Write down every receipt, from the first on and through every outage, until cancelled."""
    password = Home(home).broker_users / "observer"
    while not password.exists():  # noqa: ASYNC110  # the demo makes it
        await asyncio.sleep(0.02)
    while True:
        try:
            async with aiomqtt.Client(
                "127.0.0.1",
                PORT,
                identifier="observer",
                username="observer",
                password=read_password(Home(home).broker_users, "observer"),
                clean_session=False,
                timeout=2,
            ) as client:
                await client.subscribe("milepost/v1/c/+/receipt", qos=1)
                async for message in client.messages:
                    receipt = json.loads(bytes(message.payload))
                    seen[receipt["batch"]] = receipt
        except aiomqtt.MqttError:
            await asyncio.sleep(0.1)


def start(home: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A demo in a process group of its own."""
    command = [MILEPOST, "demo", "--home", home, "--seconds", str(seconds), "--json"]
    return subprocess.Popen(
        [*map(str, command), "--port", str(PORT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def verify(home: Path) -> dict[str, object]:
    """What `milepost verify HOME --json` says; stops the scenario when it does not hold."""
    done = subprocess.run(
        [MILEPOST, "verify", home, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and UNBORN in done.stdout + done.stderr:
        return {"readings": 0}  # killed within its very first moments
    if done.returncode != 0:
        raise SystemExit(f"verify refuses the home: {done.stdout}{done.stderr}")
    report: dict[str, object] = json.loads(done.stdout)
    return report


def kill(process: subprocess.Popen[bytes]) -> None:
    """The whole group, at once, and nothing of it may stay."""
    if process.poll() is not None:
        _, error = process.communicate()
        raise SystemExit(f"the demo ended by itself with {process.returncode}: {error.decode()}")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


async def scenario() -> None:
    """Kill, verify, start again; then one whole run, and compare with what was observed."""
    dice, begun = Random(SEED), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="milepost-kill9-") as folder:
        home = Path(folder) / "home"
        seen: dict[str, dict[str, object]] = {}
        async with asyncio.TaskGroup() as tasks:
            observer = tasks.create_task(observe(home, seen))
            readings = 0
            for number in range(KILLS):
                process = start(home, 0)
                await asyncio.sleep(dice.uniform(*ALIVE_S))
                kill(process)
                if not (home / "ledger.db").exists():
                    continue
                report = await asyncio.to_thread(verify, home)
                if int(str(report["readings"])) < readings:
                    raise SystemExit(f"{readings} readings before, {report['readings']} now")
                readings = int(str(report["readings"]))
                print(f"kill {number + 1}: {readings} readings, {len(seen)} receipts seen")
            last = await asyncio.to_thread(start(home, 8).communicate)
            await asyncio.sleep(0.5)
            observer.cancel()
        summary = json.loads(last[0])
        final = verify(home)
        missing = unknown_receipts(home, seen)
        held = final["batches"]
        print(
            f"{KILLS} kills in {time.monotonic() - begun:.0f} s: {held} batches on the log,"
            f" {len(seen)} receipts observed, {len(missing)} of them unknown;"
            f" money {json.dumps(final['money'])}; last run lost {summary['lost']}"
        )
        if missing or len(seen) != held:
            raise SystemExit(f"observed and logged differ: unknown {missing}, seen {len(seen)}")


def unknown_receipts(home: Path, seen: dict[str, dict[str, object]]) -> list[str]:
    """Observed receipts that the log does not have, at the very place that they name."""
    connection = open_database(home / "ledger.db", create=False)
    try:
        log = LogReader(connection)
        return [
            name for name, said in seen.items() if log.find(bytes.fromhex(name)) != said["index"]
        ]
    finally:
        connection.close()


if __name__ == "__main__":
    asyncio.run(scenario())
