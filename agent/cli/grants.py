"""`milepost grants`: who activated what, and what it entitles to, for a registrar."""

import csv
import io
import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import agreed
from agent.cli.artefacts import Home, Json, day, now_s
from agent.export import write_whole
from agent.home import Home as Folder
from agent.home import HomeError
from ledger_client import activations, consents, dues, statements
from ledger_client.agreements import ActivationGrant
from ledger_client.database import open_database
from ledger_client.deeds import Deed
from ledger_client.keys import PublicKey, read_key
from ledger_client.log import LogReader

app = typer.Typer(no_args_is_help=True, help="Entitlements by activation; never securities.")

_HEAD = (
    *("holder", "device", "wearable", "granted_s", "units", "unit", "vested"),
    *("none_before_s", "all_by_s", "agreement"),
)

File = Annotated[Path, typer.Argument(help="The activation grant, as a deed.")]


@app.command()
def activate(
    file: File,
    home: Home,
    key: Annotated[Path, typer.Option("--key", help="The key file of a party of the grant.")],
    holder: Annotated[str, typer.Option("--holder", help="The did:key of who holds the device.")],
    code: Annotated[str, typer.Option("--code", help="The code in the device's box.")],
    wearable: Annotated[str, typer.Option("--wearable", help="A further kind, if it is one.")] = "",
) -> None:
    """Attest an activation; it goes onto the log when the gateway of this home starts."""
    deed, _ = _grant(file)
    device = activations.device_of(deed.digest, code)
    statement = activations.sign(
        read_key(key), deed.digest, PublicKey.from_did(holder), device, wearable, now_s()
    )
    place = Folder(home).path / agreed.FOLDER / f"{statements.verify(statement).digest.hex()}.act"
    place.parent.mkdir(mode=0o700, exist_ok=True)
    write_whole(place, statement)
    typer.echo(f"{device.hex()[:16]} is attested for {holder}")


@app.command()
def export(
    home: Home,
    file: Annotated[
        Path | None, typer.Argument(help="The grant, as a deed; else the only one of the home.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; without one it is shown.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """What every holder is entitled to and when it vests, from the activations on the log."""
    deed, grant = _only(home) if file is None else _grant(file)
    with closing(open_database(Folder(home).ledger_db, create=False)) as connection:
        log = LogReader(connection)
        standing = consents.standing(grant, deed.acts, now_s(), agreed.owner_changes_s(log))
        found = activations.of(grant, (statements.verify(each.statement) for each in log.entries()))
    rows = [
        {
            **asdict(each),
            "unit": grant.unit,
            "vested": each.vested(grant, now_s()),
            "none_before_s": each.granted_s + grant.cliff_s,
            "all_by_s": each.granted_s + grant.vesting_s,
            "agreement": deed.digest.hex(),
        }
        for each in dues.entitlements(grant, standing, found)
    ]
    _say(rows, grant, out, as_json=as_json)


def _say(
    rows: list[dict[str, Any]], grant: ActivationGrant, out: Path | None, *, as_json: bool
) -> None:
    text = json.dumps({"entitlements": rows}) if as_json else _table(rows)
    told = f"{len(rows)} entitlements to {grant.unit}; these are not securities"
    if out is not None:
        write_whole(out, text.encode())
        typer.echo(f"{out}: {told}")
    elif as_json:
        typer.echo(text)
    else:
        for row in rows:
            typer.echo(
                f"{row['units']:>8} for {row['wearable'] or 'the device'}"
                f" {row['device'][:16]}, {row['vested']} vested: none before"
                f" {day(row['none_before_s'])}, all by {day(row['all_by_s'])}; {row['holder']}"
            )
        typer.echo(told)


def _table(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _HEAD, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _only(home: Path) -> tuple[Deed, ActivationGrant]:
    """The grant of a home that has one."""
    held = [
        deed for deed in agreed.kept(Folder(home)) if isinstance(deed.agreement, ActivationGrant)
    ]
    if len(held) != 1:
        raise HomeError(
            f"{home}: expected one activation-grant in {agreed.FOLDER}/, found {len(held)};"
            " name the deed"
        )
    return _grant(agreed.path_of(Folder(home), held[0].digest))


def _grant(file: Path) -> tuple[Deed, ActivationGrant]:
    deed = agreed.read(file)
    if not isinstance(deed.agreement, ActivationGrant):
        raise HomeError(f"{file}: expected an activation-grant, got another kind of agreement")
    return deed, deed.agreement
