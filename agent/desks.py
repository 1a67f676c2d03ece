"""The two desks of a payment channel: what to write and what to answer, message by message.

Plain synchronous code over the till. A desk never sends: it returns what is to be sent, and the
shell in `agent.tally` sends it after the transaction around the call has become durable. Every
answer mends a difference that the other side's message shows, so the two cannot talk in circles.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from agent.credit import Credit
from agent.till import Purchase, Sale, Till
from ledger_client.channels import Place, State, Terms, Voucher, sign_voucher
from ledger_client.errors import LocalError, RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import RUN_BYTES, Item, Message, Standing, sign_item
from ledger_client.settlement import Claim, View

RESEND_ITEMS_MAX = 3
REFUSALS_MAX = 6
"""Refusals of one item, each said later than the last, after which its channel is given up."""
LIVE = frozenset({State.OPEN, State.FROZEN, State.CLOSING})


@dataclass(frozen=True, slots=True)
class Send:
    """To be published to `peer` (a short id), once the transaction around the call is durable."""

    peer: str
    channel: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Look:
    """The ledger must be asked about this channel, and `observe` be told the answer."""

    peer: str
    terms: Terms


Effect = Send | Look


@dataclass(frozen=True, slots=True)
class Goods:
    """Something to be sold: `source` is its content identity, 8 to 64 bytes; each is sold once."""

    source: bytes
    price: int
    body: bytes
    simulated: bool


Accept = Callable[[Terms, Item], bytes]
"""A buyer's judgement: the content identity of the item's body. RemoteError refuses to pay."""


class SellingDesk:
    """Sells for one key on every channel whose payee it is.

    `credit` is the window of each payer, `reserve` in minor units what a new channel keeps back.
    Nothing new is sold on a channel until its buyer has said in this `run` (8 random bytes, named
    in our greeting and in its answer) where it stands: there an old backup shows.
    """

    def __init__(
        self,
        key: SigningKey,
        till: Till,
        *,
        credit: int | Credit,
        reserve: int = 0,
        run: bytes = b"",
    ) -> None:
        self.party = key.public
        self._key = key
        self._till = till
        self._credit = Credit(credit, credit, 0) if isinstance(credit, int) else credit
        self._reserve = reserve
        self._run = run or os.urandom(RUN_BYTES)
        self._heard: set[bytes] = set()
        self._refusals: dict[tuple[bytes, int], int] = {}

    def channels(self) -> list[Sale]:
        """The channels that are not over."""
        sales = self._till.sales(self.party)
        return [sale for sale in sales if sale.side.state in LIVE]

    def room(self, channel: bytes) -> int:
        """The greatest price that can be sold now, in minor units; 0 before the buyer was heard."""
        return self._sale(channel).side.room() if channel in self._heard else 0

    def sell(self, channel: bytes, goods: Iterable[Goods]) -> int:
        """Sell in order as long as there is room; how many are done (sold now or once before)."""
        if channel not in self._heard:
            return 0
        done = 0
        with self._till.transaction():
            sale = self._sale(channel)
            for thing in goods:
                if not self._till.sold(sale, thing.source):
                    if thing.price > sale.side.room():
                        break
                    sale = self._sell_one(sale, thing)
                done += 1
        return done

    def _sell_one(self, sale: Sale, thing: Goods) -> Sale:
        if thing.simulated and not sale.terms.simulated:
            raise LocalError("simulated readings can only be sold on a channel of a demo ledger")
        side = sale.side.sell(thing.price)
        place = (side.n, thing.price, side.due)
        item = sign_item(self._key, sale.terms.channel, place, thing.body)
        return self._till.write_item(sale, side, item, thing.source)

    def outbox(self, channel: bytes, *, after: int, items_max: int) -> list[Send]:
        """Unpaid items behind number `after`, oldest first, to be sent or sent again."""
        sale = self._sale(channel)
        if sale.side.state is State.CLOSED:
            return []
        items = self._till.outbox(sale, after=after, items_max=items_max)
        return [self._send(sale, item) for item in items]

    def greet(self) -> list[Send]:
        """Where we stand, for every buyer: sent on every connect."""
        return [self._say(sale) for sale in self.channels()]

    def receive(self, peer: str, message: Message) -> list[Effect]:
        """What follows from a buyer's message; nothing for one that is meant for a buyer.

        Raises:
            RemoteError: the message breaks a rule; nothing was written.
        """
        match message:
            case Voucher():
                return self._receive_voucher(self._known(peer, message.channel), message)
            case Standing() if message.terms.payee == self.party:
                return self._receive_standing(peer, message)
            case _:
                return []

    def _receive_voucher(self, sale: Sale, voucher: Voucher) -> list[Effect]:
        if sale.side.state is State.CLOSED:
            return []  # retained by the broker from better days
        if voucher.total <= sale.side.best:
            return [self._say(sale)]  # so that the buyer stops repeating it
        if voucher.total > sale.side.funded:
            return [Look(_payer(sale.terms), sale.terms)]  # it may have been topped up
        self._credit_voucher(sale, voucher)
        return []

    def _credit_voucher(self, sale: Sale, voucher: Voucher) -> None:
        voucher.verify(sale.terms.signer)
        self._till.write_credit(sale, sale.side.credit(voucher.total), voucher)

    def _receive_standing(self, peer: str, theirs: Standing) -> list[Effect]:
        channel = theirs.terms.channel
        if self._till.sale(channel) is None:
            if peer != _payer(theirs.terms):
                raise RemoteError(f"{peer} speaks for a channel of {_payer(theirs.terms)}")
            return [Look(peer, theirs.terms)]
        sale = self._known(peer, channel)
        if sale.side.state is State.CLOSED:
            return []
        if theirs.voucher is not None and theirs.voucher.total > sale.side.best:
            if theirs.voucher.total > sale.side.funded:
                return [Look(peer, sale.terms)]
            self._credit_voucher(sale, theirs.voucher)
            sale = self._sale(channel)
        if self._shows_backup(sale, theirs):
            self._till.freeze(sale)
            return []
        if theirs.run == self._run:
            self._heard.add(channel)
        if self._gives_up(sale, theirs):
            self._till.bar(sale, theirs.refused)
            return []
        total = 0 if theirs.voucher is None else theirs.voucher.total
        effects: list[Effect] = list(
            self.outbox(channel, after=theirs.n, items_max=RESEND_ITEMS_MAX)
        )
        if total < sale.side.best:
            effects.append(self._say(sale))
        return effects

    def _gives_up(self, sale: Sale, theirs: Standing) -> bool:
        """Whether the buyer has refused its next item often enough."""
        if not theirs.refused == theirs.n + 1 <= sale.side.n:
            return False
        place = sale.terms.channel, theirs.refused
        self._refusals[place] = self._refusals.get(place, 0) + 1
        return self._refusals[place] >= REFUSALS_MAX

    def _shows_backup(self, sale: Sale, theirs: Standing) -> bool:
        """Whether the buyer holds an item under our signature that this store does not know."""
        if theirs.last is None:
            if theirs.n != 0:
                raise RemoteError(f"a buyer at item {theirs.n} must show its invoice")
            return False
        theirs.last.verify(self.party)
        ours = self._till.invoice(sale, theirs.n)
        return ours is None or ours.digest != theirs.last.digest or ours.due != theirs.last.due

    def observe(self, view: View) -> list[Effect]:
        """Take over what the ledger says; an open channel that pays us becomes one of ours."""
        terms = view.terms
        sale = self._till.sale(terms.channel)
        if sale is not None:
            self._till.observe(sale, view)
            if self._till.sale(terms.channel) == sale:
                return []
        elif terms.payee != self.party or view.state is not State.OPEN:
            return []
        else:
            self._till.add_sale(view, self._credit.first, self._reserve)
        return [self._say(self._sale(terms.channel))]

    def claims(self) -> list[Claim]:
        """The vouchers that are worth more than was claimed, also of frozen channels."""
        return [
            Claim(sale.terms, sale.voucher)
            for sale in self.channels()
            if sale.voucher is not None and sale.side.best > sale.side.claimed
        ]

    def _sale(self, channel: bytes) -> Sale:
        sale = self._till.sale(channel)
        if sale is None or sale.terms.payee != self.party:
            raise RemoteError(f"no channel {channel.hex()[:16]} on which we sell")
        window = self._credit.window(*self._till.history(sale))
        return replace(sale, side=replace(sale.side, window=window))

    def _known(self, peer: str, channel: bytes) -> Sale:
        sale = self._sale(channel)
        if peer != _payer(sale.terms):
            raise RemoteError(f"{peer} speaks for a channel of {_payer(sale.terms)}")
        return sale

    def _send(self, sale: Sale, message: Message) -> Send:
        return Send(_payer(sale.terms), sale.terms.channel, message)

    def _say(self, sale: Sale) -> Send:
        side = sale.side
        place = (side.funded, side.claimed, side.due, side.n)
        return self._send(sale, Standing(sale.terms, *place, sale.voucher, None, self._run))


class BuyingDesk:
    """Buys with one key on every channel whose signer it is. `accept` judges before it pays."""

    def __init__(self, key: SigningKey, till: Till, *, accept: Accept) -> None:
        self.party = key.public
        self._key = key
        self._till = till
        self._accept = accept
        self._runs: dict[bytes, bytes] = {}
        self._refused: dict[bytes, int] = {}

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
                return self._receive_standing(self._known(peer, message.terms.channel), message)
            case _:
                return []

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
            case Place.NEXT if purchase.side.state is State.CLOSED:
                return []
            case Place.NEXT:
                return self._take(purchase, item)

    def _take(self, purchase: Purchase, item: Item) -> list[Effect]:
        invoice = item.invoice
        if invoice.due > purchase.side.funded:
            return [Look(_payee(purchase.terms), purchase.terms)]  # we may have topped it up
        invoice.verify(purchase.terms.payee)
        self._refused[invoice.channel] = invoice.n  # until it was found good
        side = purchase.side.take(invoice.price, invoice.due)
        source = self._accept(purchase.terms, item)
        if self._till.bought(purchase, source):
            raise RemoteError(f"item {invoice.n} was paid for before under another number")
        del self._refused[invoice.channel]
        voucher = sign_voucher(self._key, purchase.terms.channel, side.signed)
        self._till.write_purchase(purchase, side, item, source, voucher)
        return [self._send(purchase, voucher)]

    def refusal(self, message: Message) -> list[Send]:
        """What to say after `message` was refused: that we will not take this item."""
        if not isinstance(message, Item):
            return []
        purchase = self._till.purchase(message.invoice.channel)
        if purchase is None or self._refused.get(message.invoice.channel) != message.invoice.n:
            return []
        return [self._send(purchase, self._standing(purchase))]

    def _receive_standing(self, purchase: Purchase, theirs: Standing) -> list[Effect]:
        if purchase.side.state is State.CLOSED:
            return []
        channel, best = purchase.terms.channel, theirs.voucher
        waiting = self._runs.get(channel) != theirs.run  # it sells nothing before it has our answer
        self._runs[channel] = theirs.run
        total = 0 if best is None else best.total
        if best is not None and total > purchase.side.signed:
            best.verify(self.party)  # only our own signature makes us believe it
            self._till.write_adopted(purchase, purchase.side.adopt(total), best)
        effects: list[Effect] = []
        if total < purchase.side.signed:
            effects += self._again(purchase)
        if waiting or not effects:
            effects.append(self._send(purchase, self._standing(self._purchase(channel))))
        return effects

    def observe(self, view: View) -> list[Effect]:
        """Take over what the ledger says, and tell the seller, who may not know the channel yet."""
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
        if peer != _payee(purchase.terms):
            raise RemoteError(f"{peer} speaks for a channel of {_payee(purchase.terms)}")
        return purchase

    def _again(self, purchase: Purchase) -> list[Send]:
        return [] if purchase.voucher is None else [self._send(purchase, purchase.voucher)]

    def _standing(self, purchase: Purchase) -> Standing:
        side = purchase.side
        last = self._till.invoice(purchase, side.n)
        place = (side.funded, purchase.claimed, side.due, side.n)
        channel = purchase.terms.channel
        refused = self._refused.get(channel, 0)
        run = self._runs.get(channel, b"")
        return Standing(purchase.terms, *place, purchase.voucher, last, run, refused)

    def _send(self, purchase: Purchase, message: Message) -> Send:
        return Send(_payee(purchase.terms), purchase.terms.channel, message)


def _payer(terms: Terms) -> str:
    return terms.signer.short_id


def _payee(terms: Terms) -> str:
    return terms.payee.short_id
