"""`milepost status`: what the running gateway says of itself, or else what its databases say."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent import governed, statusboard
from agent.home import Home, HomeError
from agent.resting import Resting, at_rest
from agent.status import AccountView, ComponentView, Snapshot, printable

HOMES = (Path("milepost-home"), Path("demo-home"), Path("/var/lib/milepost"))
VALUES_SHOWN = 3


def status(
    home: Annotated[
        Path | None, typer.Option("--home", help="The home folder; else one that is found.")
    ] = None,
    as_json: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--json", help="One JSON object instead of lines.")
    ] = False,
) -> None:
    """Show the running gateway; with exit status 1, when none runs, what its databases say."""
    place = Home(home or _find())
    snapshot = _ask(place)
    if snapshot is not None:
        typer.echo(_json(snapshot) if as_json else "\n".join(_lines(snapshot)))
        return
    resting = at_rest(place)
    if as_json:
        typer.echo(json.dumps({"running": False, "home": str(place.path), **resting.as_json()}))
    else:
        typer.echo("\n".join(_at_rest(place, resting)))
    raise typer.Exit(1)


def _find() -> Path:
    for path in HOMES:
        if path.is_dir():
            return path
    raise HomeError(
        f"expected a home folder ({', '.join(map(str, HOMES))}), found none; name it with --home"
    )


def _ask(place: Home) -> Snapshot | None:
    data = statusboard.read(place.socket)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Snapshot)
    except msgspec.MsgspecError as error:
        raise HomeError(
            f"{place.socket}: expected the snapshot of a gateway of this version: {error};"
            " restart the gateway"
        ) from error


def _json(snapshot: Snapshot) -> str:
    return json.dumps({"running": True, **msgspec.to_builtins(snapshot)})


def _lines(now: Snapshot) -> list[str]:
    up_s = max(0, now.now_ms - now.started_ms) // 1000
    broker = "connected" if now.broker_connected else "away: everything waits on disk"
    refused = ", ".join(f"{count} {reason}" for reason, count in now.refused.items()) or "none"
    return [
        f"milepost {now.version}, gateway {now.gateway}, up {_span(up_s)}",
        f"radio        {now.radio}",
        f"broker       {broker}; {now.published} messages told",
        f"clock        {now.clock}",
        (
            f"heard        {now.readings} readings, {now.repeats} repeats,"
            f" {now.dropped} dropped; refused: {refused}"
        ),
        (
            f"evidence     {now.batches} batches, {now.receipts_verified} receipts verified,"
            f" log {now.log_size} entries, journal {now.journal_bytes // 1024} KiB"
        ),
        *(_component(each, now.now_ms) for each in now.components),
        *(_account(each, now.asset) for each in now.money),
        *(f"agreement    {printable(governed.line(each), 300)}" for each in now.governed),
        *(f"order        {name}: {printable(line, 400)}" for name, line in now.orders.items()),
    ]


def _component(each: ComponentView, now_ms: int) -> str:
    signal = "" if each.rssi_dbm is None else f" {each.rssi_dbm} dBm"
    heard = (
        "never heard"
        if each.heard_ms is None
        else f"heard {(now_ms - each.heard_ms) / 1000:.1f} s ago"
    )
    values = ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, '.6g')}"
        for name, value in list(each.values.items())[:VALUES_SHOWN]
    )
    why = f"; {printable(each.error)}" if each.error else ""
    return (
        f"  {each.alias:18} {each.id}  {each.state:12} {heard},"
        f" {each.readings} readings{signal}{why}  {values}"
    ).rstrip()


def _account(each: AccountView, asset: str) -> str:
    return (
        f"money        {each.what}, {each.payer} to {each.payee}: {each.items_paid} of {each.items}"
        f" paid, {each.paid} promised, {each.settled} settled ({asset}, minor units)"
    )


def _at_rest(place: Home, resting: Resting) -> list[str]:
    signed = datetime.fromtimestamp(resting.head_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return [
        f"nothing runs on {place.path} or it does not answer; start it: milepost run --config FILE",
        f"log          {resting.log_size} entries, newest head signed {signed}",
        (
            f"journal      {resting.batches} batches receipted, {resting.waiting} readings wait for"
            f" their proof, {resting.journal_bytes // 1024} KiB"
        ),
        f"components   {', '.join(resting.components) or 'none'}",
    ]


def _span(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
