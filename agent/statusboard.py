"""What a running gateway says of itself: one JSON snapshot for each connection to a socket.

The socket lies in the home folder and is the owner's alone, for a snapshot shows readings. One
reader at a time, each with a time limit, so nothing here can grow.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.home import HomeError

WAITING_MAX = 8
SEND_MAX_S = 2.0
READ_MAX_S = 5.0
SNAPSHOT_BYTES_MAX = 4 << 20


async def serve(path: Path, look: Callable[[], bytes]) -> None:
    """Answer every connection with `look()` until cancelled. The home has to be locked by us.

    Raises HomeError when the socket cannot be made.
    """
    loop = asyncio.get_running_loop()
    with _listening(path) as listener:
        while True:
            reader, _ = await loop.sock_accept(listener)
            with reader, suppress(OSError, TimeoutError):
                async with asyncio.timeout(SEND_MAX_S):
                    await loop.sock_sendall(reader, look())


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(
        socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    ) as listener:
        try:
            path.unlink(missing_ok=True)
            os.fchmod(listener.fileno(), 0o600)  # Linux gives a descriptor's mode to the file
            with _short(path) as name:
                listener.bind(name)
            listener.listen(WAITING_MAX)
        except OSError as error:
            raise HomeError(f"{path}: cannot make the status socket: {error.strerror}") from error
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def read(path: Path) -> bytes | None:
    """The snapshot of the gateway that serves `path`; None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
        asking.settimeout(READ_MAX_S)
        data = bytearray()
        try:
            with _short(path) as name:
                asking.connect(name)
            while chunk := asking.recv(65_536):
                data += chunk
                if len(data) > SNAPSHOT_BYTES_MAX:
                    return None
        except OSError:
            return None
    return bytes(data) or None


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of at most 108 bytes, which is all that a socket address holds, for a longer path."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
