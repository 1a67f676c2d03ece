"""Those who cheat on the demo's street, when, and what is found of it: never by construction.

A cheat acts through the air or the broker like anybody else, and keeps only what it sent. Its
judgement is made of what the gateway shows afterwards: counters, the log, tills, deliveries.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agent.demo.traces import Traces
from agent.running import Connection, Running
from agent.status import CheatView
from firmware_bridge.radio import Clock

JUDGE_EVERY_S = 1.0


class Outcome(StrEnum):
    """What became of a cheat."""

    WAITING = "to come"
    UNSEEN = "nothing of it seen yet"
    REFUSED = "refused"
    MARKED = "marked"
    UNDETECTABLE = "no software could detect this"
    TAKEN = "TAKEN FOR TRUE"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: by whom it was stopped and why, or where one sees it."""

    outcome: Outcome
    says: str = ""
    evidence: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a judgement may look at."""

    running: Running
    traces: Traces


class Cheat(Protocol):
    """One way of cheating: `name` for people, `after_s` seconds from the start of the run."""

    @property
    def name(self) -> str:
        """What is done."""
        ...

    @property
    def after_s(self) -> float:
        """When."""
        ...

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Do it, over the air or a connection of one's own; ends by itself."""
        ...

    def judge(self, shown: Shown) -> Finding:
        """What there is to be seen of it by now."""
        ...


class Cheats:
    """The whole programme, as a deal beside the honest ones."""

    def __init__(self, programme: Sequence[Cheat], clock: Clock) -> None:
        self._programme = sorted(programme, key=lambda cheat: cheat.after_s)
        self._clock = clock
        self._shown: Shown | None = None
        self._began_ms = clock().boottime_ms
        self._done_s: dict[str, float] = {}
        self._found: dict[str, Finding] = {}

    def watch(self, running: Running) -> None:
        """What is cheated, once it is joined; before it runs."""
        self._shown = Shown(running, Traces(running.stores))
        self._began_ms = self._clock().boottime_ms

    async def run(self, connection: Connection) -> None:
        """Each at its second, until all are done and cancelled."""
        if self._shown is None:
            return
        async with asyncio.TaskGroup() as tasks:
            for cheat in self._programme:
                tasks.create_task(self._one(cheat, connection, self._shown))
            tasks.create_task(self._judging())

    async def settle(self) -> None:
        """Nobody who cheats waits for the end."""

    def views(self) -> list[CheatView]:
        """Each cheat as it is shown, in the order of the programme."""
        return [self._view(cheat) for cheat in self._programme]

    def judge(self) -> None:
        """Look anew at all that was done."""
        if self._shown is None:
            return
        self._shown.traces.look()
        for cheat in self._programme:
            if cheat.name in self._done_s:
                self._found[cheat.name] = cheat.judge(self._shown)

    async def _one(self, cheat: Cheat, connection: Connection, shown: Shown) -> None:
        await asyncio.sleep(max(0.0, cheat.after_s - self._elapsed_s()))
        self._done_s[cheat.name] = round(self._elapsed_s(), 1)
        await cheat.act(connection, shown)

    async def _judging(self) -> None:
        while True:
            await asyncio.sleep(JUDGE_EVERY_S)
            self.judge()

    def _elapsed_s(self) -> float:
        return (self._clock().boottime_ms - self._began_ms) / 1000

    def _view(self, cheat: Cheat) -> CheatView:
        done_s = self._done_s.get(cheat.name)
        nothing = Finding(Outcome.WAITING if done_s is None else Outcome.UNSEEN)
        found = self._found.get(cheat.name, nothing)
        return CheatView(
            name=cheat.name,
            at_s=cheat.after_s if done_s is None else done_s,
            outcome=found.outcome.value,
            says=found.says,
            evidence=found.evidence,
        )


async def until(there: Callable[[], object], seconds_max: float) -> None:
    """Return when it is there, or after `seconds_max`: the judgement sees what is missing."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + seconds_max
    while not there() and loop.time() < deadline_s:  # noqa: ASYNC110  # others' state
        await asyncio.sleep(0.05)
