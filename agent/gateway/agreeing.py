"""The home's agreements, read again while the gateway runs."""

import asyncio
from collections.abc import Callable

from agent.running import Connection
from agent.stores import Stores

LOOK_EVERY_S = 0.5


class Rereading:
    """What is signed, ended or withdrawn in the home holds from the next look on."""

    def __init__(self, stores: Stores, now_s: Callable[[], int]) -> None:
        self._stores = stores
        self._now_s = now_s

    async def run(self, _: Connection) -> None:
        """Look until cancelled."""
        while True:
            if self._stores.shelf.look(self._now_s()):
                self._stores.learn_streams()
            await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """Nothing is left open."""
