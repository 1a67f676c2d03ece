"""The parties of a simulated market, the net between them and its clock; processes may die.

The net loses, doubles and delays (so it reorders); a process may die before and after every commit
and every send, and come back with its database.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappush
from pathlib import Path
from random import Random

from market import BUYER, SELLER, memory
from tallystalls import RIVAL, Stall, World, accept, stall
from tallytruth import CALM, CrashError, Truth, ViolationError, demand

from agent.desks import BuyingDesk, BuyingRules, Effect, Look, SellingDesk, Send
from agent.pacing import Backoff, Limits, Mail
from agent.spending import DAY_S, Budget
from agent.till import Purchase, Sale, Tidemark, Till
from ledger_client import messages
from ledger_client.channels import Voucher
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

WINDOW = 30
FUNDED = 400
PREPAID = 10
BUDGET = 40
"""Most that the buyer may promise a seller in a day, where it has a budget."""
DAYS_PER_S = 0.2
LIMITS = Limits(retry_first_s=1.0, retry_most_s=8.0)
NAMES = {key.public.short_id: key for key in (SELLER, RIVAL, BUYER)}


class CrashingTill(Till):
    """A till whose process may die just before and just after every commit."""

    simulation: "Market"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As the till's own."""
        if self._db.in_transaction:
            yield
            return
        with super().transaction():
            yield
            self.simulation.maybe_crash()
        self.simulation.maybe_crash()

    def withdraw(self, sale: Sale, n: int) -> bytes:
        """As the till's own; noted, so that the number may be signed again."""
        line = self.invoice(sale, n)
        if line is not None:
            self.simulation.stalls[NAMES[sale.terms.payee.short_id]].truth.withdrawn.add(
                line.signature
            )
        return super().withdraw(sale, n)


class CrashingTidemark(Tidemark):
    """A file that outlives its process, which may die just before and just after it is written."""

    def __init__(self, simulation: "Market") -> None:
        super().__init__(Path("nowhere"))
        self.count: int | None = None
        self._simulation = simulation

    def read(self) -> int | None:
        """What was written last."""
        return self.count

    def write(self, count: int) -> None:
        """Keep it."""
        self._simulation.maybe_crash()
        self.count = count
        self._simulation.maybe_crash()


@dataclass(frozen=True)
class Cast:
    """Who plays; a planted fault replaces one of them."""

    till: type[CrashingTill] = CrashingTill
    selling: type[SellingDesk] = SellingDesk
    buying: type[BuyingDesk] = BuyingDesk
    book: type[Book] = Book
    early: type | None = None
    """The kind of message that leaves before its commit."""


