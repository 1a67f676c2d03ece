"""What a malicious peer can take: at most the window from a seller, nothing from a buyer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market import BUYER, SELLER, STRANGER, accept, goods, introduce, memory, open_book, terms

from agent.credit import Credit
from agent.desks import BuyingDesk, Effect, SellingDesk, SellingRules, Send
from agent.desks.rules import SELLING_RULES
from agent.pacing import LIMITS, Mail
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import MONEY_MAX, Terms, Voucher, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.messages import BODY_BYTES_MAX, Invoice, Item, Message, Standing, sign_item
from ledger_client.settlement.embedded import EmbeddedSettlement

WINDOW = 50
FUNDED = 500
PRICE = 10
CHANNEL = terms().channel
ONCE = ("forged", "stale", "replayed", "foreign", "overdrawn", "huge", "out of order")


@dataclass
class Stage:
    """Both desks on a funded channel; whoever is hostile speaks through `at_seller`, `at_buyer`."""

    blamed: int = 0
    sold: int = 0
    answers: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = open_book(memory())
        self.book.issue(BUYER.public, 10_000)
        self.tills = Till.open(memory()), Till.open(memory())
        self.selling = SellingDesk(SELLER, self.tills[0], credit=WINDOW)
        self.buying = BuyingDesk(BUYER, self.tills[1], accept=accept)
        self.buying.prepare(terms())
        view = EmbeddedSettlement(self.book, BUYER)._order("open", CHANNEL, FUNDED, terms())
        self.selling.observe(view)
        self.buying.observe(view)
        introduce(self.selling, self.buying)

    def sell(self, count: int) -> list[Item]:
        fresh = [goods(self.sold + number, PRICE) for number in range(1, count + 1)]
        before = self.sold
        self.sold += self.selling.sell(CHANNEL, fresh)
        sends = self.selling.outbox(CHANNEL, after=before, items_max=100)
        return [send.message for send in sends if isinstance(send.message, Item)]

    def at_seller(self, message: Message, peer: str = BUYER.public.short_id) -> None:
        self._say(self.selling, message, peer)

    def at_buyer(self, message: Message, peer: str = SELLER.public.short_id) -> None:
        self._say(self.buying, message, peer)

    def _say(self, desk: SellingDesk | BuyingDesk, message: Message, peer: str) -> None:
        try:
            self.answers += desk.receive(peer, messages.parse(messages.encode(message)))
        except RemoteError:
            self.blamed += 1

    def honest_round(self, count: int) -> None:
        for item in self.sell(count):
            self.at_buyer(item)
        for send in self.buying.promise(CHANNEL):
            self.at_seller(send.message)

    def signed(self) -> int:
        return self.tills[1].purchases()[0].side.signed

    def unpaid_after_claiming(self) -> int:
        self.book.claim(self.selling.claims())
        view = self.book.view(CHANNEL)
        assert view is not None
        return self.tills[0].sales()[0].side.due - view.claimed


def vouchers(stage: Stage, kind: str) -> Iterator[Message]:
    """What a hostile buyer says instead of paying."""
    due = stage.tills[0].sales()[0].side.due
    other = terms(99)
    match kind:
        case "forged":
            yield sign_voucher(STRANGER, CHANNEL, due)
            yield Voucher(CHANNEL, due, b"")
            yield replace(sign_voucher(BUYER, CHANNEL, 10), total=due)
        case "stale" | "replayed":
            yield from [sign_voucher(BUYER, CHANNEL, 10)] * 20
        case "foreign":
            yield sign_voucher(BUYER, other.channel, due)
            yield replace(sign_voucher(BUYER, other.channel, due), channel=CHANNEL)
        case "overdrawn":
            yield sign_voucher(BUYER, CHANNEL, FUNDED + 1)
            yield sign_voucher(BUYER, CHANNEL, MONEY_MAX)
        case "huge":
            yield Standing(terms(), MONEY_MAX, MONEY_MAX, MONEY_MAX, MONEY_MAX, None, None)
        case "out of order":
            yield from (sign_voucher(BUYER, CHANNEL, total) for total in (30, 10, 20))
        case "flooding":
            standing = Standing(terms(), FUNDED, 0, 10, 1, sign_voucher(BUYER, CHANNEL, 10), None)
            yield from [standing] * 300


@pytest.mark.parametrize("kind", [*ONCE, "flooding", "silent"])
def test_a_hostile_buyer_costs_at_most_the_window(kind: str) -> None:
    stage = Stage()
    stage.honest_round(1)

    for _ in range(5):
        stage.sell(20)
        for message in vouchers(stage, kind):
            stage.at_seller(message)

    assert stage.unpaid_after_claiming() <= WINDOW
    stage.tills[0].check()


def items(stage: Stage, kind: str) -> Iterator[Message]:
    """What a hostile seller invoices instead of delivering."""
    side = stage.tills[1].purchases()[0].side
    n, due = side.n + 1, side.due
    body = goods(1_000).body
    good = sign_item(SELLER, CHANNEL, (n, PRICE, due + PRICE), body)
    match kind:
        case "forged":
            yield sign_item(STRANGER, CHANNEL, (n, PRICE, due + PRICE), body)
            yield Item(replace(good.invoice, digest=bytes(32)), b"other goods")
        case "stale" | "replayed":
            yield sign_item(SELLER, CHANNEL, (n, PRICE, due + PRICE), goods(1).body)
        case "foreign":
            yield sign_item(SELLER, terms(99).channel, (n, PRICE, due + PRICE), body)
        case "overdrawn":
            yield sign_item(SELLER, CHANNEL, (n, FUNDED, due + FUNDED), body)
            yield sign_item(SELLER, CHANNEL, (n, 1, FUNDED), body)
        case "huge":
            yield sign_item(SELLER, CHANNEL, (n, MONEY_MAX, MONEY_MAX), bytes(BODY_BYTES_MAX))
            yield Standing(terms(), FUNDED, 0, 0, 0, Voucher(CHANNEL, MONEY_MAX, b""), None)
        case "out of order":
            yield sign_item(SELLER, CHANNEL, (n + 1, PRICE, due + 2 * PRICE), body)
        case "flooding":
            later = sign_item(SELLER, CHANNEL, (n + 7, PRICE, due + 8 * PRICE), body)
            yield from [later] * 300


@pytest.mark.parametrize("kind", [*ONCE, "flooding", "silent"])
def test_a_hostile_seller_gets_no_promise_for_what_it_did_not_deliver(kind: str) -> None:
    stage = Stage()
    stage.honest_round(2)
    before = stage.signed()

    for message in items(stage, kind):
        stage.at_buyer(message)

    assert stage.signed() == before == 2 * PRICE
    stage.tills[1].check()


def test_strangers_move_nothing() -> None:
    stage = Stage()
    stage.honest_round(1)
    said: tuple[Callable[[Message, str], None], ...] = (stage.at_seller, stage.at_buyer)

    for say in said:
        say(sign_voucher(BUYER, CHANNEL, 50), STRANGER.public.short_id)
        say(sign_item(SELLER, CHANNEL, (2, 5, 15), b"body"), STRANGER.public.short_id)
        say(Standing(terms(), 0, 0, 0, 0, None, None), STRANGER.public.short_id)

    assert (stage.signed(), stage.tills[0].sales()[0].side.best) == (PRICE, PRICE)


def test_a_flood_is_answered_once() -> None:
    stage = Stage()
    stage.honest_round(2)
    mail = Mail(LIMITS)
    stage.answers.clear()

    for _ in range(1_000):
        stage.at_seller(sign_voucher(BUYER, CHANNEL, 10))
    mail.put(effect for effect in stage.answers if isinstance(effect, Send))

    assert len(mail.take(0.0)) == 1


def test_a_message_larger_than_any_can_be_is_not_parsed() -> None:
    with pytest.raises(RemoteError):
        messages.parse(bytes(1 << 20))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_mixture_of_all_of_it_costs_more(seed: int) -> None:
    dice, stage = Random(seed), Stage()
    kinds = ["forged", "stale", "foreign", "overdrawn", "huge", "out of order"]
    genuine = 0

    for _ in range(10):
        for item in stage.sell(dice.randint(0, 3)):
            if dice.random() < 0.5:
                stage.at_buyer(item)
        for message in items(stage, dice.choice(kinds)):
            stage.at_buyer(message)
        for message in vouchers(stage, dice.choice(["forged", "foreign", "overdrawn", "huge"])):
            stage.at_seller(message)
        genuine = stage.signed()

    assert genuine == stage.tills[1].purchases()[0].side.due
    assert stage.unpaid_after_claiming() <= WINDOW


def test_an_invoice_whose_body_was_exchanged_does_not_verify() -> None:
    item = sign_item(SELLER, CHANNEL, (1, PRICE, PRICE), b"body")
    told = messages.parse(messages.encode(Item(item.invoice, b"other")))

    assert isinstance(told, Item)
    assert isinstance(told.invoice, Invoice)
    with pytest.raises(RemoteError):
        told.invoice.verify(SELLER.public)


class Counter:
    """A seller's desk, and a payer that opens whatever channels it likes and says so at once."""

    def __init__(self, rules: SellingRules = SELLING_RULES) -> None:
        self.now_s = 1_000
        self.book = open_book(memory(), now_s=lambda: self.now_s)
        self.book.issue(BUYER.public, 10_000)
        self.till = Till.open(memory())
        credit = Credit(WINDOW, WINDOW, 1)
        self.desk = SellingDesk(SELLER, self.till, credit=credit, rules=rules, run=bytes(8))

    def order(self, verb: str, on: Terms, funded: int = 0) -> None:
        whole = on if verb == "open" else None
        self.desk.observe(
            EmbeddedSettlement(self.book, BUYER)._order(verb, on.channel, funded, whole)
        )

    def open(self, on: Terms) -> bool:
        self.order("open", on, FUNDED)
        if self.till.sale(on.channel) is None:
            return False
        said = Standing(on, FUNDED, 0, 0, 0, None, None, bytes(8))
        self.desk.receive(BUYER.public.short_id, said)
        return True


