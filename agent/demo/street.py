"""The demo's street: what can be heard on it, a virtual runner and a virtual car."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from random import Random
from typing import NamedTuple

from agent.home import Home
from agent.pipeline import Component
from agent.running import Ears
from agent.till import Till
from firmware_bridge.neighbourhood import Neighbourhood, Thing
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air
from ledger_client.log import open_database

UNIT_J = 36_000  # 0.01 kWh


class Street(NamedTuple):
    """Everything that can be heard, and what the things know of themselves."""

    ears: Ears
    neighbourhood: Neighbourhood


def component(thing: Thing) -> Component:
    """A virtual thing as somebody would have registered it."""
    return Component(
        alias=thing.alias,
        kind=thing.kind,
        address=thing.address,
        subject=thing.subject,
        profile=by_name(thing.profile),
        key=thing.key,
        silence_max_ms=int(thing.silence_max_s * 1000),
        pair=thing.pair,
    )


@asynccontextmanager
async def street(
    clock: Clock, seed: int, connections_max: int, meter_j: float
) -> AsyncIterator[Street]:
    """The same seed gives the same people and things; `meter_j` is where the charger goes on."""
    async with (
        Air(slots_max=connections_max) as air,
        Neighbourhood(air, clock, seed=seed, meter_j=meter_j) as hood,
    ):
        components = [component(thing) for thing in hood.things]
        devices = [
            Device(each.address, each.profile, each.pair, each.silence_max_ms / 1000)
            for each in components
        ]
        listener = Listener(
            VirtualBackend(air),
            devices,
            clock,
            Random(seed).random,  # noqa: S311  # jitter, not a secret
            Limits(connections_max=connections_max),
        )
        yield Street(Ears(listener, components), hood)


def units_sold(home: Home) -> int:
    """Units that the charger sold in earlier runs on this home: its meter goes on from there."""
    path = home.peer_till("charger")
    if not path.exists():
        return 0
    with closing(open_database(path)) as connection:
        return sum(sale.side.n for sale in Till.open(connection).sales())
