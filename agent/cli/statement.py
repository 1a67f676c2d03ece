"""`milepost statement`: what each counterparty earned, owes and settled, as table, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

import typer

from agent import opening
from agent.accounting import Account, Line, Netted, Period, Share, Statement
from agent.accounting import statement as account_for
from agent.cli.artefacts import Home, now_s
from agent.status import printable
from ledger_client.keys import PublicKey
from ledger_client.wording import money

LINE_CHARACTERS_MAX = 400
AMOUNTS = ("amount", "promised", "owed", "claimed", "settled", "fees")
SHOWN = ("amount", "owed", "claimed", "settled", "fees")
ITEM = ("n", "price", "paid", "at_s", "what", "readings", "agreement", "entries", "statements")
_MONTHS = 12
_DAY = r"[0-9]{4}(-[0-9]{2}){0,2}"


class Format(Enum):
    """How it is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def statement(
    home: Home,
    period: Annotated[
        str,
        typer.Option(
            "--period",
            help="UTC: a year, month or day such as 2026-11, or 2026-11-01..2026-11-15, the last"
            " day included.",
        ),
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TABLE,
    *,
    lines: Annotated[
        bool, typer.Option("--lines", help="In the table too: each item, and what is behind it.")
    ] = False,
    opens: Annotated[
        str,
        typer.Option("--open", help="CHANNEL or CHANNEL:ITEM: its batches, receipts, readings."),
    ] = "",
) -> None:
    """Explain the money of a home: for each counterparty, down to the readings and receipts."""
    if opens:
        for item in opening.opened(home, opens):
            _say(opening.told(item))
        return
    found = account_for(home, _period(period), now_s())
    match form:
        case Format.JSON:
            typer.echo(json.dumps(found.as_json()))
        case Format.CSV:
            typer.echo(_csv(found.accounts), nl=False)
        case Format.TABLE:
            _say(_table(found, lines=lines))


def _say(lines: Iterator[str]) -> None:
    for line in lines:
        typer.echo(printable(line, LINE_CHARACTERS_MAX))


def _period(text: str) -> Period:
    """All time for no text."""
    if not text:
        return Period()
    first, dots, last = text.partition("..")
    if not re.fullmatch(_DAY, first) or (dots and not re.fullmatch(_DAY, last)):
        raise typer.BadParameter("expected a year, month or day such as 2026-11, or FROM..UNTIL")
    start = _span(first)
    return Period(start.from_s, _span(last).until_s) if dots else start


def _span(text: str) -> Period:
    """One year, month or day."""
    year, month, day = (*map(int, text.split("-")), 0, 0)[:3]
    try:
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        if day:
            return Period(start.timestamp(), start.timestamp() + 86_400)
        end_month = month % _MONTHS + 1 if month else 1
        end_year = year + 1 if month in {0, _MONTHS} else year
        end = datetime(end_year, end_month, 1, tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter(f"expected a date that is one: {error}") from error
    return Period(start.timestamp(), end.timestamp())


def _csv(accounts: Sequence[Account]) -> str:
    """One row an item; an account without any has one row with its sums alone."""
    text = io.StringIO()
    head = ("counterparty", "direction", "asset", "channel", "state", *AMOUNTS)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*head, *(f"item_{name}" for name in ITEM)))
    for account in accounts:
        own = [getattr(account, name) for name in head]
        for line in account.lines:
            writer.writerow([*own, *(_cell(getattr(line, name)) for name in ITEM)])
        if not account.lines:
            writer.writerow([*own, *("" for _ in ITEM)])
    return text.getvalue()


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _table(found: Statement, *, lines: bool) -> Iterator[str]:
    """80 columns: the sums of each counterparty and asset, then its channels, shares, nettings."""
    if not found.accounts:
        yield "nothing was bought or sold here"
    for asset in dict.fromkeys(each.asset for each in found.accounts):
        mine = [each for each in found.accounts if each.asset == asset]
        unit = money(0, asset).partition(" ")[2]
        yield f"{'in ' + unit:16} {'':6}" + "".join(
            f"{'due' if name == 'amount' else name:>11}" for name in SHOWN
        )
        for who, way in dict.fromkeys((each.counterparty, each.direction) for each in mine):
            its = [each for each in mine if (each.counterparty, each.direction) == (who, way)]
            yield _sums(_name(who), way, its, asset)
            for account in its:
                yield from _channel(account, lines=lines)
        if len(mine) > 1:
            for way in dict.fromkeys(each.direction for each in mine):
                yield _sums("in all", way, [each for each in mine if each.direction == way], asset)
    asset = found.accounts[0].asset if found.accounts else ""
    yield from (_share(each, asset) for each in found.shares)
    for each in found.netted:
        yield from _netted(each, asset)
    if not all(each.elsewhere for each in found.accounts):
        yield "Till and ledger agree: every entry replayed, every receipt verified."


def _sums(who: str, way: str, its: Sequence[Account], asset: str) -> str:
    amounts = (sum(getattr(each, name) for each in its) for name in SHOWN)
    return f"{who:16} {way:6}" + "".join(f"{_amount(each, asset):>11}" for each in amounts)


def _channel(account: Account, *, lines: bool) -> Iterator[str]:
    paid = sum(line.paid for line in account.lines)
    yield (
        f"  channel {account.channel[:16]} {account.state},"
        f" {paid} of {len(account.lines)} items paid"
    )
    if account.agreement:
        yield f"    under agreement {account.agreement[:16]}"
    if account.elsewhere:
        yield f"    claimed by the word of another gateway's ledger, {printable(account.elsewhere)}"
    for name, amount in account.fee_lines:
        yield f"    fee, {name}: {_amount(amount, account.asset)}"
    if account.undated:
        yield f"    {account.undated} items have no time and are left out of a period"
    if lines:
        for line in account.lines:
            yield from _line(line, account.asset)


def _line(line: Line, asset: str) -> Iterator[str]:
    at = "" if line.at_s is None else f"{datetime.fromtimestamp(line.at_s, UTC):%m-%d %H:%M:%S}"
    state = "paid" if line.paid else "unpaid"
    yield f"    {line.n:>5} {at:14} {_amount(line.price, asset):>11} {state:6} {line.what}"
    if line.entries:
        entries = ", ".join(map(str, line.entries))
        readings = "" if line.readings is None else f"{line.readings} readings, "
        yield f"{'':11}{readings}log entry {entries}, receipt verified"


def _share(share: Share, asset: str) -> str:
    return (
        f"share {_amount(share.amount, asset)} to {_name(share.holder)}"
        f" under {share.agreement[:16]}, entry {share.entry}"
    )


def _netted(each: Netted, asset: str) -> Iterator[str]:
    yield f"netted {_amount(each.amount, asset)} from {_name(each.payer)} to {_name(each.payee)}"
    yield f"  under {each.agreement[:16]}, entry {each.entry}"


def _name(who: str) -> str:
    """A key's short id; an account that nobody named by its start."""
    return PublicKey.from_did(who).short_id if who.startswith("did:") else who[:16]


def _amount(minor_units: int, asset: str) -> str:
    return money(minor_units, asset).partition(" ")[0]
