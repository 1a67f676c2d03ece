"""A buyer, one or two sellers, a broker and a ledger in virtual time, by seed; they run real code.

Two sellers have gateways that hear the same packets, some on both; a seller may want to be prepaid.
Somebody plants forged messages and bad claims; now and then a process comes back with an old copy
of its database, and sometimes of its mark, so that only the others can tell. Then the net heals and
all must agree. What is true is written down apart from what the parties believe, and compared after
every event.
"""

from functools import lru_cache
from heapq import heappop

from market import BUYER, STRANGER, memory
from tallymarket import FUNDED, NAMES, WINDOW, Market
from tallystalls import Stall, held
from tallytruth import CALM, CrashError, Odds, Truth, demand

from agent.desks import Effect, Send
from agent.spending import DAY_S
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import State, Voucher, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item, Message, Standing
from ledger_client.settlement import Claim

CHAOS_S = 25.0
HEALED_S = 3_600.0
EVENTS_MAX = 5_000
WHOLE = 0.2
"""How many of those who restore an old copy restore its mark with it."""


@lru_cache(maxsize=4096)
def parsed(payload: bytes) -> Message:
    """Parsing is pure, and messages come twice."""
    return messages.parse(payload)


class Simulation(Market):
    """One run; the same seed gives the same. `crashes` and the like count what it went through."""

    # --- what may happen

    def step(self) -> None:
        """The next event, and whether everything still holds."""
        self.now, number, act, sender, payload = heappop(self._heap)
        self.events += 1
        if act in NAMES:
            self.net["overtaken"] += number < self._newest.get(act, 0)
            self._newest[act] = max(number, self._newest.get(act, 0))
        demand(self.events < EVENTS_MAX, "they talk in circles")
        try:
            self._act(act, sender, payload)
        except CrashError:
            self.crashes += 1
            self.boot(self._at_work)
            self._plan(self.random.uniform(0.1, 1), "greet")
        self.check()

    def _act(self, act: str, sender: str, payload: bytes) -> None:
        match act:
            case "make":
                self._plan(self.random.uniform(0.1, 1.0), act)
                self._make(self.random.choice(list(self.stalls.values())))
            case "watch":
                self._plan(0.5, act)
                self._retry()
            case "claim":
                self._plan(self.random.uniform(2, 10), act)
                for each in self.stalls.values():
                    self.claim(each)
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
                self._deliver(NAMES[act], sender, payload)

    def _make(self, at: Stall) -> None:
        self._at_work = at.key
        if self.odds.crash:
            at.stock.append(self.world.goods(at.key))
        selling, before = self.selling[at.key], self.sale(at).side.n
        with self.tills[at.key].transaction():
            at.done += selling.sell(at.channel, at.stock[at.done :])
            fresh = selling.outbox(at.channel, after=before, items_max=100)
            if self.cast.early is Item:
                self.send(fresh)
        if self.cast.early is not Item:
            self.send(fresh)

    def _retry(self) -> None:
        for who, backoff in self._backoffs.items():
            self._at_work = who
            self.send([])  # what was paced
            for channel in backoff.due(self.now):
                if who is BUYER:
                    self.send(self.buying.promise(channel) or self.buying.greet())
                else:
                    self.send(self.selling[who].outbox(channel, after=0, items_max=3))

    def _greet(self) -> None:
        for who in self.tills:
            self._at_work = who
            self._look(who)
            self.send(self._desk(who).greet())
            for (peer, sender), payload in self._retained.items():
                self._plan(self.random.uniform(0, 1), peer, sender, payload)

    def claim(self, at: Stall) -> None:
        """The seller's vouchers beside a bad one, which must not hurt them."""
        claims = self.selling[at.key].claims()
        if self.random.random() < 0.5:
            bad = sign_voucher(STRANGER, at.channel, FUNDED)
            claims = [Claim(at.terms, bad), *claims]
        self.book.claim(claims)
        view = self.book.view(at.channel)
        best = max((claim.voucher.total for claim in claims[-1:]), default=0)
        demand(view and (view.claimed >= best or best == FUNDED), "a good claim was not paid")

    def _copy_or_restore(self) -> None:
        who = self.random.choice(list(self.tills))
        if who in self._copies and self.random.random() < 10 * self.odds.restore:
            self.restores += 1
            connection = memory()
            copy, mark = self._copies[who]
            connection.deserialize(copy)
            whole = self.random.random() < WHOLE  # with its mark: then only the others can tell
            if whole:
                self.marks[who].count = mark
            self.tills[who] = self._till(who, connection)
            self._seen[who] = -1
            self.boot(who)
            if who in self.stalls:  # it would not sell the same again under the same number
                at = self.stalls[who]
                known = [self.tills[who].sold(self.sale(at), thing.source) for thing in at.stock]
                at.stock.insert([*known, False].index(False), self.world.goods(who))
            if who in self.stalls and whole:
                at = self.stalls[who]
                taken = self.purchase(at).side.n  # what nobody holds, nobody can show it
                at.truth.sent = {n: s for n, s in at.truth.sent.items() if n <= taken}
        else:
            self._copies[who] = self.tills[who]._db.serialize(), self.marks[who].count

    def _forge(self) -> None:
        if self.random.random() >= 10 * self.odds.forgery:
            return
        at = self.random.choice(list(self.stalls.values()))
        forged = sign_voucher(STRANGER, at.channel, self.random.randint(1, FUNDED))
        standing = messages.encode(Standing(at.terms, FUNDED, 0, 0, 0, forged, None))
        buyer, seller = BUYER.public.short_id, at.key.public.short_id
        self._plan(0.1, seller, buyer, standing)
        self._plan(0.1, buyer, seller, standing)
        self._plan(0.1, seller, buyer, messages.encode(forged))

    def _deliver(self, who: SigningKey, sender: str, payload: bytes) -> None:
        self._at_work = who
        message = parsed(payload)
        effects: list[Effect] = []
        early = False
        try:
            with self.tills[who].transaction():
                effects = self._desk(who).receive(sender, message)
                early = any(
                    type(effect.message) is self.cast.early
                    for effect in effects
                    if isinstance(effect, Send)
                )
                if early:
                    self.send(effects)
        except RemoteError:
            self.refused += 1
            if who is BUYER:
                self.send(self.buying.refusal(message))
            return
        if not early:
            self.send(effects)
        if who in self.stalls and isinstance(message, Voucher):
            self._backoffs[who].reset(message.channel, self.now)

    # --- what must hold

    def check(self) -> None:
        """Every invariant that can be seen from outside; cheap when nothing was written."""
        changes = {key: till._db.total_changes for key, till in self.tills.items()}
        if changes == self._seen:
            return
        self._seen = changes
        for at in self.stalls.values():
            self._check(at)

    def _check(self, at: Stall) -> None:
        sale, purchase, truth = self.sale(at), self.purchase(at), at.truth
        view = self.book.view(at.channel)
        self._check_budget(truth, purchase.side.signed)
        truth.signed = max(truth.signed, purchase.side.signed)
        truth.delivered = max(truth.delivered, purchase.side.due)
        truth.items = max(truth.items, sale.side.n)
        truth.credited = max(truth.credited, sale.side.best)
        forgone = self.tills[at.key].forgone(sale, self._now_s() // DAY_S)
        window = 0 if self.prepaid else WINDOW - forgone
        demand(sale.side.due - sale.side.best <= window, "exposed beyond the window")
        ahead = truth.delivered + self.prepaid
        demand(view and view.claimed <= ahead, "paid for what was not received")
        demand(truth.promised <= truth.signed, "promised more than is on disk")
        demand(truth.signed <= ahead, "signed for more than was received and is paid ahead")
        demand(truth.signed <= FUNDED, "signed for more than is funded")
        demand(sale.side.best <= truth.signed, "credited more than was promised")
        demand(max(truth.sent, default=0) <= truth.items, "sent what is not on disk")
        if not self.restores:
            frozen = State.FROZEN in {sale.side.state, purchase.side.state}
            demand(not frozen, "frozen although nothing was restored")

    def _check_budget(self, truth: Truth, signed: int) -> None:
        day = self._now_s() // DAY_S
        if day != truth.day:
            truth.day, truth.signed_before_day = day, truth.signed
        if self.budget and not self.restores:
            spent = signed - truth.signed_before_day
            demand(spent <= self.budget, "promised more in a day than the budget")

    # --- one run

    def run(self) -> None:
        """Chaos, then peace; raises ViolationError for whatever does not hold."""
        self.odds = Odds()
        while self.now < CHAOS_S:
            self.step()
        self.odds = CALM
        for who in self.tills:
            self._at_work = who
            self._look(who)
        until = self.now + HEALED_S
        while not all(self._agreed(at) for at in self.stalls.values()):
            demand(self.now < until, "never settled")
            self.step()
        for at in self.stalls.values():
            self._finish(at)
        if not self.restores:
            self._count_readings()

    def _agreed(self, at: Stall) -> bool:
        sale, purchase = self.sale(at).side, self.purchase(at).side
        if State.FROZEN in {sale.state, purchase.state}:
            return True
        everything = at.done == len(at.stock) or at.stock[at.done].price > FUNDED - sale.due
        promised = min(sale.due + self.prepaid, FUNDED)
        return everything and sale.due == purchase.due and sale.best == purchase.signed == promised

    def _finish(self, at: Stall) -> None:
        sale = self.sale(at)
        self.claim(at)
        view = self.book.view(at.channel)
        demand(view and view.claimed >= sale.side.best, "the best voucher was not paid in full")
        for till in self.tills.values():
            Till(till._db).check()

    def _count_readings(self) -> None:
        """Each packet that was sold by anybody was delivered, and paid to one seller, once."""
        bought: list[bytes] = []
        sold: set[bytes] = set()
        for at in self.stalls.values():
            items = Till(self.tills[BUYER]._db).received(self.purchase(at), items_max=10_000)
            bought += [packet for item in items for packet in held(item.body).values()]
            sold |= {
                packet for goods in at.stock[: at.done] for packet in held(goods.body).values()
            }
        demand(len(bought) == len(set(bought)), "a reading was paid for twice")
        demand(set(bought) == sold, "not each reading was delivered")
