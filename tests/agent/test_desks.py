"""What each desk answers, and what hostile, stale and restored peers get from it."""

from dataclasses import replace
from hashlib import sha256

import pytest
from desks import FUNDED, WINDOW, Pair
from market import BUYER, SELLER, STRANGER, accept, goods, memory, terms

from agent.desks import BuyingDesk, Goods, Look, Send
from agent.till import Till
from ledger_client.channels import State, sign_voucher
from ledger_client.errors import LocalError, RemoteError, SignatureError
from ledger_client.messages import Standing, sign_item
from ledger_client.settlement.embedded import EmbeddedSettlement


@pytest.fixture
async def pair() -> Pair:
    return await Pair().meet()


async def test_a_seller_learns_of_a_channel_from_its_buyer_and_asks_the_ledger() -> None:
    pair = Pair()
    view = await pair.settlement.open(terms(), FUNDED)
    introduction = pair.buying.observe(view)

    (look,) = pair.say_to_seller(introduction)
    nothing = pair.selling.sell(pair.channel, [goods(1)])
    (greeting,) = pair.selling.observe(view)
    pair.say_to_seller(pair.say_to_buyer([greeting]))

    assert look == Look(BUYER.public.short_id, terms())
    assert nothing == 0
    assert pair.selling.room(pair.channel) == WINDOW
    assert pair.selling.observe(view) == []
    assert pair.buying.observe(view) == []


async def test_a_channel_that_pays_somebody_else_is_not_adopted(pair: Pair) -> None:
    foreign = replace(terms(), payee=STRANGER.public)
    view = await pair.settlement.open(foreign, 10)

    assert pair.selling.observe(view) == []
    with pytest.raises(RemoteError, match="no channel"):
        pair.selling.outbox(foreign.channel, after=0, items_max=1)


async def test_an_item_is_answered_by_a_voucher_that_frees_the_outbox(pair: Pair) -> None:
    pair.trade(goods(1), goods(2))

    assert pair.outbox() == []
    assert pair.selling.channels()[0].side.best == 20
    assert [claim.voucher.total for claim in pair.selling.claims()] == [20]


async def test_selling_stops_at_the_window_and_a_source_is_sold_once(pair: Pair) -> None:
    things = [goods(n, 20) for n in range(4)]

    assert pair.selling.sell(pair.channel, things) == 2
    assert pair.selling.sell(pair.channel, things) == 2
    assert pair.selling.room(pair.channel) == 10
    assert len(pair.outbox(items_max=10)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        Goods(b"short", 1, b"", simulated=False),
        Goods(bytes(65), 1, b"", simulated=False),
        Goods(bytes(8), 0, b"", simulated=False),
        Goods(bytes(8), -5, b"", simulated=False),
    ],
)
async def test_goods_out_of_bounds_are_our_own_mistake(pair: Pair, wrong: Goods) -> None:
    with pytest.raises(LocalError):
        pair.selling.sell(pair.channel, [wrong])
    assert pair.outbox() == []


async def test_simulated_goods_need_a_channel_that_says_so() -> None:
    pair = await Pair(terms(simulated=False)).meet()

    with pytest.raises(LocalError, match="demo"):
        pair.selling.sell(pair.channel, [goods(1)])


async def test_a_repeated_item_is_answered_by_the_same_voucher(pair: Pair) -> None:
    pair.selling.sell(pair.channel, [goods(1)])
    sent = pair.outbox()

    first = pair.say_to_buyer(sent)
    second = pair.say_to_buyer(sent)

    assert first == second
    assert pair.tills[1].purchases()[0].side.n == 1


async def test_an_item_after_a_gap_is_answered_by_where_the_buyer_stands(pair: Pair) -> None:
    pair.selling.sell(pair.channel, [goods(n) for n in range(3)])

    (answer,) = pair.say_to_buyer(pair.outbox(after=2))
    resent = pair.say_to_seller([answer])

    assert isinstance(answer, Send)
    assert isinstance(answer.message, Standing)
    assert [send.message.invoice.n for send in resent if isinstance(send, Send)] == [1, 2, 3]  # type: ignore[union-attr]  # all are items


@pytest.mark.parametrize(
    ("place", "signer"),
    [((1, 10, 11), SELLER), ((1, 10, 9), SELLER), ((1, 10, 10), STRANGER)],
    ids=["overcharged", "undercharged", "forged"],
)
async def test_a_wrong_or_forged_invoice_is_not_taken(
    pair: Pair, place: tuple[int, int, int], signer: object
) -> None:
    item = sign_item(signer, pair.channel, place, b"body")  # type: ignore[arg-type]  # a key

    with pytest.raises(RemoteError):
        pair.buying.receive(SELLER.public.short_id, item)
    assert pair.tills[1].purchases()[0].side.n == 0


async def test_an_invoice_beyond_the_funds_asks_the_ledger(pair: Pair) -> None:
    item = sign_item(SELLER, pair.channel, (1, FUNDED + 1, FUNDED + 1), b"body")

    assert pair.buying.receive(SELLER.public.short_id, item) == [
        Look(SELLER.public.short_id, terms())
    ]


