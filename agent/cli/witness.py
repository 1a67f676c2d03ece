"""`milepost witness`: cosign the heads of others' logs, and raise the alarm when one forks."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from agent import gateway
from agent.config import Config, read
from agent.gateway.evidence import witness as serve
from agent.gateway.evidence import witness_verifier


def witness(
    config: Annotated[Path, typer.Option("--config", help="A configuration with [witness].")],
    *,
    vkey: Annotated[
        bool, typer.Option("--vkey", help="Print its verifier key, and do nothing else.")
    ] = False,
) -> None:
    """Cosign what continues what was cosigned, over MQTT and HTTP; refuse and keep every fork."""
    settings = read(config)
    if vkey:
        typer.echo(witness_verifier(settings).vkey)
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(settings))


async def _serve(settings: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, lambda: gateway.clock().wall_ms // 1000, stop, typer.echo)
