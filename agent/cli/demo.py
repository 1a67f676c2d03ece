"""`milepost demo`: the whole loop on this machine, with no radio, no broker and no account."""

import asyncio
import io
import json
import logging
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import structs

from agent import gateway
from agent.config import Config, parse
from agent.export import disclosing, write_whole
from agent.home import Home
from agent.status import AccountView, Board, Snapshot
from agent.watch import snapshot
from ledger_client import record
from ledger_client.verify import verify_record

if TYPE_CHECKING:
    from agent.demo.stage import Stage
    from agent.running import Running

REFRESH_S = 0.25
PLAIN_EVERY_S = 5.0
CHEATS_SECONDS_MIN = 24.0
PICTURE_COLUMNS, PICTURE_ROWS = 138, 34
RECORD = "record.cbor"


def demo(  # noqa: PLR0913, PLR0917  # the options of a command line
    seconds: Annotated[float, typer.Option(help="How long; 0 until Ctrl-C.")] = 60.0,
    home: Annotated[Path, typer.Option(help="Where keys, log and journal live.")] = Path(
        "demo-home"
    ),
    as_json: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--json", help="No view; one JSON object at the end.")
    ] = False,  # a flag of the command line
    seed: Annotated[int, typer.Option(help="The same seed, the same people and things.")] = 1,
    port: Annotated[int, typer.Option(help="The broker's port on loopback; 0 is any.")] = 0,
    broker: Annotated[str, typer.Option(help="Another MQTT broker: mqtts://HOST:PORT.")] = "",
    certificates: Annotated[
        Path | None, typer.Option(help="Folder of ca.crt and a .crt and .key for each user.")
    ] = None,
    cheats: Annotated[  # noqa: FBT002  # same
        bool, typer.Option("--cheats", help="Let things cheat, and show what comes of it.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Save the last screen of the view as SVG.")
    ] = None,
) -> None:
    """Hear a virtual runner and a virtual car, prove what they said, and settle what is owed."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    if cheats and 0 < seconds < CHEATS_SECONDS_MIN:
        raise typer.BadParameter(f"expected {CHEATS_SECONDS_MIN:g} at least with --cheats, or 0")
    if cheats and broker:
        raise typer.BadParameter("expected no --broker with --cheats: who cheats is a user of ours")
    if cheats:  # whom the broker refuses is part of the show
        logging.getLogger("agent.broker.embedded").setLevel(logging.ERROR)
    config = demo_config(home, port, broker, certificates)
    show = _Show(config, seconds, seed, as_json=as_json, picture=picture, cheats=cheats)
    summary = asyncio.run(show.run())
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        for line in _told(summary):
            typer.echo(line)
    if summary["lost"]:
        raise typer.Exit(1)


def demo_config(
    home: Path, port: int = 0, broker: str = "", certificates: Path | None = None
) -> Config:
    """The demo as a configuration; configs/demo.toml says the same."""
    settings: dict[str, Any] = {"port": port, "websocket_port": 0, "observers": ["observer"]}
    if broker:
        gateway_id = _identity(home)
        folder = certificates or Path()
        settings |= {
            "url": broker,
            "ca_file": str(folder / "ca.crt"),
            "cert_file": str(folder / f"{gateway_id}.crt"),
            "key_file": str(folder / f"{gateway_id}.key"),
        }
    return parse(
        {
            "gateway": {"home": str(home), "alias": "demo", "demo": True},
            "radio": {"kind": "virtual"},
            "batch": {"age_max_s": 2.0, "readings_max": 400},
            "broker": settings,
            "ledger": {"name": "demo.milepost.local/log"},
        }
    )


def _identity(home: Path) -> str:
    place = Home(home)
    place.create()
    return place.key("gateway").public.short_id


class _Show:
    """One demo from start to summary."""

    def __init__(  # the options of the command
        self,
        config: Config,
        seconds: float,
        seed: int,
        *,
        as_json: bool,
        picture: Path | None,
        cheats: bool,
    ) -> None:
        self._config = config
        self._seconds = seconds
        self._seed = seed
        self._quiet = as_json
        self._picture = picture
        self._cheats = cheats
        self._seen: Snapshot | None = None
        self._before: list[AccountView] = []
        self._started = gateway.clock()

    async def run(self) -> dict[str, Any]:
        """Run, export the record, and say what came of it."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):  # first: a start cut short ends cleanly too
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        from agent.demo.aircheats import SetClock  # noqa: PLC0415  # heavy: bumble
        from agent.demo.parties import Parties  # noqa: PLC0415  # same
        from agent.demo.stage import PATIENCE_S, Stage  # noqa: PLC0415  # same
        from agent.demo.street import UNIT_J, street, units_sold  # noqa: PLC0415  # same

        config = self._config
        home = Home(Path(config.gateway.home))
        meter_j = units_sold(home) * UNIT_J
        clock = SetClock(gateway.clock)
        patience_s = PATIENCE_S if self._cheats else {}
        async with street(
            clock, self._seed, config.radio.connections_max, meter_j, patience_s
        ) as scene:
            stores = gateway.open_home(config, scene.ears.components)
            try:
                board = Board()
                cheated = clock if self._cheats else None
                stage = Stage(Parties(stores, clock), board, scene, cheated)
                before = stores.journal.pending_readings()
                self._before = [account.view() for account in stage.market.accounts]
                running = gateway.compose(config, stores, scene.ears, board, stage.trade(), clock)
                stage.watch(running)
                await self._perform(running, stage, stop)
                return self._summary(running, stage, before)
            finally:
                stores.close()

    async def _perform(self, running: "Running", stage: "Stage", stop: asyncio.Event) -> None:
        if self._seconds:
            asyncio.get_running_loop().call_later(self._seconds, stop.set)
        async with asyncio.TaskGroup() as tasks:
            show = tasks.create_task(self._show(running, stage, stop))
            watch = tasks.create_task(self._remember(running, stage))
            await running.run(stop, lambda: None)
            show.cancel()
            watch.cancel()
        if self._picture and self._seen:
            self._save(self._picture, self._seen)

    async def _remember(self, running: "Running", stage: "Stage") -> None:
        """Keep the last look at a connected gateway, for the picture."""
        while self._picture:
            await asyncio.sleep(REFRESH_S)
            now = self._look(running, stage)
            if now.broker_connected:
                self._seen = now

    @staticmethod
    def _save(path: Path, now: Snapshot) -> None:
        """The last screen, as a terminal of a fixed size would show it."""
        from rich.console import Console  # noqa: PLC0415  # heavy, and only for a picture

        from agent.cli import view  # noqa: PLC0415  # same

        console = Console(
            record=True, width=PICTURE_COLUMNS, height=PICTURE_ROWS, file=io.StringIO()
        )
        console.print(view.screen(now, "milepost demo"))
        console.save_svg(str(path), title="milepost demo")

    def _look(self, running: "Running", stage: "Stage") -> Snapshot:
        now = snapshot(
            running,
            self._started.boottime_ms,
            self._config.ledger.asset,
            [account.view() for account in stage.market.accounts],
            stage.market.onlooker.seen,
        )
        return stage.shown(now)

    async def _show(self, running: "Running", stage: "Stage", stop: asyncio.Event) -> None:
        if self._quiet:
            return
        if sys.stdout.isatty():
            await self._live(running, stage, stop)
        else:
            await self._plain(running, stage)

    async def _live(self, running: "Running", stage: "Stage", stop: asyncio.Event) -> None:
        from rich.live import Live  # noqa: PLC0415  # heavy, and only for a terminal

        from agent.cli import view  # noqa: PLC0415  # same

        note = f"{self._seconds:.0f} s, or Ctrl-C to end" if self._seconds else "Ctrl-C ends it"
        with Live(screen=True, auto_refresh=False) as live:

            def update(note: str) -> None:
                now = self._look(running, stage)
                live.update(view.screen(now, note, live.console.size), refresh=True)

            while not stop.is_set():
                update(note)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REFRESH_S)
            ending = "ending: proving, telling and settling"
            while True:
                update(ending)
                await asyncio.sleep(REFRESH_S)

    async def _plain(self, running: "Running", stage: "Stage") -> None:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            now = self._look(running, stage)
            money = ", ".join(
                f"{each.items_paid} of {each.items} {each.what} paid" for each in now.money
            )
            typer.echo(
                f"{now.readings} readings, {now.batches} batches receipted,"
                f" {now.published} MQTT messages, {money}"
            )

    def _summary(self, running: "Running", stage: "Stage", before: int) -> dict[str, Any]:
        stores = running.stores
        data = record.build(stores.log, disclosing(stores.journal, stores.vault))
        path = Path(self._config.gateway.home) / RECORD
        write_whole(path, data)
        report = verify_record(data)
        accounts = [account.view() for account in stage.market.accounts]
        stage.judge()
        shown = self._look(running, stage)
        return {
            "readings": running.pipeline.readings,
            "batches": running.proved,
            "receipts_verified": running.proved,
            "lost": running.intake.dropped
            + before
            + running.pipeline.readings
            - running.proved_readings,
            "refused": {str(reason): n for reason, n in running.pipeline.refused.items()},
            "published": running.telling.published if running.telling else 0,
            "observed": stage.market.onlooker.messages,
            "items_paid": _more(
                (each.items_paid for each in accounts), (each.items_paid for each in self._before)
            ),
            "items_unpaid": sum(account.items - account.items_paid for account in accounts),
            "settled_minor_units": _more(
                (each.settled for each in accounts), (each.settled for each in self._before)
            ),
            "asset": self._config.ledger.asset,
            "log_size": report.size,
            "record": str(path),
            "record_bytes": len(data),
            "agreements": [structs.asdict(each) for each in shown.agreements],
            "cheats": [structs.asdict(each) for each in shown.cheats],
        }


