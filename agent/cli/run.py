"""`milepost run`: the gateway as a service, for systemd or by hand."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from agent.config import Config, read
from agent.gateway.serving import serve
from agent.status import printable
from agent.systemd import Notifier

LINE_CHARACTERS_MAX = 1_000
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class OneLine(logging.Formatter):
    """A record is one line, whatever a device or a file name puts into it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback of ours is joined into it."""
        text = super().format(record).replace("\n", " | ")
        return printable(text, LINE_CHARACTERS_MAX)


def run(
    config: Annotated[Path, typer.Option("--config", help="The gateway's configuration (TOML).")],
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; then prove, tell and settle, and end."""
    settings = read(config)
    _log_to_stderr(settings.gateway.log_level)
    asyncio.run(_serve(settings))


async def _serve(settings: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, Notifier())


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    stamped = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler.setFormatter(OneLine(f"{stamped}%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=_LEVELS[level], handlers=[handler])
    for noisy in ("bleak", "dbus_fast", "bumble"):
        logging.getLogger(noisy).setLevel(max(_LEVELS[level], logging.WARNING))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # futures that paho leaves behind
