"""Listens to devices over any bleak backend: one scanner, a link for each, and a watchdog.

Only carries: which state follows, when to give up and when to mend is decided in `links`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from firmware_bridge.cancellation import stop_if_cancelled
from firmware_bridge.errors import LinkLostError
from firmware_bridge.links import Event, Link, Policy, Remedy, State, Watchdog
from firmware_bridge.packets import Advert, Answer, Notification, Packet
from firmware_bridge.radio import Clock, Device, Health, LinkView, Sink, Stamp
from firmware_bridge.radio.backend import Backend
from firmware_bridge.radio.conversation import LINK_ERRORS, Conversation, why

LOG = logging.getLogger(__name__)
BACKEND_CALL_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener, in seconds unless named otherwise."""

    connections_max: int = 8
    connect_max_s: float = 30.0
    scanner_silence_max_s: float = 90.0
    backoff_first_ms: int = 1_000
    backoff_max_ms: int = 60_000
    scanner_retry_s: float = 5.0
    tick_s: float = 0.25


class _Track:
    """What the shell holds for one device beside its link."""

    def __init__(self, device: Device, link: Link) -> None:
        profile = device.profile
        self.device = device
        self.link = link
        self.connects = bool(profile.characteristics or profile.reads or profile.answer)
        self.takes_adverts = profile.advert is not None
        self.found: BLEDevice | None = None  # the newest: BlueZ forgets the path of an old one
        self.rssi_dbm: int | None = None
        self.queued = asyncio.Event()
        self.conversation: Conversation | None = None

    def cut(self) -> None:
        """Hang up on a device that is connected and says nothing."""
        if self.conversation:
            self.conversation.end(f"it said nothing for {self.device.silence_max_s:g} s")


