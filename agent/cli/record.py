"""`milepost verify`: evidence judged by anybody, or a whole home by its owner."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent import owner
from agent.audit import HomeReport, verify_home
from agent.export import write_whole
from agent.history import PAGE_BYTES_MAX, is_page, record_in
from agent.home import HomeError
from agent.imports import read_pins
from agent.status import printable
from ledger_client import artefacts, explanation, record
from ledger_client.checkpoints import parse_vkey
from ledger_client.errors import LedgerError
from ledger_client.keys import PublicKey
from ledger_client.pins import Pin, render
from ledger_client.report import Report
from ledger_client.verify import verify_record
from ledger_client.vouching import Anchors

LINE_CHARACTERS_MAX = 2_000

Home = Annotated[Path, typer.Option("--home", help="The gateway's home folder.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


def verify(  # noqa: PLR0913, PLR0917  # the options of a command line
    what: Annotated[
        Path,
        typer.Argument(help="A record, excerpt, history page or home, or any single artefact."),
    ],
    pin: Annotated[
        Path | None,
        typer.Option("--pin", help="Remember the head in this file; refuse an older or other one."),
    ] = None,
    owned_by: Annotated[
        str, typer.Option("--owner", help="Take no other owner's word; a did:key.")
    ] = "",
    revocation: Annotated[
        list[Path] | None,
        typer.Option("--revocation", help="What the owner took back since; may come often."),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", help="Ask for the cosignature of this key; may come often."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            help="What a single artefact is judged by: genesis, key, statement; may come often.",
        ),
    ] = None,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Check a record with no network and no key but what it names, or everything in a home.

    A statement, receipt, checkpoint, tlog-proof, disclosure, certificate, request or revocation is
    explained, too; name with --with what it is judged by.
    """
    try:
        if (single := _single(what)) is not None:
            if pin is not None or owned_by or revocation or witness:
                raise HomeError(
                    f"{what}: --pin, --owner, --revocation and --witness are for whole records"
                )
            _explain(single, beside or (), as_json=as_json)
            return
        held = read_pins(pin) if pin is not None and pin.exists() else {}
        taken = [owner.read_revocation(owner.read_artefact(path)) for path in revocation or ()]
        believed = PublicKey.from_did(owned_by) if owned_by else None
        asked = tuple(parse_vkey(text) for text in witness or ())
        report = _verify(what, Anchors(believed, tuple(taken), held, asked))
    except LedgerError as error:
        if as_json:
            typer.echo(json.dumps({"verified": False, "error": printable(str(error), 1_000)}))
            raise typer.Exit(1) from error
        raise
    log = report.log if isinstance(report, HomeReport) else report
    if pin is not None and log.unlinked is None:
        write_whole(pin, render({**held, log.log: Pin(log.vkey, log.note)}).encode())
    proved, not_proved = explanation.proved(log), explanation.not_proved(log)
    if as_json:
        words = {"proved": proved, "not_proved": not_proved}
        typer.echo(json.dumps({"verified": True, **report.as_json(), **words}))
        return
    paragraphs = (
        *report.lines(),
        "",
        "proved:",
        *(f"  {text}" for text in proved),
        "not proved:",
        *(f"  {text}" for text in not_proved),
        "",
        "everything holds",
    )
    for line in paragraphs:
        typer.echo(printable(line, LINE_CHARACTERS_MAX))


def _single(what: Path) -> bytes | None:
    """An artefact other than a record; None for a record, a page, a folder or nothing at all."""
    if not what.is_file():
        return None
    with what.open("rb") as file:
        data = file.read(artefacts.SIZE_MAX + 1)
    return None if record.is_one(data[:64]) or is_page(data) else data


def _explain(data: bytes, beside: Sequence[Path], *, as_json: bool) -> None:
    against = artefacts.beside(owner.read_artefact(path) for path in beside)
    found = artefacts.examine(data, against)
    if as_json:
        typer.echo(json.dumps({"verified": True, **asdict(found)}))
        return
    lines = (
        found.what,
        "",
        "proved:",
        *(f"  {text}" for text in found.proved),
        "not proved:",
        *(f"  {text}" for text in found.not_proved),
        "",
        "it holds",
    )
    for line in lines:
        typer.echo(printable(line, LINE_CHARACTERS_MAX))


def _verify(what: Path, anchors: Anchors) -> Report | HomeReport:
    if what.is_dir():
        if anchors.witnesses:
            raise HomeError(f"{what}: --witness is for records: milepost export --witnessed")
        return verify_home(what, anchors)
    try:
        with what.open("rb") as file:
            return verify_record(record_in(file.read(PAGE_BYTES_MAX + 1)), anchors)
    except OSError as error:
        raise HomeError(f"{what}: expected a record or a home: {error.strerror}") from error
