"""`milepost offers`, `accept` and `switch`: compare what is offered, and agree to it in one act."""

import asyncio
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import typer

from agent import offers, parties, taking
from agent.broker.endpoint import Endpoint
from agent.cli.artefacts import Json, now_s
from agent.cli.reaching import (
    ConfigFile,
    HomeOrFound,
    PasswordFile,
    Url,
    User,
    place,
    say,
    way_of,
)
from agent.gateway.reaching import Way, reached
from agent.offers import Offered
from agent.parties import Party
from agent.status import printable
from agent.taking import Taken
from ledger_client import estimates, wording
from ledger_client.errors import RemoteError
from ledger_client.estimates import Estimate, History, Window
from ledger_client.offers import Acceptor, Signed, filled

DAYS = 7
DAY_S = 86_400
SIDE_BY_SIDE = 3
LABEL_CHARACTERS = 18
CELL_CHARACTERS = 19
CELL_LINES_MAX = 8

Subject = Annotated[str, typer.Option("--subject", help="Whose readings: an alias of the home.")]
Days = Annotated[int, typer.Option("--days", min=1, max=366, help="How far the estimate looks.")]
Wanted = Annotated[str, typer.Argument(help="The offer: ISSUER/NAME, as `milepost offers` says.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class Rated(NamedTuple):
    """An offer and what the past would have earned under it."""

    signed: Signed
    estimate: Estimate | None


def compare(  # noqa: PLR0913, PLR0917  # the options of a command line
    home: HomeOrFound = None,
    config: ConfigFile = None,
    broker: Url = "",
    user: User = "",
    password_file: PasswordFile = "",
    subject: Subject = "",
    days: Days = DAYS,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Compare the offers on the broker: every term, every fee, and what the past would earn."""
    folder, settings = place(home, config)
    _, endpoint = way_of(folder, settings, Way(broker, user, password_file))
    known = asyncio.run(_read(endpoint))
    with parties.of_home(folder, subject) as party:
        rated = _rated(known.standing(now_s()), _past(party, days))
    if as_json:
        typer.echo(json.dumps(_json(known, rated, days)))
        return
    say(_table(rated, days))
    say(_notes(known))


def accept(  # noqa: PLR0913, PLR0917  # the options of a command line
    offer: Wanted,
    home: HomeOrFound = None,
    config: ConfigFile = None,
    broker: Url = "",
    user: User = "",
    password_file: PasswordFile = "",
    subject: Subject = "",
    yes: Yes = False,  # noqa: FBT002  # a flag
    as_json: Json = False,  # noqa: FBT002  # a flag
) -> None:
    """Accept an offer: the agreement, and the consent that it needs, in one act."""
    folder, settings = place(home, config)
    _, endpoint = way_of(folder, settings, Way(broker, user, password_file))
    with parties.of_home(folder, subject) as party:
        taken = _agree(endpoint, offer, party, yes=yes, switch=False)
    _told(taken, as_json=as_json)


def switch(  # noqa: PLR0913, PLR0917  # the options of a command line
    offer: Wanted,
    home: HomeOrFound = None,
    config: ConfigFile = None,
    broker: Url = "",
    user: User = "",
    password_file: PasswordFile = "",
    subject: Subject = "",
    yes: Yes = False,  # noqa: FBT002  # a flag
    as_json: Json = False,  # noqa: FBT002  # a flag
) -> None:
    """End the subject's agreement and begin this one at the same minute, after the old notice."""
    folder, settings = place(home, config)
    _, endpoint = way_of(folder, settings, Way(broker, user, password_file))
    with parties.of_home(folder, subject) as party:
        taken = _agree(endpoint, offer, party, yes=yes, switch=True)
    _told(taken, as_json=as_json)


async def _read(endpoint: Endpoint) -> Offered:
    async with reached(endpoint) as broker:
        return await offers.read(broker)


def _agree(endpoint: Endpoint, wanted: str, party: Party, *, yes: bool, switch: bool) -> Taken:
    """Find the offer, show all of it, ask, and have it countersigned."""
    if not switch:
        taking.expect_free(party, taking.present(party, now_s()))
    signed = offers.find(asyncio.run(_read(endpoint)), wanted, now_s())
    _explain(signed, party)
    if not yes:
        typer.confirm("Agree, and consent?", abort=True, err=True)
    return asyncio.run(_take(endpoint, signed, party, switch=switch))


async def _take(endpoint: Endpoint, signed: Signed, party: Party, *, switch: bool) -> Taken:
    async with reached(endpoint) as broker:
        try:
            return await taking.take(broker, endpoint.user, signed, party, now_s, switch=switch)
        except TimeoutError as error:
            raise RemoteError(
                f"{signed.reference} did not answer in {taking.ANSWER_MAX_S:.0f} s; what you signed"
                " is kept: run this again to ask again"
            ) from error


def _explain(signed: Signed, party: Party) -> None:
    """The whole text on standard error: what would be signed, each fee, and the estimate."""
    acceptor = Acceptor(party.key.public.did, party.ledger)
    agreement = filled(signed.offer, acceptor, now_s() - now_s() % 60)
    head, *rest = wording.text(agreement).splitlines()
    fees = [
        f"Fee, {fee.name}: {estimates.charged(fee, agreement.asset)}" for fee in signed.offer.fees
    ]
    (rated,) = _rated([signed], _past(party, DAYS))
    lines = [
        f"{head.partition('  ')[0]}  offered by {signed.reference}",
        *rest,
        "",
        *(fees or ["There are no fees."]),
        f"The last {DAYS} days would have left: {_worth(rated)}",
    ]
    for line in lines:
        typer.echo(printable(line, 400), err=True)


def _told(taken: Taken, *, as_json: bool) -> None:
    standing = taken.held.standing
    if as_json:
        told = {
            "agreement": taken.deed.digest.hex(),
            "state": standing.state.value,
            "from_s": standing.from_s,
            "until_s": standing.until_s,
            "ended": [each.digest.hex() for each in taken.ended],
        }
        typer.echo(json.dumps(told))
        return
    begins = wording.day(taken.held.from_s())
    say([f"agreed: {taken.deed.digest.hex()}", f"it holds from {begins}"])
    say(f"{each.digest.hex()[:16]} ends in that minute" for each in taken.ended)


def _past(party: Party, days: int) -> History:
    now = now_s()
    return parties.past(party, Window(now - days * DAY_S, now))


def _rated(known: Sequence[Signed], history: History) -> list[Rated]:
    """The best first; where nothing tells, by name."""
    rated = [Rated(each, estimates.estimate(each.offer, history)) for each in known]
    return sorted(rated, key=_rank)


def _rank(each: Rated) -> tuple[int, str]:
    return -(each.estimate.net if each.estimate else 0), each.signed.reference


def _json(known: Offered, rated: Sequence[Rated], days: int) -> dict[str, Any]:
    return {
        "days": days,
        "offers": [
            {
                "offer": each.signed.reference,
                "issuer": each.signed.issuer.did,
                "terms": dict(estimates.lines(each.signed)),
                "asset": each.signed.offer.document["asset"],
                "estimate": None
                if each.estimate is None
                else {
                    "readings": each.estimate.readings,
                    "units": each.estimate.units,
                    "earned": each.estimate.earned,
                    "fees": [list(fee) for fee in each.estimate.fees],
                    "net": each.estimate.net,
                },
            }
            for each in rated
        ],
        "lapsed": known.lapsed(now_s()),
        "refused": dict(known.refused),
    }


def _notes(known: Offered) -> Iterator[str]:
    if lapsed := known.lapsed(now_s()):
        yield f"{lapsed} more lapsed and can no longer be accepted"
    for reason, count in sorted(known.refused.items()):
        yield f"refused {count}: {reason}"


def _table(rated: Sequence[Rated], days: int) -> Iterator[str]:
    """Up to three offers side by side, line by line, in 80 columns."""
    if not rated:
        yield "nothing is offered on this broker"
    for start in range(0, len(rated), SIDE_BY_SIDE):
        columns = [dict(_cells(each, days)) for each in rated[start : start + SIDE_BY_SIDE]]
        labels = dict.fromkeys(name for column in columns for name in column)
        for label in sorted(labels, key=_section):
            yield from _row(label, [column.get(label, "-") for column in columns])
        yield ""


def _section(label: str) -> int:
    """Fees stand together, and the estimate ends with what is left."""
    starts = ("fee", "lapses", "places", "last ", "  less", "NET")
    return next((n for n, start in enumerate(starts, 1) if label.startswith(start)), 0)


def _cells(each: Rated, days: int) -> Iterator[tuple[str, str]]:
    yield "offer", each.signed.offer.name
    yield "by", each.signed.issuer.short_id
    yield from estimates.lines(each.signed)
    asset = str(each.signed.offer.document["asset"])
    if each.estimate:
        yield f"last {days} days earn", wording.money(each.estimate.earned, asset)
        for name, amount in each.estimate.fees:
            yield f"  less {name}", wording.money(amount, asset)
    yield "NET", _worth(each)


def _worth(each: Rated) -> str:
    found = each.estimate
    if found is None:
        return "no estimate: no readings"
    asset = str(each.signed.offer.document["asset"])
    return f"{wording.money(found.net, asset)} by {found.units} of {found.readings} readings"


def _row(label: str, cells: Sequence[str]) -> Iterator[str]:
    names = textwrap.wrap(printable(label), LABEL_CHARACTERS, subsequent_indent="  ")
    wrapped = [
        textwrap.wrap(printable(cell, 200), CELL_CHARACTERS, max_lines=CELL_LINES_MAX)
        for cell in cells
    ]
    for number in range(max(len(names), *map(len, wrapped))):
        line = [_at(names, number).ljust(LABEL_CHARACTERS)]
        line += [_at(cell, number).ljust(CELL_CHARACTERS) for cell in wrapped]
        yield " ".join(line).rstrip()


def _at(lines: Sequence[str], number: int) -> str:
    return lines[number] if number < len(lines) else ""
