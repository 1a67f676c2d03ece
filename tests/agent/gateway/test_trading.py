"""Agreements drive a real gateway: a recording on the air, a real broker, buyers with own tills."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent import agreed, gateway
from agent.audit import verify_home
from agent.config import Config, Trading, read
from agent.demo.guests import Guest
from agent.desks import BuyingDesk
from agent.export import write_whole
from agent.gateway.listening import listening
from agent.gateway.trading import trading
from agent.licensed import Held, Judge
from agent.remote import Ledger, RemoteSettlement
from agent.running import Connection
from agent.status import Board
from agent.stores import Stores
from agent.tally import Buyer
from agent.till import Purchase, Till
from ledger_client import (
    agreements,
    bookkeeping,
    cbor,
    consents,
    disclosure,
    leaves,
    shapes,
    statements,
)
from ledger_client.agreements import DataLicence
from ledger_client.channels import State, Terms
from ledger_client.consents import Act
from ledger_client.database import open_database
from ledger_client.deeds import Deed
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book

CONFIGS = Path(__file__).parents[3] / "configs"
BRAND, PLATFORM = SigningKey(b"b" * 32), SigningKey(b"p" * 32)
DAY_S = 86_400


def config(tmp_path: Path) -> Config:
    """The recording in its own timing; nothing is said about whom to trade with."""
    shipped, change = read(CONFIGS / "replay.toml"), msgspec.structs.replace
    return change(
        shipped,
        gateway=change(shipped.gateway, home=str(tmp_path / "home"), demo=True),
        radio=change(shipped.radio, replay_file=str(CONFIGS / "replay.jsonl")),
        batch=change(shipped.batch, age_max_s=0.5),
        trading=Trading(funded_minor_units=1_000_000, window_minor_units=100_000),
    )


@dataclass
class World:
    """A running gateway, and what a test does to its home meanwhile."""

    stores: Stores
    board: Board
    door: "Door"
    keys: dict[str, SigningKey] = field(default_factory=dict)

    @property
    def now_s(self) -> int:
        return gateway.clock().wall_ms // 1000

    def state(self, bought: Purchase) -> State | None:
        """What the ledger says of a channel."""
        stores = self.stores
        book = Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: self.now_s)
        view = book.view(bought.terms.channel)
        return None if view is None else view.state

    def users(self) -> str:
        """Whom our broker lets in by now."""
        return (self.stores.home.broker / "nats.json").read_text()

    def deed(self, document: dict[str, Any]) -> Deed:
        """The agreement, signed by everybody."""
        agreement = agreements.from_plain(document)
        digest = agreements.digest(agreement)
        acts = [
            consents.sign_act(self.keys[party.name], digest, Act.SIGN, self.now_s)
            for party in agreement.parties
        ]
        return Deed(agreement).joined(acts)

    def keep(self, deed: Deed) -> Deed:
        """Put it into the home, as `milepost accept` or `agreement sign --home` do."""
        path = agreed.path_of(self.stores.home, deed.digest)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, deed.encode())
        return deed

    def act(self, deed: Deed, name: str, act: Act) -> Deed:
        """One party ends or withdraws."""
        done = consents.sign_act(self.keys[name], deed.digest, act, self.now_s)
        return self.keep(deed.joined([done]))

    def licence(self, **changes: object) -> dict[str, Any]:
        """The runner's readings for the brand, of which a platform has three tenths."""
        purpose = str(changes.get("purpose", "training plans"))
        return {
            "kind": "data-licence",
            "version": 1,
            "ledger": self.stores.log.name,
            "asset": "EUR/6",
            "parties": [
                {"name": name, "did": self.keys[name].public.did, "share_bps": bps}
                for name, bps in (("runner", 7_000), ("brand", 0), ("platform", 3_000))
            ],
            "begins_s": self.now_s - 60,
            "expires_s": self.now_s + DAY_S,
            "notice_s": 0,
            "least_provenance": 1,
            "simulated": True,
            "subject": self.stores.stream_for("runner", purpose).urn,
            "grantor": "runner",
            "payer": "brand",
            "quantities": ["heart_rate"],
            "resolution_s": 0,
            "purpose": purpose,
            "price": {"per": "reading", "minor_units": 50},
            **changes,
        }


class Door:
    """Where somebody else gets the way to the broker of the gateway."""

    def __init__(self) -> None:
        self._connection: asyncio.Queue[Connection] = asyncio.Queue()

    async def run(self, connection: Connection) -> None:
        self._connection.put_nowait(connection)

    async def settle(self) -> None:
        pass

    async def enter(self) -> Connection:
        """The way, once there is one."""
        connection = await self._connection.get()
        self._connection.put_nowait(connection)
        return connection


