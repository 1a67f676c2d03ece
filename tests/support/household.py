"""Two gateways of one house that hear the same packets, and the one buyer of both."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from box import WALL_MS, Box
from market import BUYER, memory, terms

from agent.claims import Kept, pack
from agent.desks import BuyingDesk, Effect, Goods, SellingDesk, SellingRules, Send
from agent.goods import ReadingsWanted, readings_body, readings_source
from agent.journal import Pack
from agent.marks import Readings
from agent.stores import Stores
from agent.till import Till
from ledger_client.channels import State, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item, Standing
from ledger_client.settlement import View

PRICE = 10
WINDOW = 100
FUNDED = 10_000
SELLERS = (SigningKey(bytes([11]) * 32), SigningKey(bytes([12]) * 32))


@dataclass
class Gateway:
    """A gateway with a log of its own that sells what it heard."""

    box: Box
    stores: Stores
    key: SigningKey
    now_s: int = 0
    rules: SellingRules = field(default_factory=SellingRules)

    def __post_init__(self) -> None:
        self.till = Till.open(memory())
        self.terms: Terms = replace(terms(), payee=self.key.public)
        self.restart()

    def restart(self) -> None:
        self.desk = SellingDesk(
            self.key, self.till, credit=WINDOW, rules=self.rules, now_s=lambda: self.now_s
        )

    def hear(self, first: int, count: int) -> None:
        """These packets of the one thing that both hear; each gateway has its own clock."""
        self.box.second += 1
        now_ms = self.box.stamp.boottime_ms
        kept = [
            Kept(
                component="strap",
                profile="heart-rate/1",
                provenance=9,
                wall_ms=WALL_MS + 500 * number + 100 * self.box.second,
                boottime_ms=now_ms,
                packet=number.to_bytes(8, "big"),
                readings=(("heart_rate", 60.0 + number),),
            )
            for number in range(first, first + count)
        ]
        body = self.stores.vault.seal_pack("runner", pack(kept))
        said = [Pack("runner", self.stores.boot, count, now_ms, now_ms, body)]
        self.stores.journal.put(said, {}, {}, now_ms)

    def sell(self) -> int:
        """Everything that was heard, as one batch; what the desk has done with it."""
        return self.desk.sell(self.terms.channel, [self.goods()])

    def goods(self) -> Goods:
        (proved,) = self.box.prove(self.stores)
        sealed = self.stores.journal.leaves_of(proved.batch)
        assert sealed is not None
        statement = self.stores.log.statement(proved.log_index)
        every = self.stores.vault.open_leaves("runner", proved.batch, sealed)
        body = readings_body(statement, self.stores.log.receipt(proved.log_index), every)
        return Goods(readings_source(statement), PRICE * len(every), body, simulated=True)

    def items(self) -> list[Item]:
        sends = self.desk.outbox(self.terms.channel, after=0, items_max=100)
        return [send.message for send in sends if isinstance(send.message, Item)]

    @property
    def due(self) -> int:
        return self.till.sales()[0].side.due

    @property
    def paid(self) -> int:
        return self.till.sales()[0].side.best


class Household:
    """Two gateways and the one buyer of both."""

    def __init__(self, folder: Path) -> None:
        self.gateways = []
        for number, key in enumerate(SELLERS):
            box = Box(folder / str(number))
            self.gateways.append(Gateway(box, box.open(log_name=f"{number}.example/log"), key))
        self.till = Till.open(memory())
        self.buying = BuyingDesk(BUYER, self.till, accept=self.accept)
        for each in self.gateways:
            self.buying.prepare(each.terms)
            view = View(each.terms, State.OPEN, FUNDED, 0, None)
            self.buying.observe(view)
            each.desk.observe(view)
            self.meet(each)

    def meet(self, gateway: Gateway) -> None:
        for send in gateway.desk.greet():
            self.answer(gateway, self.at_buyer(gateway, send))

    def accept(self, on: Terms, item: Item) -> Readings:
        (gateway,) = (each for each in self.gateways if each.terms == on)
        stores = gateway.stores
        return ReadingsWanted(stores.signer.public, stores.log_key, PRICE, 9).accept(on, item)

    def at_buyer(self, gateway: Gateway, send: Send) -> list[Send]:
        """What the buyer says to this message."""
        try:
            effects = self.buying.receive(gateway.key.public.short_id, send.message)
        except RemoteError:
            return self.buying.refusal(send.message)
        return [effect for effect in effects if isinstance(effect, Send)]

    def answer(self, gateway: Gateway, sends: list[Send]) -> list[Send]:
        """What the gateway says to these messages."""
        effects: list[Effect] = []
        for send in sends:
            effects += gateway.desk.receive(BUYER.public.short_id, send.message)
        return [effect for effect in effects if isinstance(effect, Send)]

    def trade(self, gateway: Gateway) -> None:
        """Until nobody has anything to say."""
        sends = gateway.desk.outbox(gateway.terms.channel, after=0, items_max=100)
        for _ in range(20):
            said = [answer for send in sends for answer in self.at_buyer(gateway, send)]
            sends = self.answer(gateway, said)

    def paid_packets(self) -> list[bytes]:
        return [
            mark.digest
            for held in self.till.purchases()
            for item in self.till.received(held, items_max=1_000)
            for mark in self.accept(held.terms, item).marks
        ]

    def refusal(self, gateway: Gateway) -> Standing:
        """What the buyer says to the oldest item."""
        (item, *_) = gateway.desk.outbox(gateway.terms.channel, after=0, items_max=1)
        (send,) = self.at_buyer(gateway, item)
        assert isinstance(send.message, Standing)
        assert send.message.refused is not None
        return send.message
