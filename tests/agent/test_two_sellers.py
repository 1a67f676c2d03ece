"""Two sellers that heard the same packets, and their one buyer, as running shells over a wire."""

import asyncio
from pathlib import Path
from random import Random

from market import BUYER, SELLER, open_book
from tallystalls import RIVAL, World, accept, held, stall
from wire import Wire

from agent.desks import BuyingDesk, BuyingRules, SellingDesk
from agent.pacing import Limits
from agent.spending import DAY_S, Budget
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.settlement.embedded import EmbeddedSettlement

FAST = Limits(retry_first_s=0.02, retry_most_s=0.1, watch_s=0.05)
BATCHES = 30
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
