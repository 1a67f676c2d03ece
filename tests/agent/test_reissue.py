"""The same packets on two gateways' logs: each reading is paid once, and the rest is sold anew."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from box import WALL_MS, Box
from market import BUYER, STRANGER, memory, terms

from agent.claims import Kept, pack
from agent.desks import BuyingDesk, Effect, Goods, SellingDesk, SellingRules, Send
from agent.goods import ReadingsWanted, readings_body, readings_source
from agent.journal import Pack
from agent.marks import Readings
from agent.spending import DAY_S
from agent.stores import Stores
from agent.till import Till
from ledger_client.channels import State, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Invoice, Item, Refusal, Standing
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


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Household]:
    both = Household(tmp_path)
    yield both
    for each in both.gateways:
        each.box.close()


def test_a_reading_that_two_gateways_heard_is_paid_to_the_first_and_the_rest_to_the_second(
    household: Household,
) -> None:
    one, other = household.gateways
    one.hear(0, 5)
    one.sell()
    household.trade(one)
    other.hear(3, 5)
    other.sell()

    household.trade(other)

    assert (one.paid, other.paid) == (5 * PRICE, 3 * PRICE)
    paid = household.paid_packets()
    assert len(paid) == len(set(paid)) == 8
    assert other.till.sales()[0].side.n == 1
    for till in (household.till, one.till, other.till):
        till.check()


def test_what_is_sold_behind_it_goes_on_under_new_dues(household: Household) -> None:
    one, other = household.gateways
    one.hear(0, 4)
    one.sell()
    household.trade(one)
    for first in (2, 6, 8):
        other.hear(first, 2)
        other.sell()
    before = other.items()

    household.trade(other)

    assert [item.invoice.due for item in before] == [20, 40, 60]
    assert (other.due, other.paid, other.till.sales()[0].side.n) == (40, 40, 2)
    assert len(set(household.paid_packets())) == 8


def test_a_batch_that_the_buyer_has_whole_is_never_offered_again(household: Household) -> None:
    one, other = household.gateways
    one.hear(0, 3)
    one.sell()
    household.trade(one)
    other.hear(0, 3)
    thing = other.goods()
    other.desk.sell(other.terms.channel, [thing])

    household.trade(other)

    assert (other.due, other.paid) == (0, 0)
    assert other.desk.sell(other.terms.channel, [thing]) == 1
    assert other.items() == []
    assert other.till.sold(other.till.sales()[0], thing.source)


def test_old_items_on_their_way_are_never_taken_after_the_reissue(household: Household) -> None:
    one, other = household.gateways
    one.hear(0, 4)
    one.sell()
    household.trade(one)
    for first in (2, 3, 6):
        other.hear(first, 2)
        other.sell()
    stale = other.desk.outbox(other.terms.channel, after=0, items_max=10)

    answers: list[Send] = []
    for _ in range(8):
        for send in stale:
            answers += household.at_buyer(other, send)
        household.answer(other, answers)
        household.trade(other)

    assert other.till.sales()[0].side.state is State.OPEN
    assert household.till.purchases()[1].side.state is State.OPEN
    assert other.paid == other.due == 30
    assert len(set(household.paid_packets())) == len(household.paid_packets()) == 7


def test_a_refusal_that_is_not_of_the_current_item_means_nothing(household: Household) -> None:
    one, other = household.gateways
    one.hear(0, 2)
    one.sell()
    household.trade(one)
    other.hear(0, 4)
    other.sell()
    refusal = household.refusal(other)
    refused = refusal.refused
    assert refused is not None
    before = other.items()

    for wrong in (
        Refusal(1, bytes(32), refused.known),
        Refusal(2, refused.invoice, refused.known),
        Refusal(1, refused.invoice, (7,)),
        Refusal(1, refused.invoice),
    ):
        other.desk.receive(BUYER.public.short_id, replace(refusal, refused=wrong))
        assert other.items() == before
    other.desk.receive(BUYER.public.short_id, replace(refusal, run=b"another!"))
    assert other.items() == before
    other.desk.receive(BUYER.public.short_id, refusal)
    after = other.items()
    other.desk.receive(BUYER.public.short_id, refusal)

    assert refused.known == (0, 1)
    assert [item.invoice.price for item in after] == [20]
    assert other.items() == after


def test_paid_items_are_not_taken_back_whatever_a_buyer_says(household: Household) -> None:
    one, _ = household.gateways
    one.hear(0, 3)
    one.sell()
    household.trade(one)
    line = one.till.invoice(one.till.sales()[0], 1)
    assert line is not None
    lie = Standing(one.terms, FUNDED, 0, 0, 0, None, None, one.desk._run)

    one.desk.receive(BUYER.public.short_id, replace(lie, refused=Refusal(1, line.name, (0, 1, 2))))

    assert (one.due, one.paid) == (30, 30)
    assert one.till.invoice(one.till.sales()[0], 1) == line


def test_a_buyer_that_lies_about_what_it_has_gets_one_window_a_day(household: Household) -> None:
    liar, _ = household.gateways
    given: dict[int, int] = {}

    for day in (0, 0, 0, 1, 1, 1):
        liar.now_s = day * DAY_S
        for first in range(6):
            liar.hear(100 * day + 10 * first, 4)
            liar.sell()
            for item in liar.items():
                invoice: Invoice = item.invoice
                given[day] = given.get(day, 0) + invoice.price
                claimed = Refusal(invoice.n, invoice.name, (0, 1, 2, 3))
                lie = Standing(liar.terms, FUNDED, 0, 0, 0, None, None, liar.desk._run, claimed)
                liar.desk.receive(BUYER.public.short_id, lie)

    assert given[0] <= WINDOW
    assert given[1] <= WINDOW
    assert (liar.due, liar.paid) == (0, 0)


def test_less_than_the_least_price_is_not_sold_anew(household: Household) -> None:
    one, other = household.gateways
    other.rules = SellingRules(price_min=2 * PRICE)
    other.restart()
    household.meet(other)
    one.hear(0, 3)
    one.sell()
    household.trade(one)
    other.hear(0, 4)
    other.sell()

    household.trade(other)

    assert (other.due, other.items()) == (0, [])


def test_a_buyer_that_forgot_its_sellers_run_is_told_and_refuses_again(
    household: Household,
) -> None:
    one, other = household.gateways
    one.hear(0, 2)
    one.sell()
    household.trade(one)
    other.hear(0, 3)
    other.sell()
    household.buying = BuyingDesk(BUYER, household.till, accept=household.accept)

    household.trade(other)

    assert (other.due, other.paid) == (10, 10)


def test_what_is_refused_for_another_reason_is_given_up_as_ever(household: Household) -> None:
    _, other = household.gateways
    other.hear(0, 2)
    other.sell()
    line = other.items()[0].invoice
    refusal = Standing(other.terms, FUNDED, 0, 0, 0, None, None, other.desk._run)

    for _ in range(6):
        other.desk.receive(BUYER.public.short_id, replace(refusal, refused=Refusal(1, line.name)))

    assert other.till.sales()[0].side.state is State.FROZEN


def test_strangers_cannot_make_a_seller_reissue(household: Household) -> None:
    one, _ = household.gateways
    one.hear(0, 2)
    one.sell()
    line = one.items()[0].invoice
    lie = Standing(one.terms, 0, 0, 0, 0, None, None, one.desk._run, Refusal(1, line.name, (0,)))

    with pytest.raises(RemoteError):
        one.desk.receive(STRANGER.public.short_id, lie)
    assert one.items()[0].invoice == line
