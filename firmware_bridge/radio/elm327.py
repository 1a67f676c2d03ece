"""The line to an ELM327 adapter over a BLE UART: one request, one answer, and nothing that writes.

`_write` is the only place from which bytes go to a vehicle. It lets the fixed initialisation pass,
and what `obd.check_request` allows: services 01, 03, 07, 09 and 0A.
"""

import asyncio

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic

from firmware_bridge.assembly import PromptFramer
from firmware_bridge.cancellation import stop_if_cancelled
from firmware_bridge.errors import DecodeError, LinkLostError
from firmware_bridge.packets import uuid128
from firmware_bridge.profiles import obd

GATT_VALUE_BYTES_MAX = 512  # Bluetooth Core, volume 3, part F, 3.2.9; BlueZ reports 514 at MTU 517
ANSWER_MAX_S = 10.0  # finding the protocol (SEARCHING...) takes an adapter several seconds
ANSWERS_MAX = 4
UART_SERVICES = (
    uuid128("fff0"),  # vLinker, Vgate, most clones
    uuid128("18f0"),  # Veepeak, LELink
    uuid128("ffe0"),  # HM-10 modules
    "e7810a71-73ae-499d-8c15-faa9aef0c3f2",  # IOS-Vlink
    "6e400001-b5a3-f393-e0a9-e50e24dcca9e",  # Nordic UART
    "49535343-fe7d-4ae5-8fa9-9fafd205e455",  # Microchip transparent UART
)


class Elm327:
    """One adapter on a connected client. Not for several requests at a time."""

    def __init__(self, client: BleakClient) -> None:
        self._client = client
        self._answers, self._requests = _uart(client)
        self._framer = PromptFramer()
        self._inbox: asyncio.Queue[str | None] = asyncio.Queue(ANSWERS_MAX)

    async def start(self) -> None:
        """Subscribe and send the initialisation."""
        await self._client.start_notify(self._answers, self._heard)
        for command in obd.INIT:
            await self._exchange(command)

    async def ask(self, request: str) -> str:
        """The raw text that answered, prompt included.

        Raises ForbiddenRequestError for a request that could change something in the vehicle, and
        LinkLostError when the link goes or nothing came within `ANSWER_MAX_S`.
        """
        return await self._exchange(obd.check_request(request))

    def close(self) -> None:
        """The link is gone: whoever waits for an answer gets an error."""
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)

    async def _exchange(self, line: str) -> str:
        while not self._inbox.empty():  # a late answer to an earlier request is not this one's
            if self._inbox.get_nowait() is None:
                raise LinkLostError("the link dropped")
        self._framer.reset()
        await self._write(line)
        try:
            async with asyncio.timeout(ANSWER_MAX_S):
                answer = await self._inbox.get()
        except TimeoutError:
            raise LinkLostError(f"no answer to {line} within {ANSWER_MAX_S:g} s") from None
        if answer is None:
            raise LinkLostError("the link dropped")
        return answer

    async def _write(self, line: str) -> None:
        text = line if line in obd.INIT else obd.check_request(line)
        data = text.encode("ascii") + b"\r"
        size = min(self._requests.max_write_without_response_size, GATT_VALUE_BYTES_MAX)
        response = "write" in self._requests.properties
        for at in range(0, len(data), size):
            chunk = data[at : at + size]
            await self._client.write_gatt_char(self._requests, chunk, response=response)
        stop_if_cancelled()

    def _heard(self, _characteristic: BleakGATTCharacteristic, data: bytearray) -> None:
        try:
            answers = self._framer.feed(bytes(data))
        except DecodeError:
            self.close()  # it does not speak the protocol: start over with a new link
            return
        for answer in answers:
            if not self._inbox.full():
                self._inbox.put_nowait(answer)


def _uart(client: BleakClient) -> tuple[BleakGATTCharacteristic, BleakGATTCharacteristic]:
    """Where answers come from and requests go to, of the first UART service that is there."""
    for uuid in UART_SERVICES:
        service = client.services.get_service(uuid)
        if service is None:
            continue
        found = service.characteristics
        answers = [each for each in found if {"notify", "indicate"} & set(each.properties)]
        requests = [
            each for each in found if {"write", "write-without-response"} & set(each.properties)
        ]
        both = [each for each in answers if each in requests]  # some modules use one for both
        answers.sort(key=lambda each: each in both)
        requests.sort(key=lambda each: each in both)
        if answers and requests:
            return answers[0], requests[0]
    raise LinkLostError("it has no UART service that is known")
