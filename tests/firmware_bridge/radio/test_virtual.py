import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakDBusError, BleakError

from firmware_bridge.links import Remedy
from firmware_bridge.neighbourhood import payloads
from firmware_bridge.neighbourhood.things import Peripheral, repeat
from firmware_bridge.packets import Advert, Notification, Packet, uuid128
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.faults import Away, Deaf, Latency, Sever, Slots, play
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air
from firmware_bridge.radio.virtual.client import VirtualClient
from firmware_bridge.radio.virtual.scanner import VirtualScanner

SHOE, STRAP, GLUCOSE = "F0:00:00:00:01:01", "F0:00:00:00:01:03", "F0:00:00:00:01:04"
QUICK = Limits(backoff_first_ms=20, backoff_max_ms=100, tick_s=0.02)


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it waits for other people's state
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(
    air: Air, clock: Clock, *devices: Device, limits: Limits = QUICK
) -> AsyncIterator[tuple[Listener, list[Packet]]]:
    packets: list[Packet] = []
    radio = Listener(VirtualBackend(air), devices, clock, random.Random(1).random, limits)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(radio.run(packets.append))
        yield radio, packets
        task.cancel()


async def shoe(air: Air, address: str = SHOE) -> Peripheral:
    pod = Peripheral(air, "pod", address, service=0x1814, stream=0x2A53)
    await pod.switch_on(lambda: 91)
    return pod


def runs(address: str = SHOE, silence_max_s: float = 30.0) -> Device:
    return Device(address, by_name("running"), silence_max_s=silence_max_s)


async def test_notifications_arrive_in_order_with_the_battery_in_front(clock: Clock) -> None:
    async with Air() as air:
        pod = await shoe(air)
        async with listening(air, clock, runs()) as (radio, packets):
            await until(lambda: radio.links()[0].state == "subscribed")
            for metre in range(20):
                await pod.say(payloads.running(3, 80, metre))
            await until(lambda: len(packets) == 21)

    first, *rest = [packet for packet in packets if isinstance(packet, Notification)]
    assert (first.characteristic, first.data) == (uuid128("2a19"), bytes([91]))
    assert [packet.data for packet in rest] == [payloads.running(3, 80, m) for m in range(20)]
    assert {packet.service for packet in rest} == {uuid128("1814")}
    assert all(packet.simulated and not packet.bonded for packet in rest)


async def test_a_severed_link_comes_back_by_itself(clock: Clock) -> None:
    async with Air() as air:
        pod = await shoe(air)
        async with listening(air, clock, runs()) as (radio, packets):
            await until(lambda: radio.links()[0].state == "subscribed")
            await play(air, [Sever(0, SHOE)])
            await until(lambda: radio.links()[0].failures == 1)
            assert radio.links()[0].error == "the link dropped"
            await until(lambda: radio.links()[0].state == "subscribed")
            await pod.say(payloads.running(3, 80, 1))
            await until(lambda: packets and packets[-1].simulated and len(packets) == 3)
            assert radio.links()[0].failures == 0


async def test_a_device_out_of_range_is_missing_and_then_heard_again(clock: Clock) -> None:
    async with Air() as air:
        await shoe(air)
        device = runs(silence_max_s=0.6)
        async with listening(air, clock, device) as (radio, _packets):
            await until(lambda: radio.links()[0].state == "subscribed")
            faults = asyncio.ensure_future(play(air, [Away(0, SHOE, for_s=2)]))  # noqa: TID251  # awaited below
            await until(lambda: radio.links()[0].state == "missing")
            await faults
            await until(lambda: radio.links()[0].state == "subscribed")


async def test_a_connected_device_that_says_nothing_is_hung_up_on(clock: Clock) -> None:
    async with Air() as air:
        await shoe(air)
        async with listening(air, clock, runs(silence_max_s=0.3)) as (radio, _packets):
            await until(lambda: radio.links()[0].failures)

            assert radio.links()[0].error == "it said nothing for 0.3 s"


