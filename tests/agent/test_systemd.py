"""What systemd hears from us, and how its own tool scores the unit."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.systemd import Notifier

UNIT = Path(__file__).parents[2] / "configs" / "milepost.service"


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    path = f"{tmp_path}/notify" if request.param == "path" else f"@milepost-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
        listener.settimeout(5)
        yield path, listener


def test_the_manager_hears_ready_status_and_stopping(manager: tuple[str, socket.socket]) -> None:
    address, listener = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})

    notifier.ready("3 of 4\ndevices")
    notifier.status("4 of 4 devices")
    notifier.stopping()

    assert [listener.recv(999) for _ in range(3)] == [
        b"READY=1\nSTATUS=3 of 4 devices",
        b"STATUS=4 of 4 devices",
        b"STOPPING=1",
    ]


async def test_the_watchdog_is_fed_only_while_we_are_alive(
    manager: tuple[str, socket.socket],
) -> None:
    address, listener = manager
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "20000"})
    answers = iter([True, True, False, False, False, False])

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(notifier.watch(lambda: next(answers, False)), 0.1)

    listener.setblocking(False)
    assert [listener.recv(99), listener.recv(99)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        listener.recv(99)


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_the_watchdog_time_is_taken_from_the_environment_if_it_is_ours(
    environment: dict[str, str], watchdog_s: float
) -> None:
    assert Notifier(environment).watchdog_s == watchdog_s


async def test_without_a_manager_nothing_is_said(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()

    await asyncio.wait_for(Notifier({"WATCHDOG_USEC": "20000"}).watch(lambda: True), 1)


def test_the_unit_scores_two_at_the_most() -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here: apt-get install systemd")

    answer = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )

    score = re.search(r"exposure level for milepost\.service: ([0-9.]+)", answer.stdout)
    assert score is not None, answer.stderr
    assert float(score[1]) <= 2.0
    assert answer.returncode == 0
