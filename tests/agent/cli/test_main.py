"""What goes wrong as expected is one clear line and exit status 1."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.broker import BrokerError
from agent.cli import entry
from agent.cli import main as cli
from agent.config import ConfigError
from agent.journal import JournalError

MILEPOST = Path(sys.executable).with_name("milepost")


def milepost(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MILEPOST, *words], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["verify", "nowhere.cbor"], "milepost: nowhere.cbor: expected a record or a home"),
        (["export", "--home", "nowhere", "--out", "x"], "milepost: nowhere: expected the home"),
        (["run", "--config", "nowhere.toml"], "milepost: nowhere.toml: cannot read"),
        (["demo", "--home", "/dev/null/home"], "milepost: /dev/null/home: expected a folder"),
    ],
)
def test_an_expected_failure_is_one_line_and_status_1(words: list[str], complaint: str) -> None:
    done = milepost(*words)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


class Interrupted:
    """Ctrl-C while a module is looked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, _path: object, _target: object = None) -> None:
        if name == self._module:
            raise KeyboardInterrupt


@pytest.mark.parametrize("module", ["agent.cli.main", "agent.cli.decode"])
def test_ctrl_c_in_the_first_moment_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["milepost", "decode"])
    monkeypatch.setattr(sys, "meta_path", [Interrupted(module), *sys.meta_path])
    monkeypatch.delitem(sys.modules, module, raising=False)

    with pytest.raises(SystemExit) as ended:
        entry.main()

    assert ended.value.code == 130
    assert capsys.readouterr().err == "milepost: interrupted before it started\n"


def test_an_empty_record_is_refused_in_both_ways_of_speaking(tmp_path: Path) -> None:
    empty = tmp_path / "empty.cbor"
    empty.touch()

    plain, as_json = milepost("verify", empty), milepost("verify", empty, "--json")

    assert (plain.returncode, as_json.returncode) == (1, 1)
    assert plain.stderr.startswith("milepost: ")
    assert json.loads(as_json.stdout)["verified"] is False


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    import socket  # noqa: PLC0415

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = milepost("demo", "--seconds", "2", "--home", tmp_path / "home", "--port", port)

    assert done.returncode == 1
    assert done.stderr.startswith(f"milepost: cannot have port {port}")
    assert "Traceback" not in done.stderr


class Said:
    """Stands for the command that fails."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self) -> None:
        raise self._error


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> "Failing":
    return Failing(monkeypatch)


class Failing:
    """Runs `main` with a command that raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, error: BaseException) -> None:
        self._monkeypatch.setattr(cli, "application", lambda _wanted: Said(error))
        cli.main()


def test_troubles_of_several_tasks_are_a_line_each(
    fail: Failing, capsys: pytest.CaptureFixture[str]
) -> None:
    nested = BaseExceptionGroup(
        "a", [BrokerError("no broker"), ExceptionGroup("b", [JournalError("full")])]
    )

    with pytest.raises(SystemExit, match="1"):
        fail(nested)

    assert capsys.readouterr().err == "milepost: no broker\nmilepost: full\n"


def test_a_message_with_hostile_text_does_not_reach_the_terminal_as_it_is(
    fail: Failing, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fail(ConfigError("bad \x1b[2J" + "x" * 5_000))

    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert len(said) < 1_100


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("a bug"),
        ExceptionGroup("mixed", [BrokerError("no broker"), RuntimeError("a bug")]),
        ExceptionGroup("ours", [RuntimeError("a bug")]),
    ],
)
def test_a_bug_is_not_dressed_up(fail: Failing, error: Exception) -> None:
    with pytest.raises(type(error)):
        fail(error)


@pytest.mark.parametrize("name", [*cli.COMMANDS, *cli.GROUPS])
def test_each_command_can_be_had_alone_and_tells_how_it_is_used(name: str) -> None:
    alone = CliRunner().invoke(cli.application(name), [name, "--help"])
    among_all = CliRunner().invoke(cli.application(), [name, "--help"])

    assert alone.exit_code == 0
    assert alone.stdout == among_all.stdout


def test_an_unknown_command_is_told_all_that_there_are() -> None:
    assert CliRunner().invoke(cli.application("nonsense"), ["nonsense"]).exit_code == 2
    assert set(cli.COMMANDS) < set(CliRunner().invoke(cli.application(), ["--help"]).stdout.split())
