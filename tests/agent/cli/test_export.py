"""`milepost export` and `milepost import` as they are typed."""

import json
from pathlib import Path

import pytest
from box import Box
from typer.testing import CliRunner, Result

from agent.cli.main import application
from agent.export import export_home
from agent.formats.points import FormatError
from agent.home import HomeError
from ledger_client.errors import RemoteError
from ledger_client.verify import verify_record


@pytest.fixture
def home(box: Box) -> Path:
    stores = box.open()
    for subject in ("runner", "car"):
        box.hear(stores, 3, subject)
        box.prove(stores)
    box.close()
    return box.path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another gateway's record as a file."""
    one = Box(tmp_path / "other")
    stores = one.open()
    one.hear(stores, 5, "car")
    one.prove(stores)
    one.close()
    path = tmp_path / "other.record"
    path.write_bytes(export_home(one.path))
    return path


def typed(*words: str | Path) -> Result:
    result = CliRunner().invoke(application(str(words[0])), [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_record_leaves_the_home_and_verifies(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.record"

    said = json.loads(typed("export", "--home", home, "--out", out, "--json").stdout)

    assert (said["record"], said["disclosed"], said["imported"]) == (str(out), 6, [])
    assert verify_record(out.read_bytes()).size == 3
    assert out.stat().st_mode & 0o077 == 0
    words = typed("export", "--home", home, "--out", out).stdout
    assert words.endswith(" bytes, 3 entries, 6 readings\n")


def test_what_was_imported_leaves_beside_the_own_record(
    home: Path, other: Path, tmp_path: Path
) -> None:
    words = typed("import", other, "--home", home).stdout
    said = json.loads(typed("import", other, "--home", home, "--json").stdout)
    result = typed("export", "--home", home, "--out", tmp_path / "all.record", "--json")

    (beside,) = json.loads(result.stdout)["imported"]
    assert Path(beside).read_bytes() == other.read_bytes()
    assert "2 of 2 entries, 5 of 5 readings" in words
    assert "keys of its own log" in words
    assert Path(said["file"]).read_bytes() == other.read_bytes()
    assert "imported     box.example/log" in typed("verify", home).stdout


def test_raw_files_of_the_home_and_of_what_it_imported(
    home: Path, other: Path, tmp_path: Path
) -> None:
    typed("import", other, "--home", home)

    words = typed("export", "--home", home, "--raw", tmp_path / "raw").stdout

    assert words == f"{tmp_path / 'raw'}: {12 + 9} files\n"
    assert (tmp_path / "raw" / "statement-2.cose").exists()
    assert len(list((tmp_path / "raw").glob("imported-*/statement-*.cose"))) == 2


def test_readings_of_one_subject_in_another_format(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "runner.csv"
    words = typed("export", "--home", home, "--format", "csv", "--subject", "runner", "--out", out)
    said = typed("export", "--home", home, "--format", "omh", "--out", out, "--json")

    assert words.stdout == f"{out}: 3 readings as csv\n"
    assert json.loads(said.stdout) == {
        "file": str(out),
        "format": "omh",
        "readings": 3,
        "left_out": 3,
    }
    assert out.stat().st_mode & 0o077 == 0
    left = typed("export", "--home", home, "--format", "fhir", "--out", out).stdout
    assert left == f"{out}: 3 readings as fhir, 3 have no place in it\n"


def test_a_record_is_a_source_without_any_home(other: Path, tmp_path: Path) -> None:
    out = tmp_path / "readings.json"

    words = typed("export", "--record", other, "--format", "senml", "--out", out).stdout

    assert words == f"{out}: 5 readings as senml\n"
    (head, *_) = json.loads(out.read_text())
    urn = head["bn"].removesuffix(":")
    asked = ("export", "--record", other, "--format", "senml", "--out", out, "--subject")
    assert typed(*asked, urn).stdout == words
    with pytest.raises(HomeError, match=r"runner: expected a subject of this home \(none\)"):
        typed(*asked, "runner")
    with pytest.raises(FormatError, match="none of this subject"):
        typed(*asked, "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55")


def test_a_subject_that_the_home_does_not_know_is_named(home: Path, tmp_path: Path) -> None:
    asked = ("--format", "csv", "--subject", "dog", "--out", tmp_path / "x")

    with pytest.raises(HomeError, match=r"dog: expected a subject of this home \(car, runner\)"):
        typed("export", "--home", home, *asked)


def test_gpx_is_refused_with_what_to_take_instead(home: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="take fit"):
        typed("export", "--home", home, "--format", "gpx", "--out", tmp_path / "x.gpx")
    assert not (tmp_path / "x.gpx").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--out", "x"),
        ("--home", "h", "--record", "r", "--out", "x"),
        ("--home", "h"),
        ("--home", "h", "--out", "x", "--raw", "d"),
        ("--home", "h", "--out", "x", "--subject", "runner"),
        ("--home", "h", "--raw", "d", "--format", "csv"),
    ],
)
def test_options_that_do_not_belong_together_are_misuse(words: tuple[str, ...]) -> None:
    assert typed("export", *words).exit_code == 2


def test_a_file_that_is_not_there_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="expected a record"):
        typed("import", tmp_path / "nothing", "--home", home)


def test_each_artefact_is_explained_by_verify(home: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    typed("export", "--home", home, "--raw", raw)
    typed("log", "proof", "--home", home, "1", "--out", raw / "one.tlog-proof")
    given = ("--with", raw / "genesis.cose", "--with", raw / "statement-1.cose")
    names = ["genesis.cose", "statement-1.cose", "receipt-1.cose", "leaves-1.cbor", "log.vkey"]
    names += ["checkpoint.txt", "keys.cbor", "one.tlog-proof"]

    said = {name: typed("verify", raw / name, *given) for name in names}
    plain = json.loads(typed("verify", raw / "statement-1.cose", "--json").stdout)

    assert all(each.stdout.endswith("it holds\n") for each in said.values())
    assert said["receipt-1.cose"].stdout.startswith("a receipt of inclusion\n")
    assert (plain["verified"], plain["what"]) == (True, "a batch statement")
    with pytest.raises(RemoteError, match="--with"):
        typed("verify", raw / "receipt-1.cose")
    with pytest.raises(HomeError, match="whole records"):
        typed("verify", raw / "receipt-1.cose", "--pin", tmp_path / "pins")
