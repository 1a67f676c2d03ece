"""One gateway as a service: opened, announced to systemd, looked at through a socket, drained."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from agent import __version__, gateway, statusboard
from agent.accounts import Account
from agent.config import Config
from agent.gateway.listening import listening
from agent.gateway.trading import trading
from agent.home import Home
from agent.pipeline import Committer
from agent.running import Running
from agent.status import Board
from agent.systemd import Notifier
from agent.watch import snapshot

BROKER_WAIT_MAX_S = 45.0  # then the service is up all the same: what is heard waits on disk

_log = logging.getLogger(__name__)


class Progress:
    """Whether commits move on: what systemd's watchdog asks for."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._commits = -1

    def alive(self) -> bool:
        """False when something waits for the disk and nothing got there since the last call."""
        before, self._commits = self._commits, self._committer.commits
        return not self._committer.waiting or self._commits != before


async def serve(config: Config, stop: asyncio.Event, notifier: Notifier) -> None:
    """Run the gateway of `config` until `stop`, then drain.

    Raises what its parts raise when something that the configuration names is not so, alone or in
    an ExceptionGroup; whatever was committed before stays.
    """
    started_ms = gateway.clock().boottime_ms
    _log.info(
        "milepost %s: home %s, radio %s, broker %s",
        __version__,
        config.gateway.home,
        config.radio.kind,
        config.broker.url,
    )
    Home(Path(config.gateway.home)).create()
    async with listening(config) as scene:
        stores = gateway.open_home(config, scene.ears.components)
        try:
            board = Board()
            dealing = trading(config, stores, board, scene)
            running = gateway.compose(config, stores, scene.ears, board, dealing.trade)

            await _Service(config, running, dealing.accounts, notifier, started_ms).run(stop)
        finally:
            stores.close()
    _log.info("ended: everything that was heard is on disk")


class _Service:
    """A running gateway and those who look at it."""

    def __init__(
        self,
        config: Config,
        running: Running,
        accounts: Sequence[Account],
        notifier: Notifier,
        started_ms: int,
    ) -> None:
        self._asset = config.ledger.asset
        self._running = running
        self._accounts = accounts
        self._notifier = notifier
        self._started_ms = started_ms

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and until what was begun is finished."""
        running, hearing = self._running, asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(statusboard.serve(running.stores.home.socket, self._look)),
                tasks.create_task(self._notifier.watch(Progress(running.committer).alive)),
                tasks.create_task(self._announce(hearing)),
                tasks.create_task(self._part(stop)),
            ]
            await running.run(stop, hearing.set)
            for task in beside:
                task.cancel()

    def _look(self) -> bytes:
        money = [account.view() for account in self._accounts]
        now = snapshot(self._running, self._started_ms, self._asset, money, ())
        return msgspec.json.encode(now)

    async def _announce(self, hearing: asyncio.Event) -> None:
        await hearing.wait()
        running, state = self._running, "the broker is away: what is heard waits on disk"
        with suppress(TimeoutError):
            async with asyncio.timeout(BROKER_WAIT_MAX_S):
                if running.broker is not None:
                    await running.broker.connected.wait()
                    state = "the broker answers"
        took_s = (gateway.clock().boottime_ms - self._started_ms) / 1000
        count = len(running.stores.components)
        _log.info(
            "ready after %.1f s: listening to %s components, %s; gateway %s",
            took_s,
            count,
            state,
            running.stores.signer.public.short_id,
        )
        self._notifier.ready(f"listening to {count} components, {state}")

    async def _part(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._notifier.stopping()
        _log.info("stopping: proving, telling and settling what was begun")
