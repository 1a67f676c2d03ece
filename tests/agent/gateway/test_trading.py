"""Deals from a configuration, with strangers at the other end of a real broker."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agent import gateway
from agent.audit import verify_home
from agent.config import Component, Config, Sale, Service, read
from agent.deals import Purchase, UnitsSale
from agent.demo.guests import Guest
from agent.desks import BuyingDesk, SellingDesk
from agent.gateway.listening import Scene, listening
from agent.gateway.trading import Trading, trading
from agent.goods import ReadingsWanted, Tariff
from agent.running import Deal
from agent.status import Board
from agent.stores import Stores
from agent.tally import Buyer, Seller
from agent.till import Till
from firmware_bridge.packets import Notification
from firmware_bridge.readings import Provenance, Reading
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import open_database
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

CONFIGS = Path(__file__).parents[3] / "configs"
BRAND, CHARGER = SigningKey(b"b" * 32), SigningKey(b"c" * 32)
UNIT_J = 36_000
CHARGER_AT = "F0:00:00:00:02:07"


def blame(speaker: str, error: RemoteError) -> None:
    pytest.fail(f"{speaker} is blamed: {error}")


def config(tmp_path: Path, budget: int = 10_000, least_provenance: int = 0) -> Config:
    """The recording, with a buyer for the runner and a charger to pay."""
    shipped = read(CONFIGS / "replay.toml")
    change = msgspec.structs.replace
    recording = str(CONFIGS / "replay.jsonl")
    charger = Component("charger", "charger", CHARGER_AT, "bthome", "car")
    sale = Sale("runner", BRAND.public.did, 50, 1_000_000, 100_000, least_provenance)
    return change(
        shipped,
        gateway=change(shipped.gateway, home=str(tmp_path / "home"), demo=True),
        radio=change(shipped.radio, replay_file=recording, replay_as_fast_as_possible=True),
        batch=change(shipped.batch, age_max_s=0.5),
        components=(*shipped.components, charger),
        sales=(sale,),
        services=(Service("charger", CHARGER.public.did, UNIT_J, 4_900, budget),),
    )


@contextmanager
def opened(settings: Config, scene: Scene) -> Iterator[Stores]:
    stores = gateway.open_home(settings, scene.ears.components)
    try:
        yield stores
    finally:
        stores.close()


def board_with_meter(joules: float) -> Board:
    board = Board()
    packet = Notification(CHARGER_AT, "", "", b"", bonded=False, wall_ms=0, boottime_ms=0)
    digest = bytes(8)
    heard = Reading(CHARGER_AT, "energy", joules, Provenance.SIMULATED, "bthome/1", 0, 0, digest)
    board.heard("charger", packet, [heard])
    return board


def brand(stores: Stores, book: Book, till: Till) -> Deal:
    wanted = ReadingsWanted(stores.signer.public, stores.log_key, 50, 0)
    settlement = EmbeddedSettlement(book, BRAND)
    runner = stores.home.key("party-runner").public
    terms = Terms(
        book.name, BRAND.public, BRAND.public, runner, book.asset, 60, os.urandom(16), True
    )
    buyer = Buyer(BuyingDesk(BRAND, till, accept=wanted.accept), till, settlement, blame=blame)
    return Guest(BRAND.public.short_id, Purchase(buyer, terms, 500_000))


def charger(book: Book, till: Till, meter_j: float) -> Deal:
    tariff = Tariff(CHARGER.public.did, UNIT_J, 4_900, simulated=True)
    settlement = EmbeddedSettlement(book, CHARGER)
    seller = Seller(SellingDesk(CHARGER, till, credit=20_000), till, settlement, blame=blame)
    return Guest(CHARGER.public.short_id, UnitsSale(seller, tariff, lambda: meter_j, sold_before=0))


async def until(done: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110  # tills tell nobody
            await asyncio.sleep(0.1)


async def test_a_sale_and_a_service_of_the_configuration_are_paid_and_settled(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path)
    async with listening(settings) as scene:
        with opened(settings, scene) as stores:
            board = board_with_meter(2 * UNIT_J)
            dealing = trading(settings, stores, board, scene)
            book = Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: 1)
            tills = [
                Till.open(open_database(tmp_path / f"{name}.db")) for name in ("brand", "charger")
            ]
            strangers = (brand(stores, book, tills[0]), charger(book, tills[1], 2 * UNIT_J))
            trade = replace(dealing.trade, deals=(*dealing.trade.deals, *strangers))
            running = gateway.compose(settings, stores, scene.ears, board, trade)
            stop = asyncio.Event()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(running.run(stop, lambda: None))
                await until(lambda: all(each.view().items_paid for each in dealing.accounts))
                stop.set()

            readings, energy = (account.view() for account in dealing.accounts)
            for till in tills:
                till._db.close()

    assert (readings.payee, energy.payer) == ("runner", "charger")
    assert readings.settled == readings.paid == readings.due > 0
    assert energy.settled == energy.paid == 2 * 4_900
    assert sum(verify_home(tmp_path / "home").balances.values()) == 0


async def _accounts(settings: Config, joules: float = 0) -> tuple[Trading, int]:
    async with listening(settings) as scene:
        with opened(settings, scene) as stores:
            dealing = trading(settings, stores, board_with_meter(joules), scene)
            book = Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: 1)
            payer = stores.home.key("payer-charger").public
            return dealing, book.balance(payer.thumbprint)


async def test_money_is_issued_once_and_more_only_when_the_budget_is_raised(
    tmp_path: Path,
) -> None:
    balances = [
        (await _accounts(config(tmp_path, budget)))[1] for budget in (10_000, 10_000, 15_000)
    ]

    assert balances == [10_000, 10_000, 15_000]


async def test_the_peers_of_the_configuration_may_use_our_broker_and_our_parties_are_relayed(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path)

    async with listening(settings) as scene:
        with opened(settings, scene) as stores:
            dealing = trading(settings, stores, Board(), scene)
            states = [account.view().state for account in dealing.accounts]

    assert states == ["none", "none"]
    assert set(dealing.trade.guests) == {BRAND.public.short_id, CHARGER.public.short_id}
    assert len(dealing.trade.relayed) == len(dealing.trade.deals) == 2


async def test_a_configuration_without_deals_opens_no_book(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(config(tmp_path), sales=(), services=())

    dealing, _ = await _accounts(settings)

    assert dealing == Trading()


async def test_on_a_demo_street_its_strangers_trade(tmp_path: Path) -> None:
    settings = read(CONFIGS / "demo.toml")
    home = msgspec.structs.replace(settings.gateway, home=str(tmp_path / "home"))
    settings = msgspec.structs.replace(settings, gateway=home)

    async with listening(settings) as scene:
        with opened(settings, scene) as stores:
            dealing = trading(settings, stores, Board(), scene)

    assert len(dealing.accounts) == 2
    assert "dashboard" in dealing.trade.guests
