"""Credit that grows and shrinks with history; channels that go on by themselves after trouble."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BUYER, SELLER, accept, goods, open_book, terms
from wire import Wire

from agent.credit import Credit
from agent.desks import BuyingDesk, SellingDesk
from agent.pacing import Limits
from agent.tally import Buyer, Seller
from agent.till import Till
from ledger_client.channels import State, Terms, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.messages import Item
from ledger_client.settlement.embedded import EmbeddedSettlement

FAST = Limits(retry_first_s=0.02, retry_most_s=0.05, watch_s=0.05)
ENDED = {State.CLOSING, State.CLOSED}
MONEY = st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("paid", "lost", "window"),
    [(0, 0, 100), (1_000, 0, 200), (10**9, 0, 500), (0, 100, 0), (1_000, 250, -50)],
)
def test_credit_starts_small_grows_with_what_was_paid_and_shrinks_with_what_was_not(
    paid: int, lost: int, window: int
) -> None:
    assert Credit(100, 500).window(paid, lost) == window


@given(first=MONEY, most=MONEY, paid=MONEY, lost=MONEY, more=MONEY)
def test_credit_is_bounded_and_never_better_for_owing_more(
    first: int, most: int, paid: int, lost: int, more: int
) -> None:
    credit = Credit(first, most)

    assert credit.window(paid, lost) <= most
    assert credit.window(paid, lost + more) <= credit.window(paid, lost)
    assert credit.window(paid + more, lost) >= credit.window(paid, lost)


def test_a_fixed_window_has_no_history() -> None:
    assert Credit(100, 100, 0).window(1_000, 250) == 100


class Street:
    """A seller and a buyer with a till each; the buyer may be picky."""

    def __init__(self, folder: Path, judge: Callable[[Terms, Item], bytes] = accept) -> None:
        self.book = open_book(open_database(folder / "ledger.db"))
        self.book.issue(BUYER.public, 10_000)
        self.tills = [Till.open(open_database(folder / name)) for name in ("s.db", "b.db")]
        self.blamed: list[RemoteError] = []
        self.seller = Seller(
            SellingDesk(SELLER, self.tills[0], credit=Credit(100, 500)),
            self.tills[0],
            EmbeddedSettlement(self.book, SELLER),
            blame=lambda _, error: self.blamed.append(error),
            limits=FAST,
        )
        self.buyer = Buyer(
            BuyingDesk(BUYER, self.tills[1], accept=judge),
            self.tills[1],
            EmbeddedSettlement(self.book, BUYER),
            blame=lambda _, error: self.blamed.append(error),
            limits=FAST,
        )

    async def sell_on(self, numbers: range, done: Callable[[], bool]) -> None:
        """Offer the same goods on whatever channel there is, until `done`."""
        things = [goods(number) for number in numbers]
        while not done():
            for sale in self.seller.channels():
                self.seller.sell(sale.terms.channel, things)
            await asyncio.sleep(0.01)


async def test_a_refused_item_ends_its_channel_and_the_rest_is_sold_under_a_new_salt(
    tmp_path: Path,
) -> None:
    def picky(on: Terms, item: Item) -> bytes:
        if item.body == goods(3).body:
            raise RemoteError("not what was agreed on")
        return accept(on, item)

    street, wire = Street(tmp_path, picky), Wire()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(shell.run(wire)) for shell in (street.seller, street.buyer)]
        await street.buyer.keep(terms(), 500)
        await street.sell_on(
            range(1, 8), lambda: sum(held.side.n for held in street.tills[1].purchases()) == 6
        )
        await street.seller.wait_until_paid()
        await street.seller.settle()
        for task in running:
            task.cancel()

    bought = [
        item.body for held in street.tills[1].purchases() for item in street.tills[1].received(held)
    ]
    assert bought == [goods(number).body for number in (1, 2, 4, 5, 6, 7)]
    assert street.book.balance(SELLER.public.thumbprint) == 60
    assert street.tills[0].sales()[0].side.state is State.CLOSED
    for till in street.tills:
        till.check()


def again(street: Street) -> bool:
    """Whether two items were bought on a second channel."""
    return [held.side.n for held in street.tills[1].purchases()] == [2, 2]


async def test_a_restored_buyer_freezes_is_claimed_and_goes_on_under_a_new_salt(
    tmp_path: Path,
) -> None:
    street, wire = Street(tmp_path), Wire()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(shell.run(wire)) for shell in (street.seller, street.buyer)]
        channel = await street.buyer.keep(terms(), 500)
        await street.sell_on(range(1, 3), lambda: street.tills[1].purchases()[0].side.n == 2)
        purchase = street.tills[1].purchase(channel)
        assert purchase is not None
        later = sign_voucher(BUYER, channel, 90)  # signed after the copy was made
        street.tills[1].write_adopted(purchase, purchase.side.adopt(90), later)
        await street.sell_on(range(0), lambda: street.tills[0].sales()[0].side.state in ENDED)
        await street.sell_on(range(1, 5), lambda: again(street))
        await street.seller.wait_until_paid()
        for task in running:
            task.cancel()

    view = street.book.view(channel)
    assert view is not None
    assert view.claimed in {20, 90}  # 90 where the buyer's own word got through before it ended
    assert view.state in ENDED
    assert len(street.tills[1].purchases()) == 2
