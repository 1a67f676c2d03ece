"""Both desks over their real tills, with loss, doubling, reordering and crashes, by seed.

A crash comes before or after any commit and any send; the one that crashes loses its memory, not
its database. Then the net heals and both sides must agree. Planted faults show the check bites.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest
from market import BUYER, SELLER, accept, goods, memory, open_book, terms

from agent.desks import BuyingDesk, Effect, Look, SellingDesk, Send
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import Voucher
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

WINDOW = 30
FUNDED = 400
STEPS = 150


class CrashError(Exception):
    pass


class Dice:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.crash = 0.0
        self.loss = 0.3
        self.double = 0.3

    def maybe_crash(self) -> None:
        if self.random.random() < self.crash:
            raise CrashError


class CrashingTill(Till):
    """A till whose process may die just before and just after every commit."""

    dice: Dice

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._db.in_transaction:
            yield
            return
        with super().transaction():
            yield
            self.dice.maybe_crash()
        self.dice.maybe_crash()


class Simulation:
    """`fault` sends before the commit what that kind of message promises."""

    def __init__(self, seed: int, book: Book, fault: type | None = None) -> None:
        self.dice = Dice(seed)
        self.random = self.dice.random
        self.fault = fault
        self.net: list[tuple[str, bytes]] = []
        self.book = book
        self.terms = terms(salt=seed)
        self.channel = self.terms.channel
        self.tills = {SELLER: CrashingTill.open(memory()), BUYER: CrashingTill.open(memory())}
        for till in self.tills.values():
            till.dice = self.dice
        self.crashes = 0
        self.sent_total = 0
        self.sent_items: dict[int, bytes] = {}
        self.tills[BUYER].add_purchase(self.terms)
        view = EmbeddedSettlement(book, BUYER)._order("open", self.channel, FUNDED, self.terms)
        self.boot(SELLER)
        self.boot(BUYER)
        self.selling.observe(view)
        self.buying.observe(view)

    def boot(self, who: SigningKey) -> None:
        if who is SELLER:
            self.selling = SellingDesk(SELLER, self.tills[SELLER], credit=WINDOW)
        else:
            self.buying = BuyingDesk(BUYER, self.tills[BUYER], accept=accept)

    def send(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self.dice.maybe_crash()
            if isinstance(effect, Look):
                continue
            self.note(effect)
            if self.random.random() >= self.dice.loss:
                copies = 2 if self.random.random() < self.dice.double else 1
                self.net += [(effect.peer, messages.encode(effect.message))] * copies
            self.dice.maybe_crash()

    def note(self, send: Send) -> None:
        if isinstance(send.message, Voucher):
            self.sent_total = max(self.sent_total, send.message.total)
        if isinstance(send.message, Item):
            invoice = send.message.invoice
            known = self.sent_items.setdefault(invoice.n, invoice.signature)
            assert known == invoice.signature, "two invoices under one number"

    def deliver(self) -> None:
        if not self.net:
            return
        to, payload = self.net.pop(self.random.randrange(len(self.net)))
        who, desk, peer = (
            (SELLER, self.selling, BUYER)
            if to == SELLER.public.short_id
            else (BUYER, self.buying, SELLER)
        )
        with self.tills[who].transaction():
            effects = desk.receive(peer.public.short_id, messages.parse(payload))
            if any(type(e.message) is self.fault for e in effects if isinstance(e, Send)):
                self.send(effects)
                return
        self.send(effects)

    def make(self) -> None:
        sale = self.tills[SELLER].sale(self.channel)
        assert sale is not None
        thing = goods(sale.side.n + 1, self.random.randint(1, 7))
        with self.tills[SELLER].transaction():
            self.selling.sell(self.channel, [thing])
            fresh = self.selling.outbox(self.channel, after=sale.side.n, items_max=1)
            if self.fault is Item:
                self.send(fresh)
        if self.fault is not Item:
            self.send(fresh)

    def step(self, act: str) -> None:
        who = SELLER if act in {"make", "retry", "greet seller"} else BUYER
        try:
            match act:
                case "deliver":
                    self.deliver()
                case "make":
                    self.make()
                case "retry":
                    self.send(self.selling.outbox(self.channel, after=0, items_max=3))
                case "promise":
                    self.send(self.buying.promise(self.channel))
                case "greet seller":
                    self.send(self.selling.greet())
                case "greet buyer":
                    self.send(self.buying.greet())
                case "claim":
                    self.book.claim(self.selling.claims())
        except CrashError:
            self.crashes += 1
            self.boot(who)
            if act == "deliver":
                self.boot(SELLER)
        self.check()

    def check(self) -> None:
        sale = self.tills[SELLER].sale(self.channel)
        purchase = self.tills[BUYER].purchase(self.channel)
        view = self.book.view(self.channel)
        assert sale is not None
        assert purchase is not None
        assert view is not None
        assert sale.side.due - sale.side.best <= WINDOW, "exposed beyond the window"
        assert view.claimed <= purchase.side.due, "paid for what was not received"
        assert self.sent_total <= purchase.side.signed, "promised more than is on disk"
        assert max(self.sent_items, default=0) <= sale.side.n, "sent what is not on disk"

    def run(self) -> None:
        self.dice.crash = 0.04
        acts = ["deliver"] * 6 + ["make"] * 3
        acts += ["retry", "promise", "claim", "greet seller", "greet buyer"]
        for _ in range(STEPS):
            self.step(self.random.choice(acts))
        self.dice.crash = self.dice.loss = self.dice.double = 0  # the net heals, nobody crashes
        for _ in range(3000):
            sale = self.tills[SELLER].sale(self.channel)
            purchase = self.tills[BUYER].purchase(self.channel)
            assert sale is not None
            assert purchase is not None
            if not self.net and sale.side.due == sale.side.best == purchase.side.due:
                break
            self.step("deliver" if self.net else self.random.choice(["retry", "greet buyer"]))
        else:
            pytest.fail("never settled")

        self.items = sale.side.n
        self.finish()

    def finish(self) -> None:
        outcomes = self.book.claim(self.selling.claims())
        view = self.book.view(self.channel)
        sale = self.tills[SELLER].sale(self.channel)
        purchase = self.tills[BUYER].purchase(self.channel)
        assert view is not None
        assert sale is not None
        assert purchase is not None
        assert all(outcome.refusal is None for outcome in outcomes)
        assert view.claimed == purchase.side.due == sale.side.due
        bought = self.tills[BUYER].received(purchase, items_max=10_000)
        assert {item.invoice.n: item.invoice.signature for item in bought} == {
            n: signature for n, signature in self.sent_items.items() if n <= sale.side.n
        }
        assert [item.body for item in bought] == [
            goods(number).body for number in range(1, sale.side.n + 1)
        ]
        for till in self.tills.values():
            till.check()


@pytest.fixture(scope="module")
def book() -> Book:
    book = open_book(memory())
    book.issue(BUYER.public, 10**9)
    return book


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_no_order_of_loss_doubling_and_crashes_breaks_an_invariant(book: Book, start: int) -> None:
    crashes = items = 0

    for seed in range(start, start + 40):
        simulation = Simulation(seed, book)
        simulation.run()
        crashes += simulation.crashes
        items += simulation.items

    assert crashes > 200
    assert items > 200


@pytest.mark.parametrize("fault", [Voucher, Item])
def test_sending_before_the_commit_is_noticed(book: Book, fault: type) -> None:
    noticed = 0

    for seed in range(10_000, 10_040):
        with suppress(pytest.fail.Exception):
            try:
                Simulation(seed, book, fault).run()
            except AssertionError:
                noticed += 1

    assert noticed > 0
