"""What is offered to whom: consent names the buyer, simulated readings stay on demo channels."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from box import Box
from market import BUYER, STRANGER, terms

from agent.deals import ReadingsOffer, ReadingsSale
from agent.goods import readings_source
from agent.stores import Stores
from agent.till import Sale
from ledger_client.channels import State
from ledger_client.keys import PublicKey
from ledger_client.settlement import View


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    box = Box(tmp_path / "home")
    opened = box.open()
    box.hear(opened, 3)
    box.prove(opened)
    box.hear(opened, 2, "car")
    box.prove(opened)
    yield opened
    box.close()


def offered(
    stores: Stores, offers: dict[PublicKey, ReadingsOffer], *, simulated: bool = True
) -> list[tuple[bytes, int]]:
    sale = _sale(stores, simulated=simulated)
    selling = ReadingsSale(None, stores, "runner", offers)  # type: ignore[arg-type]  # nobody sells here
    return [(goods.source, goods.price) for goods in selling._goods(sale)]


def _sale(stores: Stores, *, simulated: bool) -> Sale:
    view = View(terms(simulated=simulated), State.OPEN, 1_000, 0, None)
    return stores.till.add_sale(view, 1_000, 0)


def test_the_named_buyer_is_offered_the_subjects_batches_at_its_price(stores: Stores) -> None:
    goods = offered(stores, {BUYER.public: ReadingsOffer(10)})

    assert goods == [(readings_source(stores.log.statement(1)), 30)]


def test_money_alone_buys_nothing(stores: Stores) -> None:
    assert offered(stores, {STRANGER.public: ReadingsOffer(10)}) == []


def test_simulated_readings_are_not_offered_for_real_money(stores: Stores) -> None:
    assert offered(stores, {BUYER.public: ReadingsOffer(10)}, simulated=False) == []


@pytest.mark.parametrize(("least", "batches"), [(0, 1), (1, 1), (2, 0)])
def test_readings_of_too_weak_a_provenance_are_not_offered(
    box: Box, least: int, batches: int
) -> None:
    box.provenance = 1
    stores = box.open()
    box.hear(stores, 3)
    box.prove(stores)

    assert len(offered(stores, {BUYER.public: ReadingsOffer(10, least)})) == batches
