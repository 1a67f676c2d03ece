"""A gateway at work on a recording, its home open to a test, and customers with own tills."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from agent import agreed, gateway
from agent.config import Config, Trading, read
from agent.demo.guests import Guest
from agent.desks import BuyingDesk
from agent.export import write_whole
from agent.gateway.listening import listening
from agent.gateway.trading import trading
from agent.marks import Readings
from agent.remote import Ledger, RemoteSettlement
from agent.running import Connection
from agent.status import Board
from agent.stores import Stores
from agent.tally import Buyer
from agent.till import Purchase, Till
from ledger_client import agreements, bookkeeping, consents, statements
from ledger_client.channels import State, Terms
from ledger_client.consents import Act, Standing
from ledger_client.database import open_database
from ledger_client.deeds import Deed
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book

CONFIGS = Path(__file__).parents[2] / "configs"
BRAND, PLATFORM, DRIVER = (SigningKey(bytes([n]) * 32) for n in (91, 92, 93))
FUNDED = 1_000_000
DAY_S = 86_400


def config(tmp_path: Path, recording: Path = CONFIGS / "replay.jsonl") -> Config:
    """The recording in its own timing; nothing is said about whom to trade with."""
    shipped, change = read(CONFIGS / "replay.toml"), msgspec.structs.replace
    return change(
        shipped,
        gateway=change(shipped.gateway, home=str(tmp_path / "home"), demo=True),
        radio=change(shipped.radio, replay_file=str(recording)),
        batch=change(shipped.batch, age_max_s=0.5),
        trading=Trading(funded_minor_units=FUNDED, window_minor_units=100_000),
    )


def car_recording(path: Path) -> Path:
    """An adapter that tells the odometer twice a second: a km in between, from 100 km on."""
    with path.open("w", encoding="ascii") as file:
        for number in range(60):
            line = {
                "from": "obd",
                "address": "F0:00:00:00:02:05",
                "wall_ms": 1_795_316_727_000 + 500 * number,
                "boottime_ms": 3_559_000 + 500 * number,
                "request": "01A6",
                "text": f"7E80641A6{1_000 + 10 * number:08X}\r\r>",
                "bonded": False,
            }
            file.write(json.dumps(line) + "\n")
    return path


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


@dataclass
class World:
    """A running gateway, and what a test does to its home meanwhile."""

    stores: Stores
    board: Board
    door: Door
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

    def deed(self, document: dict[str, Any], at_s: int | None = None) -> Deed:
        """The agreement, signed by everybody."""
        agreement = agreements.from_plain(document)
        digest = agreements.digest(agreement)
        acts = [
            consents.sign_act(
                self.keys[party.name], digest, Act.SIGN, self.now_s if at_s is None else at_s
            )
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

    def _common(self, kind: str, shares: dict[str, int]) -> dict[str, Any]:
        return {
            "kind": kind,
            "version": 1,
            "ledger": self.stores.log.name,
            "asset": "EUR/6",
            "parties": [
                {"name": name, "did": self.keys[name].public.did, "share_bps": bps}
                for name, bps in shares.items()
            ],
            "begins_s": self.now_s - 60,
            "expires_s": self.now_s + DAY_S,
            "notice_s": 0,
            "least_provenance": 1,
            "simulated": True,
        }

    def licence(self, **changes: object) -> dict[str, Any]:
        """The runner's heart rate for the brand; a platform has three tenths."""
        purpose = str(changes.get("purpose", "training plans"))
        shares = {"runner": 7_000, "brand": 0, "platform": 3_000}
        return self._common("data-licence", shares) | {
            "subject": self.stores.stream_for("runner", purpose).urn,
            "grantor": "runner",
            "payer": "brand",
            "quantities": ["heart_rate"],
            "resolution_s": 0,
            "purpose": purpose,
            "price": {"per": "reading", "minor_units": 50},
            **changes,
        }

    def service(self, provider: str, customer: str, **changes: object) -> dict[str, Any]:
        """A car by km, minute and use, with a deposit; its meter is the adapter that is heard."""
        return self._common("metered-service", {provider: 10_000, customer: 0}) | {
            "provider": provider,
            "customer": customer,
            "meter": "obd",
            "prices": [
                {"unit": "m", "per": 1_000, "minor_units": 30_000},
                {"unit": "s", "per": 60, "minor_units": 2_000},
                {"unit": "use", "per": 1, "minor_units": 10_000},
            ],
            "deposit_minor_units": 400_000,
            **changes,
        }


