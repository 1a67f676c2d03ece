"""The ledgers on which one party pays: our own book, and by agreement those of other gateways.

A ledger that did not answer is left alone for a while, so that it holds up nothing on the others.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agent.broker import Broker
from agent.remote import Ledger, Limits, RemoteSettlement
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError
from ledger_client.keepers import Keeper
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.settlement import AwayError, Claim, Outcome, RefusedError, Settlement, View

REST_S = 15.0
LEDGERS_MAX = 64
PATIENCE = Limits(answer_max_s=5.0)


class Ledgers:
    """The `Settlement` of `key` on all of them, while `run` runs.

    Beside what the protocol says, whatever is elsewhere raises AwayError.
    """

    def __init__(
        self,
        key: SigningKey,
        own: Settlement,
        terms_of: Callable[[bytes], Terms | None],
        patience: Limits = PATIENCE,
    ) -> None:
        """`terms_of` finds the terms of a channel that we have, by its id."""
        self._key = key
        self._own = own
        self._terms_of = terms_of
        self._patience = patience
        self._where: dict[bytes, Ledger] = {}
        self._others: dict[Ledger, RemoteSettlement] = {}
        self._resting: dict[Ledger, float] = {}
        self._more = asyncio.Event()

    def know(self, keeper: Keeper) -> None:
        """From now on the channels of this agreement are on that ledger.

        Raises:
            RemoteError: too many ledgers.
        """
        ledger = Ledger(keeper.gateway.short_id, keeper.ledger, keeper.demo)
        if ledger not in self._others:
            if len(self._others) >= LEDGERS_MAX:
                raise RemoteError(f"more than {LEDGERS_MAX} ledgers elsewhere")
            self._others[ledger] = RemoteSettlement(self._key, ledger, self._patience)
            self._more.set()
        self._where[keeper.agreement] = ledger

    async def run(self, broker: Broker) -> None:
        """Listen for the answers of each until cancelled."""
        started: set[Ledger] = set()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._more.clear()
                for ledger in self._others.keys() - started:
                    tasks.create_task(self._others[ledger].run(broker))
                    started.add(ledger)
                await self._more.wait()

    @property
    def ledger(self) -> str:
        """The name of our own."""
        return self._own.ledger

    @property
    def demo(self) -> bool:
        """Whether our own takes channels that carry simulated readings."""
        return self._own.demo

    async def balance(self, holder: PublicKey) -> int:
        """Minor units that `holder` can spend on our own."""
        return await self._own.balance(holder)

    async def open(self, terms: Terms, funded: int) -> View:
        """Open or top up to `funded`; raises RefusedError."""
        with self._at(terms) as settlement:
            return await settlement.open(terms, funded)

    async def status(self, channel: bytes) -> View | None:
        """The channel as it stands; one that we do not have is looked for everywhere."""
        terms = self._terms_of(channel)
        try:
            if terms is not None:
                with self._at(terms) as settlement:
                    return await settlement.status(channel)
            view = await self._own.status(channel)
            for ledger in list(self._others):
                if view is None:
                    with self._rested(ledger) as settlement:
                        view = await settlement.status(channel)
        except RefusedError as error:  # to a question
            raise AwayError(str(error)) from error
        return view

    async def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay the payees; bad claims are skipped and say why, those where nobody answers, too."""
        places: dict[tuple[str, Ledger | None], list[Claim]] = {}
        for claim in claims:
            place = claim.terms.ledger, self._where.get(claim.terms.agreement)
            places.setdefault(place, []).append(claim)
        found: dict[bytes, Outcome] = {}
        for some in places.values():
            for outcome in await self._claimed(some):
                found[outcome.channel] = outcome
        return [found[claim.terms.channel] for claim in claims]

    async def _claimed(self, some: Sequence[Claim]) -> list[Outcome]:
        """On one ledger."""
        try:
            with self._at(some[0].terms) as settlement:
                return await settlement.claim(some)
        except (AwayError, RefusedError) as error:
            return [Outcome(claim.terms.channel, 0, str(error)) for claim in some]

    async def close(self, channel: bytes) -> View:
        """Start the closing delay; raises RefusedError."""
        with self._of(channel) as settlement:
            return await settlement.close(channel)

    async def close_now(self, channel: bytes) -> View:
        """End it at once; raises RefusedError."""
        with self._of(channel) as settlement:
            return await settlement.close_now(channel)

    async def finish(self, channel: bytes) -> View:
        """End it after the delay; raises RefusedError."""
        with self._of(channel) as settlement:
            return await settlement.finish(channel)

    @contextmanager
    def _of(self, channel: bytes) -> Iterator[Settlement]:
        terms = self._terms_of(channel)
        if terms is None:
            raise RemoteError(f"no channel {channel.hex()[:16]} of ours")
        with self._at(terms) as settlement:
            yield settlement

    @contextmanager
    def _at(self, terms: Terms) -> Iterator[Settlement]:
        if terms.ledger == self._own.ledger:
            yield self._own
            return
        ledger = self._where.get(terms.agreement)
        if ledger is None or ledger.name != terms.ledger:
            raise AwayError(f"nobody said yet who keeps the ledger {terms.ledger!a}")
        with self._rested(ledger) as settlement:
            yield settlement

    @contextmanager
    def _rested(self, ledger: Ledger) -> Iterator[Settlement]:
        """It, unless it did not answer a moment ago, or with nonsense."""
        now = asyncio.get_running_loop().time()
        if now < self._resting.get(ledger, 0):
            raise AwayError(f"the ledger of {ledger.gateway} did not answer just now")
        try:
            yield self._others[ledger]
        except RefusedError:
            raise
        except RemoteError as error:
            self._resting[ledger] = asyncio.get_running_loop().time() + REST_S
            raise AwayError(str(error)) from error
