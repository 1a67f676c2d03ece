"""`milepost export` and `milepost import`: what is the owner's out of a home, and into another."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from agent import formats
from agent.cli.record import Home, Json
from agent.export import (
    export_home,
    import_into,
    imported_into,
    points_of_all,
    urns_of,
    write_folder,
    write_whole,
)
from agent.formats.points import FormatError
from agent.imports import line, read_record
from agent.status import printable
from ledger_client.report import Report
from ledger_client.verify import verify_record

LINE_CHARACTERS_MAX = 400


def export(  # noqa: PLR0913, PLR0917  # as many as the command line has options
    home: Annotated[
        Path | None, typer.Option("--home", help="The gateway's home folder, and what it imported.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--record", help="A record or excerpt instead of a home.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write.")] = None,
    raw: Annotated[
        Path | None,
        typer.Option("--raw", help="A new folder for each artefact as a file of its own."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="Readings as senml, csv, fit, omh, fhir or vss in --out."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="With --format: only of this subject.")
    ] = None,
    cosigned: Annotated[  # noqa: FBT002  # a flag of the command line
        bool, typer.Option("--witnessed", help="As of the newest head that witnesses cosigned.")
    ] = False,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Write one self-contained record, each artefact as a file, or the readings in other formats.

    Nothing is sent anywhere. Every source is verified before anything is written.
    """
    _expect_one(("--home", home), ("--record", source))
    _expect_one(("--out", out), ("--raw", raw))
    if form is None and subject is not None:
        raise typer.BadParameter("--subject goes with --format; see also: milepost disclose")
    if raw is not None and form is not None:
        raise typer.BadParameter("--format goes with --out")
    records = [("", _read(home, source, cosigned=cosigned))]
    if home is not None:
        records += [(each.name, each.data) for each in imported_into(home)]
    reports = [verify_record(data) for _, data in records]
    if raw is not None:
        count = write_folder(raw, records)
        _tell([f"{raw}: {count} files"], as_json, {"raw": str(raw), "files": count})
    elif out is not None and form is not None:
        _write_readings(out, form, [data for _, data in records], urns_of(home, subject), as_json)
    elif out is not None:
        _write_records(out, records, reports, as_json)


def import_(
    file: Annotated[Path, typer.Argument(help="A record or excerpt of another milepost.")],
    home: Home,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Take over another gateway's record as evidence: verified, kept whole, exported again."""
    evidence = import_into(home, read_record(file))
    _tell(
        [
            line(evidence.name, evidence.report),
            "its proofs stand on the keys of its own log, not on this gateway's",
        ],
        as_json,
        {"file": str(evidence.path), **evidence.report.as_json()},
    )


def _expect_one(*options: tuple[str, Path | None]) -> None:
    if sum(given is not None for _, given in options) != 1:
        raise typer.BadParameter(f"expected one of {' and '.join(name for name, _ in options)}")


def _read(home: Path | None, source: Path | None, *, cosigned: bool) -> bytes:
    if home is not None:
        return export_home(home, cosigned=cosigned)
    if source is None:
        raise typer.BadParameter("expected one of --home and --record")
    return read_record(source)


def _write_readings(
    out: Path,
    form: str,
    records: Sequence[bytes],
    urns: Sequence[str],
    as_json: bool,  # noqa: FBT001  # the flag
) -> None:
    points = list(points_of_all(records, urns))
    if not points:
        raise FormatError("expected readings that are disclosed, there are none of this subject")
    written = formats.render(form, points)
    write_whole(out, written.data)
    left_out = len(points) - written.points
    words = f", {left_out} have no place in it" if left_out else ""
    _tell(
        [f"{out}: {written.points} readings as {form}{words}"],
        as_json,
        {"file": str(out), "format": form, "readings": written.points, "left_out": left_out},
    )


def _write_records(
    out: Path,
    records: Sequence[tuple[str, bytes]],
    reports: Sequence[Report],
    as_json: bool,  # noqa: FBT001  # the flag
) -> None:
    """The record in `out`, and each imported one beside it."""
    lines: list[str] = []
    beside: list[str] = []
    for (name, data), report in zip(records, reports, strict=True):
        path = out.with_name(f"{out.stem}-imported-{name}{out.suffix}") if name else out
        write_whole(path, data)
        beside += [str(path)] if name else []
        lines.append(
            f"{path}: {len(data)} bytes, {report.size} entries, {report.disclosed} readings"
        )
    head = {"record": str(out), "bytes": len(records[0][1]), "imported": beside}
    _tell(lines, as_json, {**head, **reports[0].as_json()})


def _tell(lines: Sequence[str], as_json: bool, values: dict[str, object]) -> None:  # noqa: FBT001  # the flag
    if as_json:
        typer.echo(json.dumps(values))
        return
    for text in lines:
        typer.echo(printable(text, LINE_CHARACTERS_MAX))
