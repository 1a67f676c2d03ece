"""One of our parties that pays: it opens a channel for each agreement and takes what is agreed.

Whatever comes is judged by the agreement as it stands then. When that is over the channel is left
to the payee for a while; if it does not end it, we do. Where the ledger is another gateway's, the
payee says whose, and whether the agreement was ended there.
"""

import asyncio
import logging
import os
from contextlib import suppress

from agent import agreed, keeping
from agent.agreed import Holding
from agent.broker import Broker
from agent.desks import BuyingDesk, BuyingRules
from agent.home import HomeError
from agent.ledgers import Ledgers
from agent.licensed import Held, Judge
from agent.marks import Readings
from agent.metering import QUANTITIES, Metered
from agent.pacing import Limits
from agent.partners import Office, Paid, collector_of, payer_of
from agent.running import Connection
from agent.status import printable
from agent.tally import Buyer
from agent.till import Purchase
from ledger_client import durable
from ledger_client.agreements import MeteredService
from ledger_client.channels import SALT_BYTES, State, Terms
from ledger_client.errors import RemoteError
from ledger_client.keepers import Keeper
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.settlement.embedded import EmbeddedSettlement

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 60.0
OPEN_RETRY_S = 15.0
OPEN_RETRY_MAX_S = 3_600.0
"""A channel elsewhere is an entry on a log: after one that ended unused we wait twice as long."""
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
        till = office.till
        self._ledgers = Ledgers(key, EmbeddedSettlement(office.book, key), self._terms_of)
        desk = BuyingDesk(key, till, accept=self._accept, rules=rules, now_s=office.now_s)
        self._buyer = Buyer(desk, till, self._ledgers, blame=office.blame, limits=limits)
        self._keepers: dict[bytes, Keeper] = {}
        self._asked: dict[bytes, float] = {}
        self._tried: dict[bytes, float] = {}
        self._over: dict[bytes, float] = {}

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        for holding, agreement in self._mine_elsewhere():
            self._recall(holding, agreement)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ledgers.run(connection.broker))
            tasks.create_task(self._buyer.run(connection.broker))
            tasks.create_task(self._trade_elsewhere(connection.broker))
            while True:
                for holding, agreement in self._office.paid():
                    if payer_of(agreement) == self.party:
                        with suppress(RemoteError):  # the ledger says no for now
                            await self._look(holding, agreement)
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """Turn what we promised into the payees' money: on any ledger anybody may claim."""
        with suppress(RemoteError):  # the payee does, as well
            await self._buyer.settle()

    def _terms_of(self, channel: bytes) -> Terms | None:
        purchase = self._office.till.purchase(channel)
        return None if purchase is None else purchase.terms

    def _mine_elsewhere(self) -> list[tuple[Holding, Paid]]:
        every = self._office.elsewhere()
        return [(holding, each) for holding, each in every if payer_of(each) == self.party]

    def _recall(self, holding: Holding, agreement: Paid) -> None:
        """Who keeps the ledger, as it is pinned in the home."""
        try:
            said = keeping.pinned(self._office.stores.home, agreement, holding.digest)
            if said is not None:
                self._know(said.keeper)
        except (HomeError, RemoteError) as error:
            _log.warning("agreement %s: %s", holding.digest.hex()[:16], error)

    def _know(self, keeper: Keeper) -> None:
        self._ledgers.know(keeper)
        self._keepers[keeper.agreement] = keeper

    def _accept(self, terms: Terms, item: Item) -> bytes | Readings:
        holding, stores = self._office.shelf.find(terms.agreement), self._office.stores
        if holding is None:
            raise RemoteError("goods under no agreement that we have")
        demo, issuer, log_key = self._office.book.demo, stores.signer.public, stores.log_key
        if terms.ledger != self._office.book.name:
            keeper = self._keepers.get(terms.agreement)
            if keeper is None:
                raise RemoteError("goods of a gateway that we do not know yet")
            demo, issuer, log_key = keeper.demo, keeper.gateway, keeper.log_key
        held = self._office.held(holding, demo=demo)
        match held:
            case Held():
                return Judge(held, issuer, log_key).accept(terms, item)
            case Metered():
                return held.accept(terms, item, self._office.now_s())
            case None:
                raise RemoteError("goods under no agreement that we have")

    async def _look(self, holding: Holding, agreement: Paid) -> None:
        now_s, digest = self._office.now_s(), holding.digest
        if now_s >= holding.standing.until_s:
            await self._end(digest)
        elif holding.standing.covers(now_s) and self._ready(holding, demo=self._office.book.demo):
            left = self._wanting(agreement, digest)
            if left:
                book = self._office.book
                await self._buyer.open(self._terms(agreement, digest, demo=book.demo), left)

    def _ready(self, holding: Holding, *, demo: bool) -> bool:
        """Whether every counter that is to be heard was: from there on it is paid for."""
        held = self._office.held(holding, demo=demo)
        return not isinstance(held, Metered) or all(
            price.unit in held.spans for price in held.service.prices if price.unit in QUANTITIES
        )

    def _wanting(self, agreement: Paid, digest: bytes) -> int:
        """What a channel is to be given: all of the budget that is not spent, a deposit with it.

        0 when one has that much.
        """
        mine = self._bought(digest)
        most = self._budget
        if isinstance(agreement, MeteredService):
            most = max(most, agreement.deposit_minor_units)
        left = most - sum(max(each.side.due, each.side.signed) for each in mine)
        held = [each for each in mine if each.side.state is State.OPEN]
        if any(each.side.funded - each.side.due >= left for each in held):
            return 0
        return max(0, left)

    def _bought(self, digest: bytes) -> list[Purchase]:
        """Every channel under this agreement."""
        bought = self._office.till.purchases(self.party)
        return [each for each in bought if each.terms.agreement == digest]

    def _may_open(self, digest: bytes, now: float) -> bool:
        """Whether it is long enough since a channel elsewhere was opened, or was to be."""
        unused = sum(
            each.side.state is State.CLOSED and not each.side.n for each in self._bought(digest)
        )
        wait_s = retry_s(unused)
        return now - self._tried.get(digest, -wait_s) >= wait_s

    async def _trade_elsewhere(self, broker: Broker) -> None:
        """One agreement after the other: a gateway that does not answer holds up these alone."""
        while True:
            for holding, agreement in self._mine_elsewhere():
                try:
                    await self._look_elsewhere(broker, holding, agreement)
                except (HomeError, RemoteError) as error:
                    _log.info("agreement %s: %s", holding.digest.hex()[:16], printable(str(error)))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look_elsewhere(self, broker: Broker, holding: Holding, agreement: Paid) -> None:
        now_s, digest = self._office.now_s(), holding.digest
        now = asyncio.get_running_loop().time()
        if now_s >= holding.standing.until_s:
            await self._end(digest)
            return
        if not holding.standing.covers(now_s):
            return
        left = self._wanting(agreement, digest)
        opening = left > 0 and self._may_open(digest, now)
        if opening or now - self._asked.get(digest, -ASK_EVERY_S) >= ASK_EVERY_S:
            if opening:
                self._tried[digest] = now
            if await self._ask(broker, holding, agreement):
                return  # ended: that holds as soon as the home was read again
        keeper = self._keepers.get(digest)
        if opening and keeper is not None and self._ready(holding, demo=keeper.demo):
            await self._buyer.open(self._terms(agreement, digest, demo=keeper.demo), left)

    async def _ask(self, broker: Broker, holding: Holding, agreement: Paid) -> bool:
        """Learn who keeps the ledger, and whether the agreement was ended there."""
        home, digest = self._office.stores.home, holding.digest
        self._asked[digest] = asyncio.get_running_loop().time()
        kept = await keeping.ask(broker, self.party, collector_of(agreement), digest)
        self._know(keeping.learn(home, agreement, digest, kept.statement).keeper)
        fuller = keeping.ended(holding.deed, kept.endings)
        if fuller is None:
            return False
        path = agreed.path_of(home, digest)
        if path.exists():  # it may have been taken out meanwhile
            known = agreed.read(path).joined(act.signed for act in fuller.acts)
            try:
                durable.write(path, known.encode())
            except OSError as error:
                raise HomeError(f"{path}: cannot be written: {error.strerror}") from error
        return True

    async def _end(self, digest: bytes) -> None:
        now = asyncio.get_running_loop().time()
        for purchase in self._buyer.channels():
            channel = purchase.terms.channel
            if purchase.terms.agreement != digest or purchase.side.state is not State.OPEN:
                continue
            if now - self._over.setdefault(channel, now) > GRACE_S:
                await self._buyer.settle()
                await self._buyer.close(channel)

    def _terms(self, agreement: Paid, digest: bytes, *, demo: bool) -> Terms:
        return Terms(
            ledger=agreement.ledger,
            payer=self.party,
            signer=self.party,
            payee=collector_of(agreement),
            asset=agreement.asset,
            delay_s=CLOSING_DELAY_S,
            salt=os.urandom(SALT_BYTES),
            simulated=demo and agreement.simulated,
            agreement=digest,
        )


def retry_s(unused: int) -> float:
    """Seconds until a channel elsewhere is tried again, after so many that ended unused."""
    return min(OPEN_RETRY_S * (1 << min(unused, 16)), OPEN_RETRY_MAX_S)
