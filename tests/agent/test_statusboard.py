"""The status socket: one snapshot a connection, for the owner alone, and nobody can hold it up."""

import asyncio
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from agent import statusboard
from agent.home import HomeError


async def _ask(path: Path) -> bytes | None:
    return await asyncio.to_thread(statusboard.read, path)


async def _serving(path: Path, look: bytes, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
    task = tasks.create_task(statusboard.serve(path, lambda: look))
    while not _listens(path):  # noqa: ASYNC110  # nothing tells when
        await asyncio.sleep(0.01)
    return task


def _listens(path: Path) -> bool:
    """Whether somebody answers; the file comes a moment earlier."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            return caller.connect_ex(str(path)) == 0
        except OSError:  # a path that is too long for a socket's address
            return path.is_socket()


async def test_each_connection_gets_one_snapshot_and_the_socket_is_the_owners(
    tmp_path: Path,
) -> None:
    path = tmp_path / "status.sock"
    path.touch()  # of a life that ended badly
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    async with asyncio.TaskGroup() as tasks:
        task = await _serving(path, b"{}", tasks)
        answers = [await _ask(path) for _ in range(3)]
        mode = stat.S_IMODE(path.stat().st_mode)
        task.cancel()

    assert answers == [b"{}"] * 3
    assert mode == 0o600
    assert not path.exists()


async def test_a_long_home_path_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()

    async with asyncio.TaskGroup() as tasks:
        task = await _serving(folder / "status.sock", b"here", tasks)
        answer = await _ask(folder / "status.sock")
        task.cancel()

    assert answer == b"here"


async def test_a_reader_that_does_not_read_holds_up_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statusboard, "SEND_MAX_S", 0.1)
    path = tmp_path / "status.sock"
    much = bytes(3 << 20)

    async with asyncio.TaskGroup() as tasks:
        task = await _serving(path, much, tasks)
        with socket.socket(socket.AF_UNIX) as idle:
            idle.connect(str(path))
            answer = await _ask(path)
        task.cancel()

    assert answer == much


def test_nobody_answers_where_nothing_runs(tmp_path: Path) -> None:
    assert statusboard.read(tmp_path / "status.sock") is None
    assert statusboard.read(tmp_path / "no" / "status.sock") is None


async def test_more_than_a_snapshot_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statusboard, "SNAPSHOT_BYTES_MAX", 1_000)

    async with asyncio.TaskGroup() as tasks:
        task = await _serving(tmp_path / "status.sock", bytes(200_000), tasks)
        answer = await _ask(tmp_path / "status.sock")
        task.cancel()

    assert answer is None


async def test_a_socket_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    with suppress(asyncio.CancelledError), pytest.raises(HomeError, match="status socket"):
        await statusboard.serve(tmp_path / "no" / "status.sock", bytes)
