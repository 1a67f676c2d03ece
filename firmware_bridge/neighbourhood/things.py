"""Virtual peripherals: GATT servers and broadcasters on the air of the virtual radio."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Self

from bumble.core import UUID
from bumble.gatt import (
    GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR as CCCD,
)
from bumble.gatt import (
    Characteristic,
    CharacteristicValue,
    Descriptor,
    Service,
)
from bumble.pairing import PairingConfig
from bumble.profiles.battery_service import BatteryService

from firmware_bridge.neighbourhood.payloads import advertising
from firmware_bridge.radio.virtual.air import Air

ADVERTISING_INTERVAL_MS = 100
UART_CHUNK_BYTES = 20
LINE_BYTES_MAX = 256
LINES_MAX = 16

_Can = Characteristic.Properties
_May = Characteristic.Permissions


class Peripheral:
    """A connectable thing with one stream of notifications and a battery."""

    def __init__(
        self,
        air: Air,
        name: str,
        address: str,
        *,
        service: int,
        stream: int,
        encrypted: bool = False,
    ) -> None:
        self.device = air.peripheral(name, address)
        self._name, self._service = name, service
        self._descriptors: list[Descriptor] = []
        self._stream = Characteristic[bytes](
            UUID.from_16_bits(stream), _Can.NOTIFY, _May(0), b"", self._descriptors
        )
        if encrypted:
            self._encrypt()
        self._services = [Service(UUID.from_16_bits(service), [self._stream])]

    def _encrypt(self) -> None:
        """Nobody subscribes without an encrypted link; bonding is offered, Just Works."""
        self.device.pairing_config_factory = lambda _connection: PairingConfig(
            sc=True, mitm=False, bonding=True
        )
        value = self.device.gatt_server.make_descriptor_value(self._stream)
        guarded = _May.READABLE | _May.WRITEABLE | _May.WRITE_REQUIRES_ENCRYPTION
        self._descriptors.append(Descriptor(CCCD, guarded, value))

    def add(self, service: Service) -> None:
        """One more service; before `switch_on`."""
        self._services.append(service)

    async def switch_on(self, battery_percent: Callable[[], int] | None = None) -> None:
        """Power up and advertise, again after every connection."""
        if battery_percent:
            percent = battery_percent
            self.add(BatteryService(lambda _connection: percent()))
        self.device.add_services(self._services)
        self.device.advertising_data = advertising(self._name, [self._service])
        await self.device.power_on()
        await self.device.start_advertising(
            auto_restart=True,
            advertising_interval_min=ADVERTISING_INTERVAL_MS,
            advertising_interval_max=ADVERTISING_INTERVAL_MS,
        )

    async def say(self, value: bytes) -> None:
        """Notify whoever subscribed."""
        await self.device.notify_subscribers(self._stream, value)


class Uart(Peripheral):
    """An ELM327 layout, FFF0: lines in on FFF2, answers out on FFF1 in small pieces."""

    SERVICE, ANSWERS, REQUESTS = 0xFFF0, 0xFFF1, 0xFFF2

    def __init__(self, air: Air, name: str, address: str, answer: Callable[[str], str]) -> None:
        super().__init__(air, name, address, service=self.SERVICE, stream=self.ANSWERS)
        self._answer = answer
        self._line = bytearray()
        self._lines: asyncio.Queue[str] = asyncio.Queue(LINES_MAX)
        requests = Characteristic[bytes](
            UUID.from_16_bits(self.REQUESTS),
            _Can.WRITE | _Can.WRITE_WITHOUT_RESPONSE,
            _May.WRITEABLE,
            CharacteristicValue(write=self._written),
        )
        self._services[0].characteristics.append(requests)

    def _written(self, _connection: object, value: bytes) -> None:
        self._line += value
        *lines, rest = self._line[-LINE_BYTES_MAX:].split(b"\r")
        self._line = rest
        for line in lines[: LINES_MAX - self._lines.qsize()]:
            self._lines.put_nowait(line.decode("ascii", "replace"))

    async def serve(self) -> None:
        """Answer line after line."""
        while True:
            reply = self._answer(await self._lines.get()).encode()
            for at in range(0, len(reply), UART_CHUNK_BYTES):
                await self.say(reply[at : at + UART_CHUNK_BYTES])


class Acting:
    """What acts by itself while its context is open; to be inherited."""

    def __init__(self) -> None:
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    def _act(self, action: Coroutine[object, object, None]) -> None:
        self._running.append(self._tasks.create_task(action))

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)


async def repeat(period_s: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do it now and then every `period_s`."""
    while True:
        await act()
        await asyncio.sleep(period_s)