class Listener:
    """The one listening radio. `dice` gives numbers from 0 to 1 for the back-off's jitter."""

    def __init__(
        self,
        backend: Backend,
        devices: Sequence[Device],
        clock: Clock,
        dice: Callable[[], float],
        limits: Limits = Limits(),  # frozen
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._dice = dice
        self._limits = limits
        now_ms = clock().boottime_ms
        self._tracks = {
            device.address: _Track(device, Link.new(self._policy(device), now_ms))
            for device in devices
        }
        self._slots = asyncio.Semaphore(limits.connections_max)
        self._watchdog = Watchdog(int(limits.scanner_silence_max_s * 1_000), now_ms)
        self._rebuilds = self._resets = 0
        self._deaf = asyncio.Event()
        self._scans: list[dict[str, Advert]] = []
        self._sink: Sink = _nowhere

    @property
    def kind(self) -> str:
        """The backend's kind."""
        return self._backend.kind

    @property
    def health(self) -> Health:
        """What the watchdog had to do so far."""
        dog = self._watchdog
        return Health(self._rebuilds, self._resets, dog.deaf, dog.gave_up)

    def links(self) -> tuple[LinkView, ...]:
        """The state of every device's link, in the order given."""
        return tuple(
            LinkView(
                address,
                track.link.state.value,
                track.link.since_ms,
                track.link.heard_ms,
                track.rssi_dbm,
                track.link.failures,
                track.link.packets,
                track.link.error,
            )
            for address, track in self._tracks.items()
        )

    async def run(self, sink: Sink) -> None:
        """Listen until cancelled. `sink` is called from the event loop and must not wait."""
        self._sink = sink
        async with self._backend.opened(), asyncio.TaskGroup() as tasks:
            tasks.create_task(self._scan_forever())
            tasks.create_task(self._tick_forever())
            for track in self._tracks.values():
                if track.connects:
                    tasks.create_task(self._keep(track))

    async def scan(self, seconds: float) -> list[Advert]:
        """Everything on the air within `seconds`, strongest first; beside `run` or without it."""
        found: dict[str, Advert] = {}
        self._scans.append(found)
        try:
            if self._sink is _nowhere:
                async with self._backend.opened(), self._backend.scanner(self._heard):
                    await asyncio.sleep(seconds)
            else:
                await asyncio.sleep(seconds)
        finally:
            self._scans.remove(found)
        return sorted(found.values(), key=lambda advert: -advert.rssi_dbm)

    def _policy(self, device: Device) -> Policy:
        return Policy(
            silence_max_ms=int(device.silence_max_s * 1_000),
            backoff_first_ms=self._limits.backoff_first_ms,
            backoff_max_ms=self._limits.backoff_max_ms,
        )

    # the scanner

    def _heard(self, found: BLEDevice, data: AdvertisementData) -> None:
        """Take one advert; called by bleak for every one on the air, so it is short."""
        address = found.address.upper()
        stamp = self._clock()
        self._watchdog = self._watchdog.heard(stamp.boottime_ms)
        track = self._tracks.get(address)
        if track is None and not self._scans:
            return
        advert = Advert(
            address,
            data.local_name or "",
            data.manufacturer_data,
            data.service_data,
            tuple(data.service_uuids),
            data.rssi,
            stamp.wall_ms,
            stamp.boottime_ms,
            self._backend.simulated,
        )
        for scan in self._scans:
            scan[address] = advert
        if track is not None:
            self._seen(track, found, advert, stamp)

    def _seen(self, track: _Track, found: BLEDevice, advert: Advert, stamp: Stamp) -> None:
        track.found, track.rssi_dbm = found, advert.rssi_dbm
        if track.takes_adverts:
            self._sink(advert)
        if not track.connects:
            track.link = track.link.after(Event.HEARD, stamp.boottime_ms)
            return
        track.link = track.link.after(Event.SEEN, stamp.boottime_ms)
        if track.link.state is State.QUEUED:
            track.queued.set()

    async def _scan_forever(self) -> None:
        while True:
            stop_if_cancelled()
            self._deaf.clear()
            try:
                await self._scan_until_deaf()
            except LINK_ERRORS as error:
                stop_if_cancelled()
                LOG.warning("the scanner failed, trying again: %s", why(error))
                await _wait(self._deaf, self._limits.scanner_retry_s)
            if self._watchdog.mended is Remedy.RESET:
                try:
                    await self._backend.reset_adapter()
                except LINK_ERRORS as error:
                    LOG.warning("the adapter would not be reset: %s", why(error))

    async def _scan_until_deaf(self) -> None:
        scanner = self._backend.scanner(self._heard)
        async with asyncio.timeout(BACKEND_CALL_MAX_S):
            await scanner.start()
        try:
            stop_if_cancelled()
            await self._deaf.wait()
        finally:
            with contextlib.suppress(*LINK_ERRORS):  # as a farewell to a link
                async with asyncio.timeout(BACKEND_CALL_MAX_S):
                    await scanner.stop()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self._limits.tick_s)
            self._tick(self._clock().boottime_ms)

    def _tick(self, now_ms: int) -> None:
        for track in self._tracks.values():
            if track.link.is_due(now_ms):
                track.link = track.link.after(Event.DUE, now_ms)
                if track.link.state is State.SILENT:
                    track.cut()
        alive = [track.link.state is State.SUBSCRIBED for track in self._tracks.values()]
        if alive and all(alive):  # nobody is awaited on the air: its silence means nothing
            self._watchdog = self._watchdog.heard(now_ms)
        self._watchdog, remedy = self._watchdog.verdict(now_ms, links_alive=any(alive))
        if remedy is Remedy.NONE:
            return
        LOG.warning("heard nothing on the air, so: %s", remedy)
        self._rebuilds += 1
        self._resets += remedy is Remedy.RESET
        self._deaf.set()

    # the links

    async def _keep(self, track: _Track) -> None:
        """Connect whenever the device is seen and a slot is free; one connection at a time."""
        while True:
            await track.queued.wait()
            async with self._slots:
                track.queued.clear()
                track.link = track.link.after(Event.ADMITTED, self._clock().boottime_ms)
                reason = await self._converse(track)
            stop_if_cancelled()
            LOG.info("%s: %s", track.device.address, reason)
            track.link = track.link.after(
                Event.DOWN, self._clock().boottime_ms, chance=self._dice(), error=reason
            )

    async def _converse(self, track: _Track) -> str:
        """One connection from its slot to its end; why it ended."""
        conversation = Conversation(track.device, self._clock, simulated=self._backend.simulated)
        track.conversation = conversation

        def up() -> None:
            track.link = track.link.after(Event.UP, self._clock().boottime_ms)

        def take(packet: Notification | Answer) -> None:
            if track.conversation is conversation:  # what comes after its end is not counted
                track.link = track.link.after(Event.HEARD, packet.boottime_ms)
                self._sink(packet)

        try:
            async with asyncio.timeout(self._limits.connect_max_s) as deadline:
                async with self._connected(track, conversation) as client:
                    bonded = await self._pair(track.device, client)
                    await conversation.subscribe(client, take, bonded=bonded)
                    deadline.reschedule(None)
                    stop_if_cancelled()
                    up()
                    await conversation.go_on()
        except LINK_ERRORS as error:
            return conversation.reason or why(error)
        finally:
            track.conversation = None
        return conversation.reason or "the link ended"

    @asynccontextmanager
    async def _connected(
        self, track: _Track, conversation: Conversation
    ) -> AsyncIterator[BleakClient]:
        if track.found is None:
            raise LinkLostError("it was queued before it was seen")
        client = await self._backend.connect(
            track.found,
            lambda _client: conversation.end("the link dropped"),
            self._limits.connect_max_s,
        )
        try:
            yield client
        except LINK_ERRORS as error:
            conversation.end(why(error))  # before hanging up gives another reason
            raise
        finally:
            with contextlib.suppress(*LINK_ERRORS):  # a failed farewell hides nothing of the above
                async with asyncio.timeout(BACKEND_CALL_MAX_S):
                    await client.disconnect()

    async def _pair(self, device: Device, client: BleakClient) -> bool:
        if device.pair:
            await self._backend.pair(client)
        return device.pair


def _nowhere(_packet: Packet) -> None:
    """Where packets go while nothing runs."""


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
