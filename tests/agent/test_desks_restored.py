"""Desks after a crash, a start, or an old backup: what they show each other, and what freezes."""

from dataclasses import replace

import pytest
from desks import FUNDED, WINDOW, Pair
from market import BUYER, SELLER, STRANGER, goods, introduce, terms

from agent.desks import SellingDesk
from ledger_client.channels import State, Voucher, sign_voucher
from ledger_client.errors import RemoteError, SignatureError
from ledger_client.messages import Standing, sign_item


@pytest.fixture
async def pair() -> Pair:
    return await Pair().meet()


async def test_a_restored_buyer_adopts_its_own_signature_and_freezes(pair: Pair) -> None:
    pair.trade(goods(1))
    unsigned = Standing(terms(), FUNDED, 0, 0, 0, Voucher(pair.channel, 90, b""), None)
    forged = replace(unsigned, voucher=sign_voucher(STRANGER, pair.channel, 90))
    genuine = replace(unsigned, voucher=sign_voucher(BUYER, pair.channel, 90))

    for wrong in (unsigned, forged):
        with pytest.raises(RemoteError):
            pair.buying.receive(SELLER.public.short_id, wrong)
    assert pair.tills[1].purchases()[0].side.state is State.OPEN
    pair.buying.receive(SELLER.public.short_id, genuine)

    side = pair.tills[1].purchases()[0].side
    assert (side.state, side.signed) == (State.FROZEN, 90)
    assert pair.selling.sell(pair.channel, [goods(2)]) == 1
    assert pair.say_to_buyer(pair.outbox()) == []
    assert pair.tills[1].purchases()[0].side.n == 1


async def test_a_restored_seller_freezes_when_the_buyer_shows_its_invoice(pair: Pair) -> None:
    pair.trade(goods(1))
    later = sign_item(SELLER, pair.channel, (5, 10, 50), b"sold after the backup").invoice
    peer = BUYER.public.short_id

    with pytest.raises(RemoteError, match="must show"):
        pair.selling.receive(peer, Standing(terms(), FUNDED, 0, 50, 5, None, None))
    forged = sign_item(STRANGER, pair.channel, (5, 10, 50), b"").invoice
    with pytest.raises(SignatureError):
        pair.selling.receive(peer, Standing(terms(), FUNDED, 0, 50, 5, None, forged))
    assert pair.selling.channels()[0].side.state is State.OPEN
    pair.selling.receive(peer, Standing(terms(), FUNDED, 0, 50, 5, None, later))

    assert pair.selling.channels()[0].side.state is State.FROZEN
    assert pair.selling.room(pair.channel) == 0
    assert [claim.voucher.total for claim in pair.selling.claims()] == [10]


async def test_a_voucher_beyond_what_was_sold_shows_a_restored_seller_and_is_kept(
    pair: Pair,
) -> None:
    pair.selling.receive(BUYER.public.short_id, sign_voucher(BUYER, pair.channel, 70))

    assert pair.selling.channels()[0].side.state is State.FROZEN
    assert [claim.voucher.total for claim in pair.selling.claims()] == [70]


async def test_a_claim_beyond_what_it_signed_shows_a_restored_buyer(pair: Pair) -> None:
    view = await pair.settlement.open(terms(), FUNDED)

    pair.buying.observe(replace(view, claimed=1))

    assert pair.tills[1].purchases()[0].side.state is State.FROZEN


async def test_a_claim_beyond_its_best_voucher_stops_a_seller_until_it_comes(pair: Pair) -> None:
    pair.selling.sell(pair.channel, [goods(1)])
    view = await pair.settlement.open(terms(), FUNDED)
    promised = pair.say_to_buyer(pair.outbox())

    pair.selling.observe(replace(view, claimed=10))
    before = pair.selling.room(pair.channel)
    pair.selling.receive(BUYER.public.short_id, sign_voucher(BUYER, pair.channel, 10))

    assert promised == pair.buying.promise(pair.channel)
    assert (before, pair.selling.room(pair.channel)) == (0, WINDOW)


async def test_a_seller_sells_nothing_new_after_a_start_until_the_buyer_spoke(pair: Pair) -> None:
    pair.trade(goods(1))
    restarted = SellingDesk(SELLER, pair.tills[0], credit=WINDOW)

    before = restarted.sell(pair.channel, [goods(2)])
    for send in pair.buying.greet():
        restarted.receive(BUYER.public.short_id, send.message)
    stale = restarted.sell(pair.channel, [goods(2)])
    introduce(restarted, pair.buying)
    after = restarted.sell(pair.channel, [goods(2)])

    assert (before, stale, after) == (0, 0, 1)


async def test_a_seller_behind_is_told_the_voucher_again(pair: Pair) -> None:
    pair.selling.sell(pair.channel, [goods(1)])
    pair.say_to_buyer(pair.outbox())

    answers = pair.say_to_buyer(list(pair.selling.greet()))

    assert answers[:1] == pair.buying.promise(pair.channel)
