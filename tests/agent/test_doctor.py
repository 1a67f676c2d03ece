"""What the doctor finds, and which command it names."""

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from agent import doctor
from agent.clock import ClockState, Quality
from agent.doctor import Box, Finding, Verdict, examine
from agent.home import Home
from agent.journal import Journal
from ledger_client.database import open_database

GOOD = Quality(ClockState.NTP, 12)
OK, WARN, BAD = Verdict.OK, Verdict.WARN, Verdict.BAD


def about(what: str, box: Box, clock: Quality = GOOD) -> list[Finding]:
    return [finding for finding in examine(box, clock) if finding.what == what]


def quiet(home: Path, **asked: object) -> Box:
    return Box(home, **({"radio": "replay"} | asked))  # type: ignore[arg-type]  # each test its own


def test_a_fresh_box_with_no_radio_wanted_has_nothing_bad(tmp_path: Path) -> None:
    findings = examine(quiet(tmp_path / "home"), GOOD)

    assert [finding for finding in findings if finding.verdict is BAD] == []
    assert {finding.what for finding in findings} >= {
        "python",
        "clock",
        "disk",
        "home",
        "keys",
        "databases",
        "radio",
        "broker",
        "ports",
        "systemd",
    }
    assert not (tmp_path / "home").exists(), "looking changes nothing"


@pytest.mark.parametrize(
    ("state", "verdict"),
    [(ClockState.UNSET, BAD), (ClockState.RESTORED, WARN), (ClockState.NTP, OK)],
)
def test_the_clock_is_judged_by_what_disciplines_it(
    tmp_path: Path, state: ClockState, verdict: Verdict
) -> None:
    (found,) = about("clock", quiet(tmp_path), Quality(state, 16_000))

    assert found.verdict is verdict
    assert bool(found.mend) == (verdict is not OK)


def test_an_old_python_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PYTHON_LEAST", (9, 0))

    (found,) = about("python", quiet(tmp_path))

    assert (found.verdict, found.mend) == (BAD, "sudo apt-get install python3")


@pytest.mark.parametrize(("least", "bytes_max", "verdict"), [(1 << 60, 0, BAD), (0, 1 << 60, WARN)])
def test_a_disk_that_will_be_full_is_found_before(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: int,
    bytes_max: int,
    verdict: Verdict,
) -> None:
    monkeypatch.setattr(doctor, "FREE_BYTES_LEAST", least)

    (found,) = about("disk", quiet(tmp_path, bytes_max=bytes_max))

    assert found.verdict is verdict
    assert found.mend


def test_a_home_that_others_may_look_into_is_to_be_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    (found,) = about("home", quiet(tmp_path))

    assert (found.verdict, found.mend) == (WARN, f"chmod 700 {tmp_path}")


def test_a_home_that_cannot_be_written_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)

    (found,) = about("home", quiet(tmp_path))

    assert found.verdict is BAD


def test_a_key_that_others_may_read_is_named_with_its_chmod(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.key("gateway")
    key = home.path / "keys" / "gateway.key"
    key.chmod(0o640)

    found = about("keys", quiet(home.path, secrets=(tmp_path / "absent",)))
    key.chmod(0o600)
    mended = about("keys", quiet(home.path))

    assert [each.verdict for each in found] == [BAD, BAD]
    assert found[0].mend == f"chmod 600 {key}"
    assert "absent" in found[1].said
    assert [each.verdict for each in mended] == [OK]


def test_a_key_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "bind.hex"
    key.write_text("00" * 16)
    key.chmod(0o600)
    monkeypatch.setattr("os.geteuid", lambda: -1)

    (found,) = about("keys", quiet(tmp_path / "home", secrets=(key,)))

    assert (found.verdict, found.mend) == (BAD, f"sudo chown $USER {key}")


def test_a_damaged_database_is_to_be_kept_aside(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    open_database(home.ledger_db).close()
    Journal.open(home.journal_db, 1 << 20).close()
    sound = about("databases", quiet(home.path))
    home.journal_db.write_bytes(b"no database" * 100)

    damaged = about("databases", quiet(home.path))

    assert [each.verdict for each in sound] == [OK, OK]
    assert [each.verdict for each in damaged] == [OK, BAD]
    assert damaged[1].mend.startswith("mv ")


def test_a_missing_bus_and_adapter_come_with_bare_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing(name: str) -> str:
        await asyncio.sleep(0)
        return f"no D-Bus for {name}; run: sudo apt install dbus (no such file)"

    monkeypatch.setattr(doctor, "what_is_missing", missing)
    monkeypatch.setattr(doctor, "SYSTEM_BUS", tmp_path / "none")

    (bus,) = about("dbus", Box(tmp_path))
    (radio,) = about("radio", Box(tmp_path, adapter="hci7"))

    assert bus.verdict is radio.verdict is BAD
    assert (radio.said, radio.mend) == ("no D-Bus for hci7 (no such file)", "sudo apt install dbus")


def test_an_adapter_that_answers_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: str) -> str:
        await asyncio.sleep(0)
        return ""

    monkeypatch.setattr(doctor, "what_is_missing", nothing)
    monkeypatch.setattr(doctor, "SYSTEM_BUS", tmp_path)

    assert [each.verdict for what in ("dbus", "radio") for each in about(what, Box(tmp_path))] == [
        OK,
        OK,
    ]


def test_another_adapter_than_the_one_that_is_there_is_to_be_named() -> None:
    said, mend = doctor._mended("there is no adapter hci1; run: milepost doctor, plug one in")

    assert (said, mend) == ("there is no adapter hci1", "plug one in")


def test_a_port_in_use_is_bad_unless_our_own_gateway_holds_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        (busy,) = about("ports", quiet(tmp_path, ports=(0, port)))
        (ours,) = about("ports", quiet(tmp_path, ports=(0, port), running=True))

    assert (busy.verdict, busy.mend) == (BAD, f"ss -ltnp 'sport = :{port}'")
    assert ours.verdict is OK


def test_a_missing_program_is_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)

    found = about("broker", quiet(tmp_path))

    assert [each.verdict for each in found] == [BAD, BAD]
    assert all(each.mend for each in found)


def test_a_broker_elsewhere_is_called_once(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"mqtt://127.0.0.1:{other.getsockname()[1]}"
        (there,) = about("broker", quiet(tmp_path, broker=url))
    (gone,) = about("broker", quiet(tmp_path, broker=url))
    (wrong,) = about("broker", quiet(tmp_path, broker="mqtt://"))

    assert (there.verdict, gone.verdict, wrong.verdict) == (OK, WARN, WARN)


def test_systemd_is_looked_at_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = tmp_path / "milepost.service"
    monkeypatch.setattr(doctor, "UNIT", unit)
    monkeypatch.setattr(doctor, "SYSTEMD", tmp_path)
    absent = about("systemd", quiet(tmp_path))
    unit.touch()
    present = about("systemd", quiet(tmp_path))
    monkeypatch.setattr(doctor, "SYSTEMD", tmp_path / "none")

    other = about("systemd", quiet(tmp_path))

    assert [each.verdict for each in (*absent, *present, *other)] == [WARN, OK, WARN]
    assert "enable --now" in absent[0].mend


def test_what_is_looked_at_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)

    examine(quiet(tmp_path), GOOD)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711
