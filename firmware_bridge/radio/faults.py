"""Faults of the virtual radio as data: what goes wrong, with whom, and when."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.links import Remedy
from firmware_bridge.radio.virtual.air import Air


@dataclass(frozen=True, slots=True)
class Sever:
    """The link drops without a word; the device stays within reach."""

    at_s: float
    address: str


@dataclass(frozen=True, slots=True)
class Away:
    """The device goes out of range and comes back."""

    at_s: float
    address: str
    for_s: float


@dataclass(frozen=True, slots=True)
class Deaf:
    """The scanner hears nothing more and says nothing about it, until `remedy`."""

    at_s: float
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Latency:
    """Every data packet takes `seconds` longer from now on."""

    at_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Slots:
    """The adapter has `slots_max` connection slots from now on."""

    at_s: float
    slots_max: int


Fault = Sever | Away | Deaf | Latency | Slots


async def play(air: Air, faults: Sequence[Fault]) -> None:
    """Let every fault happen at its time, counted from now, and return after the last one."""
    async with asyncio.TaskGroup() as tasks:
        for fault in faults:
            tasks.create_task(_happen(air, fault))


async def _happen(air: Air, fault: Fault) -> None:
    await asyncio.sleep(fault.at_s)
    match fault:
        case Sever(address=address):
            air.sever(address)
        case Away(address=address, for_s=for_s):
            air.leave(address)
            await asyncio.sleep(for_s)
            air.come_back(address)
        case Deaf(remedy=remedy):
            air.ether.deaf = remedy
        case Latency(seconds=seconds):
            air.ether.latency_s = seconds
        case Slots(slots_max=slots_max):
            air.slots_max = slots_max
