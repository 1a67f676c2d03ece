"""What is for sale is offered in order, once, and only what fits an item."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import pytest
from box import Box
from market import BUYER, terms

from agent import deals
from agent.deals import ReadingsOffer, ReadingsSale, UnitsSale
from agent.desks import Goods
from agent.goods import Tariff, readings_source
from ledger_client.channels import State
from ledger_client.settlement import View

if TYPE_CHECKING:
    from agent.tally import Seller
    from agent.till import Sale


class Counter:
    """Stands for the tally's seller: takes everything, or the first `room` things."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.sold: list[Goods] = []
        self.live: list[Sale] = []

    def channels(self) -> "list[Sale]":
        return self.live

    def sell(self, channel: bytes, goods: Iterable[Goods]) -> int:
        del channel
        taken: list[Goods] = []
        for thing in goods:
            if len(taken) == self.room:
                break
            taken.append(thing)
        self.sold += taken
        return len(taken)


def test_each_batch_is_offered_once_and_one_too_large_for_an_item_is_passed_over(box: Box) -> None:
    stores = box.open()
    for count in (2, 900, 3):
        box.hear(stores, count)
        box.prove(stores)
    sale = stores.till.add_sale(View(terms(), State.OPEN, 10**6, 0, None), 10**6, 0)
    counter, offers = Counter(), {BUYER.public: ReadingsOffer(50)}
    selling = ReadingsSale(cast("Seller", counter), stores, "runner", offers)

    selling._offer(sale)
    selling._offer(sale)

    assert [(goods.source, goods.price) for goods in counter.sold] == [
        (readings_source(stores.log.statement(1)), 100),
        (readings_source(stores.log.statement(3)), 150),
    ]
    assert all(goods.simulated for goods in counter.sold)


def test_a_batch_for_which_there_was_no_room_is_offered_again(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 2)
    box.prove(stores)
    sale = stores.till.add_sale(View(terms(), State.OPEN, 10**6, 0, None), 10**6, 0)
    counter, offers = Counter(room=0), {BUYER.public: ReadingsOffer(50)}
    selling = ReadingsSale(cast("Seller", counter), stores, "runner", offers)

    selling._offer(sale)
    counter.room = 1
    selling._offer(sale)

    assert len(counter.sold) == 1


def test_a_long_past_is_gone_through_in_steps(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deals, "BATCHES_AT_ONCE_MAX", 2)
    stores = box.open()
    for _ in range(5):
        box.hear(stores, 1)
        box.prove(stores)
    sale = stores.till.add_sale(View(terms(), State.OPEN, 10**6, 0, None), 10**6, 0)
    counter, offers = Counter(), {BUYER.public: ReadingsOffer(50)}
    selling = ReadingsSale(cast("Seller", counter), stores, "runner", offers)

    after_each_look = []
    for _ in range(4):
        selling._offer(sale)
        after_each_look.append(len(counter.sold))

    assert after_each_look == [2, 4, 5, 5]


def test_units_are_offered_as_the_meter_passes_them() -> None:
    counter, meter_j = Counter(), [25_000.0]
    tariff = Tariff("did:key:meter", 10_000, 7, simulated=True)
    selling = UnitsSale(cast("Seller", counter), tariff, lambda: meter_j[0], sold_before=1)
    sale = cast("Sale", type("OneSale", (), {"terms": terms()})())
    counter.live = [sale]

    selling._offer(sale)
    meter_j[0] = 41_000.0
    selling._offer(sale)
    selling._offer(sale)

    assert [goods.source for goods in counter.sold] == [tariff.source(n) for n in (2, 3, 4)]


def test_units_of_a_channel_that_ended_are_offered_again_on_the_next_one() -> None:
    counter, meter_j = Counter(room=2), [35_000.0]
    tariff = Tariff("did:key:meter", 10_000, 7, simulated=True)
    selling = UnitsSale(cast("Seller", counter), tariff, lambda: meter_j[0], sold_before=0)
    first, second = (
        cast("Sale", type("OneSale", (), {"terms": terms(salt=salt)})()) for salt in (1, 2)
    )

    counter.live = [first]
    selling._offer(first)
    counter.live, counter.room = [second], 3
    selling._offer(second)
    meter_j[0] = 52_000.0
    selling._offer(second)

    assert [goods.source for goods in counter.sold] == [
        tariff.source(n) for n in (1, 2, 1, 2, 3, 4, 5)
    ]
