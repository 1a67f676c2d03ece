"""A radio that plays a recording: JSON lines in their own timing, or as fast as possible."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec

from firmware_bridge.errors import RadioUnavailableError
from firmware_bridge.links import State
from firmware_bridge.packets import Advert, Packet
from firmware_bridge.radio import Clock, Health, LinkView, Sink
from firmware_bridge.radio.recording import LINE_BYTES_MAX, RecordingError, from_line

BURST_PACKETS = 100
BURST_S = 0.02  # as fast as possible is 5 000 packets a second: the queue behind must keep up


class Replay:
    """Plays the file once; `run` returns at its end. Nothing that it hands over is believed.

    Times are moved, their distances stay: the first packet comes now, or, as fast as possible, the
    last one does. Every packet is marked as simulated.
    """

    kind = "replay"
    health = Health(0, 0)

    def __init__(self, path: Path, clock: Clock, *, as_fast_as_possible: bool = False) -> None:
        self._path = path
        self._clock = clock
        self._fast = as_fast_as_possible
        self._views: dict[str, LinkView] = {}

    def links(self) -> tuple[LinkView, ...]:
        """One for every device that the recording named so far."""
        return tuple(self._views.values())

    async def run(self, sink: Sink) -> None:
        """Play to the end; raises RadioUnavailableError or RecordingError (file and line)."""
        first_ms, last_ms = self._span()
        start = self._clock()
        anchor_ms = last_ms if self._fast else first_ms
        moved_wall_ms = start.wall_ms - anchor_ms
        moved_boot_ms = start.boottime_ms - anchor_ms
        for count, packet in enumerate(self._packets(), 1):
            wait_ms = packet.boottime_ms + moved_boot_ms - self._clock().boottime_ms
            if self._fast:
                await asyncio.sleep(0 if count % BURST_PACKETS else BURST_S)
            elif wait_ms > 0:
                await asyncio.sleep(wait_ms / 1_000)
            moved = msgspec.structs.replace(
                packet,
                wall_ms=packet.boottime_ms + moved_wall_ms,
                boottime_ms=packet.boottime_ms + moved_boot_ms,
            )
            self._note(moved)
            sink(moved)

    async def scan(self, seconds: float) -> list[Advert]:  # noqa: ARG002  # a file has no air
        """The newest advertisement of every device in the recording, strongest first."""
        found = {p.address: p for p in self._packets() if isinstance(p, Advert)}
        return sorted(found.values(), key=lambda advert: -advert.rssi_dbm)

    def _span(self) -> tuple[int, int]:
        times_ms = [packet.boottime_ms for packet in self._packets()]
        if not times_ms:
            raise RadioUnavailableError(f"{self._path}: expected packets, came an empty file")
        if times_ms != sorted(times_ms):
            raise RecordingError(f"{self._path}: expected boottime_ms to rise from line to line")
        return times_ms[0], times_ms[-1]

    def _packets(self) -> Iterator[Packet]:
        try:
            with self._path.open(encoding="utf-8") as lines:
                for number, line in enumerate(iter(lambda: lines.readline(LINE_BYTES_MAX + 2), "")):
                    try:
                        yield from_line(line)
                    except RecordingError as error:
                        raise RecordingError(f"{self._path}:{number + 1}: {error}") from error
        except OSError as error:
            raise RadioUnavailableError(
                f"{self._path}: cannot read the recording: {error.strerror}; "
                "name one with radio.replay_file"
            ) from error
        except UnicodeDecodeError as error:
            raise RecordingError(f"{self._path}: expected UTF-8 text: {error}") from error

    def _note(self, packet: Packet) -> None:
        known = self._views.get(packet.address)
        broadcast = isinstance(packet, Advert)
        self._views[packet.address] = LinkView(
            packet.address,
            (State.BROADCASTING if broadcast else State.SUBSCRIBED).value,
            known.since_ms if known else packet.boottime_ms,
            packet.boottime_ms,
            packet.rssi_dbm if isinstance(packet, Advert) else known and known.rssi_dbm,
            0,
            known.packets + 1 if known else 1,
            "",
        )
