"""What a buyer may promise and a seller puts up with: budgets, prepayment, dust, floods."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from market import BUYER, SELLER, accept, goods, introduce, memory, open_book, terms
from wire import Wire

from agent import topics
from agent.broker import Message
from agent.desks import BuyingDesk, BuyingRules, SellingDesk, SellingRules, Send
from agent.pacing import Limits, Mail
from agent.spending import DAY_S, Budget, BudgetError
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import State, Voucher, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import LocalError, RemoteError
from ledger_client.messages import Item, Standing, sign_item
from ledger_client.settlement import View
from ledger_client.settlement.embedded import EmbeddedSettlement

FUNDED = 1_000
CHANNEL = terms().channel
PEER = SELLER.public.short_id


@dataclass
class Pair:
    """Both desks on a funded channel, introduced."""

    rules: BuyingRules = field(default_factory=BuyingRules)
    selling_rules: SellingRules = field(default_factory=SellingRules)
    credit: int = 500
    now_s: int = 0

    def __post_init__(self) -> None:
        self.tills = Till.open(memory()), Till.open(memory())
        self.selling = SellingDesk(
            SELLER, self.tills[0], credit=self.credit, rules=self.selling_rules
        )
        self.buying = self.buyer()
        self.buying.prepare(terms())
        view = View(terms(), State.OPEN, FUNDED, 0, None)
        self.selling.observe(view)
        self.buying.observe(view)
        introduce(self.selling, self.buying)

    def buyer(self) -> BuyingDesk:
        """A new process over the same till."""
        return BuyingDesk(
            BUYER, self.tills[1], accept=accept, rules=self.rules, now_s=lambda: self.now_s
        )

    def items(self) -> list[Item]:
        sends = self.selling.outbox(CHANNEL, after=0, items_max=100)
        return [send.message for send in sends if isinstance(send.message, Item)]

    @property
    def signed(self) -> int:
        return self.tills[1].purchases()[0].side.signed

    @property
    def received(self) -> int:
        return self.tills[1].purchases()[0].side.n


def test_what_a_budget_keeps_back_waits_and_is_paid_in_the_next_period() -> None:
    pair = Pair(BuyingRules((Budget(25),)))
    pair.selling.sell(CHANNEL, [goods(n) for n in range(5)])
    one, two, three, *_ = pair.items()

    pair.buying.receive(PEER, one)
    pair.buying.receive(PEER, two)
    for _ in range(8):
        with pytest.raises(BudgetError, match="10 of EUR/6 is due, 5 is left of 25"):
            pair.buying.receive(PEER, three)
        assert pair.buying.refusal(three) == []  # the seller would give it up
    again = pair.buyer()
    with pytest.raises(BudgetError):
        again.receive(PEER, three)
    pair.now_s = DAY_S
    again.receive(PEER, three)

    assert (pair.buying.over_budget, again.over_budget) == (8, 1)
    assert (pair.received, pair.signed) == (3, 30)


def test_a_budget_for_each_counterparty_counts_its_channels_together() -> None:
    pair = Pair(BuyingRules((Budget(25, each_payee=True), Budget(1_000, None))))
    other = terms(salt=7)
    pair.buying.prepare(terms(salt=7, delay_s=61))
    pair.tills[1].add_purchase(other)
    pair.buying.observe(View(other, State.OPEN, FUNDED, 0, None))

    pair.buying.receive(PEER, sign_item(SELLER, CHANNEL, (1, 20, 20), b"one"))
    with pytest.raises(BudgetError, match=f"to {PEER}, 5 is left"):
        pair.buying.receive(PEER, sign_item(SELLER, other.channel, (1, 6, 6), b"two"))
    pair.buying.receive(PEER, sign_item(SELLER, other.channel, (1, 5, 5), b"two"))


def test_dust_is_neither_sold_nor_bought_nor_claimed() -> None:
    pair = Pair(BuyingRules(price_min=10), SellingRules(reserve=20, price_min=5, claim_min=30))

    with pytest.raises(LocalError, match="the least is 5"):
        pair.selling.sell(CHANNEL, [goods(1, 4)])
    pair.selling.sell(CHANNEL, [goods(1, 5)])
    (dust,) = pair.items()
    with pytest.raises(RemoteError, match="an item at 5, the least is 10"):
        pair.buying.receive(PEER, dust)
    (send,) = pair.buying.refusal(dust)

    assert isinstance(send.message, Standing)
    assert send.message.refused is not None
    buyer = BUYER.public.short_id
    pair.selling.sell(CHANNEL, [goods(2, 100)])
    pair.selling.receive(buyer, sign_voucher(BUYER, CHANNEL, 29))
    assert pair.selling.claims() == []
    pair.selling.receive(buyer, sign_voucher(BUYER, CHANNEL, 30))
    assert [claim.voucher.total for claim in pair.selling.claims()] == [30]


def prepaid(rules: BuyingRules) -> Pair:
    return Pair(rules, credit=-50)


def promise(pair: Pair) -> list[Voucher]:
    """What the buyer says to its seller's greeting: vouchers."""
    said = [
        answer
        for send in pair.selling.greet()
        for answer in pair.buying.receive(PEER, send.message)
        if isinstance(answer, Send)
    ]
    for send in said:
        pair.selling.receive(BUYER.public.short_id, send.message)
    return [send.message for send in said if isinstance(send.message, Voucher)]


