"""The `milepost` command: one file a noun; each parses, makes one call and prints.

Exit status: 0 done, 1 something is wrong (one line says what and how to mend it), 2 misuse.
"""

from collections.abc import Iterator
from typing import NoReturn

import typer

from agent.broker import BrokerError
from agent.cli import (
    bench,
    decode,
    demo,
    doctor,
    history,
    keys,
    owner,
    privacy,
    record,
    run,
    scan,
    status,
)
from agent.config import ConfigError
from agent.home import HomeError
from agent.journal import JournalError
from agent.status import printable
from firmware_bridge.errors import BridgeError
from ledger_client.errors import LedgerError

ERROR_CHARACTERS_MAX = 1_000
EXPECTED: tuple[type[Exception], ...] = (
    BridgeError,
    BrokerError,
    ConfigError,
    HomeError,
    JournalError,
    LedgerError,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Hears sensors, signs what they said into a ledger, and lets things pay each other.",
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("scan")(scan.scan)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("decode")(decode.command)
app.command("export")(record.export)
app.command("verify")(record.verify)
app.command("disclose")(privacy.disclose)
app.command("erase")(privacy.erase)
app.command("history")(history.command)
app.add_typer(owner.app, name="owner")
app.add_typer(keys.app, name="keys")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command; an expected failure is one line on standard error and exit status 1."""
    try:
        app()
    except EXPECTED as error:
        _fail([error])
    except BaseExceptionGroup as group:
        expected, other = group.split(EXPECTED)
        if expected is None or other is not None:
            raise
        _fail(list(_leaves(expected)))


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _fail(errors: list[BaseException]) -> NoReturn:
    for error in errors:
        typer.echo(f"milepost: {printable(str(error), ERROR_CHARACTERS_MAX)}", err=True)
    raise SystemExit(1)