@asynccontextmanager
async def world(
    settings: Config, parties: Sequence[str] = ("runner", "car")
) -> AsyncIterator[World]:
    """The gateway of `settings`, running until the end of the block, then drained."""
    async with listening(settings) as scene:
        stores = gateway.open_home(settings, scene.ears.components)
        try:
            board, stop, ready, door = Board(), asyncio.Event(), asyncio.Event(), Door()
            dealing = trading(settings, stores, board, scene)
            trade = replace(dealing.trade, deals=(*dealing.trade.deals, door))
            running = gateway.compose(settings, stores, scene.ears, board, trade)
            keys = {name: stores.home.key(f"party-{name}") for name in parties}
            keys |= {"brand": BRAND, "platform": PLATFORM, "driver": DRIVER}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(running.run(stop, ready.set))
                await ready.wait()
                try:
                    yield World(stores, board, door, keys)
                finally:
                    stop.set()
        finally:
            stores.close()


Judgement = Callable[[Terms, Item, Standing], bytes | Readings]


class Customer:
    """A buyer of its own: key, till, connection; the ledger is asked over the broker."""

    def __init__(self, place: World, name: str, deed: Deed, till: Till, judge: Judgement) -> None:
        """`name` is the payer's in the agreement."""
        self.key, self.deed, self.till = place.keys[name], deed, till
        self.refusals: list[str] = []
        self.items: list[Item] = []
        self._place = place
        self._judge = judge
        stores = place.stores
        ledger = Ledger(stores.signer.public.short_id, stores.log.name, demo=True)
        self._settlement = RemoteSettlement(self.key, ledger)
        desk = BuyingDesk(self.key, till, accept=self._accept)
        self._buyer = Buyer(desk, till, self._settlement, blame=self._blame)

    def _accept(self, terms: Terms, item: Item) -> bytes | Readings:
        standing = consents.standing(self.deed.agreement, self.deed.acts, self._place.now_s)
        found = self._judge(terms, item, standing)
        self.items.append(item)
        return found

    def _blame(self, _: str, error: RemoteError) -> None:
        self.refusals.append(str(error))

    def terms(self, payee: str) -> Terms:
        me, stores = self.key.public, self._place.stores
        payee_key = self.deed.agreement.key_of(payee)
        return Terms(
            *(stores.log.name, me, me, payee_key, "EUR/6", 3_600, os.urandom(16)),
            simulated=True,
            agreement=self.deed.digest,
        )

    async def run(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settlement.run(connection.broker))
            tasks.create_task(self._buyer.run(connection.broker))
            while True:
                try:
                    await self._buyer.open(self.terms(self.payee), FUNDED)
                    break
                except RemoteError as error:
                    self.refusals.append(str(error))
                    await asyncio.sleep(0.3)

    @property
    def payee(self) -> str:
        agreement = self.deed.agreement
        assert isinstance(agreement, agreements.DataLicence | agreements.MeteredService)
        return agreement.collector

    async def settle(self) -> None:
        pass

    @property
    def bought(self) -> Purchase:
        return self.till.purchases(self.key.public)[-1]

    @property
    def paid(self) -> int:
        """What it promised on all its channels, in minor units."""
        return sum(each.side.signed for each in self.till.purchases(self.key.public))


@asynccontextmanager
async def shopping(place: World, customer: Customer) -> AsyncIterator[None]:
    """The customer over a connection of its own, as soon as our broker lets it in."""
    me = customer.key.public.short_id
    await until(lambda: me in place.users())
    guest = Guest(me, customer)
    connection = await place.door.enter()
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
