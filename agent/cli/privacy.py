"""`milepost disclose` and `milepost erase`: chosen readings out, and a subject gone."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.artefacts import now_s
from agent.disclosing import Wish
from agent.disclosing import disclose as disclose_readings
from agent.erasure import Erased, erase_subject
from agent.export import write_whole
from agent.home import HomeError
from agent.imports import read_pins
from agent.status import printable
from ledger_client.verify import verify_record

LINE_CHARACTERS_MAX = 2_000

Home = Annotated[Path, typer.Option("--home", help="The gateway's home folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


def disclose(  # noqa: PLR0913, PLR0917  # the options of a command line
    home: Home,
    subject: Annotated[
        str, typer.Option("--subject", help="Whose readings: an alias, or one of its urns.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    quantity: Annotated[
        list[str] | None,
        typer.Option("--quantity", help="Only these (repeat it), also as component/quantity."),
    ] = None,
    start: Annotated[str, typer.Option("--from", help="From this time on, ISO 8601, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", help="Until before this time.")] = "",
    since: Annotated[
        Path | None,
        typer.Option("--since", help="Prove that it continues the head pinned in this file."),
    ] = None,
    cosigned: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--witnessed", help="As of the newest head that witnesses cosigned.")
    ] = False,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Write an excerpt: chosen readings with their proofs, and nothing of the others."""
    wish = Wish(
        subject,
        frozenset(quantity or ()),
        _unix_s(start, float("-inf")),
        _unix_s(end, float("inf")),
    )
    pinned = None if since is None else read_pins(since)
    given = disclose_readings(home, wish, pinned, cosigned=cosigned)
    report = verify_record(given.data)
    write_whole(out, given.data)
    if as_json:
        counts = {"excerpt": str(out), "bytes": len(given.data), "released": given.released}
        typer.echo(json.dumps({**counts, **report.as_json()}))
        return
    typer.echo(
        f"{out}: {len(given.data)} bytes, {given.readings} readings of {subject} in"
        f" {report.batches} batches; {report.readings - given.readings} others in them stay closed"
    )
    if given.released:
        typer.echo(f"{given.released} batches of that time were released to make room")


def erase(
    subject: Annotated[str, typer.Argument(help="Whom to erase: an alias.")],
    home: Home,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002  # a flag
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Destroy a subject's key, readings and names. It cannot be undone; other proofs still hold."""
    if not yes:
        typer.confirm(f"Erase everything of {subject} in {home}, for ever?", abort=True, err=True)
    erased = erase_subject(home, subject, now_s())
    if as_json:
        typer.echo(json.dumps(asdict(erased)))
    else:
        for line in _lines(erased):
            typer.echo(printable(line, LINE_CHARACTERS_MAX))
    if erased.left:
        raise typer.Exit(1)


def _lines(erased: Erased) -> list[str]:
    gone = (
        f"its key, {erased.batches} batches, {erased.packs} packs, {erased.goods} goods and"
        f" {len(erased.files)} files"
    )
    return [
        f"{erased.subject} is erased: {gone}",
        f"the log says so, and still counts its readings under {', '.join(erased.urns)}",
        "which names nobody now",
        "take its components out of the configuration, or they begin a new history at the next run",
        "what was sold, exported or told to others is theirs: ask them to erase it",
        *(f"{name} is kept: it may be owed money" for name in erased.kept),
        *(f"still mentioned in {name}: look at it and remove it" for name in erased.left),
    ]


def _unix_s(text: str, otherwise: float) -> float:
    """A time as people write it; without a zone it is UTC."""
    if not text:
        return otherwise
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise HomeError(
            f"{printable(text)}: expected a time like 2026-11-22 or 2026-11-22T08:30"
        ) from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