async def test_an_encrypted_stream_is_bonded_once_and_encrypted_after(clock: Clock) -> None:
    async with Air() as air:
        sensor = Peripheral(air, "cgm", GLUCOSE, service=0x181F, stream=0x2AA7, encrypted=True)
        await sensor.switch_on()
        device = Device(GLUCOSE, by_name("cgm"), pair=True)
        async with listening(air, clock, device) as (radio, packets):
            for count in (1, 2):
                await until(lambda: radio.links()[0].state == "subscribed")
                await sensor.say(payloads.glucose(104.5, 5))
                await until(lambda: len(packets) == count)  # noqa: B023  # used at once
                air.sever(GLUCOSE)
                await until(lambda: radio.links()[0].state != "subscribed")

    assert all(isinstance(packet, Notification) and packet.bonded for packet in packets)


async def test_an_encrypted_stream_is_refused_without_pairing(clock: Clock) -> None:
    async with Air() as air:
        sensor = Peripheral(air, "cgm", GLUCOSE, service=0x181F, stream=0x2AA7, encrypted=True)
        await sensor.switch_on()
        device = Device(GLUCOSE, by_name("cgm"), pair=False)
        async with listening(air, clock, device) as (radio, packets):
            await until(lambda: radio.links()[0].failures)

            assert "Encryption" in radio.links()[0].error or "Auth" in radio.links()[0].error
            assert packets == []


async def test_a_bonded_device_that_lost_its_key_is_not_paired_with_again(clock: Clock) -> None:
    async with Air() as air:
        sensor = Peripheral(air, "cgm", GLUCOSE, service=0x181F, stream=0x2AA7, encrypted=True)
        await sensor.switch_on()
        device = Device(GLUCOSE, by_name("cgm"), pair=True)
        async with listening(air, clock, device) as (radio, _packets):
            await until(lambda: radio.links()[0].state == "subscribed")
            assert sensor.device.keystore is not None
            await sensor.device.keystore.delete_all()
            air.sever(GLUCOSE)
            await until(lambda: radio.links()[0].failures >= 2)

            assert "pair" in radio.links()[0].error


async def test_devices_wait_for_a_slot_and_none_is_asked_of_a_full_adapter(clock: Clock) -> None:
    async with Air(slots_max=1) as air:
        await shoe(air, SHOE)
        await shoe(air, STRAP)
        limits = Limits(connections_max=1, backoff_first_ms=20, tick_s=0.02)
        devices = (runs(SHOE), runs(STRAP))
        async with listening(air, clock, *devices, limits=limits) as (radio, _packets):
            await until(lambda: {v.state for v in radio.links()} == {"subscribed", "queued"})
            up = next(view.address for view in radio.links() if view.state == "subscribed")
            air.leave(up)
            await until(lambda: [v for v in radio.links() if v.state == "subscribed"])

            assert all(view.failures == 0 for view in radio.links() if view.address != up)


async def test_an_adapter_without_slots_makes_devices_back_off(clock: Clock) -> None:
    async with Air() as air:
        await shoe(air)
        await play(air, [Slots(0, 0)])
        async with listening(air, clock, runs()) as (radio, _packets):
            await until(lambda: radio.links()[0].failures >= 2)
            assert radio.links()[0].error == "out of connection slots"
            await play(air, [Slots(0, 1)])
            await until(lambda: radio.links()[0].state == "subscribed")


@pytest.mark.parametrize("remedy", [Remedy.REBUILD, Remedy.RESET])
async def test_a_scanner_that_went_deaf_hears_again(clock: Clock, remedy: Remedy) -> None:
    limits = Limits(scanner_silence_max_s=0.6, tick_s=0.02)
    async with Air() as air, asyncio.TaskGroup() as tasks:

        async def advertise() -> None:
            data = payloads.advertising(
                "TPMS1", manufacturer=b"\0\1" + payloads.tyre(b"6bytes", 2, 20, 5)
            )
            air.broadcast("F0:00:00:00:02:01", data)

        task = tasks.create_task(repeat(0.05, advertise))
        device = Device("F0:00:00:00:02:01", by_name("tyre"))
        async with listening(air, clock, device, limits=limits) as (radio, packets):
            await until(lambda: packets)
            await play(air, [Deaf(0, remedy)])
            await until(lambda: radio.health.scanner_rebuilds)
            count = len(packets)
            await until(lambda: len(packets) > count)
            assert radio.health.adapter_resets == (remedy is Remedy.RESET)
        task.cancel()


