"""What the gateway writes beside its databases survives a power cut at once.

The databases are SQLite's, with synchronous=FULL: what is committed is synced.
"""

import uuid
from pathlib import Path

import pytest
from disk import Disk

from agent.broker.embedded import read_password
from agent.export import write_whole
from agent.home import Home
from agent.scrub import destroy
from agent.till.tidemark import Tidemark
from ledger_client.checkpoints import Verifier
from ledger_client.keys import SigningKey
from ledger_client.watermark import Watermark

URN = uuid.UUID(int=7).urn


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "new" / "home")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_keys_are_on_disk_when_they_are_told_of(home: Home, disk: Disk) -> None:
    home.create()
    key = home.key("gateway")
    home.create_subject_key(URN)

    assert disk.left() == {
        "new/home/keys/gateway.key": key.file_bytes(),
        f"new/home/keys/subjects/{uuid.UUID(int=7)}.key": (
            home.path / "keys" / "subjects" / f"{uuid.UUID(int=7)}.key"
        ).read_bytes(),
    }


def test_a_retired_key_has_its_new_name_only(home: Home, disk: Disk) -> None:
    home.create()
    key = home.key("payer")

    home.retire_key("payer", [key.public.short_id])

    assert disk.left() == {f"new/home/keys/retired-{key.public.short_id}.key": key.file_bytes()}


def test_a_key_that_was_destroyed_is_gone(home: Home, disk: Disk) -> None:
    home.create()
    home.key("payer")

    destroy(home.key_path("payer"))

    assert disk.left() == {}


def test_the_brokers_password_is_on_disk_and_stays(home: Home, disk: Disk) -> None:
    """A file that a cut left empty would keep the broker from starting."""
    home.create()

    password = read_password(home.broker_users, "gateway")

    assert disk.left() == {"new/home/broker/users/gateway": password.encode() + b"\n"}
    assert read_password(home.broker_users, "gateway") == password


def test_the_newest_head_is_marked_on_disk(home: Home, disk: Disk) -> None:
    home.create()

    Watermark(home.mark, Verifier("log", SigningKey.generate().public)).write("note")

    assert disk.left() == {"new/home/head": b"note"}


def test_the_mark_of_a_till_is_there_once_it_was_made(home: Home, disk: Disk) -> None:
    """Without one a till that has a past would be taken for an old copy, and frozen."""
    home.create()
    mark = Tidemark.beside(home.ledger_db)

    mark.write(1)
    mark.write(2)

    assert disk.left() == {"new/home/till.mark": b"%020d\n" % 1}
    assert mark.read() == 2


def test_an_export_is_on_disk_when_it_is_told_of(tmp_path: Path, disk: Disk) -> None:
    write_whole(tmp_path / "record.cbor", b"record")

    assert disk.left() == {"record.cbor": b"record"}
