"""Two sellers that heard the same packets, and their one buyer, as running shells over a wire."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from market import BUYER, SELLER, memory, open_book
from tallystalls import RIVAL, World, accept, held, stall
from wire import Wire

from agent.desks import BuyingDesk, BuyingRules, SellingDesk
from agent.pacing import Limits
from agent.spending import DAY_S, Budget
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client.channels import State, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.messages import Item, Refusal, Standing
from ledger_client.settlement import View
from ledger_client.settlement.embedded import EmbeddedSettlement

FAST = Limits(retry_first_s=0.02, retry_most_s=0.1, watch_s=0.05)
BATCHES = 30
WINDOW = 40
DAYS_PER_S = 20


def today_s() -> int:
    """Days pass quickly here, so what was refused is soon forgiven."""
    return int(asyncio.get_running_loop().time() * DAYS_PER_S * DAY_S)


async def test_each_packet_that_anybody_sold_is_paid_once_and_all_of_it_settles(
    tmp_path: Path,
) -> None:
    wire, blamed = Wire(), list[RemoteError]()
    book = open_book(open_database(tmp_path / "ledger.db"))
    book.issue(BUYER.public, 100_000)
    world = World(Random(7), {SELLER: [], RIVAL: []})
    stalls = [stall(key, 1) for key in (SELLER, RIVAL)]
    tills = {key: Till.open(open_database(tmp_path / key.public.short_id)) for key in world.heard}
    bought = Till.open(open_database(tmp_path / "buyer.db"))
    sellers = {
        key: Seller(
            SellingDesk(key, till, credit=40, now_s=today_s),
            till,
            EmbeddedSettlement(book, key),
            blame=lambda _, error: blamed.append(error),
            limits=FAST,
        )
        for key, till in tills.items()
    }
    rules = BuyingRules((Budget(200, each_payee=True),))
    buyer = Buyer(
        BuyingDesk(BUYER, bought, accept=accept, rules=rules, now_s=today_s),
        bought,
        EmbeddedSettlement(book, BUYER),
        blame=lambda _, error: blamed.append(error),
        limits=FAST,
    )

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(shell.run(wire)) for shell in (*sellers.values(), buyer)]
        for at in stalls:
            await buyer.open(at.terms, 5_000)
            at.stock += [world.goods(at.key) for _ in range(BATCHES)]
            await sellers[at.key].wait_for_room(at.channel, 1)
        while any(at.done < len(at.stock) for at in stalls):
            for at in stalls:
                at.done += sellers[at.key].sell(at.channel, at.stock[at.done :])
            await asyncio.sleep(0.01)
        for seller in sellers.values():
            await seller.wait_until_paid()
            await seller.settle()
        for task in running:
            task.cancel()

    sold = {packet for at in stalls for goods in at.stock for packet in held(goods.body).values()}
    paid = [
        packet
        for purchase in bought.purchases()
        for item in bought.received(purchase, items_max=1_000)
        for packet in held(item.body).values()
    ]
    assert sorted(paid) == sorted(sold)
    assert any("paid for before" in str(error) for error in blamed)
    earned = [book.balance(key.public.thumbprint) for key in tills]
    assert earned == [till.sales()[0].side.due for till in tills.values()]
    for till in (*tills.values(), bought):
        till.check()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_a_buyer_refuses_it_reads_at_most_one_window_for_nothing(seed: int) -> None:
    dice, till = Random(seed), Till.open(memory())
    at, world, run = stall(SELLER, 1), World(Random(seed), {SELLER: []}), b"this run"
    desk = SellingDesk(SELLER, till, credit=WINDOW, run=run)
    desk.observe(View(at.terms, State.OPEN, 10_000, 0, None))
    peer = BUYER.public.short_id
    standing = Standing(at.terms, 0, 0, 0, 0, None, None, run)
    desk.receive(peer, standing)
    read: dict[bytes, int] = {}
    paid = 0

    for _ in range(40):
        desk.sell(at.channel, [world.goods(SELLER)])
        items = [
            send.message
            for send in desk.outbox(at.channel, after=0, items_max=100)
            if isinstance(send.message, Item)
        ]
        for item in items:
            leaves = held(item.body).values()
            read |= dict.fromkeys(leaves, item.invoice.price // len(leaves))
        for item in items[: dice.randint(0, 1)]:
            invoice = item.invoice
            if dice.random() < 0.3:
                paid = invoice.due
                desk.receive(peer, sign_voucher(BUYER, at.channel, paid))
                standing = replace(standing, n=invoice.n, due=invoice.due, last=invoice)
                continue
            known = tuple(sorted(dice.sample(range(5), dice.randint(1, 4))))
            name = invoice.name if dice.random() < 0.9 else bytes(32)
            lie = Refusal(invoice.n + dice.choice((0, 0, 0, 1)), name, known)
            desk.receive(peer, replace(standing, refused=lie))

    assert sum(read.values()) - paid <= WINDOW
    assert till.sales()[0].side.state in {State.OPEN, State.FROZEN}
    till.check()
