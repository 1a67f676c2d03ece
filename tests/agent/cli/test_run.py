"""`milepost run` as a process: how it starts, ends and fails."""

import logging
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.audit import verify_home
from agent.cli.main import application
from agent.cli.run import OneLine
from firmware_bridge.errors import RadioUnavailableError

CONFIGS = Path(__file__).parents[3] / "configs"
MEMORY_KIB_MAX = 80 * 1024
START = (sys.executable, "-c", "from agent.cli.main import main; main()", "run", "--config")


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """configs/replay.toml with a home of its own and other changes."""
    text = (CONFIGS / "replay.toml").read_text(encoding="utf-8")
    usual = (
        ('"replay-home"', f'"{folder}/home"'),
        ('"configs/replay.jsonl"', f'"{CONFIGS}/replay.jsonl"'),
    )
    for old, new in (*changes, *usual):
        assert old in text or (old, new) in usual
        text = text.replace(old, new)
    path = folder / "milepost.toml"
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def running(config: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*START, str(config)],
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]  # passed on
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def failed(config: Path, **options: object) -> list[str]:
    """The last lines of a run that has to fail by itself: no traceback, status 1."""
    with running(config, **options) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line.startswith("milepost: ")]


def wait_for(process: subprocess.Popen[str], words: str) -> list[str]:
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(lines)


def test_sigterm_drains_and_ends_well_within_the_memory_that_we_promise(tmp_path: Path) -> None:
    with running(written(tmp_path)) as process:
        lines = wait_for(process, "ready after")
        time.sleep(4)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
        took_s = time.monotonic() - began_s

    assert process.returncode == 0, rest
    assert took_s < 10
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    assert int(resident[1]) <= MEMORY_KIB_MAX
    assert len(lines) < 5, "it says little"
    assert not re.search(r"heart_rate|glucose \d", rest)
    report = verify_home(tmp_path / "home")
    assert (report.pending, report.unproved_packs) == (0, 0)


def test_a_killed_gateway_starts_again_on_the_same_home(tmp_path: Path) -> None:
    config = written(tmp_path)
    with running(config) as process:
        wait_for(process, "ready after")
        time.sleep(2)
        process.kill()

    verify_home(tmp_path / "home")
    with running(config) as process:
        wait_for(process, "ready after")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("age_max_s = 5.0", 'age_max_s = "five"'), "batch.age_max_s: expected"),
        (('profile = "cgm"', 'profile = "glucometer"'), "components[3].profile: want one of"),
        (('kind = "replay"', 'kind = "auto"'), "run: sudo"),
        (("replay.jsonl", "none.jsonl"), "radio.replay_file: expected the file"),
        (('"embedded"', '"mqtt://"'), "broker.url: expected"),
    ],
    ids=["value", "profile", "adapter", "recording", "broker"],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], message: str
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")

    (line,) = failed(written(tmp_path, change))

    assert message in line


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        (line,) = failed(written(tmp_path, ("\nport = 0", f"\nport = {port}")))

    assert f"cannot have port {port}" in line


def _spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : 2 * 4096] = bytes(255 - byte for byte in data[4096 : 2 * 4096])
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["journal.db", "ledger.db"])
@pytest.mark.parametrize("harm", [_spoil, lambda path: path.write_bytes(b"x" * 999)])
def test_a_damaged_database_is_one_line_and_is_left_as_it_is(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    config = written(tmp_path)
    with running(config) as process:
        wait_for(process, "ready after")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    path = tmp_path / "home" / name
    harm(path)
    before = path.read_bytes()

    (line,) = failed(config)

    assert str(path) in line
    assert path.read_bytes() == before


@pytest.mark.parametrize("bytes_max", [100_000, 280_000])
def test_a_full_disk_is_one_line_and_loses_nothing_that_was_committed(
    tmp_path: Path, bytes_max: int
) -> None:
    away = ('"embedded"', '"mqtt://127.0.0.1:9"')
    config = written(tmp_path, away)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))

    lines = failed(config, preexec_fn=full)

    assert len(lines) == 1
    assert re.search(r"full|disk|refused to write", lines[0])
    if (tmp_path / "home" / "journal.db").exists():
        with running(config) as process:
            wait_for(process, "is away")
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        assert process.returncode == 0
        verify_home(tmp_path / "home")


def test_a_log_record_is_one_line_of_printable_text() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "a\nb\x1b[31m%s", ("c" * 2_000,), None)

    text = OneLine("%(message)s").format(record)

    assert text.startswith("a | b?[31mccc")
    assert len(text) == 1_000


def test_the_command_reads_its_file_and_serves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = logging.getLogger("asyncio").level
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    config = written(tmp_path, ('kind = "replay"', 'kind = "auto"'))

    result = CliRunner().invoke(application(), ["run", "--config", str(config)])
    logging.getLogger("asyncio").setLevel(level)

    assert isinstance(result.exception, RadioUnavailableError)