@given(st.lists(st.sampled_from([*range(6), -1]), max_size=12))
def test_however_many_channels_it_opens_and_ends_a_payer_owes_one_window(salts: list[int]) -> None:
    counter, stock = Counter(), [goods(number, PRICE) for number in range(100)]
    opened = set[int]()

    for salt in salts:
        if salt < 0:
            for each in opened:
                counter.order("close", terms(each))
                counter.now_s += 60
                counter.order("finish", terms(each))
        elif salt not in opened:
            opened.add(salt)
            assert counter.open(terms(salt))
            counter.desk.sell(terms(salt).channel, stock)

    owed = sum(sale.side.due - sale.side.best for sale in counter.till.sales())
    assert owed == (WINDOW if opened else 0)


def test_nothing_is_sold_where_the_payer_could_take_back_its_promise_before_it_is_claimed() -> None:
    counter = Counter(SellingRules(delay_s_min=60))

    assert not counter.open(terms(1, delay_s=59))
    assert counter.open(terms(2, delay_s=60))


def test_one_payer_cannot_make_the_seller_keep_ever_more_channels() -> None:
    counter = Counter(SellingRules(channels_max=2))

    assert [counter.open(terms(salt)) for salt in range(3)] == [True, True, False]

    counter.order("close", terms(0))
    counter.now_s += 60
    counter.order("finish", terms(0))
    assert counter.open(terms(2))
