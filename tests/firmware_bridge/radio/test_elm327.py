import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from bleak import BleakClient, BleakScanner
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ForbiddenRequestError, LinkLostError
from firmware_bridge.neighbourhood.behaviour import Car
from firmware_bridge.neighbourhood.ecu import Ecu
from firmware_bridge.neighbourhood.things import Peripheral, Uart
from firmware_bridge.packets import Answer, Packet
from firmware_bridge.profiles import by_name, obd
from firmware_bridge.radio import Clock, Device, elm327
from firmware_bridge.radio.elm327 import Elm327
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air
from firmware_bridge.radio.virtual.client import VirtualClient
from firmware_bridge.radio.virtual.scanner import VirtualScanner

ADDRESS = "F0:00:00:00:02:05"


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it waits for other people's state
            await asyncio.sleep(0.01)


class Adapter:
    """Notes every line that reaches the vehicle's side, and answers it or, told so, does not."""

    def __init__(self) -> None:
        self.ecu = Ecu(Car(random.Random(1)))
        self.lines: list[str] = []
        self.mute = False
        self.noise = ""

    def answer(self, line: str) -> str:
        self.lines.append(line)
        return "" if self.mute else self.noise or self.ecu.answer(line)


@asynccontextmanager
async def plugged_in(adapter: Adapter) -> AsyncIterator[tuple[Air, BleakClient]]:
    async with Air() as air, asyncio.TaskGroup() as tasks:
        uart = Uart(air, "OBDII", ADDRESS, adapter.answer)
        await uart.switch_on()
        task = tasks.create_task(uart.serve())
        async with BleakScanner(backend=VirtualScanner, air=air) as scanner:
            await until(lambda: scanner.discovered_devices)
        async with BleakClient(scanner.discovered_devices[0], backend=VirtualClient) as client:
            yield air, client
        task.cancel()


async def test_it_initialises_and_then_asks() -> None:
    adapter = Adapter()
    async with plugged_in(adapter) as (_air, client):
        elm = Elm327(client)
        await elm.start()
        vin = await elm.ask("0902")

    assert adapter.lines == [*obd.INIT, "0902"]
    assert "7E8" in vin
    assert vin.endswith(">")


@pytest.mark.parametrize(
    "request_", ["04", "14FFFFFF", "2701", "3101FF00", "ATMA", "ATZ\r04", "0100\r04", "", "01"]
)
async def test_a_request_that_could_change_something_never_leaves(request_: str) -> None:
    adapter = Adapter()
    async with plugged_in(adapter) as (_air, client):
        elm = Elm327(client)
        with pytest.raises(ForbiddenRequestError):
            await elm.ask(request_)
        await asyncio.sleep(0.05)

    assert adapter.lines == []


class Wire:
    """A client that only notes what is written; it has the UART of the virtual adapter."""

    def __init__(self, services: object) -> None:
        self.services = services
        self.written = bytearray()

    async def write_gatt_char(self, _to: object, data: bytes, *, response: bool) -> None:
        del response
        self.written += data


async def test_whatever_is_asked_only_reading_services_are_written() -> None:
    async with plugged_in(Adapter()) as (_air, client):
        wire = Wire(client.services)
        elm = Elm327(wire)  # type: ignore[arg-type]  # as much of a client as it uses

        @given(
            line=st.one_of(st.text(max_size=12), st.from_regex(r"[0-9A-F ]{2,14}", fullmatch=True))
        )
        def ask(line: str) -> None:
            wire.written.clear()
            question = elm.ask(line)
            try:
                question.send(None)
            except ForbiddenRequestError:
                assert wire.written == b""
                return
            finally:
                question.close()
            assert bytes(wire.written[:2]) in {b"01", b"03", b"07", b"09", b"0A"}
            assert wire.written.count(b"\r") == 1

        ask()


async def test_an_adapter_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elm327, "ANSWER_MAX_S", 0.05)
    adapter = Adapter()
    adapter.mute = True
    async with plugged_in(adapter) as (_air, client):
        with pytest.raises(LinkLostError, match=r"no answer to ATZ within 0\.05 s"):
            await Elm327(client).start()


async def test_noise_without_an_end_is_given_up() -> None:
    adapter = Adapter()
    adapter.noise = "7" * 40_000
    async with plugged_in(adapter) as (_air, client):
        with pytest.raises(LinkLostError, match="dropped"):
            await Elm327(client).start()


async def test_a_late_answer_is_not_taken_for_the_next() -> None:
    adapter = Adapter()
    async with plugged_in(adapter) as (_air, client):
        elm = Elm327(client)
        await elm.start()
        adapter.noise = "SEARCHING...\rNO DATA\r\r>late\r\r>"
        await elm.ask("010C")
        adapter.noise = ""
        await asyncio.sleep(0.05)

        assert "410D" in await elm.ask("010D")


async def test_a_closed_line_raises_at_once() -> None:
    adapter = Adapter()
    async with plugged_in(adapter) as (_air, client):
        elm = Elm327(client)
        await elm.start()
        elm.close()

        with pytest.raises(LinkLostError):
            await elm.ask("010C")


async def test_a_device_without_a_uart_is_refused() -> None:
    async with Air() as air:
        await Peripheral(air, "pod", ADDRESS, service=0x1814, stream=0x2A53).switch_on()
        async with BleakScanner(backend=VirtualScanner, air=air) as scanner:
            await until(lambda: scanner.discovered_devices)
        async with BleakClient(scanner.discovered_devices[0], backend=VirtualClient) as client:
            with pytest.raises(LinkLostError, match="no UART service"):
                Elm327(client)


async def test_a_link_lost_in_a_question_comes_back_and_asks_again(clock: Clock) -> None:
    adapter = Adapter()
    packets: list[Packet] = []
    async with Air() as air, asyncio.TaskGroup() as tasks:
        uart = Uart(air, "OBDII", ADDRESS, adapter.answer)
        await uart.switch_on()
        device = Device(ADDRESS, by_name("obd"))
        limits = Limits(backoff_first_ms=20, tick_s=0.02)
        radio = Listener(VirtualBackend(air), [device], clock, random.Random(1).random, limits)
        running = [tasks.create_task(uart.serve()), tasks.create_task(radio.run(packets.append))]
        await until(lambda: len(packets) >= 3)
        adapter.mute = True
        count = len(adapter.lines)
        await until(lambda: len(adapter.lines) > count)
        air.sever(ADDRESS)
        await until(lambda: radio.links()[0].failures)
        adapter.mute = False
        packets.clear()
        await until(lambda: len(packets) >= 3)
        for task in running:
            task.cancel()

    assert all(isinstance(packet, Answer) for packet in packets)
    assert adapter.lines.count("ATZ") == 2
