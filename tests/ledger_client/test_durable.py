"""Files that a power cut leaves whole, or as they were."""

import os
from pathlib import Path

import pytest
from disk import Disk

from ledger_client import durable


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def test_what_is_only_written_is_not_on_disk(tmp_path: Path, disk: Disk) -> None:
    """The disk of these tests would tell."""
    (tmp_path / "a").write_bytes(b"new")
    assert disk.left() == {}

    durable.sync_folder(tmp_path)
    assert disk.left() == {"a": b""}


def test_a_file_that_was_written_is_on_disk_alone_and_for_its_owner(
    tmp_path: Path, disk: Disk
) -> None:
    (tmp_path / ".a.new").write_bytes(b"what a crash half way left")

    durable.write(tmp_path / "a", b"first")
    assert disk.left() == {"a": b"first"}

    durable.write(tmp_path / "a", b"second")
    assert disk.left() == {"a": b"second"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_created_is_on_disk_and_never_created_again(
    tmp_path: Path, disk: Disk
) -> None:
    durable.create(tmp_path / "a", b"first")

    with pytest.raises(FileExistsError):
        durable.create(tmp_path / "a", b"second")

    assert disk.left() == {"a": b"first"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_on_disk_with_those_above_it(tmp_path: Path, disk: Disk) -> None:
    durable.make_folder(tmp_path / "a" / "b")
    durable.make_folder(tmp_path / "a" / "b")
    durable.write(tmp_path / "a" / "b" / "c", b"deep")

    assert disk.left() == {"a/b/c": b"deep"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_file_where_a_folder_belongs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    with pytest.raises(OSError, match="exists"):
        durable.make_folder(tmp_path / "a")


@pytest.mark.parametrize("write", [durable.write, durable.create])
def test_a_disk_that_refuses_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    durable.write(tmp_path / "a", b"first")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a", b"second")  # type: ignore[operator]

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first"}


def test_a_name_that_cannot_be_taken_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(OSError, match="directory"):
        durable.write(tmp_path / "a", b"data")

    assert [path.name for path in tmp_path.iterdir()] == ["a"]
