"""One connection to one device: subscribe, read once, and go on until somebody hangs up."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakError, BleakGATTProtocolError

from firmware_bridge.errors import LinkLostError, PairingRefusedError
from firmware_bridge.packets import Answer, Notification, uuid128
from firmware_bridge.profiles import obd
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.elm327 import Elm327

LINK_ERRORS = (BleakError, LinkLostError, PairingRefusedError, TimeoutError, EOFError, OSError)
READ_MAX_S = 10.0
QUIET_FACTOR = 10  # a request without data is asked that many times less often

Take = Callable[[Notification | Answer], None]


def why(error: BaseException) -> str:
    """A reason for people, never empty."""
    return str(error) or type(error).__name__


class Conversation:
    """What is said over one connection. Hand over a connected client; it is not closed here."""

    def __init__(self, device: Device, clock: Clock, *, simulated: bool) -> None:
        self._device = device
        self._clock = clock
        self._simulated = simulated
        self._ended = asyncio.Event()
        self._elm: Elm327 | None = None
        self.reason = ""

    def end(self, reason: str) -> None:
        """Make `go_on` return; the first reason stays."""
        self.reason = self.reason or reason
        self._ended.set()
        if self._elm:
            self._elm.close()

    async def subscribe(self, client: BleakClient, take: Take, *, bonded: bool) -> None:
        """Read what is to be read once, then subscribe to what the profile decodes.

        In this order: BlueZ hands a value that is read to its subscribers as well. Raises
        LinkLostError when the device has nothing that the profile knows.
        """
        self._client, self._take, self._bonded = client, take, bonded
        profile = self._device.profile
        if profile.answer:
            self._elm = Elm327(client)
            await self._elm.start()
        streams = [each for each in self._wanted(profile.characteristics) if _streams(each)]
        if not streams and not self._elm:
            raise LinkLostError(f"it has no characteristic of the profile {profile.name}")
        for characteristic in self._wanted(profile.reads):
            await self._read(characteristic)
        for characteristic in streams:
            await client.start_notify(characteristic, self._heard)

    async def go_on(self) -> None:
        """Listen, or ask an adapter, until the end."""
        if self._elm:
            await self._poll(self._elm)
        await self._ended.wait()

    async def _read(self, characteristic: BleakGATTCharacteristic) -> None:
        with contextlib.suppress(BleakGATTProtocolError):  # refused: no reason to lose the others
            async with asyncio.timeout(READ_MAX_S):
                self._heard(characteristic, await self._client.read_gatt_char(characteristic))

    async def _poll(self, elm: Elm327) -> None:
        """Ask the profile's requests, each at its period; those without data less often."""
        due_ms = dict.fromkeys(obd.POLL, 0)
        while not self._ended.is_set():
            poll = min(due_ms, key=due_ms.__getitem__)
            wait_ms = due_ms[poll] - self._clock().boottime_ms
            if wait_ms > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_ms / 1_000):
                        await self._ended.wait()
                continue
            text = await elm.ask(poll.request)
            stamp = self._clock()
            quiet = QUIET_FACTOR if "NO DATA" in text else 1
            due_ms[poll] = stamp.boottime_ms + int(poll.period_s * quiet * 1_000)
            self._take(
                Answer(
                    self._device.address,
                    poll.request,
                    text,
                    self._bonded,
                    stamp.wall_ms,
                    stamp.boottime_ms,
                    self._simulated,
                )
            )

    def _wanted(self, uuids: Iterable[str]) -> list[BleakGATTCharacteristic]:
        wanted = {uuid128(uuid) for uuid in uuids}
        return [
            characteristic
            for characteristic in self._client.services.characteristics.values()
            if characteristic.uuid in wanted
        ]

    def _heard(self, characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
        stamp = self._clock()
        self._take(
            Notification(
                self._device.address,
                characteristic.service_uuid,
                characteristic.uuid,
                bytes(value),
                self._bonded,
                stamp.wall_ms,
                stamp.boottime_ms,
                self._simulated,
            )
        )


def _streams(characteristic: BleakGATTCharacteristic) -> bool:
    return bool({"notify", "indicate"} & set(characteristic.properties))
