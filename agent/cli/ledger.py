"""`milepost ledger`: the money of a record, recomputed by anybody; vouchers turned into money."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from agent import tower
from agent.broker.endpoint import Endpoint
from agent.cli import reaching
from agent.cli.artefacts import Home, Json, Out
from agent.cli.reaching import Ca, Cert, CertKey, PasswordFile, Url, User
from agent.export import write_whole
from agent.gateway.reaching import Way, reached
from agent.home import Home as Folder
from agent.home import HomeError
from agent.remote import Line
from agent.status import printable
from ledger_client import record
from ledger_client.bookkeeping import Books, replay_record
from ledger_client.settlement import Claim, Outcome
from ledger_client.settlement.movements import ISSUANCE
from ledger_client.wording import money

app = typer.Typer(no_args_is_help=True, help="Money recomputed by anybody, and claimed.")


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="RECORD", help="A record, with the whole log.")],
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Verify a record and recompute every balance from the orders and vouchers in it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(record.SIZE_MAX + 1)
    except OSError as error:
        raise HomeError(f"{file}: expected a record: {error.strerror}") from error
    books = replay_record(data)
    if as_json:
        typer.echo(json.dumps(_plain(books)))
        return
    for account, balance in sorted(books.balances.items()):
        typer.echo(f"{_signed(balance, books.asset):>24}  {_name(account, books)}")
    for channel, held in books.channels.items():
        typer.echo(
            f"channel {channel.hex()[:16]}  {held.state.value}: {held.terms.payer.short_id} put in"
            f" {money(held.funded, books.asset)}, {held.terms.payee.short_id} claimed"
            f" {money(held.claimed, books.asset)}"
        )
    typer.echo(
        f"{books.movements} movements, each follows from what its parties signed; balances sum to"
        f" {sum(books.balances.values())}"
    )


@app.command()
def vouchers(home: Home, out: Out) -> None:
    """Write what this home was promised and did not claim, a file each: for a watchtower."""
    folder = Folder(home)
    if not folder.exists():
        raise HomeError(f"{home}: expected the home folder of a gateway, there is no ledger.db")
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, paper in tower.open_vouchers(folder):
        write_whole(out / name, paper)
        count += 1
    typer.echo(f"{out}: {count} vouchers; whoever has them can claim for whom they pay, no more")


@app.command()
def claim(  # noqa: PLR0913, PLR0917  # the options of a command line
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Vouchers with terms.")],
    gateway: Annotated[str, typer.Option(help="The short id of the gateway with the ledger.")],
    broker: Url,
    user: User,
    password_file: PasswordFile = "",
    ca: Ca = "",
    cert: Cert = "",
    cert_key: CertKey = "",
) -> None:
    """As a watchtower, turn vouchers into their payees' money: anybody may, over any account."""
    claims = tower.read(files)
    way = Way(broker, user, password_file, ca, cert, cert_key)
    endpoint = reaching.stranger(user, way, "claim")
    outcomes = asyncio.run(_claimed(endpoint, Line(user, gateway), claims))
    for each, outcome in zip(claims, outcomes, strict=True):
        had = money(outcome.claimed, each.terms.asset)
        said = f"channel {outcome.channel.hex()[:16]}: {each.terms.payee.short_id} has {had} in all"
        typer.echo(printable(said + (f"; {outcome.refusal}" if outcome.refusal else ""), 400))
    if any(outcome.refusal for outcome in outcomes):
        raise typer.Exit(1)


async def _claimed(endpoint: Endpoint, line: Line, claims: Sequence[Claim]) -> list[Outcome]:
    async with reached(endpoint) as way, asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(line.run(way))
        try:
            return await line.claim(claims)
        finally:
            listening.cancel()


def _plain(books: Books) -> dict[str, object]:
    return {
        "asset": books.asset,
        "movements": books.movements,
        "sum": sum(books.balances.values()),
        "balances": [
            {"account": account.hex(), "holder": _name(account, books), "minor_units": balance}
            for account, balance in sorted(books.balances.items())
        ],
        "channels": [
            {
                "channel": channel.hex(),
                "state": held.state.value,
                "payer": held.terms.payer.did,
                "payee": held.terms.payee.did,
                "funded": held.funded,
                "claimed": held.claimed,
            }
            for channel, held in books.channels.items()
        ],
    }


def _name(account: bytes, books: Books) -> str:
    if account == ISSUANCE:
        return "issued by the operator"
    if account in books.channels:
        return f"in channel {account.hex()[:16]}"
    holder = books.holders.get(account)
    return f"account {account.hex()[:16]}" if holder is None else holder.did


def _signed(minor_units: int, asset: str) -> str:
    return f"{'-' if minor_units < 0 else ''}{money(abs(minor_units), asset)}"