def test_a_prepaid_seller_delivers_only_what_was_paid_ahead_as_agreed() -> None:
    pair = prepaid(BuyingRules(prepaid_max=50))

    assert pair.signed == 50
    assert pair.selling.room(CHANNEL) == 50
    assert pair.selling.sell(CHANNEL, [goods(1, 30), goods(2, 30)]) == 1
    (item,) = pair.items()
    (voucher,) = pair.buying.receive(PEER, item)
    assert isinstance(voucher, Send)
    pair.selling.receive(BUYER.public.short_id, voucher.message)

    assert (pair.signed, pair.received) == (80, 1)
    assert pair.selling.room(CHANNEL) == 50
    assert pair.tills[0].sales()[0].side.state is State.OPEN


@pytest.mark.parametrize(
    "rules",
    [BuyingRules(), BuyingRules(prepaid_max=49), BuyingRules((Budget(49),), prepaid_max=50)],
)
def test_a_buyer_that_may_not_pay_so_much_ahead_gets_nothing_and_loses_no_more(
    rules: BuyingRules,
) -> None:
    pair = prepaid(rules)

    assert pair.selling.sell(CHANNEL, [goods(1)]) == 0
    assert pair.signed <= rules.prepaid_max


def test_nothing_is_paid_ahead_that_nobody_asked_for() -> None:
    pair = Pair(BuyingRules(prepaid_max=50))

    assert (promise(pair), pair.signed) == ([], 0)


def test_whatever_prepayment_is_asked_for_only_what_is_agreed_and_funded_is_paid() -> None:
    pair = Pair(BuyingRules(prepaid_max=5_000))
    greedy = Standing(terms(), FUNDED, 0, 0, 0, None, None, b"a run ok", None, -10_000)

    pair.buying.receive(PEER, greedy)

    assert pair.signed == FUNDED


def test_prepaid_bodies_stay_until_a_voucher_shows_that_they_came() -> None:
    pair = prepaid(BuyingRules(prepaid_max=50))
    pair.selling.sell(CHANNEL, [goods(1, 30)])
    (item,) = pair.items()

    promise(pair)  # the prepayment once more: it says nothing about the item
    waiting = pair.items()
    effects = pair.buying.receive(PEER, item)
    for effect in effects:
        if isinstance(effect, Send):
            pair.selling.receive(BUYER.public.short_id, effect.message)

    assert waiting == [item]
    assert pair.items() == []
    assert pair.tills[0].outbox(pair.tills[0].sales()[0]) == []


def test_what_is_left_of_the_funds_can_be_spent_prepaid_to_the_last_unit() -> None:
    pair = prepaid(BuyingRules(prepaid_max=50))

    for number in range(40):
        if not pair.selling.sell(CHANNEL, [goods(number, 33 if number < 30 else 10)]):
            break
        (item,) = pair.items()
        for effect in pair.buying.receive(PEER, item):
            if isinstance(effect, Send):
                pair.selling.receive(BUYER.public.short_id, effect.message)
        for send in pair.buying.greet():
            pair.selling.receive(BUYER.public.short_id, send.message)

    side = pair.tills[0].sales()[0].side
    assert (side.due, side.best, side.state) == (FUNDED, FUNDED, State.OPEN)
    assert pair.items() == []