@asynccontextmanager
async def world(settings: Config) -> AsyncIterator[World]:
    """The gateway of `settings`, running until the end of the block, then drained."""
    async with listening(settings) as scene:
        stores = gateway.open_home(settings, scene.ears.components)
        try:
            board, stop, ready = Board(), asyncio.Event(), asyncio.Event()
            dealing = trading(settings, stores, board, scene)
            door = Door()
            trade = replace(dealing.trade, deals=(*dealing.trade.deals, door))
            running = gateway.compose(settings, stores, scene.ears, board, trade)
            keys = {
                "runner": stores.home.key("party-runner"),
                "car": stores.home.key("party-car"),
                "brand": BRAND,
                "platform": PLATFORM,
            }
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(running.run(stop, ready.set))
                await ready.wait()
                try:
                    yield World(stores, board, door, keys)
                finally:
                    stop.set()
        finally:
            stores.close()


class Brand:
    """A buyer of its own: key, till, connection; the ledger is asked over the broker."""

    def __init__(self, place: World, deed: Deed, till: Till) -> None:
        self.deed, self.till = deed, till
        self.refusals: list[str] = []
        self.items: list[Item] = []
        self._place = place
        stores = place.stores
        ledger = Ledger(stores.signer.public.short_id, stores.log.name, demo=True)
        self.settlement = RemoteSettlement(BRAND, ledger)
        desk = BuyingDesk(BRAND, till, accept=self._accept)
        self.buyer = Buyer(desk, till, self.settlement, blame=self._blame)

    def _accept(self, terms: Terms, item: Item) -> Any:  # noqa: ANN401  # as the judge
        assert isinstance(self.deed.agreement, DataLicence)
        standing = consents.standing(self.deed.agreement, self.deed.acts, self._place.now_s)
        stores = self._place.stores
        judge = Judge(Held(self.deed.agreement, standing), stores.signer.public, stores.log_key)
        found = judge.accept(terms, item)
        self.items.append(item)
        return found

    def _blame(self, _: str, error: RemoteError) -> None:
        self.refusals.append(str(error))

    @property
    def terms(self) -> Terms:
        stores = self._place.stores
        payee = self._place.keys["runner"].public
        return Terms(
            *(stores.log.name, BRAND.public, BRAND.public, payee, "EUR/6", 60, os.urandom(16)),
            simulated=True,
            agreement=self.deed.digest,
        )

    async def run(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.settlement.run(connection.broker))
            tasks.create_task(self.buyer.run(connection.broker))
            while True:
                try:
                    await self.buyer.open(self.terms, 500_000)
                    break
                except RemoteError as error:
                    self.refusals.append(str(error))
                    await asyncio.sleep(0.3)

    async def settle(self) -> None:
        pass

    @property
    def bought(self) -> Purchase:
        return self.till.purchases(BRAND.public)[-1]

    @property
    def names(self) -> set[str]:
        """What was disclosed to it."""
        found = set[str]()
        for item in self.items:
            value = cbor.decode(item.body)
            parts = shapes.array(value, "body")
            for part in [parts] if isinstance(parts[0], bytes) else parts:
                given = disclosure.parse(shapes.array(part, "part")[1])
                every = given.chosen if isinstance(given, disclosure.Part) else given or ()
                data = [each if isinstance(each, bytes) else each.leaf for each in every]
                found |= {leaves.parse(leaf).name.rpartition("/")[2] for leaf in data}
        return found


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    with closing(open_database(tmp_path / "brand.db")) as connection:
        yield Till.open(connection)


@asynccontextmanager
async def shopping(place: World, brand: Brand) -> AsyncIterator[None]:
    """The brand over a connection of its own, as soon as our broker lets it in."""
    await until(lambda: BRAND.public.short_id in place.users())
    connection = await place.door.enter()
    guest = Guest(BRAND.public.short_id, brand)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(guest.run(connection))
        yield
        task.cancel()


async def until(done: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110  # tills tell nobody
            await asyncio.sleep(0.1)


def books(home: Path) -> bookkeeping.Books:
    """What the record alone says of the money."""
    with closing(open_database(home / "ledger.db", create=False)) as connection:
        log = LogReader(connection)
        entries = [(each.index, statements.verify(each.statement)) for each in log.entries()]
        return bookkeeping.replay("milepost.local/log", entries)


async def test_a_licence_signed_while_the_gateway_runs_sells_until_the_consent_is_withdrawn(
    tmp_path: Path, till: Till
) -> None:
    async with world(config(tmp_path)) as place:
        deed = place.keep(place.deed(place.licence()))
        brand = Brand(place, deed, till)
        async with shopping(place, brand):
            await until(lambda: bool(till.purchases()) and brand.bought.side.n >= 2)
            place.act(deed, "runner", Act.WITHDRAW)
            await until(lambda: place.state(brand.bought) is State.CLOSED)
            sold = brand.bought.side.due
            await asyncio.sleep(1.5)
            assert brand.bought.side.due == sold

    paid = brand.bought.side.due
    assert brand.names == {"heart_rate"}
    assert paid > 0
    assert paid % 50 == 0
    assert sum(verify_home(tmp_path / "home").balances.values()) == 0
    found = books(tmp_path / "home")
    assert found.balances[PLATFORM.public.thumbprint] == paid * 3 // 10
    runner = place.keys["runner"].public
    assert found.balances[runner.thumbprint] == paid - paid * 3 // 10
    assert found.balances[BRAND.public.thumbprint] == 1_000_000 - paid
