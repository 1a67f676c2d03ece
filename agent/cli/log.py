"""`milepost log`: the log as files that other people's tools read, and their check."""

from pathlib import Path
from typing import Annotated

import typer

from agent import tiling
from agent.export import write_whole
from agent.home import HomeError
from agent.status import printable
from ledger_client import checkpoints, proofs
from ledger_client.checkpoints import COSIGNATURE, ED25519, Verifier
from ledger_client.errors import EncodingError
from ledger_client.statements import SIZE_MAX

READ_BYTES_MAX = 4 * SIZE_MAX

app = typer.Typer(no_args_is_help=True, help="The log for other people's tools: tiles and proofs.")

Home = Annotated[Path, typer.Option("--home", help="The gateway's home folder.")]
Out = Annotated[Path, typer.Option("--out", help="Where to write.")]


@app.callback()
def _log() -> None:
    """The log for other people's tools: tiles and proofs."""


@app.command("key")
def key(home: Home) -> None:
    """Print the verifier key of the checkpoints: what a witness and a verifier need to know."""
    with tiling.reading(home) as log:
        typer.echo(tiling.verifier(log).vkey)


@app.command("tiles")
def tiles(home: Home, out: Out) -> None:
    """Write checkpoint and tree as C2SP tlog-tiles, for any web server; again to bring forward."""
    with tiling.reading(home) as log:
        written, size = tiling.write_tiles(log, out), log.head.size
    typer.echo(f"{out}: {size} entries, {written} tiles written")


@app.command("proof")
def proof(
    home: Home,
    entry: Annotated[int, typer.Argument(min=0, help="The index of the entry.")],
    out: Out,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A cosigned checkpoint, to prove under that head.")
    ] = None,
) -> None:
    """Write the C2SP tlog-proof of one entry, and the statement beside it."""
    note = _read(checkpoint).decode(errors="replace") if checkpoint else None
    with tiling.reading(home) as log:
        text, statement = tiling.prove(log, entry, note), log.statement(entry)
    write_whole(out, text.encode())
    beside = out.with_suffix(".cose")
    write_whole(beside, statement)
    typer.echo(f"{out}: entry {entry}, statement in {beside}")


@app.command("check")
def check(
    what: Annotated[Path, typer.Argument(help="A tlog-proof.")],
    statement: Annotated[Path, typer.Option(help="The statement that it proves.")],
    key: Annotated[str, typer.Option(help="The verifier key of the log.")],
    witness: Annotated[
        list[str] | None, typer.Option(help="A witness that has to have cosigned; repeatable.")
    ] = None,
) -> None:
    """Check a tlog-proof offline."""
    witnesses = [_verifier(text, COSIGNATURE) for text in witness or ()]
    found = proofs.verify(
        _read(what).decode(errors="replace"),
        _verifier(key, ED25519),
        tiling.leaf(_read(statement)),
        witnesses,
        len(witnesses),
    )
    head = found.checkpoint
    typer.echo(
        printable(f"entry {found.index} of {head.size} on {head.origin}, root {head.root.hex()}")
    )
    for name in found.witnesses:
        typer.echo(printable(f"cosigned by {name}"))
    typer.echo("it holds")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES_MAX)
    except OSError as error:
        raise HomeError(f"{path}: expected a file: {error.strerror}") from error


def _verifier(text: str, kind: int) -> Verifier:
    found = checkpoints.parse_vkey(text)
    if found.kind != kind:
        raise EncodingError(f"verifier key: expected one of type {kind:02x}, got {found.kind:02x}")
    return found
