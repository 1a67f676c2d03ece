"""One connection to one device: subscribe, read once, and go on until somebody hangs up."""

import asyncio
from collections.abc import Callable, Iterable

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakError, BleakGATTProtocolError

from firmware_bridge.errors import LinkLostError, PairingRefusedError
from firmware_bridge.packets import Answer, Notification, uuid128
from firmware_bridge.radio import Clock, Device

LINK_ERRORS = (BleakError, LinkLostError, PairingRefusedError, TimeoutError, EOFError, OSError)
READ_MAX_S = 10.0

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
        self.reason = ""

    def end(self, reason: str) -> None:
        """Make `go_on` return; the first reason stays."""
        self.reason = self.reason or reason
        self._ended.set()

    async def subscribe(self, client: BleakClient, take: Take, *, bonded: bool) -> None:
        """Subscribe to what the profile decodes; raises LinkLostError when it has none of it."""
        self._client, self._take, self._bonded = client, take, bonded
        profile = self._device.profile
        streams = [each for each in self._wanted(profile.characteristics) if _streams(each)]
        if not streams:
            raise LinkLostError(f"it has no characteristic of the profile {profile.name}")
        for characteristic in streams:
            await client.start_notify(characteristic, self._heard)

    async def go_on(self) -> None:
        """Read what is to be read once, then listen until the end."""
        for characteristic in self._wanted(self._device.profile.reads):
            try:
                async with asyncio.timeout(READ_MAX_S):
                    self._heard(characteristic, await self._client.read_gatt_char(characteristic))
            except BleakGATTProtocolError:
                continue  # the device refuses this value: no reason to lose the others
        await self._ended.wait()

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
