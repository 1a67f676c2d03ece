"""The UART services that OBD adapters have, each spoken to over the virtual radio."""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from bleak import BleakClient, BleakScanner
from bumble.core import UUID
from bumble.gatt import Characteristic, CharacteristicValue, Service

from firmware_bridge.neighbourhood.behaviour import Car
from firmware_bridge.neighbourhood.ecu import Ecu
from firmware_bridge.neighbourhood.payloads import advertising
from firmware_bridge.packets import Advert, uuid128
from firmware_bridge.profiles import recognise_device
from firmware_bridge.radio import elm327
from firmware_bridge.radio.elm327 import Elm327
from firmware_bridge.radio.virtual.air import Air
from firmware_bridge.radio.virtual.client import VirtualClient
from firmware_bridge.radio.virtual.scanner import VirtualScanner

ADDRESS = "F0:00:00:00:02:05"

Can = Characteristic.Properties
SAY, HEAR = Can.NOTIFY, Can.WRITE | Can.WRITE_WITHOUT_RESPONSE
HEAR_AT_ONCE = Can.WRITE_WITHOUT_RESPONSE

# Service; its characteristics in the order of their handles.
LAYOUTS = {
    "FFF0": (uuid128("fff0"), [("fff1", SAY), ("fff2", HEAR)]),
    "FFF0, requests first": (uuid128("fff0"), [("fff2", HEAR_AT_ONCE), ("fff1", SAY)]),
    "18F0": (uuid128("18f0"), [("2af0", SAY), ("2af1", HEAR)]),
    "HM-10": (uuid128("ffe0"), [("ffe1", SAY | HEAR_AT_ONCE)]),
    "HM-10, two": (uuid128("ffe0"), [("ffe1", SAY), ("ffe2", HEAR)]),
    "IOS-Vlink": (
        "e7810a71-73ae-499d-8c15-faa9aef0c3f2",
        [("bef8d6c9-9c21-4c9e-b632-bd58c1009f9f", SAY | HEAR)],
    ),
    "Nordic UART": (
        "6e400001-b5a3-f393-e0a9-e50e24dcca9e",
        [
            ("6e400002-b5a3-f393-e0a9-e50e24dcca9e", HEAR),
            ("6e400003-b5a3-f393-e0a9-e50e24dcca9e", SAY),
        ],
    ),
    "Microchip": (
        "49535343-fe7d-4ae5-8fa9-9fafd205e455",
        [
            ("49535343-8841-43f4-a8d4-ecbe34729bb3", HEAR),
            ("49535343-1e4d-4bd9-ba61-23c647249616", SAY),
        ],
    ),
}


class Module:
    """A UART module of one layout with an adapter behind it; says what it hears in small pieces."""

    def __init__(self, air: Air, service: str, layout: list[tuple[str, Can]]) -> None:
        ecu = Ecu(Car(random.Random(1)))
        self._answer: Callable[[str], str] = ecu.answer
        self._line = b""
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._device = air.peripheral("OBDII", ADDRESS)
        self._characteristics = list(self._made(layout))
        self._device.add_services([Service(UUID(service), self._characteristics)])
        self._device.advertising_data = advertising("OBDII", [])

    def _made(self, layout: list[tuple[str, Can]]) -> Iterator[Characteristic[bytes]]:
        for uuid, can in layout:
            yield Characteristic[bytes](
                UUID(uuid), can, Characteristic.WRITEABLE, CharacteristicValue(write=self._written)
            )

    def _written(self, _connection: object, value: bytes) -> None:
        *lines, self._line = (self._line + value).split(b"\r")
        for line in lines:
            self._lines.put_nowait(line)

    async def serve(self) -> None:
        await self._device.power_on()
        await self._device.start_advertising(auto_restart=True)
        (say,) = (each for each in self._characteristics if each.properties & SAY)
        while True:
            reply = self._answer((await self._lines.get()).decode()).encode()
            for at in range(0, len(reply), 20):
                await self._device.notify_subscribers(say, reply[at : at + 20])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
async def test_an_adapter_is_spoken_to_over_every_uart_service_that_is_known(
    layout: tuple[str, list[tuple[str, Can]]],
) -> None:
    async with Air() as air, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Module(air, *layout).serve())
        async with BleakScanner(backend=VirtualScanner, air=air) as scanner:
            while not scanner.discovered_devices:  # noqa: ASYNC110  # bleak has no event for it
                await asyncio.sleep(0.01)
        async with BleakClient(scanner.discovered_devices[0], backend=VirtualClient) as client:
            elm = Elm327(client)
            await elm.start()
            heard = await elm.ask("010D")
        task.cancel()

    assert "410D" in heard
    assert heard.endswith(">")


def test_every_service_that_is_known_has_a_layout_here() -> None:
    assert {service for service, _ in LAYOUTS.values()} == set(elm327.UART_SERVICES)


@pytest.mark.parametrize(
    ("service", "profile"),
    [
        (uuid128("fff0"), "obd"),
        (uuid128("18f0"), "obd"),
        ("e7810a71-73ae-499d-8c15-faa9aef0c3f2", "obd"),
        (uuid128("ffe0"), None),  # any HM-10: a lamp, a lock
        ("6e400001-b5a3-f393-e0a9-e50e24dcca9e", None),
    ],
)
def test_only_a_service_of_adapters_makes_a_device_one(service: str, profile: str | None) -> None:
    found = recognise_device(Advert(ADDRESS, "OBDII", {}, {}, (service,), -60, 0, 0))

    assert (found.name if found else None) == profile
