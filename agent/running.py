"""One gateway at work: hearing, proving, telling and paying, started and ended in order.

The parts arrive built. Ending is the delicate half: the radio goes first, what it said is
committed, proved and told, deals are settled, the connection says goodbye, the broker goes last.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from agent.broker import Broker
from agent.broker.endpoint import Endpoint
from agent.pipeline import Committer, Component, Intake, Pipeline
from agent.publisher import Publisher
from agent.status import BatchView, Board
from agent.stores import Stores
from agent.topics import Rules
from agent.uplink import Now, Proved, Uplink
from firmware_bridge.radio import Radio
from ledger_client import examination
from ledger_client.examination import Examiner

PROVE_EVERY_S = 0.5
PUBLISH_EVERY_S = 0.25
FAREWELL_MAX_S = 4.5  # with the last words of connection and broker, under 10 s in all
LATEST_SHOWN = 8


class Deal(Protocol):
    """Something that trades for one of our parties while the gateway runs."""

    async def run(self, connection: "Connection") -> None:
        """Trade until cancelled."""
        ...

    async def settle(self) -> None:
        """Claim what is owed and end what may end; bounded in time by the caller."""
        ...


class Guard(Deal, Protocol):
    """Finds out whether this log may go on; it runs from the start, the other deals after it."""

    cleared: asyncio.Event


async def nobody(apps: Mapping[str, Rules]) -> None:
    """Another's broker: its operator lets users in and out."""
    del apps


async def nothing() -> None:
    """Another's broker: its operator knows whom we speak for."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The way to the broker: `tasks` carry it, in the order in which they must end.

    `endpoint` says how another user gets there, for the strangers that the demo plays. `admit`
    replaces the apps of an embedded broker by these, by short id; who is not there any more is cut.
    `refresh` has it look again whom we speak for and who else is a guest.
    """

    broker: Broker
    endpoint: Callable[[str], Endpoint]
    tasks: Sequence[asyncio.Task[None]]
    admit: Callable[[Mapping[str, Rules]], Awaitable[None]] = nobody
    refresh: Callable[[], Awaitable[None]] = nothing


@dataclass(frozen=True, slots=True)
class Ears:
    """A radio and the components that it listens to."""

    radio: Radio
    components: Sequence[Component]


@dataclass(frozen=True, slots=True)
class Trade:
    """What trades beside the readings: deals, whom we relay for, who else may use our broker."""

    deals: Sequence[Deal] = ()
    relayed: Sequence[str] = ()
    guests: Mapping[str, Rules] = field(default_factory=dict)


@dataclass(slots=True)
class Running:
    """The joined parts, and what happened since the start.

    Nothing is signed, told or traded before the `guard`, if there is one, says that it is safe.
    """

    stores: Stores
    radio: Radio
    intake: Intake
    pipeline: Pipeline
    committer: Committer
    uplink: Uplink
    board: Board
    now: Callable[[], Now]
    connect: Callable[[asyncio.TaskGroup], Awaitable[Connection]]
    publisher: Callable[[Broker], Publisher]
    deals: Sequence[Deal] = ()
    guard: Guard | None = None
    broker: Broker | None = None
    telling: Publisher | None = None
    proved: int = 0
    proved_readings: int = 0
    latest: deque[BatchView] = field(default_factory=lambda: deque(maxlen=LATEST_SHOWN))

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Work until `stop`, then finish what was begun. Raises an ExceptionGroup of its troubles.

        A commit that the disk refuses ends the run: what was committed before stays.
        """
        async with asyncio.TaskGroup() as services:
            connection = await self.connect(services)
            self.broker = connection.broker
            publisher = self.telling = self.publisher(connection.broker)
            tell = partial(publisher.run, PUBLISH_EVERY_S, asyncio.sleep)
            telling = services.create_task(self._once_cleared(tell))
            trading = [
                services.create_task(self._once_cleared(partial(deal.run, connection)))
                for deal in self.deals
            ]
            if self.guard is not None:
                trading.append(services.create_task(self.guard.run(connection)))
            await self._hear(stop, ready)
            telling.cancel()
            if self.guard is None or self.guard.cleared.is_set():
                self._note(self.uplink.step(self.now(), drain=True))
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL_MAX_S):
                        await self._farewell(publisher)
            for task in (*trading, *connection.tasks):
                task.cancel()
                await asyncio.wait([task])

    async def _hear(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as hearing:
            work = [
                hearing.create_task(self.radio.run(self.intake.put)),
                hearing.create_task(
                    self.committer.run(self.stores.boot, lambda: self.now().stamp.boottime_ms)
                ),
                hearing.create_task(self._once_cleared(self._prove)),
                hearing.create_task(
                    examine(self.stores.home.ledger_db, self.stores.home.journal_db)
                ),
            ]
            ready()
            await stop.wait()
            for task in work:
                task.cancel()
                await asyncio.wait([task])

    async def _once_cleared(self, work: Callable[[], Awaitable[None]]) -> None:
        if self.guard is not None:
            await self.guard.cleared.wait()
        await work()

    async def _prove(self) -> None:
        while True:
            self._note(self.uplink.step(self.now()))
            await asyncio.sleep(PROVE_EVERY_S)

    async def _farewell(self, publisher: Publisher) -> None:
        async with asyncio.TaskGroup() as last:
            for deal in self.deals:
                last.create_task(deal.settle())
            while await publisher.step():
                pass

    def _note(self, proved: list[Proved]) -> None:
        self.proved += len(proved)
        self.proved_readings += sum(each.readings for each in proved)
        self.latest.extend(
            BatchView(
                self.stores.streams.subject(each.subject),
                each.sequence,
                each.readings,
                each.log_index,
                each.log_size,
            )
            for each in proved
        )


async def examine(*databases: Path) -> None:
    """Go through those that were too large to be looked at before the start.

    Raises:
        StoreError: one is damaged, or cannot be read.
    """
    for path in filter(examination.is_large, databases):
        examiner = Examiner(path)
        try:
            await asyncio.to_thread(examiner.run)
        finally:
            examiner.stop()
