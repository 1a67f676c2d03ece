"""`milepost app`: a third party's program as a component with a certificate and a budget."""

import asyncio
import json
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import appbuyer, apps, granting, topics
from agent.appbuyer import AppBuyer, Credentials
from agent.apps import Granted
from agent.cli.artefacts import Home, Json, now_s
from agent.export import write_whole
from agent.gateway.reaching import reached
from agent.granting import Wanted
from agent.home import Home as Folder
from agent.home import HomeError
from agent.status import printable
from agent.till import Tidemark, Till
from ledger_client.database import open_database
from ledger_client.leaves import Leaf
from ledger_client.wording import money

DONE_WAIT_MAX_S = 10.0
DONE_LOOK_EVERY_S = 0.02
ASSET = "EUR/6"
PRICE = 50
DAYS = 365

app = typer.Typer(no_args_is_help=True, help="Programs of others: granted, listed, cut off.")

Name = Annotated[str, typer.Argument(help="The app's name: a-z 0-9 _ -, 32 at most.")]


@app.command()
def grant(  # noqa: PLR0913, PLR0917  # the options of a command line
    name: Name,
    read: Annotated[
        list[str],
        typer.Option(
            help="A quantity (told and for sale) or a topic (told): repeat it, or use commas."
        ),
    ],
    pay_at_most: Annotated[
        str, typer.Option(help="AMOUNT/PERIOD, such as 1.50/day, 20/month or 0.5/12h.")
    ],
    home: Home,
    price: Annotated[
        int, typer.Option(min=1, max=apps.PRICE_MAX, help="Minor units for a reading with proof.")
    ] = PRICE,
    asset: Annotated[str, typer.Option(help="What the ledger counts in, and its decimals.")] = (
        ASSET
    ),
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How long it holds.")] = DAYS,
    broker: Annotated[
        str, typer.Option(help="The broker as the app sees it, if it is not the gateway's own.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Where the credentials go.")] = None,
) -> None:
    """Let a program read, buy and pay: prints its credentials, and writes them for it alone."""
    folder = _folder(home)
    most, period_s = apps.budget(pay_at_most, asset)
    words = tuple(word for each in read for word in each.split(",") if word)
    place = out or granting.credentials_of(folder, name)
    _check_name(name)
    if place.exists():
        raise HomeError(f"{place}: it exists; move it, or name another with --out")
    wanted = Wanted(name, words, most, period_s, asset, price, days, broker)
    credentials = granting.grant(folder, wanted, now_s())
    write_whole(place, json.dumps(credentials, indent=1).encode() + b"\n")
    typer.echo(json.dumps(credentials, indent=1))
    granted = apps.read(apps.path_of(folder, name))
    say = _err if broker else _done
    say(folder, granted, "it is in force")
    typer.echo(f"credentials, with the app's key: {place}", err=True)
    if broker:
        for line in _by_hand(credentials, granted):
            typer.echo(line, err=True)


@app.command("list")
def list_(home: Home, as_json: Json = False) -> None:  # noqa: FBT002  # a flag of the command line
    """Show every app: what it reads, what it may pay, and whether it is in force."""
    folder = _folder(home)
    rows = [_row(folder, each) for each in apps.kept(folder)]
    if as_json:
        typer.echo(json.dumps({"apps": rows}))
        return
    for row in rows:
        typer.echo(
            printable(
                f"{row['name']:16} {row['id']}  {row['state']}; reads {', '.join(row['reads'])};"
                f" pays at most {row['pay_at_most']} until {row['until']}",
                400,
            )
        )
    if not rows:
        typer.echo("no app was granted anything: milepost app grant")


@app.command()
def revoke(name: Name, home: Home) -> None:
    """Cut an app off: its connection, its certificate; its channels can only be claimed."""
    folder = _folder(home)
    _check_name(name)
    ours = granting.on_own_broker(folder, name)
    granted = granting.revoke(folder, name, now_s())
    if ours:
        _done(folder, granted, f"{name} is cut off, and its certificate taken back on the log")
        return
    _done(folder, granted, f"the certificate of {name} is taken back on the log")
    typer.echo("its connection ends when the operator of the broker adds to its access file:")
    typer.echo(f"user {granted.key.short_id}\ntopic deny #")
    typer.echo("and reloads it (Mosquitto: kill -HUP)")


