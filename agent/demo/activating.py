"""The brand at work on its activation grant: it attests what it hears of, and the log keeps it.

Shoes are activated when both were heard; a further wearable counts when it is paired and heard.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from agent import agreed
from agent.demo.deeds import GLUCOSE, STRAP, Deeds
from agent.demo.parties import Parties
from agent.export import write_whole
from agent.running import Connection
from agent.status import Board
from ledger_client import activations, consents, dues, statements
from ledger_client.dues import Activation, Entitlement
from ledger_client.keys import PublicKey, SigningKey

LOOK_EVERY_S = 1.0
BOX = "ONE-PAIR-A-BOX-0001"


class Thing(NamedTuple):
    """What is activated: by which code of its box, which wearable, once these were heard."""

    code: str
    wearable: str
    heard: tuple[str, ...]


THINGS = (
    Thing(BOX, "", ("shoe-left", "shoe-right")),
    Thing("STRAP-OF-THE-RUNNER", STRAP, ("heart-strap",)),
    Thing("SENSOR-OF-THE-RUNNER", GLUCOSE, ("glucose",)),
)


class Activating:
    """One brand's attestations for one holder, as a deal."""

    def __init__(
        self, parties: Parties, deeds: Deeds, brand: SigningKey, holder: PublicKey, board: Board
    ) -> None:
        self._parties = parties
        self._deeds = deeds
        self._brand = brand
        self._holder = holder
        self._board = board
        self._found: list[Activation] = []
        log = parties.stores.log
        for entry in log.entries():
            self._note(statements.verify(entry.statement))

    async def run(self, connection: Connection) -> None:
        """Attest each thing once, as soon as it was heard."""
        del connection
        while waiting := self._waiting():
            for thing in waiting:
                if all(self._heard(alias) for alias in thing.heard):
                    self._attest(thing)
            await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """Nothing to settle: units are not money."""

    @property
    def done(self) -> int:
        """How many things are activated by now."""
        return len(self._found)

    def entitlements(self, now_s: int) -> Sequence[Entitlement]:
        """What follows from the activations on the log."""
        grant = self._deeds.activation
        standing = consents.standing(grant, self._deeds.grant.acts, now_s)
        return dues.entitlements(grant, standing, self._found)

    def _waiting(self) -> list[Thing]:
        known = {(each.device, each.wearable) for each in self._found}
        return [each for each in THINGS if (self._device(each).hex(), each.wearable) not in known]

    def _device(self, thing: Thing) -> bytes:
        return activations.device_of(self._deeds.grant.digest, thing.code)

    def _heard(self, alias: str) -> bool:
        return self._board.view(alias, "", "", "").heard_ms is not None

    def _attest(self, thing: Thing) -> None:
        stores, now_s = self._parties.stores, self._parties.now_s()
        signed = activations.sign(
            self._brand,
            self._deeds.grant.digest,
            self._holder,
            self._device(thing),
            thing.wearable,
            now_s,
        )
        statement = statements.verify(signed)
        write_whole(stores.home.path / agreed.FOLDER / f"{statement.digest.hex()}.act", signed)
        stores.log.append([(statement.digest, signed)], now_s)
        self._note(statement)

    def _note(self, statement: statements.Statement) -> None:
        self._found += activations.of(self._deeds.activation, [statement])
