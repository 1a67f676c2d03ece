"""`milepost grants`: who activated what, and what it entitles to, for a registrar."""

import csv
import io
import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent import agreed
from agent.cli.artefacts import Home, Json, Out, now_s
from agent.export import write_whole
from agent.home import Home as Folder
from agent.home import HomeError
from ledger_client import activations, consents, dues, statements
from ledger_client.agreements import ActivationGrant
from ledger_client.deeds import Deed
from ledger_client.keys import PublicKey, read_key
from ledger_client.log import LogReader, open_database

app = typer.Typer(no_args_is_help=True, help="Entitlements by activation; never securities.")

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
    file: File,
    home: Home,
    out: Out,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Write what every holder is entitled to, from the activations on the log of a home."""
    deed, grant = _grant(file)
    with closing(open_database(Folder(home).ledger_db, create=False)) as connection:
        log = LogReader(connection)
        standing = consents.standing(grant, deed.acts, now_s(), agreed.owner_changes_s(log))
        found = activations.of(grant, (statements.verify(each.statement) for each in log.entries()))
    rows = [
        {
            **asdict(each),
            "unit": grant.unit,
            "vested": each.vested(grant, now_s()),
            "agreement": deed.digest.hex(),
        }
        for each in dues.entitlements(grant, standing, found)
    ]
    head = ("holder", "device", "wearable", "granted_s", "units", "unit", "vested", "agreement")
    if as_json:
        write_whole(out, json.dumps({"entitlements": rows}).encode())
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, head, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(out, text.getvalue().encode())
    typer.echo(f"{out}: {len(rows)} entitlements to {grant.unit}; these are not securities")


def _grant(file: Path) -> tuple[Deed, ActivationGrant]:
    deed = agreed.read(file)
    if not isinstance(deed.agreement, ActivationGrant):
        raise HomeError(f"{file}: expected an activation-grant, got another kind of agreement")
    return deed, deed.agreement