def _more(counts: Iterable[int], before: Iterable[int]) -> int:
    """How much more there is of something than before this run, over all trades."""
    return sum(counts) - sum(before)


def _cheating(cheats: list[dict[str, Any]]) -> list[str]:
    """Each cheat, when it was, and what came of it."""
    lines = []
    for cheat in cheats:
        lines += [
            "",
            f"{cheat['at_s']:5.1f} s  {cheat['name']}: {cheat['outcome']}",
            f"         {cheat['says']}",
        ]
    return lines


def _told(summary: dict[str, Any]) -> list[str]:
    from agent.cli import view  # noqa: PLC0415  # rich again

    settled = view.money(summary["settled_minor_units"], summary["asset"])
    return [
        *_cheating(summary["cheats"]),
        "",
        (
            f"{summary['readings']} readings in {summary['batches']} signed batches,"
            f" {summary['receipts_verified']} receipts verified, {summary['lost']} lost;"
            f" {summary['published']} MQTT messages"
        ),
        (
            f"{summary['items_paid']} items paid, {settled}"
            f" {summary['asset'].partition('/')[0]} settled on the demo ledger"
        ),
        *(f"{each['kind']}, {each['state']}: {each['says']}" for each in summary["agreements"]),
        f"anybody can check the record ({summary['record_bytes']} bytes):",
        f"  milepost verify {summary['record']}",
    ]