async def test_a_broadcaster_is_heard_once_for_each_time_and_never_connected_to(
    clock: Clock,
) -> None:
    payload = payloads.tyre(bytes.fromhex("80eaca10e046"), 248_941, 31.89, 75)
    data = payloads.advertising("TPMS1", manufacturer=b"\0\1" + payload)
    async with Air() as air:
        air.rssi_dbm[STRAP] = -71
        device = Device(STRAP, by_name("tyre"))
        async with listening(air, clock, device) as (radio, packets):
            await asyncio.sleep(0.1)
            for _ in range(3):
                air.broadcast(STRAP, data)
            await until(lambda: len(packets) == 3)
            asyncio.get_running_loop().call_later(0.1, air.broadcast, STRAP, data)
            assert [advert.address for advert in await radio.scan(0.2)] == [STRAP]
            assert radio.links()[0].state == "broadcasting"
            assert radio.links()[0].rssi_dbm == -71
        advert = packets[0]
        assert isinstance(advert, Advert)
        assert (advert.manufacturer_data, advert.name) == ({0x0100: payload}, "TPMS1")
        assert air.central.connections == {}


async def test_scanning_alone_needs_no_running_radio(clock: Clock) -> None:
    async with Air() as air:
        await shoe(air)
        radio = Listener(VirtualBackend(air), [], clock, random.Random(1).random)

        found = await radio.scan(1.0)

    assert [(advert.address, advert.service_uuids) for advert in found] == [
        (SHOE, (uuid128("1814"),))
    ]


async def test_a_slow_link_is_slow_and_nothing_else(clock: Clock) -> None:
    async with Air() as air:
        pod = await shoe(air)
        await play(air, [Latency(0, 0.02)])
        async with listening(air, clock, runs()) as (radio, packets):
            await until(lambda: radio.links()[0].state == "subscribed")
            await pod.say(payloads.running(3, 80, 1))
            await until(lambda: len(packets) == 2)


async def test_the_backend_keeps_bleaks_promises(clock: Clock) -> None:
    del clock
    async with Air(strict_bluez=True) as air:
        await shoe(air)
        async with BleakScanner(backend=VirtualScanner, air=air) as scanner:
            with pytest.raises(BleakDBusError, match="InProgress"):
                await BleakScanner(backend=VirtualScanner, air=air).start()
            await until(lambda: scanner.discovered_devices)
            found = scanner.discovered_devices[0]
        lost: list[BleakClient] = []
        async with BleakClient(found, lost.append, backend=VirtualClient) as client:
            assert client.is_connected
            assert (client.name, client.mtu_size) == ("pod", 247)
            with pytest.raises(BleakError, match="already"):
                await client.connect()
            stream = client.services.get_characteristic("2a53")
            assert stream is not None
            await client.start_notify(stream, lambda _sender, _data: None)
            with pytest.raises(BleakError, match="already on"):
                await client.start_notify(stream, lambda _sender, _data: None)
            await client.stop_notify(stream)
            assert await client.read_gatt_descriptor(stream.descriptors[0]) == b"\0\0"
            with pytest.raises(BleakError, match="at most 244"):
                await client.write_gatt_char(stream, bytes(245), response=False)
            await client.pair()
            await client.unpair()
            await until(lambda: lost)
            with pytest.raises(BleakError, match="not connected"):
                await client.pair()
    assert not client.is_connected


async def test_a_device_that_is_gone_is_not_found_in_time() -> None:
    async with Air() as air:
        await shoe(air)
        async with BleakScanner(backend=VirtualScanner, air=air) as scanner:
            await until(lambda: scanner.discovered_devices)
        air.leave(SHOE)
        client = BleakClient(scanner.discovered_devices[0], timeout=0.2, backend=VirtualClient)

        with pytest.raises(BleakError, match="did not answer in"):
            await client.connect()

        assert air.slots_used == 0
