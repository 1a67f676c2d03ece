"""A selling and a buying desk with one channel between them, and what passes."""

from market import BUYER, SELLER, accept, introduce, memory, open_book, terms

from agent.desks import BuyingDesk, Effect, Goods, SellingDesk, Send
from agent.till import Till
from ledger_client.channels import Terms
from ledger_client.settlement.embedded import EmbeddedSettlement

FUNDED = 200
WINDOW = 50


class Pair:
    """Both desks, introduced to each other on an open channel."""

    def __init__(self, on: Terms | None = None) -> None:
        on = on or terms()
        self.book = open_book(memory())
        self.book.issue(BUYER.public, 1_000)
        self.tills = (Till.open(memory()), Till.open(memory()))
        self.selling = SellingDesk(SELLER, self.tills[0], credit=WINDOW)
        self.buying = BuyingDesk(BUYER, self.tills[1], accept=accept)
        self.channel = on.channel
        self.buying.prepare(on)
        self.settlement = EmbeddedSettlement(self.book, BUYER)

    async def meet(self) -> "Pair":
        purchase = self.tills[1].purchases()[0]
        view = await self.settlement.open(purchase.terms, FUNDED)
        self.say_to_seller(self.selling.observe(view) and self.buying.observe(view))
        introduce(self.selling, self.buying)
        return self

    def say_to_seller(self, effects: list[Effect]) -> list[Effect]:
        return [
            answer
            for effect in effects
            if isinstance(effect, Send)
            for answer in self.selling.receive(BUYER.public.short_id, effect.message)
        ]

    def say_to_buyer(self, effects: list[Effect]) -> list[Effect]:
        return [
            answer
            for effect in effects
            if isinstance(effect, Send)
            for answer in self.buying.receive(SELLER.public.short_id, effect.message)
        ]

    def outbox(self, after: int = 0, items_max: int = 3) -> list[Effect]:
        return list(self.selling.outbox(self.channel, after=after, items_max=items_max))

    def trade(self, *things: Goods) -> None:
        assert self.selling.sell(self.channel, things) == len(things)
        self.say_to_seller(self.say_to_buyer(self.outbox(items_max=100)))
