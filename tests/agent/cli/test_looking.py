"""`milepost status`, `scan` and `doctor`: what they print, and their exit status."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

import msgspec
import pytest
from box import Box
from typer.testing import CliRunner

from agent.cli.main import application
from agent.home import HomeError
from agent.status import AccountView, ComponentView, Snapshot

CONFIGS = Path(__file__).parents[3] / "configs"

SNAPSHOT = Snapshot(
    version="0.1.0",
    gateway="gatewaygateway12",
    started_ms=1_000,
    now_ms=3_724_000,
    radio="bluez",
    broker_connected=False,
    clock="ntp",
    readings=12,
    repeats=1,
    dropped=0,
    refused={"malformed": 2},
    batches=3,
    receipts_verified=3,
    log_size=4,
    journal_bytes=2048,
    published=9,
    components=(
        ComponentView(
            "strap", "a" * 16, "heart strap", "runner", "silent", -61, 3_700_000, 12,
            {"heart_rate": 61.0, "vin": "X"}, "it fell\x1b[2J",
        ),
        ComponentView("shoe", "b" * 16, "shoe", "runner", "scanning", None, None, 0, {}),
    ),
    latest=(),
    money=(AccountView("readings", "brand", "runner", "open", 3, 2, 30, 20, 10),),
    asset="EUR/6",
)  # fmt: skip


@contextmanager
def answering(home: Path, data: bytes) -> Iterator[Path]:
    """A home whose socket answers once."""
    with socket(AF_UNIX, SOCK_STREAM) as listener:
        listener.bind(str(home / "status.sock"))
        listener.listen()

        def answer() -> None:
            reader, _ = listener.accept()
            with reader:
                reader.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        yield home
        thread.join(5)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with answering(tmp_path, msgspec.json.encode(SNAPSHOT)) as path:
        yield path


def test_status_shows_the_running_gateway_without_control_characters(home: Path) -> None:
    result = CliRunner().invoke(application(), ["status", "--home", str(home)])

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "milepost 0.1.0, gateway gatewaygateway12, up 1:02:03"
    assert "away: everything waits on disk" in lines[2]
    assert lines[4].endswith("refused: 2 malformed")
    assert "silent       heard 24.0 s ago, 12 readings -61 dBm; it fell?[2J" in lines[6]
    assert "never heard" in lines[7]
    assert "2 of 3 paid, 20 promised, 10 settled" in lines[8]


def test_status_as_json_is_the_snapshot(home: Path) -> None:
    result = CliRunner().invoke(application(), ["status", "--home", str(home), "--json"])

    shown = json.loads(result.output)
    assert (result.exit_code, shown["running"], shown["readings"]) == (0, True, 12)


def test_a_gateway_of_another_version_is_to_be_restarted(tmp_path: Path) -> None:
    with answering(tmp_path, b"{}") as home:
        result = CliRunner().invoke(application(), ["status", "--home", str(home)])

    assert isinstance(result.exception, HomeError)
    assert "restart the gateway" in str(result.exception)


@pytest.mark.parametrize("as_json", [False, True])
def test_where_nothing_runs_status_tells_what_the_databases_say(
    tmp_path: Path, as_json: bool
) -> None:
    box = Box(tmp_path / "home")
    stores = box.open()
    box.hear(stores)
    box.prove(stores)
    box.hear(stores, 2)
    box.close()

    result = CliRunner().invoke(
        application(), ["status", "--home", str(box.path), *(["--json"] if as_json else [])]
    )

    assert result.exit_code == 1
    if as_json:
        shown = json.loads(result.output)
        assert (shown["running"], shown["log_size"], shown["waiting"]) == (False, 2, 2)
        assert shown["components"] == ["strap", "tyre"]
    else:
        assert result.output.startswith("nothing runs on ")
        assert "1 batches receipted, 2 readings wait" in result.output


def test_status_finds_a_home_beside_it_or_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("agent.cli.status.HOMES", (Path("milepost-home"),))

    nowhere = CliRunner().invoke(application(), ["status"])
    Path("milepost-home").mkdir()
    empty = CliRunner().invoke(application(), ["status"])

    assert "name it with --home" in str(nowhere.exception)
    assert "no ledger.db there" in str(empty.exception)


def test_scan_lists_what_a_recording_heard_with_the_profile_that_understands_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    arguments = ["scan", "--config", "configs/replay.toml", "--seconds", "1"]

    lines = CliRunner().invoke(application(), arguments)
    rows = CliRunner().invoke(application(), [*arguments, "--json"])

    assert lines.exit_code == rows.exit_code == 0
    assert "tyre           component tyre-front-left" in lines.output
    assert lines.output.splitlines()[-1].endswith("radio replay, all of it simulated")
    assert {json.loads(row)["profile"] for row in rows.output.splitlines()} == {"tyre"}


def test_scan_says_how_a_new_device_is_added(tmp_path: Path) -> None:
    path = tmp_path / "milepost.toml"
    path.write_text(
        f'[gateway]\nhome = "{tmp_path}"\n[radio]\nkind = "replay"\n'
        f'replay_file = "{CONFIGS}/replay.jsonl"\n'
    )

    result = CliRunner().invoke(application(), ["scan", "--config", str(path), "--seconds", "1"])

    assert "new: add it under [[components]]" in result.output


def test_scan_without_an_adapter_says_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")

    result = CliRunner().invoke(application(), ["scan"])

    assert result.exit_code == 1
    assert "run: sudo" in str(result.exception)


def test_the_doctor_is_content_with_a_recording_on_a_fresh_box(tmp_path: Path) -> None:
    arguments = ["doctor", "--config", str(CONFIGS / "replay.toml"), "--home", str(tmp_path / "h")]

    lines = CliRunner().invoke(application(), arguments)
    found = CliRunner().invoke(application(), [*arguments, "--json"])

    assert lines.exit_code == found.exit_code == 0
    assert lines.output.startswith("ok    python")
    shown = json.loads(found.output)
    assert shown["ok"]
    assert {"what", "verdict", "said", "mend"} == set(shown["findings"][0])


def test_the_doctor_ends_with_1_and_a_command_when_something_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")

    bare = CliRunner().invoke(application(), ["doctor", "--home", str(tmp_path)])
    car = CliRunner().invoke(application(), ["doctor", "--config", str(CONFIGS / "car.toml")])

    assert bare.exit_code == car.exit_code == 1
    assert "bad   radio" in bare.output
    assert "; mend: " in bare.output
    assert "keys/charger.hex" in car.output
