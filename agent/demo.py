"""The demo's street: a virtual runner and a virtual car on a virtual air, heard over real GATT bytes.

Nothing here fakes a stage: the listener, the pipeline, the log, the broker and the money are those
of any gateway. Only the things, and the two strangers they trade with, are ours as well.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

from agent.pipeline import Component
from firmware_bridge.neighbourhood import Neighbourhood, Thing
from firmware_bridge.profiles import by_name
from firmware_bridge.radio import Clock, Device
from firmware_bridge.radio.listener import Limits, Listener
from firmware_bridge.radio.virtual import VirtualBackend
from firmware_bridge.radio.virtual.air import Air


class Street(NamedTuple):
    """Everything that can be heard, and the radio that hears it."""

    listener: Listener
    components: list[Component]
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
async def street(clock: Clock, seed: int, connections_max: int) -> AsyncIterator[Street]:
    """The same seed gives the same people and things."""
    async with Air(slots_max=connections_max) as air, Neighbourhood(air, clock, seed=seed) as hood:
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
        yield Street(listener, components, hood)
