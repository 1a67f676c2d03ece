"""The demo's street: what can be heard on it, a virtual runner and a virtual car."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from random import Random
from types import MappingProxyType
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
from ledger_client.database import open_database

UNIT_J = 36_000  # 0.01 kWh


class Street(NamedTuple):
    """Everything that can be heard, and what the things know of themselves."""

    ears: Ears
    neighbourhood: Neighbourhood
    air: Air


def component(thing: Thing, silence_max_s: float | None = None) -> Component:
    """A virtual thing as somebody would have registered it, with as much patience as is usual."""
    return Component(
        alias=thing.alias,
        kind=thing.kind,
        address=thing.address,
        subject=thing.subject,
        profile=by_name(thing.profile),
        key=thing.key,
        silence_max_ms=int((silence_max_s or thing.silence_max_s) * 1000),
        pair=thing.pair,
    )


@asynccontextmanager
async def street(
    clock: Clock,
    seed: int,
    connections_max: int,
    meter_j: float,
    silence_max_s: Mapping[str, float] = MappingProxyType({}),
) -> AsyncIterator[Street]:
    """The same seed gives the same people and things; `meter_j` is where the charger goes on.

    `silence_max_s` says, by alias, who may say nothing for less long than is usual.
    """
    async with (
        Air(slots_max=connections_max) as air,
        Neighbourhood(air, clock, seed=seed, meter_j=meter_j) as hood,
    ):
        components = [component(thing, silence_max_s.get(thing.alias)) for thing in hood.things]
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
        yield Street(Ears(listener, components), hood, air)


def units_sold(home: Home) -> int:
    """Units that the charger sold in earlier runs on this home: its meter goes on from there."""
    path = home.peer_till("charger")
    if not path.exists():
        return 0
    with closing(open_database(path)) as connection:
        return sum(sale.side.n for sale in Till.open(connection).sales())
