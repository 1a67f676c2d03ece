"""What everybody on the demo's street needs to trade: a key, a till, an account on its ledger."""

import logging
import os
from contextlib import closing

from agent.clock import minute_s
from agent.collecting import Collecting
from agent.credit import Credit
from agent.desks import BuyingDesk, SellingDesk
from agent.desks.buying import Accept
from agent.desks.rules import BUYING_RULES, SELLING_RULES
from agent.pacing import LIMITS
from agent.partners import Office
from agent.paying import Paying
from agent.status import Board, printable
from agent.stores import Stores
from agent.tally import Buyer, Seller
from agent.tally.shell import Blame
from agent.till import Tidemark, Till
from firmware_bridge.radio import Clock
from ledger_client.channels import SALT_BYTES, Terms
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

PURSE = 10_000_000_000
DELAY_S = 86_400
REFUSALS_MAX = 64
LINGER_S = 4.0

_log = logging.getLogger(__name__)


class Parties:
    """Keys in the home, tills of strangers under `peers/`, and a ledger of play money."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Opens the ledger; the strangers' tills are closed with `stores`."""
        self.stores = stores
        self._clock = clock
        self._tills: dict[str, Till] = {}
        self.book = Book.open(stores.connection, stores.log, stores.signer, now_s=self.now_s)
        self._refusals: dict[tuple[str, str], str] = {}

    def now_s(self) -> int:
        """The minute, as Unix seconds."""
        return minute_s(self._clock().wall_ms)

    def key(self, name: str) -> SigningKey:
        """The key of that name, made when it is asked for the first time."""
        return self.stores.home.key(name)

    def till(self, stranger: str) -> Till:
        """The till of somebody who is not our gateway's."""
        if stranger not in self._tills:
            path = self.stores.home.peer_till(stranger)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database = self.stores.beside.enter_context(closing(open_database(path)))
            self._tills[stranger] = Till.open(database, Tidemark.beside(path))
        return self._tills[stranger]

    def fund(self, holder: PublicKey) -> None:
        """Give somebody a purse of play money, once."""
        self.book.issue(holder, PURSE)

    def settlement(self, key: SigningKey) -> EmbeddedSettlement:
        """The ledger as the holder of `key` sees it."""
        return EmbeddedSettlement(self.book, key)

    def collecting(self, key: SigningKey, till: Till, credit: int, board: Board) -> Collecting:
        """One who is paid under the agreements of the home, `credit` minor units behind at most."""
        office = self._office(key, till, board)
        return Collecting(key, office, Credit(credit, credit, 0), SELLING_RULES, LIMITS)

    def paying(self, key: SigningKey, till: Till, budget: int, board: Board) -> Paying:
        """One who pays under the agreements of the home, `budget` minor units for each."""
        return Paying(key, self._office(key, till, board), budget, BUYING_RULES, LIMITS)

    def _office(self, key: SigningKey, till: Till, board: Board) -> Office:
        """With `board` as its ears; every counter here counts from nothing for its agreement."""
        return Office(
            stores=self.stores,
            till=till,
            shelf=self.stores.shelf,
            book=self.book,
            board=board,
            base=lambda _agreement, _unit, _value: 0.0,
            now_s=lambda: self._clock().wall_ms // 1000,
            linger_s=LINGER_S,
            blame=self._blamer(key),
        )

    def seller(self, key: SigningKey, till: Till, credit: int) -> Seller:
        """One who sells; a buyer owes it `credit` minor units at most."""
        desk = SellingDesk(key, till, credit=credit, now_s=self.now_s)
        return Seller(desk, till, self.settlement(key), blame=self._blamer(key))

    def buyer(self, key: SigningKey, till: Till, accept: Accept) -> Buyer:
        """One who buys what `accept` finds good."""
        desk = BuyingDesk(key, till, accept=accept, now_s=self.now_s)
        return Buyer(desk, till, self.settlement(key), blame=self._blamer(key))

    def terms(self, payer: SigningKey, payee: SigningKey) -> Terms:
        """A channel between the two, for simulated goods, under no agreement."""
        return Terms(
            ledger=self.book.name,
            payer=payer.public,
            signer=payer.public,
            payee=payee.public,
            asset=self.book.asset,
            delay_s=DELAY_S,
            salt=os.urandom(SALT_BYTES),
            simulated=True,
        )

    def refused(self, by: PublicKey, speaker: PublicKey) -> str:
        """Why `by` refused what `speaker` said, the last time; empty if it never did."""
        return self._refusals.get((by.short_id, speaker.short_id), "")

    def _blamer(self, key: SigningKey) -> Blame:
        def blame(speaker: str, error: RemoteError) -> None:
            """Remember why; of somebody new only while there is room."""
            place = key.public.short_id, speaker
            if place in self._refusals or len(self._refusals) < REFUSALS_MAX:
                self._refusals[place] = printable(str(error))
            _log.info("%s: %s", printable(speaker), printable(str(error)))

        return blame
