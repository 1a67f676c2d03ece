"""What the listener needs of an adapter, whether BlueZ's or the virtual radio's."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementDataCallback


class Backend(Protocol):
    """An adapter for the listener. Errors are bleak's unless said otherwise."""

    @property
    def kind(self) -> str:
        """The word of the configuration for it."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether every packet of it is marked as simulated."""
        ...

    def opened(self) -> AbstractAsyncContextManager[None]:
        """The adapter, ready; raises RadioUnavailableError with the command that mends it."""
        ...

    def scanner(self, heard: AdvertisementDataCallback) -> BleakScanner:
        """A new scanner, not started."""
        ...

    async def connect(
        self, device: BLEDevice, lost: Callable[[Any], None], timeout_s: float
    ) -> BleakClient:
        """A connected client with its services discovered."""
        ...

    async def pair(self, client: BleakClient) -> None:
        """Make the link encrypted and bonded; raises PairingRefusedError."""
        ...

    async def reset_adapter(self) -> None:
        """Switch the adapter off and on."""
        ...
