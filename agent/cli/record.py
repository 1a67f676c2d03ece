"""`milepost export` and `milepost verify`: evidence out of a home, and judged by anybody."""

import json
from pathlib import Path
from typing import Annotated

import typer

from agent.audit import HomeReport, verify_home
from agent.export import export_home, write_whole
from agent.home import HomeError
from agent.status import printable
from ledger_client.errors import LedgerError
from ledger_client.record import SIZE_MAX
from ledger_client.report import Report
from ledger_client.verify import verify_record

LINE_CHARACTERS_MAX = 2_000

Home = Annotated[Path, typer.Option("--home", help="The gateway's home folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


def export(
    home: Home,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Write one self-contained record: statements, receipts, checkpoint, leaves and proofs."""
    data = export_home(home)
    report = verify_record(data)
    write_whole(out, data)
    if as_json:
        typer.echo(json.dumps({"record": str(out), "bytes": len(data), **report.as_json()}))
    else:
        typer.echo(f"{out}: {len(data)} bytes, {report.size} entries, {report.disclosed} readings")


def verify(
    what: Annotated[Path, typer.Argument(help="A record, or the home folder of a gateway.")],
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Check a record with no network and no key but what it names, or everything in a home."""
    try:
        report = _verify(what)
    except LedgerError as error:
        if as_json:
            typer.echo(json.dumps({"verified": False, "error": printable(str(error), 1_000)}))
            raise typer.Exit(1) from error
        raise
    if as_json:
        typer.echo(json.dumps({"verified": True, **report.as_json()}))
        return
    for line in report.lines():
        typer.echo(printable(line, LINE_CHARACTERS_MAX))
    typer.echo("everything holds")


def _verify(what: Path) -> Report | HomeReport:
    if what.is_dir():
        return verify_home(what)
    try:
        with what.open("rb") as file:
            return verify_record(file.read(SIZE_MAX + 1))
    except OSError as error:
        raise HomeError(f"{what}: expected a record or a home: {error.strerror}") from error
