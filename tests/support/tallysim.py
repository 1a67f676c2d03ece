"""A buyer, a seller, a broker and a ledger in virtual time, by seed; the parties run the real code.

The net loses, doubles and delays (so it reorders); a process may die before and after every commit
and every send, and come back with its database, now and then with an old copy of it; somebody
plants forged messages and bad claims. Then the net heals and both sides must agree. What is true
is written down apart from what the parties believe, and compared after every event.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from random import Random

from market import BUYER, SELLER, STRANGER, accept, goods, memory, terms
from tallytruth import CALM, CrashError, Odds, Truth, ViolationError, demand

from agent.desks import BuyingDesk, Effect, Goods, Look, SellingDesk, Send
from agent.pacing import Backoff, Limits, Mail
from agent.till import Purchase, Sale, Till
from ledger_client import messages
from ledger_client.channels import State, Voucher, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item, Message, Standing
from ledger_client.settlement import Claim
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

WINDOW = 30
FUNDED = 400
PRICE_MAX = 7
CHAOS_S = 25.0
HEALED_S = 3_600.0
EVENTS_MAX = 5_000
LIMITS = Limits(retry_first_s=1.0, retry_most_s=8.0)
NAMES = {SELLER.public.short_id: SELLER, BUYER.public.short_id: BUYER}
OTHER = {SELLER: BUYER, BUYER: SELLER}


@lru_cache(maxsize=4096)
def parsed(payload: bytes) -> Message:
    """Parsing is pure, and messages come twice."""
    return messages.parse(payload)


class CrashingTill(Till):
    """A till whose process may die just before and just after every commit."""

    simulation: "Simulation"

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


@dataclass(frozen=True)
class Cast:
    """Who plays; a planted fault replaces one of them."""

    till: type[CrashingTill] = CrashingTill
    selling: type[SellingDesk] = SellingDesk
    buying: type[BuyingDesk] = BuyingDesk
    book: type[Book] = Book
    early: type | None = None
    """The kind of message that leaves before its commit."""


class Simulation:
    """One run; the same seed gives the same. `crashes` and the like count what it went through."""

    def __init__(self, seed: int, book: Book, cast: Cast = Cast()) -> None:  # frozen
        self.random = Random(seed)
        self.odds = CALM
        self.cast = cast
        self.book = book
        self.terms = terms(salt=seed)
        self.channel = self.terms.channel
        self.truth = Truth()
        self.now = 0.0
        self.crashes = self.restores = self.refused = self.events = 0
        self._heap: list[tuple[float, int, str, bytes]] = []
        self._number = 0
        self._retained: dict[str, bytes] = {}
        self._at_work = SELLER
        self._stock: list[Goods] = []
        self._made = 0
        self._copies: dict[SigningKey, bytes] = {}
        self.tills = {key: self._till(memory()) for key in (SELLER, BUYER)}
        self._seen = dict.fromkeys(self.tills, -1)
        self._backoffs = {key: Backoff(LIMITS) for key in self.tills}
        self._mails = {key: Mail(LIMITS) for key in self.tills}
        self.tills[BUYER].add_purchase(self.terms)
        EmbeddedSettlement(book, BUYER)._order("open", self.channel, FUNDED, self.terms)
        for key in self.tills:
            self.boot(key)
            self._look(key)
        for act in ("make", "watch", "claim", "copy", "greet", "forge"):
            self._plan(self.random.uniform(0.1, 2), act)

    # --- the machinery

    def _till(self, connection: sqlite3.Connection) -> CrashingTill:
        till = self.cast.till.open(connection)
        till.simulation = self
        return till

    def boot(self, who: SigningKey) -> None:
        """A new process over the database that is there."""
        if who is SELLER:
            run = self.random.randbytes(8)
            self.selling = self.cast.selling(SELLER, self.tills[SELLER], credit=WINDOW, run=run)
        else:
            self.buying = self.cast.buying(BUYER, self.tills[BUYER], accept=accept)
        self._mails[who] = Mail(LIMITS)
        self._backoffs[who] = Backoff(LIMITS)
        self._backoffs[who].reset(self.channel, self.now)

    def maybe_crash(self) -> None:
        """Die here, now and then."""
        if self.odds.crash and self.random.random() < self.odds.crash:
            raise CrashError

    def _plan(self, delay_s: float, act: str, payload: bytes = b"") -> None:
        self._number += 1
        heappush(self._heap, (self.now + delay_s, self._number, act, payload))

    def sale(self) -> Sale:
        """As the seller's disk has it."""
        sale = Till(self.tills[SELLER]._db).sale(self.channel)
        if sale is None:
            raise ViolationError("the seller lost its channel")
        return sale

    def purchase(self) -> Purchase:
        """As the buyer's disk has it."""
        purchase = Till(self.tills[BUYER]._db).purchase(self.channel)
        if purchase is None:
            raise ViolationError("the buyer lost its channel")
        return purchase

    # --- what may happen

    def step(self) -> None:
        """The next event, and whether everything still holds."""
        self.now, _, act, payload = heappop(self._heap)
        self.events += 1
        demand(self.events < EVENTS_MAX, "they talk in circles")
        try:
            self._act(act, payload)
        except CrashError:
            self.crashes += 1
            self.boot(self._at_work)
            self._plan(self.random.uniform(0.1, 1), "greet")
        self.check()

    def _act(self, act: str, payload: bytes) -> None:
        match act:
            case "make":
                self._plan(self.random.uniform(0.1, 1.0), act)
                self._make()
            case "watch":
                self._plan(0.5, act)
                self._retry()
            case "claim":
                self._plan(self.random.uniform(2, 10), act)
                self.claim()
            case "copy":
                self._plan(self.random.uniform(2, 10), act)
                self._copy_or_restore()
            case "greet":
                if not any(event[2] == "greet" for event in self._heap):
                    self._plan(self.random.uniform(2, 10), act)
                self._greet()
            case "forge":
                self._plan(self.random.uniform(1, 5), act)
                self._forge()
            case _:
                self._deliver(NAMES[act], payload)

    def _make(self) -> None:
        self._at_work = SELLER
        if self.odds.crash:
            self._stock.append(self._thing())
        before = self.sale().side.n
        with self.tills[SELLER].transaction():
            self.selling.sell(self.channel, self._stock[before:])
            fresh = self.selling.outbox(self.channel, after=before, items_max=100)
            if self.cast.early is Item:
                self.send(fresh)
        if self.cast.early is not Item:
            self.send(fresh)

    def _thing(self) -> Goods:
        self._made += 1
        return goods(self._made, self.random.randint(1, PRICE_MAX))

    def _retry(self) -> None:
        for who, backoff in self._backoffs.items():
            self._at_work = who
            self.send([])  # what was paced
            if backoff.due(self.now):
                if who is SELLER:
                    self.send(self.selling.outbox(self.channel, after=0, items_max=3))
                else:
                    self.send(self.buying.promise(self.channel) or self.buying.greet())

    def _greet(self) -> None:
        for who in self.tills:
            self._at_work = who
            desk = self.selling if who is SELLER else self.buying
            self._look(who)
            self.send(desk.greet())
            for payload in self._retained.values():
                self._plan(self.random.uniform(0, 1), SELLER.public.short_id, payload)

    def _look(self, who: SigningKey) -> None:
        view = self.book.view(self.channel)
        desk = self.selling if who is SELLER else self.buying
        if view is not None:
            self.send(desk.observe(view))

    def claim(self) -> None:
        """The seller's vouchers beside a bad one, which must not hurt them."""
        claims = self.selling.claims()
        if self.random.random() < 0.5:
            bad = sign_voucher(STRANGER, self.channel, FUNDED)
            claims = [Claim(self.terms, bad), *claims]
        self.book.claim(claims)
        view = self.book.view(self.channel)
        best = max((claim.voucher.total for claim in claims[-1:]), default=0)
        demand(view and (view.claimed >= best or best == FUNDED), "a good claim was not paid")

    def _copy_or_restore(self) -> None:
        who = self.random.choice([SELLER, BUYER])
        if who in self._copies and self.random.random() < 10 * self.odds.restore:
            self.restores += 1
            connection = memory()
            connection.deserialize(self._copies[who])
            self.tills[who] = self._till(connection)
            self._seen[who] = -1
            self.boot(who)
            if who is SELLER:  # it would not sell the same again under the same number
                self._stock.insert(self.sale().side.n, self._thing())
                held = self.purchase().side.n  # what nobody holds, nobody can show it
                self.truth.sent = {n: s for n, s in self.truth.sent.items() if n <= held}
        else:
            self._copies[who] = self.tills[who]._db.serialize()

    def _forge(self) -> None:
        if self.random.random() >= 10 * self.odds.forgery:
            return
        forged = sign_voucher(STRANGER, self.channel, self.random.randint(1, FUNDED))
        standing = Standing(self.terms, FUNDED, 0, 0, 0, forged, None)
        for who in self.tills:
            self._plan(0.1, who.public.short_id, messages.encode(standing))
        self._plan(0.1, SELLER.public.short_id, messages.encode(forged))

    def _deliver(self, who: SigningKey, payload: bytes) -> None:
        self._at_work = who
        desk = self.selling if who is SELLER else self.buying
        message = parsed(payload)
        effects: list[Effect] = []
        early = False
        try:
            with self.tills[who].transaction():
                effects = desk.receive(OTHER[who].public.short_id, message)
                early = any(
                    type(effect.message) is self.cast.early
                    for effect in effects
                    if isinstance(effect, Send)
                )
                if early:
                    self.send(effects)
        except RemoteError:
            self.refused += 1
            return
        if not early:
            self.send(effects)
        if who is SELLER and isinstance(message, Voucher):
            self._backoffs[SELLER].reset(self.channel, self.now)

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
            if self.random.random() >= self.odds.loss:
                if isinstance(effect.message, Voucher):
                    self._retained[effect.peer] = payload
                copies = 2 if self.random.random() < self.odds.double else 1
                for _ in range(copies):
                    self._plan(self.random.expovariate(1.5), effect.peer, payload)
            self.maybe_crash()

    def _note(self, send: Send) -> None:
        if isinstance(send.message, Voucher):
            self.truth.promised = max(self.truth.promised, send.message.total)
        if isinstance(send.message, Item):
            invoice = send.message.invoice
            known = self.truth.sent.setdefault(invoice.n, invoice.signature)
            demand(known == invoice.signature, "two invoices under one number")
            self.truth.bodies[invoice.n] = send.message.body

    # --- what must hold

    def check(self) -> None:
        """Every invariant that can be seen from outside; cheap when nothing was written."""
        changes = {key: till._db.total_changes for key, till in self.tills.items()}
        if changes == self._seen:
            return
        self._seen = changes
        sale, purchase, truth = self.sale(), self.purchase(), self.truth
        view = self.book.view(self.channel)
        truth.signed = max(truth.signed, purchase.side.signed)
        truth.delivered = max(truth.delivered, purchase.side.due)
        truth.items = max(truth.items, sale.side.n)
        truth.credited = max(truth.credited, sale.side.best)
        demand(sale.side.due - sale.side.best <= WINDOW, "exposed beyond the window")
        demand(view and view.claimed <= truth.delivered, "paid for what was not received")
        demand(truth.promised <= truth.signed, "promised more than is on disk")
        demand(truth.signed <= truth.delivered, "signed for more than was received")
        demand(sale.side.best <= truth.signed, "credited more than was promised")
        demand(max(truth.sent, default=0) <= truth.items, "sent what is not on disk")
        if not self.restores:
            frozen = State.FROZEN in {sale.side.state, purchase.side.state}
            demand(not frozen, "frozen although nothing was restored")

    # --- one run

    def run(self) -> None:
        """Chaos, then peace; raises ViolationError for whatever does not hold."""
        self.odds = Odds()
        while self.now < CHAOS_S:
            self.step()
        self.odds = CALM
        self._look(SELLER)
        self._look(BUYER)
        until = self.now + HEALED_S
        while not self._agreed():
            demand(self.now < until, "never settled")
            self.step()
        self._finish()

    def _agreed(self) -> bool:
        sale, purchase = self.sale().side, self.purchase().side
        if State.FROZEN in {sale.state, purchase.state}:
            return True
        everything = len(self._stock) == sale.n or self._stock[sale.n].price > FUNDED - sale.due
        return everything and sale.due == sale.best == purchase.due

    def _finish(self) -> None:
        sale, purchase = self.sale(), self.purchase()
        self.claim()
        view = self.book.view(self.channel)
        demand(view and view.claimed >= sale.side.best, "the best voucher was not paid in full")
        for till in self.tills.values():
            Till(till._db).check()
        if self.restores:
            return
        demand(sale.side.best == purchase.side.due == sale.side.due, "they disagree")
        bought = Till(self.tills[BUYER]._db).received(purchase, items_max=10_000)
        made = [thing.body for thing in self._stock[: sale.side.n]]
        demand([item.body for item in bought] == made, "not each item was delivered once")
