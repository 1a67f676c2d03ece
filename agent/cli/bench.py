"""`milepost bench NAME`: what we do and the plain way, or the limit, in one run, as a ratio."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent import bench, benchlog, benchpay

app = typer.Typer(no_args_is_help=True, help="Measures itself beside the plain way.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


@app.callback()
def _bench() -> None:
    """Measures itself beside the plain way."""


@app.command("pipeline")
def pipeline(
    readings: Annotated[int, typer.Option(min=1_000, max=1_000_000)] = 40_000,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """CPU for each reading from decoded to committed, signed and receipted."""
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        _tell(bench.pipeline(Path(folder), readings), as_json=as_json)


@app.command("log")
def log(
    entries_max: Annotated[int, typer.Option(min=1_000, max=1_000_000)] = 1_000_000,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Append, prove and verify at 10^3 entries and more, and bytes on disk for each reading."""
    sizes = tuple(size for size in benchlog.SIZES if size <= entries_max)
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        figures = benchlog.run(Path(folder), sizes)
    if as_json:
        typer.echo(json.dumps(asdict(figures)))
        return
    for row in (*figures.sizes, figures.growth, figures.disk):
        _tell(row, as_json=False)
        typer.echo()


@app.command("payments")
def payments(
    items: Annotated[int, typer.Option(min=100, max=100_000)] = 5_000,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Items paid end to end between two processes, vouchers taken, and signing alone."""
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as folder:
        _tell(benchpay.payments(Path(folder), items), as_json=as_json)


def _tell(figures: dict[str, float | int], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        typer.echo(f"{name.replace('_', ' '):32} {value}")
