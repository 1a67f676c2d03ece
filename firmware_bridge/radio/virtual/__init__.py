"""A radio without hardware: a bleak backend whose adapter and peripherals are bumble's."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementDataCallback
from bleak.exc import BleakError

from firmware_bridge.errors import PairingRefusedError
from firmware_bridge.links import Remedy
from firmware_bridge.radio.virtual.air import Air
from firmware_bridge.radio.virtual.client import VirtualClient
from firmware_bridge.radio.virtual.scanner import VirtualScanner


class VirtualBackend:
    """The listener's way to an `Air` that is already open."""

    kind = "virtual"
    simulated = True

    def __init__(self, air: Air) -> None:
        self._air = air

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Nothing to open: the air belongs to whoever made it."""
        yield

    def scanner(self, heard: AdvertisementDataCallback) -> BleakScanner:
        """A scanner of the air."""
        return BleakScanner(heard, backend=VirtualScanner, air=self._air)

    async def connect(
        self, device: BLEDevice, lost: Callable[[Any], None], timeout_s: float
    ) -> BleakClient:
        """A connected client; raises what bleak raises."""
        client = BleakClient(device, lost, timeout=timeout_s, backend=VirtualClient)
        await client.connect()
        return client

    async def pair(self, client: BleakClient) -> None:
        """Encrypt the link; raises PairingRefusedError."""
        try:
            await client.pair()
        except BleakError as error:
            if not client.is_connected:
                raise
            raise PairingRefusedError(f"{client.address} refused to pair: {error}") from error

    async def reset_adapter(self) -> None:
        """What power-cycling the adapter does for a scanner that stopped."""
        self._air.ether.deaf = Remedy.NONE
