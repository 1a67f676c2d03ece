"""A radio that is told to end ends, also where a library keeps the cancellation to itself.

`asyncio.wait_for` of Python 3.11 does, when what it waits for is done at the same moment; bleak and
dbus_fast use it. Here each call into the backend does, one at a time.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementDataCallback

from firmware_bridge.neighbourhood.behaviour import Car
from firmware_bridge.neighbourhood.ecu import Ecu
from firmware_bridge.neighbourhood.things import Peripheral, Uart
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air
from firmware_bridge.radio.virtual.client import VirtualClient
from firmware_bridge.radio.virtual.scanner import VirtualScanner

SHOE = "F0:00:00:00:01:01"
OBD = "F0:00:00:00:02:05"
CALLS = ("start", "stop", "reset", "connect", "pair", "subscribe", "disconnect")


class Swallowing:
    """Waits within one call, and takes a cancellation there for an answer."""

    def __init__(self, call: str) -> None:
        self._call = call
        self.reached = asyncio.Event()

    async def within(self, call: str) -> None:
        if call == self._call and not self.reached.is_set():
            self.reached.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(5)


class Scanner(BleakScanner):
    def __init__(self, heard: AdvertisementDataCallback, air: Air, swallowing: Swallowing) -> None:
        super().__init__(heard, backend=VirtualScanner, air=air)
        self._swallowing = swallowing

    async def start(self) -> None:
        await super().start()
        await self._swallowing.within("start")

    async def stop(self) -> None:
        await super().stop()
        await self._swallowing.within("stop")


class Client(BleakClient):
    swallowing: Swallowing

    async def start_notify(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # as bleak's
        await super().start_notify(*args, **options)
        await self.swallowing.within("subscribe")

    async def write_gatt_char(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # as bleak's
        await super().write_gatt_char(*args, **options)
        if args[1].startswith(b"01"):  # a question of the endless round, not the initialisation
            await self.swallowing.within("write")

    async def disconnect(self) -> None:
        await super().disconnect()
        await self.swallowing.within("disconnect")


class Backend(VirtualBackend):
    def __init__(self, air: Air, swallowing: Swallowing) -> None:
        super().__init__(air)
        self._swallowing = swallowing

    def scanner(self, heard: AdvertisementDataCallback) -> BleakScanner:
        return Scanner(heard, self._air, self._swallowing)

    async def connect(
        self, device: BLEDevice, lost: Callable[[Any], None], timeout_s: float
    ) -> BleakClient:
        client = Client(device, lost, timeout=timeout_s, backend=VirtualClient)
        client.swallowing = self._swallowing
        await client.connect()
        await self._swallowing.within("connect")
        return client

    async def pair(self, client: BleakClient) -> None:
        await super().pair(client)
        await self._swallowing.within("pair")

    async def reset_adapter(self) -> None:
        await self._swallowing.within("reset")


@pytest.mark.parametrize("call", CALLS)
async def test_a_cancellation_that_a_library_keeps_to_itself_still_ends_the_radio(
    clock: Clock, call: str
) -> None:
    swallowing = Swallowing(call)
    empty = call in {"stop", "reset"}  # of the scanner and the adapter, after silence
    limits = Limits(scanner_silence_max_s=0.1 if empty else 60, backoff_first_ms=20, tick_s=0.02)
    async with Air() as air:
        if not empty:
            await Peripheral(air, "pod", SHOE, service=0x1814, stream=0x2A53).switch_on()
        device = Device(SHOE, by_name("running"), pair=call == "pair")
        radio = Listener(Backend(air, swallowing), [device], clock, random.Random(1).random, limits)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(radio.run(lambda _packet: None))
            async with asyncio.timeout(8):
                if call == "disconnect":
                    while radio.links()[0].state != "subscribed":  # noqa: ASYNC110  # theirs
                        await asyncio.sleep(0.01)
                    air.sever(SHOE)
                await swallowing.reached.wait()
            task.cancel()
            ended, _ = await asyncio.wait([task], timeout=8)
            for other in asyncio.all_tasks() - {asyncio.current_task()} if not ended else ():
                other.cancel()  # a task group does not ask twice: a failure would hang

    assert ended


async def test_a_question_to_a_vehicle_that_keeps_the_cancellation_still_ends_the_radio(
    clock: Clock,
) -> None:
    swallowing = Swallowing("write")
    async with Air() as air, asyncio.TaskGroup() as tasks:
        adapter = Uart(air, "OBDII", OBD, Ecu(Car(random.Random(1))).answer)
        await adapter.switch_on()
        serving = tasks.create_task(adapter.serve())
        device = Device(OBD, by_name("obd"))
        backend = Backend(air, swallowing)
        radio = Listener(backend, [device], clock, random.Random(1).random, Limits(tick_s=0.02))
        task = tasks.create_task(radio.run(lambda _packet: None))
        async with asyncio.timeout(8):
            await swallowing.reached.wait()

        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=8)
        for other in asyncio.all_tasks() - {asyncio.current_task()} if not ended else ():
            other.cancel()
        serving.cancel()

    assert ended