@app.command()
def buy(
    credentials: Annotated[Path, typer.Argument(help="What the grant wrote.")],
    till: Annotated[Path, typer.Option(help="The file in which we keep what we hold and owe.")],
    seconds: Annotated[float, typer.Option(help="How long; 0 until Ctrl-C.")] = 0.0,
) -> None:
    """Buy as an app of another gateway, on its ledger: every reading checked, then paid for."""
    told = appbuyer.read(credentials)
    with closing(open_database(till)) as connection:
        mark = Tidemark.beside(till)
        buyer = AppBuyer(told, Till.open(connection, mark), lambda *each: _show(told.asset, *each))
        with suppress(KeyboardInterrupt):
            asyncio.run(_bought(told, buyer, seconds))


async def _bought(told: Credentials, buyer: AppBuyer, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds or None), reached(told.endpoint) as broker:
            await buyer.run(broker)


def _show(asset: str, reading: Leaf, price: int) -> None:
    when = datetime.fromtimestamp(reading.time_s, UTC).strftime("%H:%M:%S")
    line = f"{when}  {reading.name}  {reading.value} {reading.unit}  {money(price, asset)}"
    typer.echo(printable(line, 400))


def _done(folder: Folder, granted: Granted, sentence: str) -> None:
    """Wait until the gateway has done it, and say so."""
    if not granting.running(folder):
        typer.echo("no gateway runs on this home: it holds from its next start on", err=True)
        return
    until_s = time.monotonic() + DONE_WAIT_MAX_S
    while not granting.on_log(folder, granted):
        if time.monotonic() > until_s:
            raise HomeError(
                f"the gateway has not done it within {DONE_WAIT_MAX_S:.0f} s: see its log"
            )
        time.sleep(DONE_LOOK_EVERY_S)
    typer.echo(sentence, err=True)


def _err(*_: object) -> None:
    typer.echo("it is in force when the broker lets it in and the gateway starts again", err=True)


def _by_hand(credentials: dict[str, Any], granted: Granted) -> list[str]:
    """What the operator of another broker does: what our own is told by the gateway."""
    gateway, seller, own = credentials["gateway"], credentials["seller"], credentials["id"]
    sells = topics.component_rules(seller)
    return [
        "the operator of the broker adds to its access file (Mosquitto), and reloads it:",
        f"user {gateway}",
        *(f"topic write {each}" for each in sells.publish),
        *(f"topic read {each}" for each in sells.subscribe),
        f"user {own}",
        *(f"topic read {each}" for each in granted.rules.subscribe),
        f"and makes a certificate for the user {own}",
    ]


def _row(folder: Folder, granted: Granted) -> dict[str, Any]:
    last = granted.certificate.grant
    if granting.on_log(folder, granted):
        state = "cut off" if granted.revocation else "in force"
    else:
        state = "to be cut off" if granted.revocation else "waits for the gateway"
    if state == "in force" and not granted.active(now_s()):
        state = "over"
    limits = last.limits
    most = money(limits.minor_units_max, limits.asset or ASSET)
    return {
        "name": granted.name,
        "id": granted.key.short_id,
        "did": granted.did,
        "state": state,
        "reads": [*granted.quantities, *granted.topics],
        "price_minor_units": granted.price_minor_units,
        "pay_at_most": f"{most} in {limits.period_s} s",
        "pay_at_most_minor_units": limits.minor_units_max,
        "period_s": limits.period_s,
        "asset": limits.asset,
        "until": datetime.fromtimestamp(last.expires_s, UTC).strftime("%Y-%m-%d"),
    }


def _folder(path: Path) -> Folder:
    folder = Folder(path)
    if not folder.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    return folder


def _check_name(name: str) -> None:
    if not apps.NAME.fullmatch(name):
        raise HomeError(f"{name!r}: expected a name of a-z 0-9 _ - that begins with a-z or 0-9")