QUICK = Limits(retry_first_s=30.0, watch_s=30.0)


class Street:
    """Both shells over a wire in memory."""

    def __init__(self, folder: Path, credit: int, rules: BuyingRules, limits: Limits) -> None:
        self.book = open_book(open_database(folder / "ledger.db"))
        self.book.issue(BUYER.public, 10_000)
        self.tills = [Till.open(open_database(folder / name)) for name in ("s.db", "b.db")]
        self.blamed: list[RemoteError] = []
        self.seller = Seller(
            SellingDesk(SELLER, self.tills[0], credit=credit),
            self.tills[0],
            EmbeddedSettlement(self.book, SELLER),
            blame=lambda _, error: self.blamed.append(error),
            limits=limits,
        )
        self.buyer = Buyer(
            BuyingDesk(BUYER, self.tills[1], accept=accept, rules=rules),
            self.tills[1],
            EmbeddedSettlement(self.book, BUYER),
            blame=lambda _, error: self.blamed.append(error),
            limits=limits,
        )

    async def sell(self, count: int) -> bytes:
        """Sell so many goods at 30 each, and wait until they are paid."""
        wire = Wire()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            shells = [tasks.create_task(shell.run(wire)) for shell in (self.seller, self.buyer)]
            channel = await self.buyer.open(terms(), 5_000)
            for number in range(count):
                await self.seller.wait_for_room(channel, 30)
                self.seller.sell(channel, [goods(number, 30)])
            await self.seller.wait_until_paid()
            await self.seller.settle()
            for task in shells:
                task.cancel()
        return channel


async def test_prepaid_goods_flow_from_end_to_end(tmp_path: Path) -> None:
    street = Street(tmp_path, -50, BuyingRules(prepaid_max=50), QUICK)

    await street.sell(20)

    sale, purchase = street.tills[0].sales()[0].side, street.tills[1].purchases()[0].side
    assert (sale.due, purchase.due, purchase.n) == (600, 600, 20)
    assert purchase.signed in {600, 650}
    assert street.book.balance(SELLER.public.thumbprint) in {600, 650}
    assert street.blamed == []
    for till in street.tills:
        till.check()


async def test_a_channel_is_introduced_without_waiting_for_the_first_back_off(
    tmp_path: Path,
) -> None:
    street = Street(tmp_path, 500, BuyingRules(), Limits(retry_first_s=300.0, watch_s=300.0))

    await street.sell(3)

    assert street.tills[1].purchases()[0].side.n == 3


def test_only_an_answer_to_another_run_is_not_paced() -> None:
    mail = Mail(Limits(retry_first_s=10.0, introduce_s=0.5))
    first = Standing(terms(), 5, 0, 0, 0, None, None)

    def said(standing: Standing, now: float) -> int:
        mail.put([Send(PEER, CHANNEL, standing)])
        return len(mail.take(now))

    answer = messages.parse(messages.encode(first))
    assert isinstance(answer, Standing)
    heard = Standing(terms(), 5, 0, 0, 0, None, None, b"this run")
    later = Standing(terms(), 5, 1, 0, 0, None, None, b"this run")
    assert [said(first, 0.0), said(answer, 0.4), said(answer, 0.5)] == [1, 0, 1]
    assert [said(heard, 0.6), said(later, 5.0), said(later, 10.6)] == [1, 0, 1]


async def test_beyond_its_rate_one_peer_is_dropped_and_counted_and_others_are_heard(
    tmp_path: Path,
) -> None:
    limits = Limits(messages_per_s_max=5, peers_max=2, retry_first_s=0.05, watch_s=30.0)
    street = Street(tmp_path, 500, BuyingRules(), limits)
    shell = street.seller

    async def arriving() -> AsyncIterator[Message]:
        for speaker in ["noisy"] * 50 + ["quiet", "third"]:
            yield Message(topics.pay(PEER, speaker), b"\xff", retained=False)

    await shell._listen(arriving())

    assert shell.dropped == 45
    assert shell._inbox.qsize() == 7
    assert len(shell._rates) == 2
    assert [str(error) for error in street.blamed] == ["more than 5 messages a second: dropped"]
    await street.sell(3)  # and trade goes on at the pace that is left
    assert street.tills[1].purchases()[0].side.n == 3
