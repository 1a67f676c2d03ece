"""The radio of a Linux box: BlueZ over D-Bus through bleak. Nothing else constructs its clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.backends.bluezdbus.client import BleakClientBlueZDBus
from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementDataCallback
from bleak.exc import BleakError
from bleak_retry_connector import establish_connection

from firmware_bridge.errors import LinkLostError, PairingRefusedError, RadioUnavailableError
from firmware_bridge.radio import adapter
from firmware_bridge.radio.pairing_agent import PairingAgent

CONNECT_ATTEMPTS_MAX = 2  # a collision on the air; what lasts longer is the back-off's business


class BluezBackend:
    """The listener's way to one adapter. `may_pair` are the addresses that may pair with us."""

    kind = "bluez"
    simulated = False

    def __init__(self, name: str, may_pair: Collection[str]) -> None:
        self._name = name
        self._agent = PairingAgent(frozenset(may_pair))
        self._adapter: adapter.Adapter | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The adapter on and our pairing agent registered; BlueZ forgets it with our connection."""
        async with adapter.opened(self._name) as found:
            await found.power(on=True)
            await found.register(self._agent)
            self._adapter = found
            try:
                yield
            finally:
                self._adapter = None

    def scanner(self, heard: AdvertisementDataCallback) -> BleakScanner:
        """An active scanner of the adapter.

        Duplicates are asked for: without them BlueZ says nothing about a device that repeats
        itself, and nobody could tell whether it is still there.
        """
        return BleakScanner(
            heard,
            backend=BleakScannerBlueZDBus,
            bluez={"adapter": self._name, "filters": {"DuplicateData": True}},
        )

    async def connect(
        self, device: BLEDevice, lost: Callable[[Any], None], timeout_s: float
    ) -> BleakClient:
        """A connected client; a link that BlueZ kept from an earlier life is taken over."""
        async with asyncio.timeout(timeout_s):
            return await establish_connection(
                BleakClient,
                device,
                device.name or device.address,
                disconnected_callback=lost,
                max_attempts=CONNECT_ATTEMPTS_MAX,
                use_services_cache=False,
                backend=BleakClientBlueZDBus,
            )

    async def pair(self, client: BleakClient) -> None:
        """Pair and bond; BlueZ encrypts the links of a device that it is bonded with by itself."""
        try:
            await client.pair()
        except BleakError as error:
            raise PairingRefusedError(f"{client.address} did not pair: {error}") from error

    async def reset_adapter(self) -> None:
        """Switch the adapter off and on; raises LinkLostError when BlueZ would not."""
        if self._adapter is None:
            return
        try:
            await self._adapter.reset()
        except RadioUnavailableError as error:
            raise LinkLostError(str(error)) from error
