"""The `milepost` command: finds the noun that is asked for, and says what went wrong in one line.

Only the module of the wanted command is imported: a gateway need not carry the others, and
`decode` starts at once. Exit status: 0 done, 1 something is wrong, 2 misuse.
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NoReturn

import typer

from agent.broker import BrokerError
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
COMMANDS = {
    "demo": "demo.demo",
    "run": "run.run",
    "scan": "scan.scan",
    "status": "status.status",
    "doctor": "doctor.doctor",
    "decode": "decode.command",
    "export": "export.export",
    "import": "export.import_",
    "verify": "record.verify",
    "witness": "witness.witness",
    "disclose": "privacy.disclose",
    "erase": "privacy.erase",
    "history": "history.command",
    "offers": "offers.compare",
    "accept": "offers.accept",
    "switch": "offers.switch",
    "statement": "statement.statement",
}
GROUPS = {
    "app": "app.app",
    "owner": "owner.app",
    "keys": "keys.app",
    "log": "log.app",
    "bench": "bench.app",
    "agreement": "agreement.app",
    "offer": "offer.app",
    "ledger": "ledger.app",
    "grants": "grants.app",
    "ecosystem": "ecosystem.app",
}


def application(wanted: str | None = None) -> typer.Typer:
    """The command with its subcommand `wanted`, or with all of them when there is no such one."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Hears sensors, signs what they said into a ledger, and lets things pay each other.",
    )
    app.callback()(_milepost)
    known = wanted in COMMANDS or wanted in GROUPS
    for name, place in COMMANDS.items():
        if not known or name == wanted:
            app.command(name)(_find(place))
    for name, place in GROUPS.items():
        if not known or name == wanted:
            app.add_typer(_find(place), name=name)
    return app


def main() -> None:
    """Run the command; an expected failure is one line on standard error and exit status 1."""
    try:
        application(sys.argv[1] if len(sys.argv) > 1 else None)()
    except EXPECTED as error:
        _fail([error])
    except BaseExceptionGroup as group:
        expected, other = group.split(EXPECTED)
        if expected is None or other is not None:
            raise
        _fail(list(_leaves(expected)))


def _milepost() -> None:
    """Hears sensors, signs what they said into a ledger, and lets things pay each other."""


def _find(place: str) -> Any:  # noqa: ANN401  # a command's function, or a group of them
    module, _, name = place.partition(".")
    return getattr(import_module(f"agent.cli.{module}"), name)


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
