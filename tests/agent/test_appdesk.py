"""Apps at a gateway: let in, sold to and cut off as their files say."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from box import Box
from brokers import MemoryBroker

from agent import apps, granting, keyring
from agent.appbuyer import AppBuyer, Credentials, read
from agent.broker import BrokerError
from agent.broker.endpoint import Endpoint
from agent.clock import minute_s
from agent.config import parse
from agent.desks import BuyingDesk
from agent.gateway.apps import outsiders
from agent.goods import ReadingsWanted
from agent.granting import Wanted
from agent.home import HomeError
from agent.running import Connection
from agent.stores import Stores
from agent.tally import Buyer
from agent.till import Till
from agent.topics import Rules
from ledger_client.channels import State, Terms
from ledger_client.database import open_database
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.settlement.embedded import EmbeddedSettlement

ASKED = Wanted(
    *("tyres", ("tyre_pressure",), 1_000_000, 86_400, "EUR/6", 50, 30), url="mqtt://127.0.0.1:1"
)


@dataclass
class Site:
    """A gateway's stores with its apps' desk, and a broker that notes whom it let in."""

    box: Box
    stores: Stores
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    admitted: list[set[str]] = field(default_factory=list)
    refusals: int = 0

    def __post_init__(self) -> None:
        config = parse({"gateway": {"home": str(self.stores.home.path), "demo": True}})
        self.outside = outsiders(config, self.stores, self.now_s)
        self.apps = self.outside.apps

    def now_s(self) -> int:
        return minute_s(self.box.stamp.wall_ms)

    async def admit(self, rules: Mapping[str, Rules]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BrokerError("not now")
        self.admitted.append(set(rules))

    @property
    def connection(self) -> Connection:
        return Connection(self.broker, lambda user: Endpoint("mqtt://h", user), (), self.admit)

    def grant(self, name: str = "tyres") -> SigningKey:
        told = granting.grant(self.stores.home, replace(ASKED, name=name), self.now_s())
        return SigningKey(bytes.fromhex(told["seed"]))

    def revoke(self, name: str = "tyres") -> None:
        granting.revoke(self.stores.home, name, self.now_s())


@pytest.fixture
def site(box: Box) -> Site:
    return Site(box, box.open())


@asynccontextmanager
async def at_work(site: Site) -> AsyncIterator[None]:
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(site.apps.run(site.connection)),
            tasks.create_task(site.outside.counting.run(site.connection)),
        ]
        yield
        for task in running:
            task.cancel()


async def until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110  # files and tills tell nobody
        await asyncio.sleep(0.02)


def certified(site: Site, key: SigningKey) -> bool:
    return keyring.known(site.stores.log).chain(key.public) is not None


def buyer(site: Site, key: SigningKey, folder: Path) -> tuple[Buyer, Terms]:
    """The app as a milepost of its own would buy, on its own till."""
    book = site.apps.book
    till = Till.open(open_database(folder / f"{key.public.short_id}.db"))
    wanted = ReadingsWanted(site.stores.signer.public, site.stores.log_key, 50, 0)
    terms = Terms(
        *(book.name, key.public, key.public, site.apps.seller.party, book.asset, 3_600, bytes(16)),
        simulated=True,
    )
    desk = BuyingDesk(key, till, accept=wanted.accept)
    settlement = EmbeddedSettlement(book, key)

    def blame(speaker: str, error: RemoteError) -> None:
        pytest.fail(f"{speaker}: {error}")

    return Buyer(desk, till, settlement, blame=blame), terms


async def test_a_grant_is_let_in_certified_and_funded_and_its_end_undoes_that(site: Site) -> None:
    book = site.apps.book
    async with at_work(site):
        key = site.grant()
        await until(lambda: certified(site, key))
        account = key.public.thumbprint
        await until(lambda: book.balance(account) == 1_000_000)
        other = site.grant("other")
        await until(lambda: certified(site, other))

        site.revoke()
        await until(lambda: not certified(site, key))

    first, second = key.public.short_id, other.public.short_id
    assert site.admitted == [{first}, {first, second}, {second}]
    assert certified(site, other)


async def test_what_was_granted_is_sold_and_an_app_that_is_cut_off_pays_what_it_promised(
    site: Site, tmp_path: Path
) -> None:
    key = site.grant()
    assert set(site.apps.rules()) == {key.public.short_id}
    async with at_work(site):
        await until(lambda: certified(site, key))
        shell, terms = buyer(site, key, tmp_path)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(shell.run(site.broker))
            await shell.open(terms, 100_000)
            site.box.hear(site.stores, 5, "car")
            site.box.hear(site.stores, 5, "runner")
            site.box.prove(site.stores)
            await until(lambda: any(sale.side.best for sale in site.apps.seller.channels()))
            await site.apps.settle()
            claimed = [sale.side.claimed for sale in site.apps.seller.channels()]
            site.revoke()
            await until(lambda: not site.apps.seller.channels())
            running.cancel()

    view = site.apps.book.view(terms.channel)
    assert view is not None
    assert claimed == [250], "five readings of the car's tyre, none of the runner"
    assert (view.state, view.claimed) == (State.CLOSED, 250)


async def test_a_milepost_elsewhere_buys_on_this_ledger_and_goes_on_after_a_restart(
    site: Site, tmp_path: Path
) -> None:
    told = granting.grant(site.stores.home, ASKED, site.now_s())
    credentials = msgspec.convert(told, Credentials)
    till = Till.open(open_database(tmp_path / "till.db"))
    seen: list[tuple[str, float | str, int]] = []

    async def until_paid(total: int) -> None:
        app = AppBuyer(
            credentials, till, lambda leaf, price: seen.append((leaf.name, leaf.value, price))
        )
        async with asyncio.TaskGroup() as tasks:
            buying = tasks.create_task(app.run(site.broker))
            await until(lambda: [sale.side.best for sale in site.apps.seller.channels()] == [total])
            buying.cancel()

    async with at_work(site):
        for total in (250, 500):
            site.box.hear(site.stores, 5, "car")
            site.box.prove(site.stores)
            await until_paid(total)

    assert {name for name, _, _ in seen} == {"tyre/tyre_pressure"}
    assert [price for _, _, price in seen] == [50] * 10
    (purchase,) = till.purchases()
    assert (purchase.side.funded, purchase.side.signed) == (1_000_000, 500)


async def test_what_was_taken_back_before_the_gateway_ever_saw_it_is_never_let_in(
    site: Site,
) -> None:
    key, log = site.grant(), site.stores.log
    before = log.head.size
    site.revoke()

    assert site.apps.rules() == {}
    async with at_work(site):
        await until(lambda: log.head.size > before)

    assert site.admitted == []
    assert not certified(site, key)
    assert site.apps.book.balance(key.public.thumbprint) == 0


async def test_an_app_whose_time_is_over_is_cut_off_by_the_next_minute(site: Site) -> None:
    key = site.grant()
    async with at_work(site):
        await until(lambda: certified(site, key))
        site.box.second += 31 * 86_400
        await until(lambda: site.admitted[-1] == set())

    assert site.admitted[0] == {key.public.short_id}


def test_credentials_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}")

    for name in ("other", "nowhere"):
        with pytest.raises(HomeError, match="expected"):
            read(tmp_path / name)


async def test_when_the_broker_does_not_take_it_over_it_is_tried_again(site: Site) -> None:
    site.refusals = 2
    async with at_work(site):
        key = site.grant()
        await until(lambda: certified(site, key))

    assert site.admitted == [{key.public.short_id}]


async def test_a_file_that_is_no_grant_is_said_and_stops_nobody_else(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    key = site.grant()
    (site.stores.home.path / apps.FOLDER / "broken.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        async with at_work(site):
            await until(lambda: certified(site, key))

    assert "expected the grant of an app" in caplog.text


async def test_a_certificate_that_the_log_or_the_ledger_refuses_is_said(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = replace(ASKED, name="strange")
    home = site.stores.home
    gateway = home.key_path(keyring.GATEWAY)
    kept = gateway.read_bytes()
    gateway.write_bytes(SigningKey(b"s" * 32).file_bytes())
    granting.grant(home, stranger, site.now_s())
    gateway.write_bytes(kept)
    with caplog.at_level(logging.WARNING):
        async with at_work(site):
            await until(lambda: "app strange" in caplog.text)


async def test_with_anothers_broker_grants_count_from_the_start_on_and_ends_at_once(
    site: Site,
) -> None:
    site.apps.live = False
    first = site.grant()
    site.apps.rules()
    async with at_work(site):
        await until(lambda: certified(site, first))
        second = site.grant("other")
        site.revoke()
        await until(lambda: not certified(site, first))

    assert not certified(site, second)
