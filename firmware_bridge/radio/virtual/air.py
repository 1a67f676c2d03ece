"""The air between virtual peripherals and the gateway's virtual adapter, in one process.

HCI, L2CAP, ATT and SMP are bumble's, byte for byte. What it cannot show: radio timing, lost packets
(a real link layer repeats them) and most refusals of BlueZ; `strict_bluez` and `radio.faults` bring
the ones that were seen.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bleak.exc import BleakDBusError
from bumble import core, hci, ll
from bumble.controller import Controller
from bumble.device import Advertisement, Device
from bumble.link import LocalLink
from bumble.pairing import PairingConfig, PairingDelegate

from firmware_bridge.links import Remedy

HANG_UP_MAX_S = 1.0  # bumble waits for ever when both sides hang up at the same moment
CONNECTION_TIMEOUT = 0x08  # HCI error code: what both ends see when the other goes out of range

# an interrupted start would print stack traces; what concerns us comes as an exception
logging.getLogger("bumble").setLevel(logging.CRITICAL)

Heard = Callable[[Advertisement], None]


class _Ether(LocalLink):
    """The air between controllers: only those that listen get an advert; some are out of range."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # bumble's
        self.latency_s = 0.0  # added to every data PDU; half a connection interval, say 0.015
        self.away: set[hci.Address] = set()
        self.deaf: Remedy = Remedy.NONE  # what would make the scanner hear again
        self.broadcasters: set[hci.Address] = set()

    def send_advertising_pdu(
        self, sender_controller: Controller | None, packet: ll.AdvertisingPdu
    ) -> None:
        """Deliver an advert to whom it concerns; bumble's own goes to everybody (quadratic)."""
        if isinstance(packet, ll.ConnectInd):
            receivers = list(self.controllers)
        elif isinstance(packet, ll.AdvInd | ll.AdvExtInd):
            receivers = [each for each in self.controllers if self._hears(each, packet)]
        else:
            raise TypeError(f"expected a connect request or an advert, got {packet}")
        for controller in receivers:
            if controller is not sender_controller:
                asyncio.get_running_loop().call_soon(controller.on_ll_advertising_pdu, packet)

    def _hears(self, controller: Controller, packet: ll.AdvInd | ll.AdvExtInd) -> bool:
        if packet.advertiser_address in self.away:
            return False
        pending = controller.pending_le_connection
        if pending and pending.peer_address == packet.advertiser_address:
            # a non-connectable advert completes no connection
            return packet.advertiser_address not in self.broadcasters
        return controller.le_scan_enable and self.deaf is Remedy.NONE

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        """As bumble's, but under the connection's own address, and after `latency_s`."""
        connection = sender_controller.le_connections.get(destination_address)
        peer = self.find_le_controller(destination_address)
        if connection is None or peer is None:
            return  # severed with data under way
        asyncio.get_running_loop().call_later(
            self.latency_s, peer.on_link_acl_data, connection.self_address, transport, data
        )


class Air:
    """One air and the gateway's adapter on it. Peripherals are made with `peripheral`.

    `slots_max` imitates the adapter's connection slots; `strict_bluez` what BlueZ 5.66 refused.
    """

    def __init__(self, slots_max: int = 64, *, strict_bluez: bool = False) -> None:
        self.slots_max = slots_max
        self.slots_used = 0
        self.strict_bluez = strict_bluez
        self.rssi_dbm: dict[str, int] = {}
        self.connecting = asyncio.Lock()  # a controller makes one connection at a time
        self.ether = _Ether()
        self._adapter = Controller("adapter", link=self.ether)
        address = hci.Address("F0:00:00:00:00:00")
        self.central = Device.with_hci("adapter", address, self._adapter, self._adapter)
        self._peripherals: dict[str, tuple[Device, Controller]] = {}
        self._scanners: set[Heard] = set()

    async def __aenter__(self) -> Self:
        self.central.pairing_config_factory = lambda _connection: PairingConfig(
            sc=True,
            mitm=False,
            bonding=True,
            delegate=PairingDelegate(PairingDelegate.IoCapability.NO_OUTPUT_NO_INPUT),
        )
        self.central.on("advertisement", self._heard)
        await self.central.power_on()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for device in (*(device for device, _ in self._peripherals.values()), self.central):
            with contextlib.suppress(core.BaseBumbleError, TimeoutError):
                for connection in list(device.connections.values()):
                    async with asyncio.timeout(HANG_UP_MAX_S):
                        await connection.disconnect()
            with contextlib.suppress(core.BaseBumbleError):
                await device.stop_advertising()  # its timer would live on in the loop
                await device.power_off()

    def peripheral(self, name: str, address: str) -> Device:
        """A new connectable peripheral, not powered yet: add services, then advertise."""
        controller = Controller(name, link=self.ether)
        device = Device.with_hci(name, hci.Address(address), controller, controller)
        self._peripherals[address] = (device, controller)
        return device

    def broadcast(self, address: str, data: bytes) -> None:
        """Send one non-connectable advertisement with the advertising data `data`."""
        sender = hci.Address(address)
        self.ether.broadcasters.add(sender)
        self.ether.send_advertising_pdu(None, ll.AdvInd(sender, data))

    def sever(self, address: str) -> None:
        """Cut the link as distance does: both ends see a supervision timeout, nothing is sent."""
        peer = hci.Address(address)
        _device, controller = self._peripherals[address]
        for connection in list(controller.le_connections.values()):
            controller.on_le_disconnected(connection, CONNECTION_TIMEOUT)
        ours = self._adapter.le_connections.get(peer)
        if ours:
            self._adapter.on_le_disconnected(ours, CONNECTION_TIMEOUT)

    def leave(self, address: str) -> None:
        """Take a device out of range: its link is cut and its adverts are not heard."""
        self.ether.away.add(hci.Address(address))
        if address in self._peripherals:
            self.sever(address)

    def come_back(self, address: str) -> None:
        """Bring a device back into range."""
        self.ether.away.discard(hci.Address(address))

    async def add_scanner(self, scanner: Heard, *, active: bool) -> None:
        """One scan of the adapter serves all scanners, as in BlueZ."""
        if self.strict_bluez and self._scanners:
            raise BleakDBusError("org.bluez.Error.InProgress", ["Operation already in progress"])
        if self.ether.deaf is Remedy.REBUILD:
            self.ether.deaf = Remedy.NONE
        self._scanners.add(scanner)
        if len(self._scanners) == 1:
            await self.central.start_scanning(legacy=True, active=active)

    async def remove_scanner(self, scanner: Heard) -> None:
        """The adapter's scan ends with its last scanner."""
        self._scanners.discard(scanner)
        if not self._scanners:
            await self.central.stop_scanning(legacy=True)

    def _heard(self, advertisement: Advertisement) -> None:
        if advertisement.is_scan_response:
            return  # bumble's controller says every advert twice, once as the scan response
        for scanner in tuple(self._scanners):
            scanner(advertisement)
