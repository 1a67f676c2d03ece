"""disclose, erase and verify --pin as a person types them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from box import Box

MILEPOST = Path(sys.executable).with_name("milepost")


def milepost(*words: str | Path, answer: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MILEPOST, *words], capture_output=True, text=True, timeout=60, check=False, input=answer
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    box = Box(tmp_path / "home")
    stores = box.open()
    for subject in ("runner", "car", "runner"):
        box.hear(stores, 3, subject)
        box.prove(stores)
    box.close()
    return box.path


def test_chosen_readings_go_out_and_verify(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "given.cbor"

    done = milepost(
        *("disclose", "--home", home, "--subject", "runner", "--quantity", "heart_rate"),
        *("--from", "2026-01-01", "--to", "2026-01-01T00:01:42Z", "--out", out),
    )
    checked = milepost("verify", out, "--json")

    assert done.stdout == (
        f"{out}: {out.stat().st_size} bytes, 3 readings of runner in 1 batches;"
        " 0 others in them stay closed\n"
    )
    report = json.loads(checked.stdout)
    assert (report["verified"], report["disclosed"], report["shown"]) == (True, 3, 2)
    assert report["proved"]
    assert report["not_proved"]


def test_a_time_that_is_none_is_one_clear_line(home: Path, tmp_path: Path) -> None:
    done = milepost(
        *("disclose", "--home", home, "--subject", "runner", "--from", "yesterday"),
        *("--out", tmp_path / "x", "--json"),
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("milepost: yesterday: expected a time like 2026-11-22")


def test_erasing_asks_first_and_leaves_the_rest_whole(home: Path) -> None:
    refused = milepost("erase", "runner", "--home", home, answer="n\n")
    kept = milepost("verify", home)
    done = milepost("erase", "runner", "--home", home, answer="y\n")
    after = milepost("verify", home)

    assert refused.returncode == 1
    assert "2 erased" not in kept.stdout
    assert "runner is erased: its key, 2 batches" in done.stdout
    assert "2 erased" in after.stdout
    assert after.stdout.endswith("everything holds\n")
    assert "disclosed" not in after.stdout


def test_a_leftover_is_told_with_status_1(home: Path) -> None:
    (home / "notes.txt").write_text("F0:00:00:00:00:01")

    done = milepost("erase", "runner", "--home", home, "--yes", "--json")

    assert (done.returncode, json.loads(done.stdout)["left"]) == (1, ["notes.txt"])


def test_a_pin_is_made_moved_and_held_against_an_older_copy(home: Path, tmp_path: Path) -> None:
    pins, old = tmp_path / "pins.json", tmp_path / "old.cbor"
    milepost("export", "--home", home, "--out", old)
    first = milepost("verify", old, "--pin", pins)
    before = pins.read_text()
    box = Box(home, second=300)
    stores = box.open()
    box.hear(stores, 3)
    box.prove(stores)
    box.close()

    excerpt = tmp_path / "part.cbor"
    milepost("disclose", "--home", home, "--subject", "car", "--out", excerpt)
    unlinked = milepost("verify", excerpt, "--pin", pins)
    unmoved = pins.read_text()
    grown = milepost("verify", home, "--pin", pins)
    refused = milepost("verify", old, "--pin", pins)

    assert "pinned" not in first.stdout
    assert "an excerpt cannot be shown to continue" in unlinked.stdout
    assert unmoved == before
    assert "which this one continues" in grown.stdout
    assert pins.read_text() != before
    assert refused.returncode == 1
    assert "an older copy, or a log that was rewritten" in refused.stderr


def test_a_damaged_file_of_pins_is_one_clear_line(home: Path, tmp_path: Path) -> None:
    pins = tmp_path / "pins.json"
    pins.write_text("{")

    damaged = milepost("verify", home, "--pin", pins)
    folder = milepost("verify", home, "--pin", tmp_path)

    assert damaged.stderr.startswith("milepost: pins: expected what --pin wrote")
    assert "expected a file of pins" in folder.stderr
    shutil.rmtree(home)
