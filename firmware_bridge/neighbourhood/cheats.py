"""Somebody with a radio of their own within reach of the street, who hears all and sends anything.

Each act returns what to look for afterwards: the fingerprint by which every packet is known in
every leaf of a record. Nothing here knows what the gateway makes of it.
"""

import random
from typing import NamedTuple

from firmware_bridge.neighbourhood import TYRE_COMPANY, Neighbourhood, payloads, tyre_identity
from firmware_bridge.neighbourhood.behaviour import TYRES, Runner
from firmware_bridge.packets import Advert, Notification, uuid128
from firmware_bridge.radio.virtual.air import Air

ELSEWHERE = "F0:00:00:00:0E:01"  # an address that nobody registered
LESS_PA = 18_000.0
BATTERY_PERCENT = 77
CORNER = 0
STRAP, CHARGER = "heart-strap", "charger"
HEART_RATE_SERVICE, HEART_RATE_MEASUREMENT = "180d", "2a37"


class Sent(NamedTuple):
    """A packet that went out: from which address, and its fingerprint of 8 bytes."""

    address: str
    fingerprint: bytes


class Rogue:
    """The one with the radio. Tyres and strap speak in the clear; the charger's bytes do not."""

    def __init__(self, air: Air, hood: Neighbourhood) -> None:
        self._air = air
        self._hood = hood
        self._addresses = {thing.alias: thing.address for thing in hood.things}

    def address(self, alias: str) -> str:
        """The address from which a thing is heard."""
        return self._addresses[alias]

    def overheard(self, alias: str) -> bytes:
        """The newest bytes of a thing, as they went over the air; empty before the first."""
        return self._hood.said.get(alias, b"")

    def clone_tyre(self, address: str) -> Sent:
        """Be the first tyre, with its id and a believable pressure, from that address."""
        tyre = self._hood.car.tyres[CORNER]
        pressure_pa = tyre.pressure_pa - LESS_PA
        payload = payloads.tyre(
            tyre_identity(CORNER), pressure_pa, tyre.temperature_cel, BATTERY_PERCENT
        )
        company = TYRE_COMPANY.to_bytes(2, "little")
        self._air.broadcast(
            address, payloads.advertising(f"TPMS{CORNER + 1}", manufacturer=company + payload)
        )
        advert = Advert(address, "", {TYRE_COMPANY: payload}, {}, (), 0, 0, 0)
        return Sent(address, advert.digest())

    @property
    def first_tyre(self) -> str:
        """The address of the tyre that is cloned."""
        return next(iter(TYRES.values()))

    async def replay_beat(self, beat: bytes) -> Sent:
        """Say an old heart beat once more on the strap's open link, as who sits in between can."""
        await self._hood.strap.say(beat)
        return self.beat(beat)

    def beat(self, data: bytes) -> Sent:
        """A heart beat of the strap, as it is found in a record."""
        address = self._addresses[STRAP]
        packet = Notification(
            address,
            uuid128(HEART_RATE_SERVICE),
            uuid128(HEART_RATE_MEASUREMENT),
            data,
            bonded=False,
            wall_ms=0,
            boottime_ms=0,
        )
        return Sent(address, packet.digest())

    def replay_frame(self, frame: bytes) -> Sent:
        """Broadcast an old, encrypted frame of the charger once more."""
        address = self._addresses[CHARGER]
        self._air.broadcast(address, frame)
        uuid = payloads.BTHOME_UUID
        start = frame.index(uuid.to_bytes(2, "little")) + 2
        size = frame[start - 4] - 3  # the length in front of type and uuid counts them, too
        sealed = {uuid128(f"{uuid:04x}"): frame[start : start + size]}
        return Sent(address, Advert(address, "", {}, sealed, (), 0, 0, 0).digest())

    def take_away(self, alias: str) -> None:
        """Carry a thing out of reach."""
        self._air.leave(self._addresses[alias])

    def bring_back(self, alias: str) -> None:
        """Bring it back."""
        self._air.come_back(self._addresses[alias])

    def lend_strap(self, seed: int) -> None:
        """Put the runner's strap on somebody else's chest."""
        self._hood.wearer = Runner(random.Random(seed))  # noqa: S311  # a simulation repeats by its seed

    def return_strap(self) -> None:
        """The runner wears it again."""
        self._hood.wearer = self._hood.runner
