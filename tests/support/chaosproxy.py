"""A TCP proxy that mistreats connections, by seed: cut, reset, torn, half-open, refused, slow.

Each connection draws its fate and its hour when it is made; a chunk may be held back at any time.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from random import Random

CHUNK_BYTES = 4096
LOOPBACK = "127.0.0.1"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST


class Fate(Enum):
    """How a connection ends; what `HALF_OPEN` swallows is never answered, nor is it closed."""

    SPARED = "spared"
    CUT = "cut"
    RESET = "reset"
    TORN = "torn"
    HALF_OPEN = "half-open"
    REFUSED = "refused"


@dataclass(frozen=True)
class Weather:
    """How bad it is: the odds of each fate, when it strikes, how often and long a chunk waits."""

    fates: tuple[tuple[Fate, int], ...] = (
        (Fate.SPARED, 2),
        (Fate.CUT, 3),
        (Fate.RESET, 3),
        (Fate.TORN, 3),
        (Fate.HALF_OPEN, 2),
        (Fate.REFUSED, 1),
    )
    strikes_s: tuple[float, float] = (0.2, 6.0)
    slow: float = 0.03
    slow_most_s: float = 0.3


@dataclass
class _Line:
    """One connection through the proxy; it strikes with the first chunk after `at_s`."""

    fate: Fate
    at_s: float
    ends: tuple[asyncio.StreamWriter, ...] = ()


class ChaosProxy:
    """Listens on `port` while `serve` is open, and leads to `target`. `suffered` counts fates."""

    def __init__(self, target: int, dice: Random, weather: Weather = Weather()) -> None:  # frozen
        self.port = 0
        self.suffered: Counter[str] = Counter()
        self._target = target
        self._dice = dice
        self._weather = weather
        self._calm = False
        self._lines: list[_Line] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Take connections until the context ends; then none is left."""
        server = await asyncio.start_server(self._connect, LOOPBACK, self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.calm()
            while self._lines:  # noqa: ASYNC110  # their tasks are the server's own
                await asyncio.sleep(0.01)

    def calm(self) -> None:
        """The storm is over: end every connection, spare those that come."""
        self._calm = True
        for line in self._lines:
            for end in line.ends:
                end.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = self._draw()
        line.ends = (writer,)
        self._lines.append(line)
        try:
            with suppress(OSError):
                if line.fate is not Fate.REFUSED:
                    back, forth = await asyncio.open_connection(LOOPBACK, self._target)
                    line.ends = (writer, forth)
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._pump(line, reader, forth))
                        tasks.create_task(self._pump(line, back, writer))
        finally:
            self.suffered[line.fate.value] += 1
            for end in line.ends:
                end.transport.abort()
                with suppress(OSError):
                    await end.wait_closed()
            self._lines.remove(line)

    def _draw(self) -> _Line:
        clock, dice, weather = asyncio.get_running_loop().time, self._dice, self._weather
        fates, odds = zip(*weather.fates, strict=True)
        fate = Fate.SPARED if self._calm else dice.choices(fates, odds)[0]
        return _Line(fate, clock() + dice.uniform(*weather.strikes_s))

    async def _pump(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one direction until it ends or the fate strikes."""
        clock, dice = asyncio.get_running_loop().time, self._dice
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                struck = clock() >= line.at_s
                match line.fate:
                    case Fate.CUT if struck:
                        break
                    case Fate.RESET if struck:
                        for end in line.ends:
                            _reset(end)
                        return
                    case Fate.TORN if struck:
                        writer.write(chunk[: dice.randrange(len(chunk) + 1)])
                        await writer.drain()
                        break
                    case Fate.HALF_OPEN if struck:
                        continue
                    case _:
                        if not self._calm and dice.random() < self._weather.slow:
                            self.suffered["slow chunks"] += 1
                            await asyncio.sleep(dice.uniform(0, self._weather.slow_most_s))
                        writer.write(chunk)
                        await writer.drain()
        for end in line.ends:
            end.close()


def _reset(end: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()
