"""One demo put together: the honest market and, if wanted, those who cheat it."""

import msgspec

from agent.demo import came
from agent.demo.aircheats import QUIET, QUIET_MAX_S, SetClock
from agent.demo.market import Market
from agent.demo.parties import Parties
from agent.demo.programme import Programme
from agent.demo.street import Street
from agent.running import Running, Trade
from agent.status import Board, CheatView, Snapshot
from firmware_bridge.neighbourhood.cheats import Rogue

PATIENCE_S = {QUIET: QUIET_MAX_S}
"""In a demo with cheats: who may say nothing for less long than is usual."""


class Stage:
    """Everything of a demo that is not the gateway's own."""

    def __init__(
        self, parties: Parties, board: Board, street: Street, cheated: SetClock | None = None
    ) -> None:
        """With the clock that is going to be set back, a demo with cheats."""
        self.market = Market(parties, board, street.neighbourhood)
        self._programme: Programme | None = None
        if cheated is not None:
            rogue = Rogue(street.air, street.neighbourhood)
            self._programme = Programme(self.market, rogue, cheated)

    def trade(self) -> Trade:
        """Every deal."""
        honest = self.market.trade()
        return honest if self._programme is None else self._programme.added_to(honest)

    def watch(self, running: Running) -> None:
        """The joined gateway, before it runs: those who cheat it are judged by what it shows."""
        if self._programme is not None:
            self._programme.cheats.watch(running)

    def judge(self) -> None:
        """Look anew at what the cheats left."""
        if self._programme is not None:
            self._programme.cheats.judge()

    def cheats(self) -> tuple[CheatView, ...]:
        """Each cheat and what is found of it; none in an honest demo."""
        return () if self._programme is None else tuple(self._programme.cheats.views())

    def shown(self, now: Snapshot) -> Snapshot:
        """A snapshot of the gateway, and what is to be seen on its street."""
        return msgspec.structs.replace(
            now, agreements=came.views(self.market), cheats=self.cheats()
        )
