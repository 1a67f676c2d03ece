"""`milepost scan`: what is on the air, and which profile understands it."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.config import Config, Gateway, Radio, read
from agent.gateway.listening import listening
from agent.status import printable
from firmware_bridge.packets import Advert
from firmware_bridge.profiles import recognise_device

Seconds = Annotated[float, typer.Option(min=0.1, max=600, help="How long to listen.")]


def scan(
    config: Annotated[
        Path | None, typer.Option("--config", help="Use the radio of this configuration.")
    ] = None,
    seconds: Seconds = 10.0,
    as_json: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--json", help="One JSON object for each device.")
    ] = False,
) -> None:
    """List every device within reach, strongest first, with the profile that understands it."""
    settings = read(config) if config else Config(gateway=Gateway(home="."), radio=Radio())
    adverts, known, kind = asyncio.run(_scan(settings, seconds))
    for advert in adverts:
        row = _row(advert, known.get(advert.address, ""))
        typer.echo(json.dumps(row) if as_json else _line(row))
    if not as_json:
        simulated = ", all of it simulated" if kind in {"virtual", "replay"} else ""
        typer.echo(f"{len(adverts)} devices in {seconds:g} s over radio {kind}{simulated}")


async def _scan(settings: Config, seconds: float) -> tuple[list[Advert], dict[str, str], str]:
    async with listening(settings) as scene:
        radio = scene.ears.radio
        known = {each.address: each.alias for each in scene.ears.components}
        return await radio.scan(seconds), known, radio.kind


def _row(advert: Advert, alias: str) -> dict[str, Any]:
    profile = recognise_device(advert)
    return {
        "address": advert.address,
        "rssi_dbm": advert.rssi_dbm,
        "name": printable(advert.name, 40),
        "profile": profile.name if profile else None,
        "pair": bool(profile and profile.pair),
        "alias": alias or None,
    }


def _line(row: dict[str, Any]) -> str:
    hint = f"component {row['alias']}" if row["alias"] else ""
    if not hint and row["profile"]:
        hint = "new: add it under [[components]]" + (" with pair = true" if row["pair"] else "")
    return (
        f"{row['rssi_dbm']:4} dBm  {row['address']}  {row['name'] or '-':24}"
        f" {row['profile'] or 'no profile':14} {hint}"
    ).rstrip()
