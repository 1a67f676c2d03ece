"""The client half of the virtual bleak backend."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble import att, core, hci
from bumble.device import Connection, Peer

from firmware_bridge.cancellation import stop_if_cancelled
from firmware_bridge.radio.virtual.air import HANG_UP_MAX_S, Air
from firmware_bridge.radio.virtual.scanner import uuid_text

MTU_BYTES = 247
GATT_VALUE_BYTES_MAX = 512

_T = TypeVar("_T")


class VirtualClient(BaseBleakClient):
    """A link of the virtual adapter. Takes only devices that a `VirtualScanner` found."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        services: set[str] | None = None,
        **_other_backends: object,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        self._air: Air = address_or_ble_device.details["air"]
        self._peer_address: hci.Address = address_or_ble_device.details["address"]
        self._name = address_or_ble_device.name
        self._wanted = services
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._subscribers: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        """The device's name, or its address where it has none."""
        return self._name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """Bytes of one ATT PDU as negotiated."""
        return self._connection.att_mtu if self._connection else att.ATT_DEFAULT_MTU

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._connection is not None

    async def connect(
        self,
        pair: bool,  # noqa: FBT001  # bleak's signature
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # bleak's signature
        **_kwargs: object,
    ) -> None:
        """Connect, negotiate the MTU and discover services."""
        if self.is_connected:
            raise BleakError("client is already connected")
        if self._air.slots_used >= self._air.slots_max:
            raise BleakError("out of connection slots")  # what an exhausted adapter does
        self._air.slots_used += 1
        timeout_s = timeout or self._timeout
        try:
            async with asyncio.timeout(timeout_s):
                await self._connect(pair=pair)
        except BaseException as error:
            await self._give_up()
            match error:
                case TimeoutError():
                    reason = f"{self.address} did not answer in {timeout_s} s"
                    raise BleakDeviceNotFoundError(self.address, reason) from error
                case core.BaseBumbleError():
                    raise BleakError(str(error)) from error
                case _:
                    raise

    async def _connect(self, *, pair: bool) -> None:
        async with self._air.connecting:
            connection = await self._air.central.connect(self._peer_address, timeout=None)
        self._connection = connection
        connection.on("disconnection", self._lost)
        self._peer = Peer(connection)
        if pair:
            await self.pair()
        await self._peer.request_mtu(MTU_BYTES)
        await self._peer.discover_all()  # type: ignore[no-untyped-call]  # bumble's
        self.services = self._collect(self._peer)

    async def _give_up(self) -> None:
        if self._connection:
            await self.disconnect()
            return
        self._air.slots_used -= 1
        if self._air.central.is_le_connecting:
            with contextlib.suppress(core.BaseBumbleError):
                await self._air.central.cancel_connection()  # type: ignore[no-untyped-call]  # same

    def _lost(self, _reason: int) -> None:
        if self._connection is None:
            return
        self._connection = self._peer = self.services = None
        self._subscribers.clear()
        self._air.slots_used -= 1
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Hang up; the slot is free afterwards."""
        if self._connection:
            with contextlib.suppress(core.BaseBumbleError, TimeoutError):
                async with asyncio.timeout(HANG_UP_MAX_S):
                    await self._connection.disconnect()
            self._lost(0)

    async def pair(self, *_args: object, **_kwargs: object) -> None:
        """Encrypt with the key of an earlier bond, or pair and bond where there is none.

        A bonded peer that cannot prove its key is an error, never a reason to pair again: anybody
        can take an address.
        """
        connection, _peer = self._up()
        keystore = self._air.central.keystore
        try:
            if keystore and await keystore.get(str(connection.peer_address)):
                await connection.encrypt()
            else:
                await connection.pair()
        except core.BaseBumbleError as error:
            raise BleakError(f"pairing failed: {error}") from error

    async def unpair(self) -> None:
        """Forget the bond and hang up."""
        keystore = self._air.central.keystore
        if keystore:
            with contextlib.suppress(KeyError):
                await keystore.delete(str(self._peer_address))
        await self.disconnect()

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **_kwargs: object
    ) -> bytearray:
        """Read, long values as well."""
        _connection, peer = self._up()
        return bytearray(await self._ask(peer.gatt_client.read_value(characteristic.handle)))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **_kwargs: object
    ) -> bytearray:
        """Read a descriptor."""
        _connection, peer = self._up()
        return bytearray(await self._ask(peer.gatt_client.read_value(descriptor.handle)))

    async def write_gatt_char(
        self,
        characteristic: BleakGATTCharacteristic,
        data: SizedBuffer,
        response: bool,  # noqa: FBT001  # bleak's signature
    ) -> None:
        """Write; without a response no more than one PDU holds."""
        _connection, peer = self._up()
        value, size_max = bytes(data), self.mtu_size - 3
        if len(value) > size_max and not response:
            raise BleakError(f"want at most {size_max} bytes without response, got {len(value)}")
        client = peer.gatt_client
        if len(value) > size_max:
            await self._ask(client.write_long_value(characteristic.handle, value))
        else:
            await self._ask(client.write_value(characteristic.handle, value, response))

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor with response."""
        _connection, peer = self._up()
        await self._ask(peer.gatt_client.write_value(descriptor.handle, bytes(data), True))  # noqa: FBT003  # bumble's signature

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_kwargs: object
    ) -> None:
        """Subscribe to notifications, or to indications where there are none."""
        _connection, peer = self._up()
        if characteristic.handle in self._subscribers:
            raise BleakError("notifications are already on for this characteristic")

        def deliver(value: bytes) -> None:
            callback(bytearray(value))

        await self._ask(peer.gatt_client.subscribe(characteristic.obj, deliver))
        self._subscribers[characteristic.handle] = deliver

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        _connection, peer = self._up()
        deliver = self._subscribers.pop(characteristic.handle, None)
        await self._ask(peer.gatt_client.unsubscribe(characteristic.obj, deliver))

    def _up(self) -> tuple[Connection, Peer]:
        if self._connection is None or self._peer is None:
            raise BleakError("not connected")
        return self._connection, self._peer

    async def _ask(self, request: Awaitable[_T]) -> _T:
        """Wait for bumble; its errors become bleak's."""
        try:
            answer = await request
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(int(error.error_code)) from error
        except core.BaseBumbleError as error:
            raise BleakError(str(error) if self.is_connected else "disconnected") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self.is_connected or (task and task.cancelling()):
                raise
            raise BleakError("disconnected") from error  # bumble cancels what it waits for
        stop_if_cancelled()
        return answer

    def _collect(self, peer: Peer) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for found in peer.services:
            service = BleakGATTService(found, found.handle, uuid_text(found.uuid))
            if self._wanted and service.uuid not in self._wanted:
                continue
            collection.add_service(service)
            for each in found.characteristics:
                properties = list(gatt_char_props_to_strs(each.properties))
                characteristic = BleakGATTCharacteristic(
                    each,
                    each.handle,
                    uuid_text(each.uuid),
                    properties,
                    self._write_bytes_max,
                    service,
                )
                collection.add_characteristic(characteristic)
                for one in each.descriptors:
                    descriptor = BleakGATTDescriptor(
                        one, one.handle, uuid_text(one.type), characteristic
                    )
                    collection.add_descriptor(descriptor)
        return collection

    def _write_bytes_max(self) -> int:
        return min(self.mtu_size - 3, GATT_VALUE_BYTES_MAX)
