"""`milepost history`: what happened to one thing, as a page that checks itself."""

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.record import Home
from agent.export import write_whole
from agent.history import history, record_in
from agent.status import printable
from ledger_client.verify import verify_record

LINE_CHARACTERS_MAX = 1_000


def command(
    subject: Annotated[str, typer.Argument(help="The subject's name in this home: car, runner...")],
    home: Home,
    out: Annotated[Path, typer.Option("--out", help="The page to write, such as car.html.")],
) -> None:
    """Write a page for a buyer or insurer: SUBJECT's readings, gaps and proofs, checked offline."""
    data = history(home, subject)
    report = verify_record(record_in(data))
    write_whole(out, data)
    line = f"{out}: {len(data)} bytes, {report.size} entries, {report.disclosed} readings"
    typer.echo(printable(f"{line} of {subject}; open it in a browser", LINE_CHARACTERS_MAX))
