"""What `[trading]` says arrives at desks and shells, and a certificate's limit beside it."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from box import Box

from agent.config import Trading
from agent.credit import Credit
from agent.desks import READINGS_MAX, BuyingRules, SellingRules
from agent.gateway import manners
from agent.pacing import LIMITS, Limits
from agent.spending import DAY_S, Budget
from agent.stores import Stores
from ledger_client import certificates, trust
from ledger_client.certificates import Grant
from ledger_client.keys import SigningKey
from ledger_client.settlement.allowances import Allowance

if TYPE_CHECKING:
    from agent.partners import Office

PAYER = SigningKey(bytes([21]) * 32)
NOW_S = 1_767_225_600


@pytest.mark.parametrize(
    ("settings", "price_max", "credit"),
    [
        (Trading(), 50, Credit(200_000, 5_000_000, 1_000)),
        (Trading(), 300_000, Credit(600_000, 5_000_000, 1_000)),
        (Trading(credit_minor_units_max=7), 50, Credit(200_000, 200_000, 1_000)),
        (Trading(prepaid_minor_units=500, credit_growth_bps=0), 50, Credit(-500, 5_000_000, 0)),
        (Trading(prepaid_minor_units=500), 900, Credit(-900, 5_000_000, 1_000)),
    ],
)
def test_credit_covers_two_items_and_prepayment_one(
    settings: Trading, price_max: int, credit: Credit
) -> None:
    assert manners.credit(settings, price_max) == credit


def test_what_is_not_configured_is_what_desks_and_shells_do_by_themselves() -> None:
    assert manners.selling(Trading()) == SellingRules(delay_s_min=3_600)
    assert manners.pace(Trading()) == LIMITS
    assert manners.buying(Trading(), None) == BuyingRules((Budget(10_000_000),))
    assert Trading().readings_remembered_max == READINGS_MAX


def test_every_limit_of_the_table_arrives() -> None:
    settings = Trading(
        reserve_minor_units=1,
        item_minor_units_min=2,
        claim_minor_units_min=3,
        prepaid_minor_units_max=4,
        spend_minor_units_max=5,
        spend_period_s=60,
        spend_payee_day_minor_units_max=6,
        readings_remembered_max=7_000,
        inbox_max=8,
        in_flight_max=9,
        messages_per_s_max=10,
        retry_max_s=11.0,
    )

    assert manners.selling(settings) == SellingRules(1, 2, 3, 3_600)
    assert manners.buying(settings, Allowance(12, 13, "EUR/6")) == BuyingRules(
        (Budget(5, 60), Budget(6, DAY_S, each_payee=True), Budget(12, 13, asset="EUR/6")),
        4,
        2,
        7_000,
    )
    assert manners.pace(settings) == Limits(
        inbox_max=8, in_flight_max=9, messages_per_s_max=10, retry_most_s=11.0
    )


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    box = Box(tmp_path / "home")
    yield box.open()
    box.close()


def asked(stores: Stores, now_s: int = NOW_S) -> Allowance | None:
    book = SimpleNamespace(asset="EUR/6")
    office = SimpleNamespace(stores=stores, book=book, now_s=lambda: now_s)
    return manners.certificate(cast("Office", office), PAYER.public)


def test_the_newest_certificate_of_a_payer_counts_while_it_holds(stores: Stores) -> None:
    before = asked(stores)
    limits = certificates.Limits(0, 500, 3_600, "EUR/6")
    grant = Grant(PAYER.public, NOW_S, NOW_S + 60, ("pay",), limits)
    token = certificates.issue(stores.signer, grant, bytes(16), NOW_S)
    statement = trust.certify(stores.signer, [token], NOW_S)
    stores.log.append([(bytes(16), statement)], NOW_S)

    assert before is None
    assert asked(stores) == Allowance(500, 3_600, "EUR/6")
    assert asked(stores, NOW_S + 60) is None


@pytest.mark.parametrize(
    ("scope", "limits", "allowed"),
    [
        (("log", "stream"), certificates.Limits(1), manners.NOTHING),
        (("log", "pay"), certificates.Limits(1), manners.NOTHING),
        (("log", "pay"), certificates.Limits(1, 500, 3_600, "USD/6"), manners.NOTHING),
        (("log", "pay"), certificates.Limits(1, 500, 3_600, "EUR/6"), None),
        (("log", "pay"), certificates.Limits(1, 500), None),
    ],
)
def test_on_a_gateway_whose_owner_granted_no_paying_nobody_of_ours_pays(
    stores: Stores,
    scope: tuple[str, ...],
    limits: certificates.Limits,
    allowed: Allowance | None,
) -> None:
    owner = SigningKey(bytes([22]) * 32)
    grant = Grant(stores.signer.public, NOW_S, NOW_S + 60, scope, limits)
    token = certificates.issue(owner, grant, bytes(16), NOW_S)
    stores.log.append([(bytes(16), trust.certify(stores.signer, [token], NOW_S))], NOW_S)

    assert asked(stores) == allowed
    assert manners.buying(Trading(), manners.NOTHING).budgets[-1] == Budget(0, None)
