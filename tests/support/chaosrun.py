"""Two processes that trade through a storm and are killed at random moments, and their auditor."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from chaosaudit import Audit
from chaosparty import PARTIES, Place
from chaosproxy import ChaosProxy
from market import BUYER, open_book
from tallytruth import demand

from agent import topics
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from ledger_client.database import open_database

PURSE = 10**9
WINDOW = 150
UP_MAX_S = 20.0
STALL_S = 30.0
ONLOOKER = "onlooker"
ALL_PAYMENTS = f"{topics.ROOT}/in/+/pay/+"


@dataclass(frozen=True)
class Storm:
    """How often somebody dies, how often the broker goes too, and how long a life is.

    It is counted from when the party has a broker; of those who die `unborn`, from their start.
    """

    kills: int
    seed: int
    alive_s: tuple[float, float] = (0.0, 3.0)
    unborn: float = 0.25
    dead_s: tuple[float, float] = (0.0, 0.5)
    both: float = 0.1
    broker: float = 0.05


class Parties:
    """The two processes; `start` again whoever was killed."""

    def __init__(self, folder: Path, url: str, passwords: dict[str, str], dice: Random) -> None:
        self._places = {
            role: Place(role, str(folder), url, passwords[role], WINDOW, 0) for role in PARTIES
        }
        self._dice = dice
        self._alive: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str) -> None:
        """Start this party with dice of its own."""
        place = replace(self._places[role], seed=self._dice.getrandbits(32))
        place.home.mkdir(exist_ok=True)
        place.up.unlink(missing_ok=True)
        with (place.home / "stderr").open("wb") as said:
            self._alive[role] = subprocess.Popen(
                place.command(),
                stdout=said,
                stderr=said,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    async def up(self, role: str) -> None:
        """Return when it has a broker, or has had its time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UP_MAX_S):
                while not self._places[role].up.exists():
                    self.check()
                    await asyncio.sleep(0.02)

    def check(self) -> None:
        """Raise ViolationError if one of them ended by itself."""
        for role, process in self._alive.items():
            if process.poll() is not None:
                said = (self._places[role].home / "stderr").read_text()
                demand(holds=False, complaint=f"the {role} ended by itself: {said}")

    def kill(self, role: str) -> None:
        """kill -9, and wait for the corpse."""
        process = self._alive.pop(role)
        process.kill()
        process.wait()

    def end(self) -> None:
        """Kill whoever is alive."""
        for role in tuple(self._alive):
            self.kill(role)


async def weather_through(folder: Path, storm: Storm) -> dict[str, object]:
    """The whole scenario; raises ViolationError for whatever does not hold, a stall included."""
    begun, dice = time.monotonic(), Random(storm.seed)
    passwords = {name: os.urandom(16).hex() for name in (*PARTIES, ONLOOKER)}
    users = [
        User(key.public.short_id, passwords[role], topics.component_rules(key.public.short_id))
        for role, key in PARTIES.items()
    ]
    users.append(User(ONLOOKER, passwords[ONLOOKER], topics.Rules((), (ALL_PAYMENTS,))))
    with closing(open_database(folder / "ledger.db")) as connection:
        open_book(connection).issue(BUYER.public, PURSE)
    server = EmbeddedBroker(folder / "broker", users, random=dice)
    audit = Audit(folder, WINDOW)
    counted: Counter[str] = Counter()
    figures: dict[str, int] = {}
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run())
        await server.ready.wait()
        onlooking = tasks.create_task(_onlook(server, passwords[ONLOOKER], audit))
        proxy = ChaosProxy(server.port, dice)
        async with proxy.serve():
            parties = Parties(folder, f"mqtt://127.0.0.1:{proxy.port}", passwords, dice)
            try:
                await _kill(storm, parties, audit, server, counted)
                proxy.calm()
                figures = await _settle(folder, parties, audit)
            finally:
                parties.end()
        onlooking.cancel()
        serving.cancel()
    return {
        "seed": storm.seed,
        **counted,
        **figures,
        "on the wire": dict(audit.wire.seen),
        "connections": dict(proxy.suffered),
        "blamed": sum(_blamed(folder).values()),
        "seconds": round(time.monotonic() - begun),
    }


async def _kill(
    storm: Storm, parties: Parties, audit: Audit, server: EmbeddedBroker, counted: Counter[str]
) -> None:
    """Kill, look, start again."""
    dice = Random(storm.seed)
    for role in PARTIES:
        parties.start(role)
    while counted["kills"] < storm.kills:
        victims = list(PARTIES) if dice.random() < storm.both else [dice.choice(list(PARTIES))]
        if dice.random() >= storm.unborn:
            for role in PARTIES:
                await parties.up(role)
        await asyncio.sleep(dice.uniform(*storm.alive_s))
        parties.check()
        if dice.random() < storm.broker and server.pid:
            os.kill(server.pid, signal.SIGKILL)
            counted["broker kills"] += 1
        for role in victims:
            parties.kill(role)
            counted["kills"] += 1
            counted[f"{role} kills"] += 1
        if (audit.folder / "seller" / "till.db").exists() and audit.sales():
            for role in victims:
                await asyncio.to_thread(audit.look, role)
        await asyncio.sleep(dice.uniform(*storm.dead_s))
        for role in victims:
            parties.start(role)


async def _settle(folder: Path, parties: Parties, audit: Audit) -> dict[str, int]:
    """The storm is over: all that was made is sold, paid and settled soon, or it is a stall."""
    (folder / "stop").touch()
    clock = asyncio.get_running_loop().time
    sides: list[object] = []
    stirred_s = clock()
    while not (folder / "seller" / "done").exists() or audit.still_open():
        parties.check()
        await asyncio.sleep(0.1)
        now = await asyncio.to_thread(audit.sides)
        stirred_s, sides = (stirred_s, sides) if now == sides else (clock(), now)
        demand(clock() - stirred_s < STALL_S, f"nothing moved for {STALL_S} s: {sides}")
    parties.end()
    return audit.close(int((folder / "seller" / "made").read_text()), PURSE)


async def _onlook(server: EmbeddedBroker, password: str, audit: Audit) -> None:
    """Show the auditor every payment message, in fair weather."""
    broker = MqttBroker(
        Endpoint(server.url, ONLOOKER, ONLOOKER, password),
        random=Random(0),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(broker.run())
        async with broker.subscribe(ALL_PAYMENTS) as arriving:
            async for message in arriving:
                if message.payload:
                    audit.wire.see(message.payload)


def _blamed(folder: Path) -> Counter[str]:
    """Who was blamed for what, in all lives of both."""
    files = [folder / role / "blamed" for role in PARTIES]
    return Counter(line for file in files if file.exists() for line in file.read_text().split("\n"))


def told(figures: dict[str, object]) -> str:
    """Figures for people, in one line."""
    return json.dumps(figures)[1:-1].replace('"', "")
