"""A party that pays on another gateway's ledger, through restarts, refusals and endings."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import contracts
import pytest
from box import Box
from brokers import MemoryBroker
from contracts import BRAND, OTHER, WEARER

from agent import agreed, keeping, paying
from agent.bases import open_bases
from agent.desks import BuyingRules
from agent.export import write_whole
from agent.keeping import Telling
from agent.orders import Counter
from agent.pacing import Limits
from agent.partners import Office
from agent.paying import Paying
from agent.running import Connection
from agent.status import Board
from ledger_client import consents, keepers
from ledger_client.channels import State
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

AGREEMENT = contracts.licence()
DEED = Deed(AGREEMENT).joined(each.signed for each in contracts.signed(AGREEMENT))
NOW_S = contracts.BEGINS_S + 60


@dataclass
class Side:
    """One home with the agreement in it."""

    box: Box
    office: Office

    def keep(self, deed: Deed) -> None:
        write_whole(agreed.path_of(self.office.stores.home, DEED.digest), deed.encode())
        self.look()

    def look(self) -> None:
        self.office.shelf.look(NOW_S + 1)


def side(box: Box, name: str) -> Side:
    stores = box.open(log_name=name)
    path = agreed.path_of(stores.home, DEED.digest)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, DEED.encode())
    stores.shelf.open(NOW_S)
    office = Office(
        stores=stores,
        till=stores.till,
        shelf=stores.shelf,
        book=Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: NOW_S),
        board=Board(),
        base=open_bases(stores.connection),
        now_s=lambda: NOW_S + 2,
        linger_s=1,
    )
    return Side(box, office)


class Market:
    """The wearer's gateway and the brand's over one broker."""

    def __init__(self, folder: Path) -> None:
        self.broker = MemoryBroker()
        self.wearer = side(Box(folder / "wearer"), AGREEMENT.ledger)
        self.brand = side(Box(folder / "brand"), "brand.example/log")
        self.telling = Telling(WEARER, self.wearer.office)

    @asynccontextmanager
    async def running(self, *, telling: bool = True) -> AsyncIterator[Paying]:
        """Both gateways; the payee may say nothing any more."""
        stores, office = self.wearer.office.stores, self.brand.office
        one = Paying(BRAND, office, 1_000, BuyingRules(), Limits())
        counter = Counter(self.wearer.office.book, stores.signer.public.short_id)
        way = Connection(self.broker, lambda _: pytest.fail("nobody else comes"), ())
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(one.run(way)), tasks.create_task(counter.run(self.broker))]
            if telling:
                work.append(tasks.create_task(self.telling.run(self.broker)))
            yield one
            for task in work:
                task.cancel()

    def states(self) -> list[State]:
        """Of every channel that the brand ever had, as the wearer's ledger has them."""
        bought = self.brand.office.stores.till.purchases()
        views = [self.wearer.office.book.view(each.terms.channel) for each in bought]
        return [view.state for view in views if view is not None]


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Market:
    for name in ("LOOK_EVERY_S", "OPEN_RETRY_S", "ASK_EVERY_S"):
        monkeypatch.setattr(paying, name, 0.05)
    return Market(tmp_path)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  # tills tell nobody
            await asyncio.sleep(0.02)


async def test_the_channel_is_on_the_payees_ledger_and_none_on_our_own(market: Market) -> None:
    market.wearer.office.book.issue(BRAND.public, 1_000)

    async with market.running() as one:
        await until(lambda: market.states() == [State.OPEN])
        await one.settle()

    balance = market.wearer.office.book.balance
    assert balance(BRAND.public.thumbprint) == 0
    assert market.brand.office.book.balance(BRAND.public.thumbprint) == 0
    (bought,) = market.brand.office.stores.till.purchases()
    assert (bought.terms.ledger, bought.terms.payee) == (AGREEMENT.ledger, WEARER.public)
    assert market.brand.office.book.view(bought.terms.channel) is None


async def test_who_keeps_the_ledger_is_known_after_a_restart_without_asking(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payee's gateway tells nothing any more, and the channel is ended all the same."""
    market.wearer.office.book.issue(BRAND.public, 1_000)
    async with market.running():
        await until(lambda: market.states() == [State.OPEN])
    monkeypatch.setattr(paying, "GRACE_S", 0.0)
    ended = consents.sign_act(BRAND, DEED.digest, Act.END, contracts.BEGINS_S - 3_600)

    market.brand.keep(DEED.joined([ended]))
    async with market.running(telling=False):
        await until(lambda: market.states() == [State.CLOSING])

    assert keeping.pinned(market.brand.office.stores.home, AGREEMENT, DEED.digest) is not None


async def test_an_end_that_only_the_payee_knows_is_learnt_and_nothing_is_opened(
    market: Market,
) -> None:
    market.wearer.office.book.issue(BRAND.public, 1_000)
    act = consents.sign_act(WEARER, DEED.digest, Act.WITHDRAW, NOW_S)
    market.wearer.keep(DEED.joined([act]))
    path = agreed.path_of(market.brand.office.stores.home, DEED.digest)

    async with market.running():
        await until(lambda: len(agreed.read(path).acts) > len(DEED.acts))
        market.brand.look()
        await asyncio.sleep(0.2)

    (holding,) = market.brand.office.shelf.holdings()
    assert holding.standing.state is consents.State.WITHDRAWN
    assert market.brand.office.stores.till.purchases() == []


async def test_a_ledger_that_covers_nothing_is_asked_again_and_what_is_not_ours_to_know_is_told(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async with market.running():
        await until(lambda: "not covered" in caplog.text)
        market.wearer.office.book.issue(BRAND.public, 1_000)
        await until(lambda: market.states() == [State.OPEN])


async def test_a_pin_that_somebody_else_signed_is_told_and_not_believed(
    market: Market, caplog: pytest.LogCaptureFixture
) -> None:
    home, office = market.brand.office.stores.home, market.wearer.office
    keeper = keepers.Keeper(
        agreement=DEED.digest,
        ledger=AGREEMENT.ledger,
        asset="EUR/6",
        demo=True,
        gateway=OTHER.public,
        log_key=OTHER.public,
    )
    write_whole(keeping.path_of(home, DEED.digest), keepers.sign(OTHER, keeper, 1))
    office.book.issue(BRAND.public, 1_000)

    async with market.running():
        await until(lambda: caplog.text.count("says who keeps the ledger") >= 1)
        await asyncio.sleep(0.2)

    assert market.states() == []


async def test_a_payee_that_ends_each_channel_unused_costs_less_and_less_of_them(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paying, "OPEN_RETRY_MAX_S", 0.4)
    book = market.wearer.office.book
    book.issue(BRAND.public, 1_000)
    settlement = EmbeddedSettlement(book, WEARER)

    async with market.running():
        for count in range(1, 3):
            await until(lambda count=count: len(market.states()) == count)  # type: ignore[misc]  # bound
            bought = market.brand.office.stores.till.purchases()[-1]
            view = await settlement.close_now(bought.terms.channel)
            market.brand.office.stores.till.observe(bought, view)

    assert market.states() == [State.CLOSED, State.CLOSED]
    assert [paying.retry_s(unused) for unused in (0, 1, 2, 3, 99)] == [0.05, 0.1, 0.2, 0.4, 0.4]
