"""`milepost statement`: what each counterparty earned, owes and settled, as table, CSV or JSON."""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

import typer

from agent.accounting import Account, Line, Period
from agent.accounting import statement as account_for
from agent.cli.artefacts import Home
from agent.status import printable
from ledger_client.wording import money

LINE_CHARACTERS_MAX = 400
AMOUNTS = ("amount", "promised", "owed", "claimed", "settled", "fees")
ITEM = ("n", "price", "paid", "at_s", "readings", "entry", "statement", "agreement")
_MONTHS = 12


class Format(Enum):
    """How it is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def statement(
    home: Home,
    period: Annotated[
        str,
        typer.Option("--period", help="A year, month or day (UTC): 2026, 2026-11, 2026-11-22."),
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.TABLE,
    *,
    items: Annotated[
        bool, typer.Option("--items", help="In the table too: each item, and what is behind it.")
    ] = False,
) -> None:
    """Explain the money of a home: for each counterparty, down to the readings and receipts."""
    accounts = account_for(home, _period(period))
    match form:
        case Format.JSON:
            typer.echo(json.dumps({"accounts": [each.as_json() for each in accounts]}))
        case Format.CSV:
            typer.echo(_csv(accounts), nl=False)
        case Format.TABLE:
            for line in _table(accounts, items=items):
                typer.echo(printable(line, LINE_CHARACTERS_MAX))


def _period(text: str) -> Period:
    """All time for no text."""
    if not text:
        return Period()
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}){0,2}", text):
        raise typer.BadParameter("expected a year, month or day such as 2026-11")
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
        plain = account.as_json()
        own = [plain[name] for name in head]
        for line in plain["lines"] or [dict.fromkeys(ITEM)]:
            writer.writerow([*own, *(line[name] for name in ITEM)])
    return text.getvalue()


def _table(accounts: Sequence[Account], *, items: bool) -> list[str]:
    lines = []
    for account in accounts:
        asset = account.asset
        lines.append(
            f"{account.direction} {'from' if account.direction == 'earned' else 'at'}"
            f" {account.counterparty}  channel {account.channel[:16]} {account.state}"
        )
        values = account.as_json()
        sums = (
            f"{account.direction if name == 'amount' else name} {money(values[name], asset)}"
            for name in AMOUNTS
        )
        lines.append("  " + ", ".join(sums))
        if account.undated:
            lines.append(f"  {account.undated} items have no time and are left out of a period")
        lines += [_item(line, asset) for line in account.lines if items]
    return lines or ["nothing was bought or sold here"]


def _item(line: Line, asset: str) -> str:
    told = f"    item {line.n}  {money(line.price, asset)}  {'paid' if line.paid else 'unpaid'}"
    if line.entry is not None:
        told += f"  {line.readings} readings, entry {line.entry} of the log, receipt verified"
    if line.agreement is not None:
        told += f", agreement {line.agreement[:16]}"
    return told
