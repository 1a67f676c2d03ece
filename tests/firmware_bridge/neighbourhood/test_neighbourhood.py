import asyncio
import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from firmware_bridge.neighbourhood import Neighbourhood
from firmware_bridge.neighbourhood.crowd import Crowd
from firmware_bridge.packets import Advert, Answer, Packet
from firmware_bridge.profiles import by_name, decode
from firmware_bridge.profiles.bthome import counter
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air
from firmware_bridge.readings import Provenance

EXPECTED = {
    "shoe-left": {"speed", "cadence", "stride_length", "distance", "battery_level"},
    "shoe-right": {"speed", "cadence", "stride_length", "distance", "battery_level"},
    "heart-strap": {
        "heart_rate",
        "rr_interval",
        "energy_expended",
        "sensor_contact",
        "battery_level",
    },
    "glucose": {"glucose"},
    **{
        f"tyre-{corner}": {"tyre_pressure", "temperature", "battery_level"}
        for corner in ("front-left", "front-right", "rear-left", "rear-right")
    },
    "obd": {"engine_speed", "speed", "coolant_temperature", "fuel_level", "vin", "dtc", "odometer"},
    "battery-12v": {"battery_level", "voltage", "current"},
    "charger": {"energy", "power", "voltage", "current"},
}


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it waits for other people's state
            await asyncio.sleep(0.05)


async def test_everything_in_the_neighbourhood_is_heard_over_real_gatt_bytes(clock: Clock) -> None:
    packets: list[Packet] = []
    heard: dict[str, set[str]] = defaultdict(set)

    async with (
        Air() as air,
        Neighbourhood(air, clock, seed=4) as hood,
        asyncio.TaskGroup() as tasks,
    ):
        things = {thing.address: thing for thing in hood.things}
        devices = [Device(t.address, by_name(t.profile), t.pair) for t in hood.things]
        radio = Listener(VirtualBackend(air), devices, clock, random.Random(1).random)

        def take(packet: Packet) -> None:
            packets.append(packet)
            thing = things[packet.address]
            for reading in decode(packet, by_name(thing.profile), thing.key):
                heard[thing.alias].add(reading.quantity)
                assert reading.provenance == Provenance.SIMULATED

        task = tasks.create_task(radio.run(take))
        await until(lambda: all(heard[alias] >= wanted for alias, wanted in EXPECTED.items()))
        task.cancel()

    assert {view.failures for view in radio.links()} == {0}
    assert all(packet.simulated for packet in packets)
    assert any(isinstance(packet, Answer) for packet in packets)
    counters = [
        counter(packet) or 0
        for packet in packets
        if isinstance(packet, Advert) and things[packet.address].alias == "charger"
    ]
    assert counters == sorted(set(counters))


async def test_the_same_seed_gives_the_same_things_and_keys(clock: Clock) -> None:
    async with Air() as air:
        assert Neighbourhood(air, clock, seed=4).things == Neighbourhood(air, clock, seed=4).things
        assert Neighbourhood(air, clock, seed=4).things != Neighbourhood(air, clock, seed=5).things
        assert "key" not in repr(Neighbourhood(air, clock).things)


async def test_a_crowd_loses_nothing_and_keeps_its_order(clock: Clock) -> None:
    heard: dict[str, list[int]] = defaultdict(list)
    profile = by_name("running")

    def take(packet: Packet) -> None:
        distance_m = next(r.value for r in decode(packet, profile) if r.quantity == "distance")
        assert isinstance(distance_m, float)
        heard[packet.address].append(round(distance_m * 10))

    async with Air() as air, Crowd(air, 12, 20) as crowd, asyncio.TaskGroup() as tasks:
        devices = [Device(thing.address, profile) for thing in crowd.things]
        limits = Limits(connections_max=12)
        radio = Listener(VirtualBackend(air), devices, clock, random.Random(1).random, limits)
        task = tasks.create_task(radio.run(take))
        await until(lambda: all(view.state == "subscribed" for view in radio.links()))
        crowd.start()
        await until(lambda: min(crowd.said.values()) >= 40)
        crowd.stop()
        await asyncio.sleep(0.2)  # whoever woke already says one more
        await until(lambda: sum(map(len, heard.values())) >= sum(crowd.said.values()))
        task.cancel()

    assert {address: list(range(1, n + 1)) for address, n in crowd.said.items()} == heard


async def test_a_crowd_has_a_limit() -> None:
    async with Air() as air:
        with pytest.raises(ValueError, match="1 to 250"):
            Crowd(air, 251, 10)
