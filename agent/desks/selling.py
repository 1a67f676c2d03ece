"""The seller's desk: items out, vouchers in."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.credit import Credit
from agent.desks.effects import LIVE, Effect, Look, Send, payer
from agent.desks.rules import SELLING_RULES, SellingRules
from agent.goods import without
from agent.spending import DAY_S
from agent.till import Sale, Till
from ledger_client.channels import State, Voucher
from ledger_client.errors import LocalError, RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import RUN_BYTES, Message, Refusal, Standing, sign_item
from ledger_client.settlement import Claim, View

RESEND_ITEMS_MAX = 3
REFUSALS_MAX = 6
"""Refusals of one item, each said later than the last, after which its channel is given up."""


@dataclass(frozen=True, slots=True)
class Goods:
    """Something to be sold: `source` is its content identity, 8 to 64 bytes; each is sold once."""

    source: bytes
    price: int
    body: bytes
    simulated: bool


class SellingDesk:
    """Sells for one key on every channel whose payee it is.

    `credit` is the window of each payer. Nothing new is sold on a channel until its buyer has said
    in this `run` (8 random bytes, named in our greeting and in its answer) where it stands: there
    an old backup shows. What a buyer refuses because it paid somebody else for it counts against
    the window for a day of `now_s` (Unix seconds): it may not be true.
    """

    def __init__(
        self,
        key: SigningKey,
        till: Till,
        *,
        credit: int | Credit,
        rules: SellingRules = SELLING_RULES,
        run: bytes = b"",
        now_s: Callable[[], int] = lambda: 0,
    ) -> None:
        self.party = key.public
        self._key = key
        self._till = till
        self._credit = Credit(credit, credit, 0) if isinstance(credit, int) else credit
        self._rules = rules
        self._now_s = now_s
        self._run = run or os.urandom(RUN_BYTES)
        self._heard: set[bytes] = set()
        self._has: dict[bytes, int] = {}
        self._refusals: dict[tuple[bytes, bytes], int] = {}

    def channels(self) -> list[Sale]:
        """The channels that are not over."""
        sales = self._till.sales(self.party)
        return [sale for sale in sales if sale.side.state in LIVE]

    def room(self, channel: bytes) -> int:
        """The greatest price that can be sold now, in minor units; 0 before the buyer was heard."""
        return self._credited(self._sale(channel)).side.room() if channel in self._heard else 0

    def heard(self, channel: bytes) -> bool:
        """Whether the buyer has said in this run where it stands: so its best voucher is here."""
        return channel in self._heard

    def sell(self, channel: bytes, goods: Iterable[Goods]) -> int:
        """Sell in order as long as there is room; how many are done (sold now or once before)."""
        if channel not in self._heard:
            return 0
        done = 0
        with self._till.transaction():
            sale = self._credited(self._sale(channel))
            for thing in goods:
                rest = self._rest(sale, thing)
                if rest is not None:
                    if rest.price > sale.side.room():
                        break
                    sale = self._sell_one(sale, rest)
                done += 1
        return done

    def _rest(self, sale: Sale, thing: Goods) -> Goods | None:
        """What of it this buyer does not have yet; None when it has all."""
        if self._till.sold(sale, thing.source):
            return None
        known = self._till.known(sale, thing.source)
        left = without(thing.body, thing.price, known) if known else (thing.body, thing.price)
        return None if left is None else replace(thing, body=left[0], price=left[1])

    def _sell_one(self, sale: Sale, thing: Goods) -> Sale:
        if thing.simulated and not sale.terms.simulated:
            raise LocalError("simulated readings can only be sold on a channel of a demo ledger")
        if thing.price < self._rules.price_min:
            raise LocalError(f"goods at {thing.price}, the least is {self._rules.price_min}")
        return self._place(sale, thing.price, thing.body, thing.source)

    def _place(self, sale: Sale, price: int, body: bytes, source: bytes) -> Sale:
        """Write the next item; the caller has seen that there is room."""
        side = replace(sale.side, n=sale.side.n + 1, due=sale.side.due + price)
        item = sign_item(self._key, sale.terms.channel, (side.n, price, side.due), body)
        return self._till.write_item(sale, side, item, source, self._now_s())

    def outbox(self, channel: bytes, *, after: int, items_max: int) -> list[Send]:
        """Unpaid items behind number `after`, oldest first, to be sent or sent again.

        Where they are prepaid: items that the buyer did not say it has.
        """
        sale = self._sale(channel)
        if sale.side.state is State.CLOSED:
            return []
        if sale.side.prepaid:
            after = max(after, self._has.get(channel, 0))
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
            return [Look(payer(sale.terms), sale.terms)]  # it may have been topped up
        self._credit_voucher(sale, voucher)
        return []

    def _credit_voucher(self, sale: Sale, voucher: Voucher) -> None:
        voucher.verify(sale.terms.signer)
        self._till.write_credit(sale, sale.side.credit(voucher.total), voucher)

    def _receive_standing(self, peer: str, theirs: Standing) -> list[Effect]:
        channel = theirs.terms.channel
        if self._till.sale(channel) is None:
            if peer != payer(theirs.terms):
                raise RemoteError(f"{peer} speaks for a channel of {payer(theirs.terms)}")
            return [Look(peer, theirs.terms)]
        sale = self._known(peer, channel)
        if sale.side.state is State.CLOSED:
            return []
        if theirs.voucher is not None and theirs.voucher.total > sale.side.best:
            if theirs.voucher.total > sale.side.funded:
                return [Look(peer, sale.terms)]
            self._credit_voucher(sale, theirs.voucher)
            sale = self._sale(channel)
        if theirs.run == self._run:
            self._heard.add(channel)
        if self._shows_backup(sale, theirs):
            self._till.freeze(sale)
            return []
        self._has[channel] = theirs.n
        if theirs.refused is not None and self._refused(sale, theirs, theirs.refused):
            return []
        total = 0 if theirs.voucher is None else theirs.voucher.total
        effects: list[Effect] = list(
            self.outbox(channel, after=theirs.n, items_max=RESEND_ITEMS_MAX)
        )
        if total < sale.side.best or theirs.run != self._run:
            effects.append(self._say(sale))
        return effects

    def _refused(self, sale: Sale, theirs: Standing, refused: Refusal) -> bool:
        """Sell anew what the buyer will not take as it is; whether the channel was given up.

        A refusal of anything but the item that is next now is stale, and means nothing.
        """
        line = self._till.invoice(sale, refused.n)
        if refused.n != theirs.n + 1 or line is None or line.name != refused.invoice:
            return False
        if theirs.run != self._run or sale.side.state is not State.OPEN:
            return False
        if refused.known and sale.side.acknowledged <= line.due - line.price:
            with suppress(RemoteError):  # what it names is not there: no better than no reason
                self._reissue(sale, refused)
                return False
        place = line.channel, line.name
        self._refusals[place] = self._refusals.get(place, 0) + 1
        if self._refusals[place] < REFUSALS_MAX:
            return False
        self._till.bar(sale, refused.n)
        return True

    def _reissue(self, sale: Sale, refused: Refusal) -> None:
        """In one commit: item n without the known readings, and all behind it, under new dues.

        Raises:
            RemoteError: the item has no such readings; nothing was written.
        """
        (item,) = self._till.outbox(sale, after=refused.n - 1, items_max=1)
        price, known, last = item.invoice.price, frozenset(refused.known), sale.side.n
        left = without(item.body, price, known)
        if left is not None and left[1] < self._rules.price_min:
            left = None
        forgone = self._now_s() // DAY_S, price if left is None else price - left[1]
        with self._till.transaction():
            source = self._till.withdraw(sale, refused.n)
            self._till.write_known(sale, source, known if left else frozenset(), forgone)
            sale = self._till.rewind(sale, refused.n - 1, item.invoice.due - price)
            if left is not None:
                sale = self._place(sale, left[1], left[0], source)
            for number in range(refused.n + 1, last + 1):
                (item,) = self._till.outbox(sale, after=number - 1, items_max=1)
                source = self._till.withdraw(sale, number)
                sale = self._place(sale, item.invoice.price, item.body, source)

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
        elif terms.delay_s < self._rules.delay_s_min:
            return []  # its payer could take back what it promised before that is claimed
        elif self._till.live(terms) >= self._rules.channels_max:
            return []
        else:
            window = self._credit.window(*self._till.history(terms))
            self._till.add_sale(view, window, self._rules.reserve)
        return [self._say(self._sale(terms.channel))]

    def claims(self) -> list[Claim]:
        """The vouchers that are worth claiming, also of frozen channels."""
        return [
            Claim(sale.terms, sale.voucher)
            for sale in self.channels()
            if sale.voucher is not None
            and sale.side.best - sale.side.claimed >= self._rules.claim_min
        ]

    def _sale(self, channel: bytes) -> Sale:
        sale = self._till.sale(channel)
        if sale is None or sale.terms.payee != self.party:
            raise RemoteError(f"no channel {channel.hex()[:16]} on which we sell")
        return sale

    def _credited(self, sale: Sale) -> Sale:
        """With the window that its payer has by now."""
        side = sale.side
        window = self._credit.window(*self._till.history(sale.terms))
        if window < 0:  # what is to be prepaid stays as it was when the channel began
            window = -side.prepaid
        forgone = self._till.forgone(sale, self._now_s() // DAY_S)
        return replace(sale, side=replace(side, window=window, forgone=forgone))

    def _known(self, peer: str, channel: bytes) -> Sale:
        sale = self._sale(channel)
        if peer != payer(sale.terms):
            raise RemoteError(f"{peer} speaks for a channel of {payer(sale.terms)}")
        return sale

    def _send(self, sale: Sale, message: Message) -> Send:
        return Send(payer(sale.terms), sale.terms.channel, message)

    def _say(self, sale: Sale) -> Send:
        side = self._credited(sale).side
        place = (side.funded, side.claimed, side.due, side.n)
        standing = Standing(sale.terms, *place, sale.voucher, None, self._run, None, side.window)
        return self._send(sale, standing)
