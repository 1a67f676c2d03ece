"""`milepost keys`: what keys a gateway has, who vouches for them, and what ends when."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from agent import keylist, keyring, owner
from agent.cli.artefacts import Home, Json, Out, Qr, hand_over, now_s
from agent.clock import ClockState, quality
from agent.home import Home as Folder
from agent.home import HomeError
from agent.keyring import Moment
from agent.recording import make_stream
from agent.registry import Registry
from agent.status import printable
from ledger_client import enrolment
from ledger_client.certificates import Limits
from ledger_client.database import open_database
from ledger_client.log import Log, LogReader

LINE_CHARACTERS_MAX = 400
SCOPE = ("log", "pay", "read", "stream")

app = typer.Typer(
    invoke_without_command=True, help="The keys of a gateway and who vouches for them."
)


@app.callback()
def keys(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option("--home", help="The gateway's home folder.")] = None,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """List every key, who vouches for it and until when; says what ends within 30 and 7 days."""
    if context.invoked_subcommand is not None:
        return
    if home is None:
        raise typer.BadParameter("expected the gateway's home folder", param_hint="--home")
    folder = _folder(home)
    with _reading(folder) as (log, at):
        rows = keylist.held(folder, log, at)
        subjects = folder.subject_key_count()
        pending = len(list(folder.pending.glob("*.cbor")))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "keys": [row.as_json() for row in rows],
                    "subject_keys": subjects,
                    "pending": pending,
                    "clock_set": at.now_s is not None,
                }
            )
        )
        return
    for row in rows:
        typer.echo(printable(row.line(), LINE_CHARACTERS_MAX))
    typer.echo(f"and the keys of {subjects} subjects, which seal their readings")
    if pending:
        typer.echo(f"{pending} files of the owner go onto the log when the gateway runs")
    if at.now_s is None:
        typer.echo("the clock is not set: what ends is judged by the newest checkpoint")
    for row in rows:
        if row.warning:
            typer.echo(printable(f"warning: {row.warning}", LINE_CHARACTERS_MAX))


@app.command()
def request(
    home: Home,
    out: Out,
    name: Annotated[str, typer.Option(help="What the owner shall read.")] = "gateway",
    next_key: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--next", help="For the key that shall follow the present one.")
    ] = False,
    qr: Qr = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Ask the owner for a certificate: write the request that `milepost owner grant` takes."""
    folder = _folder(home)
    key = folder.key(keyring.NEXT) if next_key else folder.own_key(keyring.GATEWAY)
    hand_over(out, enrolment.ask(key, name, SCOPE, Limits(1), now_s()), qr=qr)
    typer.echo(f"{out}: a request for {key.public.did}")
    typer.echo("The owner answers it: milepost owner grant REQUEST --key KEY --out GRANT")


@app.command()
def subject(
    name: Annotated[str, typer.Argument(help="A subject of this home: its alias.")],
    home: Home,
    purpose: Annotated[
        str, typer.Option(help="What its readings are for: makes an urn for that, once.")
    ] = "",
) -> None:
    """The urns under which a subject is recorded, another one for each purpose.

    An agreement names the urn of its purpose; a gateway that runs knows it after its next start.
    """
    folder = _folder(home)
    with closing(open_database(folder.ledger_db, create=False)) as connection:
        registry = Registry(connection)
        registry.create()
        found = registry.streams().of(name)
        if not found:
            known = ", ".join(registry.streams().aliases()) or "none"
            raise HomeError(f"{name}: expected a subject of this home: {known}")
        if purpose and registry.streams().find(name, purpose) is None:
            found = (*found, make_stream(folder, registry, name, purpose))
    for each in found:
        if purpose in {"", each.purpose}:
            typer.echo(
                printable(f"{each.urn}  {each.purpose or 'its own record'}", LINE_CHARACTERS_MAX)
            )


@app.command()
def accept(
    file: Annotated[Path, typer.Argument(help="A grant or a revocation of the owner.")],
    home: Home,
    new_owner: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--new-owner", help="The gateway has changed hands.")
    ] = False,
) -> None:
    """Take what the owner decided; it goes onto the log at once, or within the hour."""
    folder = _folder(home)
    data = owner.read_artefact(file)
    with _reading(folder) as (log, at):
        typer.echo(keyring.accept(folder, log, data, at, new_owner=new_owner))
    try:
        folder.lock()
    except HomeError:
        typer.echo("the gateway is running: it goes onto the log within the hour")
        return
    try:
        with _writing(folder) as (log, at):
            keyring.publish(folder, log, at.latest_s)
    finally:
        folder.unlock()
    typer.echo("it is on the log")


@app.command()
def rotate(home: Home) -> None:
    """Give a gateway that is stopped a new key, which carries on the old one's history."""
    folder = _folder(home)
    folder.lock()
    try:
        with _writing(folder) as (log, at):
            keyring.publish(folder, log, at.latest_s)
            old, new = keyring.rotate(folder, log, at)
    finally:
        folder.unlock()
    typer.echo(f"{new.did} carries on after {old.did}; the old key is destroyed")


def _folder(path: Path) -> Folder:
    folder = Folder(path)
    if not folder.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    return folder


def _moment(log: LogReader) -> Moment:
    now = now_s()
    return keyring.moment(log, now, clock_set=quality(now).state is not ClockState.UNSET)


@contextmanager
def _reading(folder: Folder) -> Iterator[tuple[LogReader, Moment]]:
    with closing(open_database(folder.ledger_db, create=False)) as connection:
        log = LogReader(connection)
        yield log, _moment(log)


@contextmanager
def _writing(folder: Folder) -> Iterator[tuple[Log, Moment]]:
    with closing(open_database(folder.ledger_db, create=False)) as connection:
        log = keyring.open_log(folder, connection, now_s())
        yield log, _moment(log)
