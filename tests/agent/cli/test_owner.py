"""`milepost owner` and `milepost keys`: the whole way of a certificate, by files and by text."""

import json
from pathlib import Path

import pytest
from box import Box
from typer.testing import CliRunner, Result

from agent.cli.main import application
from agent.home import Home, HomeError
from ledger_client import enrolment
from ledger_client.errors import EncodingError, LocalError, RemoteError


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(application(), [str(each) for each in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def seen(home: Path, *arguments: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(run("verify", home, "--json", *arguments).stdout)
    return found


def counted(home: Path, *arguments: object) -> list[tuple[bool, int]]:
    lines = seen(home, *arguments)["vouchings"]
    assert isinstance(lines, list)
    return [(bool(each["by"]), each["statements"]) for each in lines if each["use"] == "stream"]


@pytest.fixture
def home(box: Box) -> Path:
    """A gateway that proved something, and rests."""
    stores = box.open()
    box.hear(stores)
    box.uplink(stores).step(box.now(stores), drain=True)
    box.close()
    return box.path


@pytest.fixture
def granted(home: Path, tmp_path: Path) -> Path:
    """The grant of an owner, accepted."""
    run("owner", "init", "--key", tmp_path / "owner.key")
    run("keys", "request", "--home", home, "--out", tmp_path / "request", "--name", "car")
    run(
        *("owner", "grant", tmp_path / "request", "--key", tmp_path / "owner.key"),
        *("--out", tmp_path / "grant", "--most", 5_000, "--days", 20),
    )
    run("keys", "accept", tmp_path / "grant", "--home", home)
    return tmp_path / "grant"


def test_the_owners_key_is_made_once(tmp_path: Path) -> None:
    made = json.loads(run("owner", "init", "--key", tmp_path / "k", "--json").stdout)

    assert made["did"].startswith("did:key:z6Mk")
    with pytest.raises(LocalError, match="never overwritten"):
        run("owner", "init", "--key", tmp_path / "k")


def test_keys_are_listed_with_what_ends(home: Path, granted: Path) -> None:
    text = run("keys", "--home", home).stdout
    listed = json.loads(run("keys", "--home", home, "--json").stdout)

    assert "log pay read stream by did:key:" in text
    assert "and the keys of 2 subjects" in text
    assert "warning: the certificate of gateway expires in 20 days" in text
    assert (listed["pending"], listed["clock_set"]) == (0, True)
    assert [row["name"] for row in listed["keys"]][:3] == ["gateway", "log", "note"]
    assert granted.exists()


def test_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    assert "--home" in run("keys", code=2).output
    with pytest.raises(HomeError, match=r"no ledger\.db"):
        run("keys", "--home", tmp_path)


def test_a_request_and_a_grant_travel_as_text(home: Path, tmp_path: Path) -> None:
    run("owner", "init", "--key", tmp_path / "owner.key")
    asked = run("keys", "request", "--home", home, "--out", tmp_path / "request", "--qr").stdout
    (tmp_path / "text").write_text(asked.splitlines()[-3], encoding="ascii")

    answer = run(
        *("owner", "grant", tmp_path / "text", "--key", tmp_path / "owner.key", "--json"),
        *("--out", tmp_path / "grant", "--scope", "stream", "--depth", 0),
    )

    told = json.loads(answer.stdout)
    assert (told["scope"], told["depth"], told["minor_units_max"]) == (["stream"], 0, 0)
    run("keys", "accept", tmp_path / "grant", "--home", home)
    assert counted(home) == [(False, 1)]  # it was granted from now on, not backwards


def test_a_running_gateway_takes_a_grant_within_the_hour(home: Path, granted: Path) -> None:
    folder = Home(home)
    folder.lock()

    said = run("keys", "accept", granted, "--home", home).stdout

    folder.unlock()
    assert "within the hour" in said
    assert "1 files of the owner" in run("keys", "--home", home).stdout


def test_a_grant_is_taken_back_and_the_file_says_so_to_every_reader(
    home: Path, granted: Path, tmp_path: Path
) -> None:
    record, out = tmp_path / "record", tmp_path / "revocation"
    run("export", "--home", home, "--out", record)
    root = json.loads(run("verify", record, "--json").stdout)["root"]
    key = tmp_path / "owner.key"
    revoke = ("owner", "revoke", granted, "--key", key, "--out", out, "--reason")

    assert "entries stay good" in run(*revoke, "stolen", "--last-record", record).stdout
    assert "first 3 entries" in run(*revoke, "lost", "--head", f"3:{root}").stdout
    assert "nothing of it is left" in run(*revoke, "lost").stdout
    assert "not_proved" in seen(record, "--revocation", out)
    assert "takes back" in run("keys", "accept", out, "--home", home).stdout
    with pytest.raises(HomeError, match="SIZE:ROOT"):
        run(*revoke, "lost", "--head", "3")
    with pytest.raises(HomeError, match="hexadecimal"):
        run(*revoke, "lost", "--head", f"3:{'x' * 64}")


@pytest.mark.usefixtures("granted")
def test_a_key_is_rotated_once_the_owner_agreed(home: Path, tmp_path: Path) -> None:
    request, answer, key = tmp_path / "request2", tmp_path / "grant2", tmp_path / "owner.key"
    with pytest.raises(HomeError, match="not yet the next key"):
        run("keys", "rotate", "--home", home)

    run("keys", "request", "--home", home, "--out", request, "--next")
    run("owner", "grant", request, "--key", key, "--out", answer)
    run("keys", "accept", answer, "--home", home)
    said = run("keys", "rotate", "--home", home).stdout

    assert "the old key is destroyed" in said
    assert len(seen(home)["rotations"]) == 1  # type: ignore[arg-type]  # a list


def test_a_reader_names_the_owner_whom_he_believes(home: Path, granted: Path) -> None:
    stranger = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw"

    assert seen(home, "--owner", stranger)["verified"] is True
    assert granted.exists()
    with pytest.raises(RemoteError, match="did:key"):
        run("verify", home, "--owner", "me")


def test_a_file_that_is_nothing_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(bytes((1 << 18) + 1))
    (tmp_path / "torn").write_text(enrolment.to_text(b"abcdefgh")[:-1], encoding="ascii")

    with pytest.raises(HomeError, match="cannot be read"):
        run("keys", "accept", tmp_path / "none", "--home", home)
    for name in ("huge", "torn"):
        with pytest.raises(EncodingError):
            run("keys", "accept", tmp_path / name, "--home", home)
