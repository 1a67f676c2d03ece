"""What every settlement engine keeps: one suite, each engine a row of ENGINES."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
from brokers import MemoryBroker
from market import BUYER, OPERATOR, SELLER, STRANGER, memory, open_book, terms

from agent.orders import Counter
from agent.orders import Limits as Generous
from agent.remote import Ledger, RemoteSettlement
from agent.remote import Limits as Patient
from ledger_client.channels import State, Terms, Voucher, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.settlement import Claim, RefusedError, Settlement
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

START = 1_000


class Site:
    """One engine with 1000 minor units for the buyer, and a clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = START
        self.book: Book = open_book(memory(), now_s=lambda: self.now_s)
        self.book.issue(BUYER.public, 1_000)

    def party(self, key: SigningKey) -> Settlement:
        return EmbeddedSettlement(self.book, key)

    async def end(self) -> None:
        """Nothing runs."""


class DistantSite(Site):
    """The same book behind commands over a broker that loses every third message."""

    def __init__(self) -> None:
        super().__init__()
        self._broker = MemoryBroker(lose=3)
        me = OPERATOR.public.short_id
        self._ledger = Ledger(me, self.book.name, self.book.demo)
        self._run(Counter(self.book, me, Generous(1_000, 1_000)).run(self._broker))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks = [*getattr(self, "_tasks", ()), asyncio.get_running_loop().create_task(work)]

    def party(self, key: SigningKey) -> Settlement:
        settlement = RemoteSettlement(key, self._ledger, Patient(retry_first_s=0.01))
        self._run(settlement.run(self._broker))
        return settlement

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


ENGINES: dict[str, Callable[[], Site]] = {"embedded": Site, "over MQTT": DistantSite}


@pytest.fixture(params=ENGINES)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    engine: str = request.param
    opened = ENGINES[engine]()
    yield opened
    await opened.end()


def claim(on: Terms, total: int, key: SigningKey = BUYER) -> Claim:
    return Claim(on, sign_voucher(key, on.channel, total))


async def test_a_party_knows_which_ledger_it_is_on(site: Site) -> None:
    ledger = site.party(BUYER)

    assert (ledger.ledger, ledger.demo) == (site.book.name, True)


async def money(site: Site) -> tuple[int, int]:
    ledger = site.party(STRANGER)
    return await ledger.balance(BUYER.public), await ledger.balance(SELLER.public)


async def test_opening_moves_money_in_and_topping_up_is_the_same_call(site: Site) -> None:
    buyer = site.party(BUYER)

    first = await buyer.open(terms(), 300)
    again = await buyer.open(terms(), 300)
    more = await buyer.open(terms(), 450)
    less = await buyer.open(terms(), 100)

    assert (first.state, first.funded, first.claimed) == (State.OPEN, 300, 0)
    assert again == first
    assert more.funded == less.funded == 450
    assert await money(site) == (550, 0)
    assert await buyer.status(terms().channel) == more
    assert await buyer.status(bytes(32)) is None


async def test_a_channel_is_opened_by_its_payer_with_money_it_has(site: Site) -> None:
    with pytest.raises(RefusedError, match="payer"):
        await site.party(STRANGER).open(terms(), 10)
    with pytest.raises(RefusedError, match="covered"):
        await site.party(BUYER).open(terms(), 1_001)
    with pytest.raises(RefusedError, match="covered"):
        await site.party(BUYER).open(terms(), 0)
    assert await money(site) == (1_000, 0)


async def test_claims_pay_the_difference_to_the_payee_whoever_asks(site: Site) -> None:
    await site.party(BUYER).open(terms(), 300)

    outcomes = [
        (await site.party(STRANGER).claim([claim(terms(), total)]))[0]
        for total in (100, 250, 250, 90)
    ]

    assert [outcome.claimed for outcome in outcomes] == [100, 250, 250, 250]
    assert [outcome.refusal for outcome in outcomes] == [None] * 4
    assert await money(site) == (700, 250)


async def test_bad_claims_are_skipped_and_the_good_ones_paid(site: Site) -> None:
    await site.party(BUYER).open(terms(1), 300)
    await site.party(BUYER).open(terms(2), 300)
    good = claim(terms(2), 40)

    outcomes = await site.party(SELLER).claim(
        [
            claim(terms(1), 301),
            claim(terms(1), 50, key=STRANGER),
            claim(terms(3), 50),
            Claim(terms(1), good.voucher),
            Claim(terms(1), Voucher(terms(1).channel, 50, b"junk")),
            good,
            claim(terms(2), 60),
        ]
    )

    assert [outcome.refusal is None for outcome in outcomes] == [False] * 5 + [True, True]
    assert await money(site) == (400, 60)


async def test_closing_leaves_the_payee_its_delay_and_then_gives_the_rest_back(site: Site) -> None:
    buyer, seller = site.party(BUYER), site.party(SELLER)
    await buyer.open(terms(delay_s=60), 300)

    closing = await buyer.close(terms().channel)
    again = await buyer.close(terms().channel)
    await seller.claim([claim(terms(), 120)])
    with pytest.raises(RefusedError):
        await buyer.finish(terms().channel)
    site.now_s += 60
    finished = await site.party(STRANGER).finish(terms().channel)
    twice = await buyer.finish(terms().channel)

    assert (closing.state, closing.closes_at_s) == (State.CLOSING, START + 60)
    assert again == closing
    assert (finished.state, finished.claimed) == (State.CLOSED, 120)
    assert twice == finished
    assert await money(site) == (880, 120)


async def test_the_payee_may_end_it_at_once(site: Site) -> None:
    await site.party(BUYER).open(terms(), 300)
    await site.party(SELLER).claim([claim(terms(), 10)])

    view = await site.party(SELLER).close_now(terms().channel)
    late = await site.party(SELLER).claim([claim(terms(), 20)])

    assert view.state is State.CLOSED
    assert late[0].refusal is not None
    assert late[0].claimed == 10
    assert await money(site) == (990, 10)
    with pytest.raises(RemoteError):
        await site.party(BUYER).open(terms(), 500)


@pytest.mark.parametrize("wrong", [SELLER, STRANGER], ids=["payee", "stranger"])
async def test_only_the_payer_closes(site: Site, wrong: SigningKey) -> None:
    await site.party(BUYER).open(terms(), 300)

    with pytest.raises(RefusedError):
        await site.party(wrong).close(terms().channel)


@pytest.mark.parametrize("wrong", [BUYER, STRANGER], ids=["payer", "stranger"])
async def test_only_the_payee_closes_now(site: Site, wrong: SigningKey) -> None:
    await site.party(BUYER).open(terms(), 300)

    with pytest.raises(RefusedError):
        await site.party(wrong).close_now(terms().channel)


async def test_nothing_can_be_done_to_a_channel_that_is_not_there(site: Site) -> None:
    buyer = site.party(BUYER)

    for step in (buyer.close, buyer.close_now, buyer.finish):
        with pytest.raises(RefusedError, match="no channel"):
            await step(terms().channel)
