"""Standing orders at work on a real broker: accepted and left by rule, and the reason told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import contracts
import exchange
import msgspec
import offering
import pytest
from box import Box
from exchange import Exchange

from agent import agreed, parties, taking
from agent.broker.mqtt import MqttBroker
from agent.config import Config, ConfigError, StandingOrder, parse
from agent.gateway import ordering
from agent.gateway.ordering import Ordering, Standing
from agent.running import Connection
from agent.status import Board
from agent.stores import Stores
from ledger_client.deeds import Deed
from ledger_client.offers import Signed

NOW_S = offering.NOW_S
KEYS = (contracts.BRAND, contracts.PLATFORM)
RULE: dict[str, Any] = {
    "subject": "runner",
    "quantities": ["cadence", "heart_rate"],
    "never": ["location"],
    "least_minor_units": 30,
    "notice_s_max": 3_600,
}


@pytest.fixture
def stores(box: Box) -> Stores:
    box.wall_step_ms = -600_000  # before what the orders take for now
    stores = box.open()
    box.hear(stores, 5)
    box.prove(stores)
    return stores


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "LOOK_EVERY_S", 0.3)
    monkeypatch.setattr(taking, "ANSWER_MAX_S", 3.0)


def config(**changes: object) -> Config:
    tables = {"gateway": {"home": "h"}, "standing_orders": [RULE | changes]}
    return parse(tables)


def paying(minor_units: int, **changes: Any) -> Signed:  # noqa: ANN401  # a form's own
    key = changes.pop("key", contracts.BRAND)
    price = {"per": "reading", "minor_units": minor_units}
    return offering.signed(
        offering.template(price=price, brand=key, simulated=True, **changes), key=key
    )


@asynccontextmanager
async def at_work(
    site: Exchange, stores: Stores, board: Board, rule: Config
) -> AsyncIterator[MqttBroker]:
    """The standing orders of a configuration, acting for these stores."""
    me = stores.signer.public.short_id
    (deal,) = ordering.orders(rule, stores, board, lambda: NOW_S)
    async with site.joined(me) as broker, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(deal.run(Connection(broker, lambda _: site.endpoint(), ())))
        yield broker
        task.cancel()
    await deal.settle()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110  # the board tells nobody
            await asyncio.sleep(0.05)


async def test_the_best_that_is_allowed_is_agreed_and_left_for_a_better(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "CONSIDER_EVERY_S", 1.5)
    board = Board()
    first, better = paying(50), paying(60, key=contracts.PLATFORM)
    async with (
        exchange.exchange(tmp_path / "broker", [*KEYS, stores.signer]) as site,
        at_work(site, stores, board, config()),
    ):
        await until(lambda: "nothing is offered" in board.orders.get("runner", ""))
        async with site.offering(exchange.brand(tmp_path / "brand", first)):
            await until(lambda: "is agreed as" in board.orders["runner"])
            only = board.orders["runner"]
            side = exchange.brand(tmp_path / "platform", better, key=contracts.PLATFORM)
            async with site.offering(side):
                await until(lambda: "1 ended for it" in board.orders["runner"])
                switched = board.orders["runner"]
                await until(lambda: "stays" in board.orders["runner"])

    assert f"best is {first.reference} with 200 minor units net" in only
    assert f"{better.reference} is agreed" in switched
    party = parties.of_stores(stores, "runner")
    old, new = taking.present(party, NOW_S)
    assert (old.signed, new.signed) == (first, better)
    assert old.held.standing.until_s == new.held.standing.from_s == NOW_S + 120


async def test_what_is_never_to_be_sold_or_too_cheap_is_refused_with_the_reason(
    stores: Stores, tmp_path: Path
) -> None:
    board = Board()
    where = paying(900, quantities=["heart_rate", "location"])
    cheap = paying(37, key=contracts.PLATFORM)
    sides = [
        exchange.brand(tmp_path / "brand", where),
        exchange.brand(tmp_path / "platform", cheap, key=contracts.PLATFORM),
    ]
    async with (
        exchange.exchange(tmp_path / "broker", [*KEYS, stores.signer]) as site,
        site.offering(sides[0]),
        site.offering(sides[1]),
        at_work(site, stores, board, config()),
    ):
        await until(lambda: board.orders.get("runner", "").count("refused") == 2)

    assert "location: never" in board.orders["runner"]
    assert "29 minor units are left of 37: too little" in board.orders["runner"]
    assert agreed.kept(stores.home) == []


async def test_whoever_does_not_answer_is_left_out_for_a_while(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "ANSWER_MAX_S", 0.3)
    board, silent, other = Board(), paying(90), paying(50, key=contracts.PLATFORM)
    async with (
        exchange.exchange(tmp_path / "broker", [*KEYS, stores.signer]) as site,
        site.joined(contracts.BRAND.public.short_id) as brand,
        at_work(site, stores, board, config()),
    ):
        offered = exchange.brand(tmp_path / "brand", silent)
        await brand.publish(*offered.hello, retain=True)
        await until(lambda: "but it does not answer" in board.orders.get("runner", ""))
        monkeypatch.undo()  # the other one may take its time
        side = exchange.brand(tmp_path / "platform", other, key=contracts.PLATFORM)
        async with site.offering(side):
            await until(lambda: f"{other.reference} is agreed" in board.orders["runner"])


async def test_a_limit_of_agreements_within_a_day_holds(stores: Stores, tmp_path: Path) -> None:
    board = Board()
    first, better = paying(50), paying(60, key=contracts.PLATFORM)
    sides = [
        exchange.brand(tmp_path / "brand", first),
        exchange.brand(tmp_path / "platform", better, key=contracts.PLATFORM),
    ]
    async with (
        exchange.exchange(tmp_path / "broker", [*KEYS, stores.signer]) as site,
        site.offering(sides[0]),
        at_work(site, stores, board, config(acceptances_per_day_max=1)),
    ):
        await until(lambda: "is agreed as" in board.orders.get("runner", ""))
        async with site.offering(sides[1]):
            await until(lambda: "must wait: enough was agreed" in board.orders["runner"])

    assert len(agreed.kept(stores.home)) == 1


async def test_what_was_agreed_by_hand_is_left_alone(stores: Stores, tmp_path: Path) -> None:
    urn = stores.stream_for("runner", "training plans").urn
    agreement = contracts.licence(subject=urn, begins_s=NOW_S)
    deed = Deed(agreement).joined(each.signed for each in contracts.signed(agreement, NOW_S))
    taking.keep(stores.home, deed)
    board = Board()
    async with (
        exchange.exchange(tmp_path / "broker", [*KEYS, stores.signer]) as site,
        site.offering(exchange.brand(tmp_path / "brand", paying(90))),
        at_work(site, stores, board, config()),
    ):
        await until(lambda: "left alone" in board.orders.get("runner", ""))


async def test_an_agreement_that_the_order_no_longer_allows_is_named(
    stores: Stores, tmp_path: Path
) -> None:
    board = Board()
    async with (
        exchange.exchange(tmp_path / "broker", [*KEYS, stores.signer]) as site,
        site.offering(exchange.brand(tmp_path / "brand", paying(50))),
    ):
        async with at_work(site, stores, board, config()):
            await until(lambda: "is agreed as" in board.orders.get("runner", ""))
        async with at_work(site, stores, board, config(never=["heart_rate"])):
            await until(lambda: "no longer allowed" in board.orders["runner"])

    assert "heart_rate: never" in board.orders["runner"]


def test_an_order_of_the_configuration_is_checked(stores: Stores) -> None:
    def made(**changes: object) -> Standing:
        (deal,) = ordering.orders(config(**changes), stores, Board(), lambda: NOW_S)
        assert isinstance(deal, Ordering)
        (standing,) = deal._orders
        return standing

    assert made(lapses="2027-01-31").order.lapses_s == 1_801_353_600
    assert made().order.lapses_s is None
    with pytest.raises(ConfigError, match=r"standing_orders\[0\].lapses: expected a date"):
        made(lapses="soon")
    with pytest.raises(ConfigError, match="expected the subject of a component"):
        made(subject="cat")
    with pytest.raises(ConfigError, match=r"standing_orders.subject: expected each subject once"):
        parse({"gateway": {"home": "h"}, "standing_orders": [RULE, RULE]})
    nothing = msgspec.structs.replace(config(), standing_orders=())
    assert ordering.orders(nothing, stores, Board(), lambda: NOW_S) == []
    assert StandingOrder(**RULE).days == 7