class Market:
    """Buyer, sellers, broker and ledger; the same seed gives the same."""

    def __init__(self, seed: int, book: Book, cast: Cast = Cast()) -> None:  # frozen
        self.random = Random(seed)
        self.odds = CALM
        self.cast = cast
        self.book = book
        self.prepaid = PREPAID if seed % 4 == 1 else 0
        self.budget = BUDGET if seed % 8 in {0, 1, 2} else 0
        sellers = (SELLER, RIVAL) if seed % 4 == 0 else (SELLER,)
        self.stalls = {key: stall(key, seed) for key in sellers}
        self.world = World(self.random, {key: [] for key in sellers})
        self.now = 0.0
        self.crashes = self.restores = self.recognised = self.refused = self.events = 0
        self.net: Counter[str] = Counter()
        self._heap: list[tuple[float, int, str, str, bytes]] = []
        self._number = 0
        self._newest: dict[str, int] = {}
        self._retained: dict[tuple[str, str], bytes] = {}
        self._at_work = SELLER
        self._copies: dict[SigningKey, tuple[bytes, int | None]] = {}
        self.marks = {key: CrashingTidemark(self) for key in (*sellers, BUYER)}
        self.tills = {key: self._till(key, memory()) for key in (*sellers, BUYER)}
        self._seen = dict.fromkeys(self.tills, -1)
        self._backoffs = {key: Backoff(LIMITS) for key in self.tills}
        self._mails = {key: Mail(LIMITS) for key in self.tills}
        self.selling: dict[SigningKey, SellingDesk] = {}
        for each in self.stalls.values():
            self.tills[BUYER].add_purchase(each.terms)
            EmbeddedSettlement(book, BUYER)._order("open", each.channel, FUNDED, each.terms)
        for key in self.tills:
            self.boot(key)
            self._look(key)
        for act in ("make", "watch", "claim", "copy", "greet", "forge"):
            self._plan(self.random.uniform(0.1, 2), act)

    @property
    def truth(self) -> Truth:
        """What is true of the first seller and its channel."""
        return self.stalls[SELLER].truth

    # --- the machinery

    def _till(self, who: SigningKey, connection: sqlite3.Connection) -> CrashingTill:
        """As a process finds it at its start, however often it dies in it."""
        before = Till.open(connection).restores()
        till = self.cast.till(connection, self.marks[who])
        till.simulation = self
        while True:
            try:
                till.recognise()
            except CrashError:
                self.crashes += 1
            else:
                self.recognised += till.restores() > before
                return till

    def boot(self, who: SigningKey) -> None:
        """A new process over the database that is there."""
        if who is BUYER:
            budgets = (Budget(self.budget, each_payee=True),) if self.budget else ()
            self.buying = self.cast.buying(
                BUYER,
                self.tills[BUYER],
                accept=accept,
                rules=BuyingRules(budgets, self.prepaid),
                now_s=self._now_s,
            )
        else:
            run, credit = self.random.randbytes(8), -self.prepaid or WINDOW
            self.selling[who] = self.cast.selling(
                who, self.tills[who], credit=credit, run=run, now_s=self._now_s
            )
            self.stalls[who].done = 0
        self._mails[who] = Mail(LIMITS)
        self._backoffs[who] = Backoff(LIMITS)
        for each in self._counters(who):
            self._backoffs[who].reset(each.channel, self.now)

    def _counters(self, who: SigningKey) -> list[Stall]:
        """The stalls at which this party stands, on either side."""
        return [self.stalls[who]] if who in self.stalls else list(self.stalls.values())

    def _desk(self, who: SigningKey) -> SellingDesk | BuyingDesk:
        return self.buying if who is BUYER else self.selling[who]

    def _now_s(self) -> int:
        return int(self.now * DAYS_PER_S * DAY_S)

    def maybe_crash(self) -> None:
        """Die here, now and then."""
        if self.odds.crash and self.random.random() < self.odds.crash:
            raise CrashError

    def _plan(self, delay_s: float, act: str, sender: str = "", payload: bytes = b"") -> None:
        self._number += 1
        heappush(self._heap, (self.now + delay_s, self._number, act, sender, payload))

    def sale(self, at: Stall) -> Sale:
        """As the seller's disk has it."""
        sale = Till(self.tills[at.key]._db).sale(at.channel)
        if sale is None:
            raise ViolationError("the seller lost its channel")
        return sale

    def purchase(self, at: Stall) -> Purchase:
        """As the buyer's disk has it."""
        purchase = Till(self.tills[BUYER]._db).purchase(at.channel)
        if purchase is None:
            raise ViolationError("the buyer lost its channel")
        return purchase

    def _look(self, who: SigningKey) -> None:
        for at in self._counters(who):
            view = self.book.view(at.channel)
            if view is not None:
                self.send(self._desk(who).observe(view))

    # --- the net

    def send(self, effects: Sequence[Effect]) -> None:
        """Post these, and hand to the broker what may leave now, one after another."""
        mail = self._mails[self._at_work]
        mail.put(effect for effect in effects if isinstance(effect, Send))
        if any(isinstance(effect, Look) for effect in effects):
            self._look(self._at_work)
        for effect in mail.take(self.now):
            self.maybe_crash()
            self._note(effect)
            payload = messages.encode(effect.message)
            lost = self.random.random() < self.odds.loss
            self.net["lost"] += lost
            if not lost:
                sender = self._at_work.public.short_id
                if isinstance(effect.message, Voucher):
                    self._retained[effect.peer, sender] = payload
                copies = 2 if self.random.random() < self.odds.double else 1
                self.net["doubled"] += copies - 1
                for _ in range(copies):
                    self._plan(self.random.expovariate(1.5), effect.peer, sender, payload)
            self.maybe_crash()

    def _note(self, send: Send) -> None:
        if isinstance(send.message, Voucher):
            (truth,) = (
                at.truth for at in self.stalls.values() if at.channel == send.message.channel
            )
            truth.promised = max(truth.promised, send.message.total)
        if isinstance(send.message, Item):
            truth, invoice = self.stalls[self._at_work].truth, send.message.invoice
            known = truth.sent.get(invoice.n, invoice.signature)
            demand(
                known == invoice.signature
                or not truth.withdrawn.isdisjoint({known, invoice.signature}),
                "two invoices under one number",
            )
            truth.sent[invoice.n] = invoice.signature
