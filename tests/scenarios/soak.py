"""50 virtual sensors at 10 notifications a second for 5 minutes: nothing lost, memory flat.

Real GATT notifications through the whole gateway: listener, pipeline, journal, log and broker.
Each pod counts in its payload, so a lost or doubled notification shows. Run: make soak
(SECONDS, SENSORS and HZ in the environment change it).
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from random import Random

from agent import gateway
from agent.config import parse
from agent.demo.street import component
from agent.running import Ears, Running, Trade
from agent.status import Board
from firmware_bridge.neighbourhood.crowd import Crowd
from firmware_bridge.radio import Device
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air

SECONDS = float(os.environ.get("SECONDS", "300"))
SENSORS = int(os.environ.get("SENSORS", "50"))
HZ = float(os.environ.get("HZ", "10"))
WARM_S = 30.0
GROWTH_MAX_KIB = 8 * 1024
QUANTITIES_PER_NOTIFICATION = 4


def resident_kib() -> int:
    """Resident memory of this process, virtual radio and sensors included."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise SystemExit("no VmRSS in /proc/self/status")


async def subscribed(running: Running) -> None:
    """Return when every sensor is."""
    while sum(link.state == "subscribed" for link in running.radio.links()) < SENSORS:  # noqa: ASYNC110  # a scenario may poll
        await asyncio.sleep(0.2)


async def soak(home: Path) -> None:
    """Run it and say what was counted; a loss or growth ends the scenario with status 1."""
    config = parse(
        {
            "gateway": {"home": str(home), "demo": True},
            "radio": {"kind": "virtual", "connections_max": 64},
            "batch": {"age_max_s": 10.0},
            "broker": {"port": 0, "websocket_port": 0},
        }
    )
    async with Air(slots_max=SENSORS) as air, Crowd(air, SENSORS, HZ) as crowd:
        components = [component(thing) for thing in crowd.things]
        listener = Listener(
            VirtualBackend(air),
            [Device(each.address, each.profile) for each in components],
            gateway.clock,
            Random(1).random,
            Limits(connections_max=64),
        )
        stores = gateway.open_home(config, components)
        running = gateway.compose(config, stores, Ears(listener, components), Board(), Trade())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(running.run(stop, lambda: None))
            await subscribed(running)
            battery = running.pipeline.readings
            crowd.start()
            begun, cpu_s = time.monotonic(), time.process_time()
            await asyncio.sleep(min(WARM_S, SECONDS / 2))
            warm = resident_kib()
            while time.monotonic() - begun < SECONDS:
                await asyncio.sleep(min(WARM_S, max(0.0, SECONDS - (time.monotonic() - begun))))
                print(f"{time.monotonic() - begun:4.0f} s: {resident_kib()} KiB", flush=True)
            crowd.stop()
            await asyncio.sleep(1.0)
            cpu_s, wall_s, end = (
                time.process_time() - cpu_s,
                time.monotonic() - begun,
                resident_kib(),
            )
            stop.set()
            await task
        said = sum(crowd.said.values())
        heard = (running.pipeline.readings - battery) // QUANTITIES_PER_NOTIFICATION
        print(
            f"{said} notifications said, {heard} heard, {running.intake.dropped} dropped,"
            f" {running.proved_readings} readings receipted of {running.pipeline.readings},"
            f" {running.telling.published if running.telling else 0} MQTT messages;"
            f" {100 * cpu_s / wall_s:.0f} % of a core; resident {warm} KiB after {WARM_S:.0f} s,"
            f" {end} KiB at the end"
        )
        lost = said - heard or running.pipeline.readings - running.proved_readings
        stores.close()
        if lost or end - warm > GROWTH_MAX_KIB:
            raise SystemExit(1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="milepost-soak-") as folder:
        asyncio.run(soak(Path(folder) / "home"))
