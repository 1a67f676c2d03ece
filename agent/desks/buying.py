"""The buyer's desk: items in, judged before they are paid; vouchers out."""

from collections.abc import Callable
from dataclasses import replace

from agent.desks.effects import LIVE, Effect, Look, Send, payee
from agent.till import Purchase, Till
from ledger_client.channels import Place, State, Terms, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item, Message, Standing
from ledger_client.settlement import View

Accept = Callable[[Terms, Item], bytes]
"""A buyer's judgement: the content identity of the item's body. RemoteError refuses to pay."""


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
            return [Look(payee(purchase.terms), purchase.terms)]  # we may have topped it up
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
        refused = self._refused.get(channel, 0)
        run = self._runs.get(channel, b"")
        return Standing(purchase.terms, *place, purchase.voucher, last, run, refused)

    def _send(self, purchase: Purchase, message: Message) -> Send:
        return Send(payee(purchase.terms), purchase.terms.channel, message)
