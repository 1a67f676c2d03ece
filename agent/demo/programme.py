"""The cheats of `milepost demo --cheats`, with all that they need, added to the honest market."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256

from agent import topics
from agent.demo.aircheats import SetClock, on_the_air
from agent.demo.brokercheats import Victim, over_the_broker
from agent.demo.cheats import Cheats
from agent.demo.dealer import Dealer, by_the_dealer
from agent.demo.guests import Guest
from agent.demo.market import READING_PRICE, Market
from agent.goods import SIMULATED, ReadingsWanted
from agent.running import Connection, Deal, Trade
from agent.tally import Buyer
from firmware_bridge.neighbourhood.cheats import Rogue
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError

SPENDS = 1_000_000
CREDIT = 500_000
OPEN_RETRY_S = 5.0
STRANGER, DEALER, CUSTOMER, RIVAL = "peer-stranger", "peer-dealer", "peer-shop", "peer-rival"


@dataclass(slots=True)
class Purchase:
    """Buys on one channel with `spendable` minor units in it, opened when there is none."""

    buyer: Buyer
    terms: Terms
    spendable: int

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.buyer.run(connection.broker))
            while True:
                with suppress(RemoteError):  # the ledger says no for now; the channel is kept
                    await self.buyer.keep(self.terms, self.spendable)
                    break
                await asyncio.sleep(OPEN_RETRY_S)

    async def settle(self) -> None:
        """Nothing: who sold claims, and what is left stays in the channel."""


class Programme:
    """Everybody who cheats and whom they cheat, on one street."""

    def __init__(self, market: Market, rogue: Rogue, clock: SetClock) -> None:
        parties = market.parties
        self._market = market
        self._keys = {name: parties.key(name) for name in (STRANGER, DEALER, CUSTOMER, RIVAL)}
        dealer_key = self._keys[DEALER]
        till = parties.till("dealer")
        selling = parties.seller(dealer_key, till, CREDIT)
        self._dealer = Dealer(dealer_key.public, selling, till, READING_PRICE)
        rivals = sha256(b"a licence of the rival's that nobody granted").digest()
        self._purchases = {
            CUSTOMER: self._purchase(CUSTOMER, "shop", None),
            RIVAL: self._purchase(RIVAL, "rival", rivals),
        }
        victim = Victim(
            market.runner.public, market.brand.public, parties.stores.till, parties.refused
        )
        self.cheats = Cheats(
            (
                *on_the_air(rogue, market.onlooker, clock),
                *over_the_broker(self._keys[STRANGER], victim, market.onlooker),
                *by_the_dealer(
                    self._dealer, self._keys[CUSTOMER].public, self._keys[RIVAL].public, parties
                ),
            ),
            clock,
        )

    def added_to(self, trade: Trade) -> Trade:
        """The honest deals and these; each of them may use the broker as any component."""
        ids = [key.public.short_id for key in self._keys.values()]
        deals: tuple[Deal, ...] = (
            Guest(self._keys[DEALER].public.short_id, self._dealer),
            *(
                Guest(self._keys[name].public.short_id, purchase)
                for name, purchase in self._purchases.items()
            ),
            self.cheats,
        )
        guests = {each: topics.component_rules(each) for each in ids}
        return replace(trade, deals=(*trade.deals, *deals), guests={**trade.guests, **guests})

    def _purchase(self, name: str, till: str, licence: bytes | None) -> Purchase:
        """An honest buyer of proved readings; with a licence, only of those under it."""
        parties = self._market.parties
        stores, key = parties.stores, self._keys[name]
        parties.fund(key.public)
        wanted = ReadingsWanted(
            stores.signer.public, stores.log_key, READING_PRICE, SIMULATED, agreement=licence
        )
        buyer = parties.buyer(key, parties.till(till), wanted.accept)
        return Purchase(buyer, parties.terms(key, self._keys[DEALER]), SPENDS)
