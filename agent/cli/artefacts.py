"""What `milepost owner` and `milepost keys` share: files, QR codes and the time."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import segno
import typer

from agent.export import write_whole
from agent.gateway import clock
from ledger_client import enrolment

Home = Annotated[Path, typer.Option("--home", help="The gateway's home folder.")]
OwnerKey = Annotated[Path, typer.Option("--key", help="The file of the owner's root key.")]
Out = Annotated[Path, typer.Option("--out", help="The file to write.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]
Qr = Annotated[bool, typer.Option("--qr", help="Show it as a QR code and as text, too.")]


def now_s() -> int:
    """Unix seconds."""
    return clock().wall_ms // 1000


def day(unix_s: int) -> str:
    """A date, for people."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d")


def hand_over(out: Path, data: bytes, *, qr: bool) -> None:
    """Write an artefact, and show it where a camera or a person can take it from the screen."""
    write_whole(out, data)
    if qr:
        text = enrolment.to_text(data)
        screen = io.StringIO()
        segno.make_qr(text, error="l").terminal(screen, compact=True)
        typer.echo(screen.getvalue())
        typer.echo(text)
