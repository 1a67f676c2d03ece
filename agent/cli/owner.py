"""`milepost owner`: the root key of everything one owns, which may live far from any gateway."""

import json
from pathlib import Path
from typing import Annotated

import typer

from agent import owner
from agent.cli.artefacts import Json, Out, OwnerKey, Qr, day, hand_over, now_s
from agent.home import HomeError
from agent.owner import Terms
from agent.status import printable
from ledger_client.certificates import Limits, parse_scope
from ledger_client.keys import create_key, read_key
from ledger_client.record import SIZE_MAX
from ledger_client.trust import REASONS, Believed
from ledger_client.verify import verify_record

app = typer.Typer(no_args_is_help=True, help="Certify your gateways, and take it back.")


@app.command()
def init(
    key: OwnerKey,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Make the owner's root key. Whoever has the file owns everything: keep a copy off this box."""
    public = create_key(key).public
    if as_json:
        typer.echo(json.dumps({"key": str(key), "did": public.did, "short_id": public.short_id}))
        return
    typer.echo(f"{key}: your root key {public.did}")
    typer.echo("Keep a copy where no gateway is. Nobody can make it again for you.")


@app.command()
def grant(  # noqa: PLR0913, PLR0917  # one option each
    request: Annotated[Path, typer.Argument(help="What `milepost keys request` wrote.")],
    key: OwnerKey,
    out: Out,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How long it holds.")] = 730,
    scope: Annotated[str, typer.Option(help="Words instead of those asked for.")] = "",
    depth: Annotated[int, typer.Option(min=-1, max=7, help="Levels below it; -1: as asked.")] = -1,
    most: Annotated[int, typer.Option(min=0, help="Minor units it may spend a period.")] = 0,
    period_s: Annotated[int, typer.Option(min=1, help="The period, in seconds.")] = 86_400,
    asset: Annotated[str, typer.Option(help="Of what.")] = "EUR/6",
    above: Annotated[
        Path | None, typer.Option(help="How the key was certified itself, if it is no root.")
    ] = None,
    qr: Qr = False,  # noqa: FBT002  # a flag of the command line
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Certify a gateway that asks for it. Keep the file: it is needed to take the grant back."""
    asked = owner.read_request(owner.read_artefact(request))
    levels = asked.limits.depth if depth < 0 else depth
    limits = Limits(levels, most, period_s, asset) if most else Limits(levels)
    terms = Terms(days, parse_scope(scope) if scope else None, limits)
    upper = owner.read_chain(owner.read_artefact(above)) if above else ()
    data = owner.grant(read_key(key), asked, terms, now_s(), [each.token for each in upper])
    hand_over(out, data, qr=qr)
    given = owner.read_chain(data)[-1].grant
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "grant": str(out),
                    "holder": given.holder.did,
                    "scope": given.scope,
                    "depth": given.limits.depth,
                    "minor_units_max": given.limits.minor_units_max,
                    "expires_s": given.expires_s,
                }
            )
        )
        return
    typer.echo(
        f"{out}: {printable(asked.name, 64)} ({given.holder.did}) may"
        f" {' '.join(given.scope)} until {day(given.expires_s)}"
    )
    typer.echo("On the gateway: milepost keys accept FILE --home HOME")


@app.command()
def revoke(  # noqa: PLR0913, PLR0917  # one option each
    granted: Annotated[Path, typer.Argument(help="The file that `milepost owner grant` wrote.")],
    key: OwnerKey,
    out: Out,
    reason: Annotated[str, typer.Option(help=f"One of {', '.join(REASONS)}.")],
    last_record: Annotated[
        Path | None, typer.Option(help="The last record of this gateway that you believe.")
    ] = None,
    head: Annotated[str, typer.Option(help="Or its head, as SIZE:ROOT in hexadecimal.")] = "",
    qr: Qr = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Take a grant back. What stands on the log up to the last head that you believe stays good."""
    believed = _believed(last_record, head)
    data = owner.revoke(read_key(key), owner.read_artefact(granted), reason, now_s(), believed)
    hand_over(out, data, qr=qr)
    left = f"its first {believed.size} entries stay good" if believed else "nothing of it is left"
    typer.echo(f"{out}: the grant is taken back; for whoever has this file {left}")
    typer.echo("Send it to whoever reads the gateway's records: milepost verify --revocation FILE")


def _believed(last_record: Path | None, head: str) -> Believed | None:
    if last_record is not None:
        with last_record.open("rb") as file:
            report = verify_record(file.read(SIZE_MAX + 1))
        return Believed(report.size, bytes.fromhex(report.root))
    if not head:
        return None
    size, _, root = head.partition(":")
    if not (size.isdecimal() and len(root) == 64):  # noqa: PLR2004  # SHA-256 in hexadecimal
        raise HomeError(
            f"--head: expected SIZE:ROOT as `milepost verify` shows it, got {head!a:.90}"
        )
    try:
        return Believed(int(size), bytes.fromhex(root))
    except ValueError as error:
        raise HomeError("--head: expected the root in hexadecimal") from error
