import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import pytest

from firmware_bridge.errors import RadioUnavailableError
from firmware_bridge.packets import Notification, Packet, uuid128
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.adapter import what_is_missing
from firmware_bridge.radio.bluez import BluezBackend
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.pairing_agent import address_of

STRAP = "C8:0F:10:00:00:01"
if TYPE_CHECKING:
    from tests.firmware_bridge.radio.conftest import FakeBluez

QUICK = Limits(backoff_first_ms=50, tick_s=0.02)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it waits for other people's state
            await asyncio.sleep(0.01)


def listener(clock: Clock, *, pair: bool, limits: Limits = QUICK) -> Listener:
    device = Device(STRAP, by_name("heart-rate"), pair=pair)
    backend = BluezBackend("hci0", [STRAP] if pair else [])
    return Listener(backend, [device], clock, random.Random(1).random, limits)


@contextlib.asynccontextmanager
async def running(radio: Listener, packets: list[Packet]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(radio.run(packets.append))
        yield
        task.cancel()


async def test_a_strap_is_found_paired_read_and_streamed_over_dbus(
    bluez: "FakeBluez", clock: Clock
) -> None:
    radio, packets = listener(clock, pair=True), list[Packet]()

    async with running(radio, packets):
        await until(lambda: bluez.adapter.scans)
        bluez.strap.advertise()
        await until(lambda: bluez.heart.notifying)
        bluez.heart.say(bytes([0, 71]))
        bluez.heart.say(bytes([0, 72]))
        await until(lambda: len(packets) == 3)

    battery, *beats = [packet for packet in packets if isinstance(packet, Notification)]
    assert battery.characteristic == uuid128("2a19")
    assert [beat.data for beat in beats] == [bytes([0, 71]), bytes([0, 72])]
    assert all(packet.bonded and not packet.simulated for packet in (battery, *beats))
    assert bluez.agents.registered == [("/milepost/pairing", "NoInputNoOutput")]
    assert bluez.strap.trusted
    assert bluez.adapter.powered
    assert bluez.adapter.filters[0]["DuplicateData"].value is True


async def test_a_device_that_may_not_pair_is_refused_by_the_agent(
    bluez: "FakeBluez", clock: Clock
) -> None:
    radio = listener(clock, pair=False)

    async with running(radio, []):
        await until(lambda: bluez.agents.default)
        with pytest.raises(Exception, match="is not a component that may pair"):
            await bluez.ask_agent()


async def test_pairing_that_is_refused_backs_off_with_the_reason(
    bluez: "FakeBluez", clock: Clock
) -> None:
    device = Device(STRAP, by_name("heart-rate"), pair=True)
    radio = Listener(BluezBackend("hci0", []), [device], clock, random.Random(1).random, QUICK)
    packets: list[Packet] = []

    async with running(radio, packets):
        await until(lambda: bluez.adapter.scans)
        bluez.strap.advertise()
        await until(lambda: radio.links()[0].failures)

    assert "did not pair" in radio.links()[0].error
    assert packets == []


async def test_a_lost_link_is_made_again_from_a_fresh_device(
    bluez: "FakeBluez", clock: Clock
) -> None:
    radio, packets = listener(clock, pair=False), list[Packet]()

    async with running(radio, packets):
        await until(lambda: bluez.adapter.scans)
        bluez.strap.advertise()
        await until(lambda: bluez.heart.notifying)
        bluez.heart.notifying = False
        bluez.strap.change(connected=False)
        await until(lambda: radio.links()[0].failures == 1)
        assert radio.links()[0].error == "the link dropped"
        while not bluez.heart.notifying:
            bluez.strap.advertise()
            await asyncio.sleep(0.02)
        bluez.heart.say(bytes([0, 70]))
        await until(
            lambda: radio.links()[0].state == "subscribed" and not radio.links()[0].failures
        )


async def test_a_scanner_that_hears_nothing_is_rebuilt_and_then_the_adapter_reset(
    bluez: "FakeBluez", clock: Clock
) -> None:
    radio = listener(clock, pair=False, limits=Limits(scanner_silence_max_s=0.2, tick_s=0.02))

    async with running(radio, []):
        await until(lambda: bluez.adapter.power_log == [True, False, True])

    assert bluez.adapter.scans >= 2
    assert radio.health.adapter_resets >= 1
    assert radio.health.scanner_rebuilds > radio.health.adapter_resets


@pytest.mark.usefixtures("system_bus")
async def test_what_is_missing_is_named_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "enable --now bluetooth" in await what_is_missing("hci0")

    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")

    assert "apt install dbus" in await what_is_missing("hci0")


@pytest.mark.usefixtures("bluez")
async def test_another_adapter_is_named_when_the_wanted_one_is_not_there() -> None:
    assert await what_is_missing("hci0") == ""
    assert "no adapter hci7 (there is: hci0)" in await what_is_missing("hci7")


async def test_a_blocked_adapter_ends_the_radio_with_rfkill(
    bluez: "FakeBluez", clock: Clock
) -> None:
    bluez.adapter.blocked = True

    with pytest.raises(RadioUnavailableError, match="rfkill unblock"):
        await listener(clock, pair=False).run(lambda _packet: None)


def test_an_object_path_gives_its_address() -> None:
    assert address_of("/org/bluez/hci1/dev_c8_0F_10_00_00_01") == STRAP
