"""One of our parties that pays: it opens a channel for each agreement and takes what is agreed.

Whatever comes is judged by the agreement as it stands then. When that is over the channel is left
to the payee for a while; if it does not end it, we do.
"""

import asyncio
import logging
import os
from contextlib import suppress

from agent.agreed import Holding
from agent.desks import BuyingDesk, BuyingRules
from agent.licensed import Held, Judge
from agent.marks import Readings
from agent.metering import QUANTITIES, Metered
from agent.pacing import Limits
from agent.partners import Office, Paid, collector_of, payer_of
from agent.running import Connection
from agent.status import printable
from agent.tally import Buyer
from ledger_client.agreements import MeteredService
from ledger_client.channels import SALT_BYTES, State, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.settlement.embedded import EmbeddedSettlement

LOOK_EVERY_S = 1.0
GRACE_S = 60.0
CLOSING_DELAY_S = 86_400

_log = logging.getLogger(__name__)


class Paying:
    """Everything that `key` pays: within `rules`, and `budget` minor units for each agreement."""

    def __init__(
        self, key: SigningKey, office: Office, budget: int, rules: BuyingRules, limits: Limits
    ) -> None:
        self.party = key.public
        self._office = office
        self._budget = budget
        settlement = EmbeddedSettlement(office.book, key)
        till = office.stores.till
        desk = BuyingDesk(key, till, accept=self._accept, rules=rules, now_s=office.now_s)
        self._buyer = Buyer(desk, till, settlement, blame=_blame, limits=limits)
        self._over: dict[bytes, float] = {}

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._buyer.run(connection.broker))
            while True:
                for holding, agreement in self._office.paid():
                    if payer_of(agreement) == self.party:
                        with suppress(RemoteError):  # the ledger says no for now
                            await self._look(holding, agreement)
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """Turn what we promised into the payees' money: on our own ledger anybody may claim."""
        await self._buyer.settle()

    def _accept(self, terms: Terms, item: Item) -> bytes | Readings:
        holding = self._office.shelf.find(terms.agreement)
        held = None if holding is None else self._office.held(holding)
        stores = self._office.stores
        match held:
            case Held():
                return Judge(held, stores.signer.public, stores.log_key).accept(terms, item)
            case Metered():
                return held.accept(terms, item, self._office.now_s())
            case None:
                raise RemoteError("goods under no agreement that we have")

    async def _look(self, holding: Holding, agreement: Paid) -> None:
        now_s, digest = self._office.now_s(), holding.digest
        if now_s >= holding.standing.until_s:
            await self._end(digest)
        elif holding.standing.covers(now_s) and self._ready(holding):
            await self._fund(agreement, digest)

    def _ready(self, holding: Holding) -> bool:
        """Whether every counter that is to be heard was: from there on it is paid for."""
        held = self._office.held(holding)
        return not isinstance(held, Metered) or all(
            price.unit in held.spans for price in held.service.prices if price.unit in QUANTITIES
        )

    async def _fund(self, agreement: Paid, digest: bytes) -> None:
        """Have a channel with all of the budget that is not spent yet, a deposit with it."""
        bought = self._office.stores.till.purchases(self.party)
        mine = [each for each in bought if each.terms.agreement == digest]
        most = self._budget
        if isinstance(agreement, MeteredService):
            most = max(most, agreement.deposit_minor_units)
        left = most - sum(max(each.side.due, each.side.signed) for each in mine)
        held = [each for each in mine if each.side.state is State.OPEN]
        if left > 0 and not any(each.side.funded - each.side.due >= left for each in held):
            await self._buyer.open(self._terms(agreement, digest), left)

    async def _end(self, digest: bytes) -> None:
        now = asyncio.get_running_loop().time()
        for purchase in self._buyer.channels():
            channel = purchase.terms.channel
            if purchase.terms.agreement != digest or purchase.side.state is not State.OPEN:
                continue
            if now - self._over.setdefault(channel, now) > GRACE_S:
                await self._buyer.settle()
                await self._buyer.close(channel)

    def _terms(self, agreement: Paid, digest: bytes) -> Terms:
        book = self._office.book
        return Terms(
            ledger=book.name,
            payer=self.party,
            signer=self.party,
            payee=collector_of(agreement),
            asset=book.asset,
            delay_s=CLOSING_DELAY_S,
            salt=os.urandom(SALT_BYTES),
            simulated=book.demo and agreement.simulated,
            agreement=digest,
        )


def _blame(speaker: str, error: RemoteError) -> None:
    _log.info("%s: %s", printable(speaker), printable(str(error)))
