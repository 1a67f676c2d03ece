"""`milepost app` at a home on which no gateway runs, and at the door of another's broker."""

import json
from pathlib import Path

import pytest
from box import Box
from typer.testing import CliRunner, Result

from agent.cli import app as commands
from agent.cli.main import application
from agent.home import Home, HomeError

ASKED = ("--read", "tyre_pressure,c/+/receipt", "--pay-at-most", "1.50/day")
BROKER = ("--broker", "mqtts://broker.example:8883")


@pytest.fixture
def home(box: Box) -> Path:
    box.open()
    box.close()
    (box.path / "broker").mkdir(exist_ok=True)
    text = json.dumps({"mqtt": {"listen": "127.0.0.1:1884"}})
    (box.path / "broker" / "nats.json").write_text(text)
    return box.path


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(application("app"), ["app", *words, "--home", str(home)])


def listed(home: Path) -> list[dict[str, object]]:
    apps: list[dict[str, object]] = json.loads(run(home, "list", "--json").stdout)["apps"]
    return apps


def test_a_grant_waits_for_the_gateway_and_can_be_taken_back_meanwhile(home: Path) -> None:
    assert "no app was granted" in run(home, "list").stdout

    granted = run(home, "grant", "tyres", *ASKED)
    (row,) = listed(home)
    line = run(home, "list").stdout
    revoked = run(home, "revoke", "tyres")

    assert "from its next start on" in granted.stderr
    assert json.loads(granted.stdout)["sold"] == ["tyre_pressure"]
    assert (row["state"], row["pay_at_most_minor_units"]) == ("waits for the gateway", 1_500_000)
    assert "1.500000 EUR in 86400 s" in line
    assert "from its next start on" in revoked.stderr
    assert listed(home)[0]["state"] == "cut off"
    assert not (home / "apps" / "tyres.credentials").exists()


def test_credentials_go_where_they_are_wanted_and_over_no_file_that_is_there(
    home: Path, tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere"
    place.write_text("kept")

    refused = run(home, "grant", "tyres", *ASKED, "--out", str(place))
    place.unlink()
    done = run(home, "grant", "tyres", *ASKED, "--out", str(place))

    assert isinstance(refused.exception, HomeError)
    assert json.loads(place.read_text()) == json.loads(done.stdout)
    assert place.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["../tyres", "Tyres", "", "-", "a" * 33])
def test_a_name_is_no_path(home: Path, name: str) -> None:
    for words in (("grant", *ASKED, "--", name), ("revoke", "--", name)):
        done = CliRunner().invoke(
            application("app"), ["app", words[0], "--home", str(home), *words[1:]]
        )
        assert isinstance(done.exception, HomeError)
    assert not (home / "apps").exists()


def test_a_folder_that_is_no_home_is_refused(tmp_path: Path) -> None:
    for words in (("list",), ("grant", "tyres", *ASKED), ("revoke", "tyres")):
        assert isinstance(run(tmp_path, *words).exception, HomeError)


def test_for_anothers_broker_its_operator_is_told_what_to_add(home: Path) -> None:
    granted = run(home, "grant", "tyres", *ASKED, *BROKER)
    told = json.loads(granted.stdout)
    revoked = run(home, "revoke", "tyres")

    lines = granted.stderr.splitlines()
    assert (told["host"], told["tls"], told["password"]) == ("broker.example", True, "")
    assert f"user {told['id']}" in lines
    assert "topic read milepost/v1/c/+/tele/tyre_pressure" in lines
    assert f"topic write milepost/v1/in/+/+/{told['seller']}" in lines
    assert f"user {told['id']}\ntopic deny #" in revoked.stdout


def test_a_gateway_that_does_not_do_it_is_noticed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "DONE_WAIT_MAX_S", 0.0)
    busy = Home(home)
    busy.lock()
    try:
        done = run(home, "grant", "tyres", *ASKED)
    finally:
        busy.unlock()

    assert isinstance(done.exception, HomeError)
    assert "has not done it" in str(done.exception)


def test_a_buyer_without_credentials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").write_bytes(b'{"x": ' + b"[" * 40_000)
    for file in ("none", "deep"):
        words = ["app", "buy", str(tmp_path / file), "--till", str(tmp_path / "till.db")]

        assert isinstance(CliRunner().invoke(application("app"), words).exception, HomeError)
