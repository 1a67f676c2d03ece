"""The buyer's desk: items in, judged before they are paid; vouchers out."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from agent.desks.effects import LIVE, Effect, Look, Send, payee
from agent.desks.rules import BUYING_RULES, BuyingRules
from agent.marks import Readings
from agent.spending import BudgetError, Spent, after
from agent.till import Purchase, Till
from ledger_client.channels import Buying, Place, State, Terms, Voucher, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import KNOWN_MAX, Invoice, Item, Message, Refusal, Standing
from ledger_client.settlement import View

ENDING = frozenset({State.FROZEN, State.CLOSING, State.CLOSED})
"""Nothing more is taken on such a channel; what was promised on it can be claimed."""
Accept = Callable[[Terms, Item], bytes | Readings]
"""A buyer's judgement: the content identity of the item's body, for readings also of each one.

RemoteError refuses to pay.
"""


class BuyingDesk:
    """Buys with one key on every channel whose signer it is. `accept` judges before it pays.

    `now_s` is Unix time in whole seconds; without it no period of a budget ever ends.
    """

    def __init__(
        self,
        key: SigningKey,
        till: Till,
        *,
        accept: Accept,
        rules: BuyingRules = BUYING_RULES,
        now_s: Callable[[], int] = lambda: 0,
    ) -> None:
        self.party = key.public
        self.over_budget = 0
        """How often an item had to wait because a budget was spent."""
        self._key = key
        self._till = till
        self._accept = accept
        self._rules = rules
        self._now_s = now_s
        self._runs: dict[bytes, bytes] = {}
        self._refused: dict[bytes, Refusal] = {}
        self._asked: dict[bytes, int] = {}

    def channels(self) -> list[Purchase]:
        """The channels that are not over, those that are being opened too."""
        purchases = self._till.purchases(self.party)
        return [purchase for purchase in purchases if purchase.side.state is not State.CLOSED]

    def greet(self) -> list[Send]:
        """Where we stand, for every seller: sent on every connect, and to introduce a channel."""
        return [
            self._send(purchase, self._standing(purchase))
            for purchase in self.channels()
            if purchase.side.state in LIVE
        ]

    def promise(self, channel: bytes) -> list[Send]:
        """The last voucher once more, as long as it is worth anything."""
        purchase = self._purchase(channel)
        return [] if purchase.side.state is State.CLOSED else self._again(purchase)

    def receive(self, peer: str, message: Message) -> list[Effect]:
        """What follows from a seller's message; nothing for one that is meant for a seller.

        Raises:
            RemoteError: the message breaks a rule, or the item is refused; nothing was written.
        """
        match message:
            case Item():
                return self._receive_item(self._known(peer, message.invoice.channel), message)
            case Standing() if message.terms.signer == self.party:
                if self._till.purchase(message.terms.channel) is None:
                    return self._look_back(peer, message.terms)
                return self._receive_standing(self._known(peer, message.terms.channel), message)
            case _:
                return []

    def _look_back(self, peer: str, terms: Terms) -> list[Effect]:
        """A channel of ours that this store does not know: the ledger knows if we opened it."""
        if peer != payee(terms) or terms.payer != self.party:
            raise RemoteError(f"{peer} speaks for a channel that is not ours")
        return [Look(peer, terms)]

    def _receive_item(self, purchase: Purchase, item: Item) -> list[Effect]:
        invoice = item.invoice
        match purchase.side.place(invoice.n):
            case Place.GAP:
                return [self._send(purchase, self._standing(purchase))]
            case Place.REPEAT:
                ours = self._till.invoice(purchase, invoice.n)
                if ours is None or ours.digest != invoice.digest:
                    raise RemoteError(f"two different items under number {invoice.n}")
                return list(self._again(purchase))
            case Place.NEXT if purchase.side.state in ENDING:
                return []
            case Place.NEXT:
                return self._take(purchase, item)

    def _take(self, purchase: Purchase, item: Item) -> list[Effect]:
        invoice = item.invoice
        if invoice.due > purchase.side.funded:
            return [Look(payee(purchase.terms), purchase.terms)]  # we may have topped it up
        invoice.verify(purchase.terms.payee)
        self._refused[invoice.channel] = Refusal(invoice.n, invoice.name)  # until found good
        side = purchase.side.take(invoice.price, invoice.due)
        if invoice.price < self._rules.price_min:
            raise RemoteError(f"an item at {invoice.price}, the least is {self._rules.price_min}")
        goods = self._accept(purchase.terms, item)
        self._check_new(purchase, invoice, goods)
        del self._refused[invoice.channel]
        voucher = self._pay(purchase, side, item, goods)
        return [self._send(purchase, voucher)]

    def _check_new(self, purchase: Purchase, invoice: Invoice, goods: bytes | Readings) -> None:
        source = goods if isinstance(goods, bytes) else goods.source
        if self._till.bought(purchase, source):
            raise RemoteError(f"item {invoice.n} was paid for before under another number")
        known = () if isinstance(goods, bytes) else self._till.paid_before(goods)
        if known:
            self._refused[invoice.channel] = Refusal(
                invoice.n, invoice.name, tuple(sorted(known)[:KNOWN_MAX])
            )
            raise RemoteError(
                f"{len(known)} readings of item {invoice.n} were paid for before, to who else"
                " heard them"
            )

    def _pay(
        self, purchase: Purchase, side: Buying, item: Item, goods: bytes | Readings
    ) -> Voucher:
        """Receive, spend and promise in one commit."""
        with self._till.transaction():
            try:
                spent = self._spend(purchase, side.signed)
            except BudgetError:
                self.over_budget += 1
                raise
            ahead = side.prepay(self._ahead(purchase.terms.channel))
            with suppress(BudgetError):  # then only what is due
                spent, side = self._spend(purchase, ahead.signed), ahead
            voucher = sign_voucher(self._key, purchase.terms.channel, side.signed)
            source = goods if isinstance(goods, bytes) else goods.source
            self._till.write_purchase(purchase, side, item, source, voucher, self._now_s())
            self._till.write_spent(spent)
            if isinstance(goods, Readings):
                self._till.write_readings(goods, self._rules.readings_max)
        return voucher

    def _spend(self, purchase: Purchase, total: int) -> dict[bytes, Spent]:
        """What every budget holds once `total` is promised; raises BudgetError."""
        terms, budgets = purchase.terms, self._rules.budgets
        held = self._till.spent(budget.name(terms) for budget in budgets)
        return after(budgets, terms, held, (total - purchase.side.signed, self._now_s()))

    def _ahead(self, channel: bytes) -> int:
        """What is promised beyond what is due: as much as is asked for, as far as it is agreed."""
        return min(self._asked.get(channel, 0), self._rules.prepaid_max)

    def _prepay(self, purchase: Purchase) -> list[Send]:
        """The voucher by which what is to be paid ahead is; nothing when it was or cannot be."""
        ahead = self._ahead(purchase.terms.channel)
        if not ahead or purchase.side.state is not State.OPEN:
            return []
        side = purchase.side.prepay(ahead)
        if side.signed == purchase.side.signed:
            return []
        try:
            spent = self._spend(purchase, side.signed)
        except BudgetError:
            return []
        voucher = sign_voucher(self._key, purchase.terms.channel, side.signed)
        with self._till.transaction():
            self._till.write_ahead(purchase, side, voucher)
            self._till.write_spent(spent)
        return [self._send(purchase, voucher)]

    def refusal(self, message: Message) -> list[Send]:
        """What to say after `message` was refused: that we will not take this item."""
        if not isinstance(message, Item):
            return []
        channel = message.invoice.channel
        purchase, refused = self._till.purchase(channel), self._refused.get(channel)
        if purchase is None or refused is None or refused.n != message.invoice.n:
            return []
        return [self._send(purchase, self._standing(purchase))]

    def _receive_standing(self, purchase: Purchase, theirs: Standing) -> list[Effect]:
        if purchase.side.state is State.CLOSED:
            return []
        channel, best = purchase.terms.channel, theirs.voucher
        waiting = self._runs.get(channel) != theirs.run  # it sells nothing before it has our answer
        self._runs[channel] = theirs.run
        self._asked[channel] = max(0, -theirs.window)
        total = 0 if best is None else best.total
        if best is not None and total > purchase.side.signed:
            best.verify(self.party)  # only our own signature makes us believe it
            self._till.write_adopted(purchase, purchase.side.adopt(total), best)
        effects: list[Effect] = list(self._prepay(self._purchase(channel)))
        if total < purchase.side.signed and not effects:
            effects += self._again(purchase)
        if waiting or not effects:
            effects.append(self._send(purchase, self._standing(self._purchase(channel))))
        return effects

    def observe(self, view: View) -> list[Effect]:
        """Take over what the ledger says, and tell the seller, who may not know the channel yet.

        A channel that we opened and do not know shows that this store is an old copy: it is taken
        over as frozen, so that it is closed and what is left in it comes back.
        """
        if self._till.purchase(view.terms.channel) is None:
            if (
                view.terms.payer == self.party == view.terms.signer
                and view.state is not State.CLOSED
            ):
                self._till.add_forgotten(view)
            return []
        before = self._purchase(view.terms.channel)
        self._till.observe(before, view)
        purchase = self._purchase(view.terms.channel)
        if purchase == before:
            return []
        return [self._send(purchase, self._standing(purchase))]

    def prepare(self, terms: Terms) -> Purchase:
        """The channel to open: the one to this payee that is (being) opened, else a new one."""
        for purchase in self._till.purchases(self.party):
            if purchase.side.state in {State.OPENING, State.OPEN} and (
                replace(purchase.terms, salt=terms.salt) == terms
            ):
                return purchase
        return self._till.add_purchase(terms)

    def _purchase(self, channel: bytes) -> Purchase:
        purchase = self._till.purchase(channel)
        if purchase is None or purchase.terms.signer != self.party:
            raise RemoteError(f"no channel {channel.hex()[:16]} on which we buy")
        return purchase

    def _known(self, peer: str, channel: bytes) -> Purchase:
        purchase = self._purchase(channel)
        if peer != payee(purchase.terms):
            raise RemoteError(f"{peer} speaks for a channel of {payee(purchase.terms)}")
        return purchase

    def _again(self, purchase: Purchase) -> list[Send]:
        return [] if purchase.voucher is None else [self._send(purchase, purchase.voucher)]

    def _standing(self, purchase: Purchase) -> Standing:
        side = purchase.side
        last = self._till.invoice(purchase, side.n)
        place = (side.funded, purchase.claimed, side.due, side.n)
        channel = purchase.terms.channel
        refused = self._refused.get(channel)
        if refused is not None and refused.n <= side.n:
            refused = None
        run = self._runs.get(channel, b"")
        return Standing(purchase.terms, *place, purchase.voucher, last, run, refused)

    def _send(self, purchase: Purchase, message: Message) -> Send:
        return Send(payee(purchase.terms), purchase.terms.channel, message)