async def test_two_items_under_one_number_and_one_thing_twice_are_refused(pair: Pair) -> None:
    pair.trade(goods(1))
    other = sign_item(SELLER, pair.channel, (1, 10, 10), b"another body")
    again = sign_item(SELLER, pair.channel, (2, 10, 20), goods(1).body)

    with pytest.raises(RemoteError, match="two different items"):
        pair.buying.receive(SELLER.public.short_id, other)
    with pytest.raises(RemoteError, match="paid for before"):
        pair.buying.receive(SELLER.public.short_id, again)


async def test_messages_by_strangers_and_about_unknown_channels_are_refused(pair: Pair) -> None:
    nowhere = replace(terms(9))
    stranger = STRANGER.public.short_id
    voucher = sign_voucher(BUYER, pair.channel, 5)
    item = sign_item(SELLER, pair.channel, (1, 10, 10), b"body")

    for desk, message in (
        (pair.selling, voucher),
        (pair.selling, Standing(terms(), 0, 0, 0, 0, None, None)),
        (pair.selling, Standing(nowhere, 0, 0, 0, 0, None, None)),
        (pair.buying, item),
        (pair.buying, Standing(terms(), 0, 0, 0, 0, None, None)),
    ):
        with pytest.raises(RemoteError):
            desk.receive(stranger, message)
    with pytest.raises(RemoteError, match="no channel"):
        pair.selling.receive(BUYER.public.short_id, sign_voucher(BUYER, nowhere.channel, 5))
    with pytest.raises(RemoteError, match="no channel"):
        pair.buying.receive(
            SELLER.public.short_id, sign_item(SELLER, nowhere.channel, (1, 1, 1), b"")
        )


async def test_what_is_meant_for_the_other_desk_is_left_alone(pair: Pair) -> None:
    item = sign_item(SELLER, pair.channel, (1, 10, 10), b"body")
    foreign = Standing(
        replace(terms(), payee=STRANGER.public, signer=SELLER.public), 0, 0, 0, 0, None, None
    )

    assert pair.selling.receive(BUYER.public.short_id, item) == []
    assert pair.buying.receive(SELLER.public.short_id, sign_voucher(BUYER, pair.channel, 5)) == []
    assert pair.selling.receive(BUYER.public.short_id, foreign) == []
    assert pair.buying.receive(SELLER.public.short_id, foreign) == []


async def test_forged_and_overdrawn_vouchers_give_no_credit(pair: Pair) -> None:
    peer = BUYER.public.short_id
    pair.selling.sell(pair.channel, [goods(1)])

    with pytest.raises(SignatureError):
        pair.selling.receive(peer, sign_voucher(STRANGER, pair.channel, 10))
    with pytest.raises(SignatureError):
        pair.selling.receive(
            peer, Standing(terms(), 0, 0, 0, 0, sign_voucher(STRANGER, pair.channel, 10), None)
        )
    over = sign_voucher(BUYER, pair.channel, FUNDED + 1)
    assert pair.selling.receive(peer, over) == [Look(peer, terms())]
    assert pair.selling.receive(peer, Standing(terms(), 0, 0, 0, 0, over, None)) == [
        Look(peer, terms())
    ]
    assert pair.selling.channels()[0].side.best == 0


async def test_a_stale_voucher_is_answered_by_the_better_one(pair: Pair) -> None:
    pair.trade(goods(1), goods(2))

    (answer,) = pair.selling.receive(BUYER.public.short_id, sign_voucher(BUYER, pair.channel, 10))

    assert isinstance(answer, Send)
    assert isinstance(answer.message, Standing)
    assert answer.message.voucher is not None
    assert answer.message.voucher.total == 20


async def test_after_the_close_nothing_moves_and_what_was_not_paid_may_be_sold_anew(
    pair: Pair,
) -> None:
    pair.trade(goods(1))
    pair.selling.sell(pair.channel, [goods(2)])
    unpaid = pair.outbox()
    pair.book.claim(pair.selling.claims())
    view = await EmbeddedSettlement(pair.book, SELLER).close_now(pair.channel)
    pair.selling.observe(view)
    pair.buying.observe(view)
    sale = pair.tills[0].sales()[0]

    assert pair.say_to_buyer(unpaid) == []
    assert pair.say_to_seller(list(pair.buying.promise(pair.channel))) == []
    standing = Standing(terms(), 0, 0, 0, 0, None, None)
    assert pair.selling.receive(BUYER.public.short_id, standing) == []
    assert pair.buying.receive(SELLER.public.short_id, standing) == []
    assert pair.outbox() == []
    assert pair.selling.channels() == []
    assert pair.buying.channels() == []
    assert pair.tills[0].sold(sale, goods(1).source)
    assert not pair.tills[0].sold(sale, goods(2).source)


async def test_a_channel_is_opened_once_and_a_crash_keeps_its_salt() -> None:
    till = Till.open(memory())
    first = BuyingDesk(BUYER, till, accept=accept).prepare(terms(1))

    again = BuyingDesk(BUYER, till, accept=accept).prepare(terms(2))
    other = BuyingDesk(BUYER, till, accept=accept).prepare(replace(terms(3), delay_s=5))

    assert again.terms == first.terms
    assert again.side.state is State.OPENING
    assert other.terms.salt == terms(3).salt
    assert BuyingDesk(BUYER, till, accept=accept).greet() == []
    assert sha256(first.terms.encoded).digest() == first.terms.channel
