"""`milepost ledger`: the money of a record, recomputed by anybody."""

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.artefacts import Json
from agent.home import HomeError
from ledger_client import record
from ledger_client.bookkeeping import Books, replay_record
from ledger_client.settlement.movements import ISSUANCE
from ledger_client.wording import money

app = typer.Typer(no_args_is_help=True, help="The money of a record, recomputed by anybody.")


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
