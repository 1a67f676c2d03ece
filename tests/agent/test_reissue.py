"""The same packets on two gateways' logs: each reading is paid once, and the rest is sold anew."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from household import FUNDED, PRICE, WINDOW, Household
from market import BUYER, STRANGER

from agent.desks import BuyingDesk, SellingRules, Send
from agent.spending import DAY_S
from ledger_client.channels import State
from ledger_client.errors import RemoteError
from ledger_client.messages import Invoice, Refusal, Standing


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
