"""Which meter is meant, and what an agreement comes to for those who act under it."""

import contracts
import pytest
from box import Box
from contracts import BEGINS_S

from agent.agreed import Holding
from agent.bases import open_bases
from agent.licensed import Held
from agent.metering import Metered
from agent.partners import Office, item_price_max, share_order
from agent.status import Board
from firmware_bridge.packets import Notification
from firmware_bridge.readings import Provenance, Reading
from ledger_client import agreements, consents, shares
from ledger_client.agreements import Document
from ledger_client.deeds import Deed
from ledger_client.settlement.embedded import Book


@pytest.fixture
def office(box: Box) -> Office:
    """A home in which the tyre's sensor also tells energy and distance."""
    stores, board = box.open(), Board()
    address = stores.components["tyre"].address
    packet = Notification(address, "", "", b"", bonded=True, wall_ms=0, boottime_ms=0)
    heard = [
        Reading(address, quantity, value, Provenance.BONDED, "p/1", 0, 0, bytes(8))
        for quantity, value in (("energy", 7.5), ("distance", 70.0))
    ]
    board.heard("tyre", packet, heard)
    return Office(
        stores=stores,
        till=stores.till,
        shelf=stores.shelf,
        book=Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: BEGINS_S),
        board=board,
        base=open_bases(stores.connection),
        now_s=lambda: BEGINS_S + 1,
        linger_s=1,
    )


def holding(agreement: Document) -> Holding:
    standing = consents.standing(agreement, contracts.signed(agreement), BEGINS_S)
    return Holding(Deed(agreement), agreements.digest(agreement), standing)


def test_a_meter_is_named_by_alias_address_or_key(office: Office) -> None:
    prices = [{"unit": unit, "per": 1, "minor_units": 1} for unit in ("J", "m")]
    tyre = office.stores.components["tyre"]
    key = office.stores.home.key("component-tyre").public.did

    def found(meter: str) -> dict[str, tuple[float, float]]:
        held = office.held(holding(contracts.service(meter=meter, prices=prices)))
        assert isinstance(held, Metered)
        return dict(held.spans)

    assert [found(meter) for meter in ("tyre", tyre.address, key)] == [
        {"J": (7.5, 7.5), "m": (70.0, 70.0)}
    ] * 3
    assert [found(meter) for meter in ("strap", "bay 4", contracts.BRAND.public.did)] == [{}] * 3


def test_only_licences_and_services_are_paid_by_items(office: Office) -> None:
    assert isinstance(office.held(holding(contracts.licence())), Held)
    assert office.held(holding(contracts.ecosystem())) is None


def test_what_one_item_can_cost() -> None:
    daily = {"per": "period", "minor_units": 7, "period_s": 86_400}

    assert item_price_max(contracts.licence()) == 64 * 50
    assert item_price_max(contracts.licence(price=daily)) == 7
    assert item_price_max(contracts.service()) == 490_000


def test_the_share_order_follows_from_the_document() -> None:
    licence = contracts.licence()

    order = share_order(licence, agreements.digest(licence))

    assert order.collector == contracts.WEARER.public
    assert order.parts[0] == (contracts.WEARER.public.thumbprint, 7_000)
    assert sum(bps for _, bps in order.parts) == shares.WHOLE_BPS
