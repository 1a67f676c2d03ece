"""The history page: what is in it, for whom, and that it is a record like any other."""

import json
from pathlib import Path

import pytest
import typer
from box import Box
from typer.testing import CliRunner

from agent import history
from agent.cli import history as command
from agent.cli import record as record_command
from agent.home import HomeError
from ledger_client.errors import EncodingError
from ledger_client.verify import verify_record


@pytest.fixture
def home(box: Box) -> Path:
    """A home with two subjects, a batch of each."""
    stores = box.open()
    box.hear(stores, 3, "runner")
    box.hear(stores, 2, "car")
    box.prove(stores)
    box.close()
    return box.path


def test_the_page_of_a_subject_holds_the_whole_log_but_only_its_readings(home: Path) -> None:
    page = history.history(home, "car")

    report = verify_record(history.record_in(page))
    assert report.batches == len(report.subjects) == 2
    assert (report.readings, report.disclosed) == (5, 2)
    assert report.shown == report.size
    assert page.count(b'id="record" data-subject="urn:uuid:') == 1
    assert b'data-name="car"' in page


def test_a_subject_or_home_that_is_not_there_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="lorry: expected one of the subjects car, runner"):
        history.history(home, "lorry")
    with pytest.raises(HomeError, match=r"there is no ledger\.db"):
        history.history(tmp_path / "nowhere", "car")


def test_what_is_no_page_is_given_back_and_a_page_without_a_record_is_refused() -> None:
    assert history.record_in(b"\xa5record") == b"\xa5record"
    with pytest.raises(EncodingError, match="carries no record"):
        history.record_in(history.checker())
    with pytest.raises(EncodingError, match="damaged base64"):
        history.record_in(history.page(b"1", ["s"], "n").replace(b"MQ==<", b"MQ=<"))


def test_a_name_cannot_break_out_of_the_page() -> None:
    page = history.page(b"record", ["urn:uuid:1"], '"><script>alert(1)</script>')

    assert page.count(b"<script>") == history.checker().count(b"<script>")
    assert history.record_in(page) == b"record"


def test_the_command_writes_a_page_that_verify_takes(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "car.html"
    runner = CliRunner()
    app = typer.Typer()
    app.command("history")(command.command)
    app.command("verify")(record_command.verify)

    said = runner.invoke(app, ["history", "car", "--home", str(home), "--out", str(out)])
    judged = runner.invoke(app, ["verify", str(out), "--json"])

    assert said.exit_code == 0, said.output
    assert "2 readings of car; open it in a browser" in " ".join(said.output.split())
    assert json.loads(judged.output)["verified"] is True
    assert out.stat().st_mode & 0o077 == 0
