"""`milepost doctor`: what this box lacks, and the exact command that mends it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent import gateway, statusboard
from agent.clock import quality
from agent.config import Config, read
from agent.doctor import Box, Finding, Verdict, examine
from agent.home import Home
from agent.status import printable

LINE_CHARACTERS_MAX = 400


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", help="Judge the box by this configuration.")
    ] = None,
    home: Annotated[Path | None, typer.Option("--home", help="The home folder.")] = None,
    as_json: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--json", help="One JSON object instead of lines.")
    ] = False,
) -> None:
    """Look at radio, D-Bus, clock, disk, keys, databases, broker, ports, Python and systemd.

    Exit status 1 if anything is bad: the gateway would not run, or not well.
    """
    box = _box(read(config) if config else None, home)
    findings = examine(box, quality(gateway.clock().wall_ms / 1000))
    bad = any(finding.verdict is Verdict.BAD for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not bad, "findings": [asdict(each) for each in findings]}))
    else:
        for finding in findings:
            typer.echo(_line(finding))
    if bad:
        raise typer.Exit(1)


def _line(finding: Finding) -> str:
    mend = f"; mend: {finding.mend}" if finding.mend else ""
    text = f"{finding.verdict:5} {finding.what:10} {finding.said}{mend}"
    return printable(text, LINE_CHARACTERS_MAX)


def _box(config: Config | None, home: Path | None) -> Box:
    if config is None:
        place = home or Path("milepost-home")
        return Box(place, running=_runs(place))
    place = home or Path(config.gateway.home)
    broker = config.broker
    embedded = broker.url == "embedded"
    files = (*(each.bind_key_file for each in config.components), broker.password_file)
    return Box(
        home=place,
        radio=config.radio.kind,
        adapter=config.radio.adapter,
        broker=broker.url,
        ports=(broker.port, broker.websocket_port) if embedded else (),
        bytes_max=config.journal.bytes_max + (broker.bytes_max if embedded else 0),
        secrets=tuple(Path(file) for file in (*files, broker.key_file) if file),
        running=_runs(place),
    )


def _runs(home: Path) -> bool:
    return home.is_dir() and statusboard.read(Home(home).socket) is not None
