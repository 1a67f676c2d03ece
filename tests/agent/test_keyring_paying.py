"""Keys that pay, within limits; and what a gateway renews while it runs."""

import logging
from dataclasses import replace

import contracts
import pytest
from box import Box
from owning import (
    BUYER,
    NOW_S,
    OWNER,
    PAYER,
    accept,
    asked,
    grant,
    owned,
    start,
)

from agent import agreed, keyring, owner
from agent.config import parse
from agent.gateway.certifying import Renewal, certify, paying
from agent.keyring import DAY_S
from agent.owner import Terms
from agent.stores import Stores
from ledger_client import agreements, enrolment
from ledger_client.certificates import Limits
from ledger_client.deeds import Deed


def may_spend(stores: Stores, name: str) -> Limits | None:
    chain = keyring.known(stores.log).chain(stores.home.key(name).public)
    return chain[-1].grant.limits if chain and chain[-1].grant.scope == ("pay",) else None


def test_keys_that_pay_are_certified_within_their_limits_and_again_when_those_change(
    box: Box,
) -> None:
    stores = start(box, limits=PAYER)
    size = stores.log.head.size
    assert may_spend(stores, "payer-charger") == PAYER["payer-charger"]
    assert may_spend(stores, "party-car") == Limits()

    assert start(box, limits=PAYER).log.head.size == size
    more = PAYER | {"payer-charger": Limits(0, 900, None, "EUR/6")}
    stores = start(box, limits=more)

    assert may_spend(stores, "payer-charger") == Limits(0, 900, None, "EUR/6")
    assert stores.log.head.size == size + 1


@pytest.mark.parametrize(
    ("above", "within"),
    [
        (Limits(1, 200, 7_200, "EUR/6"), Limits(0, 200, 7_200, "EUR/6")),
        (Limits(1, 9_000, 60, "EUR/6"), Limits(0, 500, 3_600, "EUR/6")),
        (Limits(1, 9_000, None, None), Limits(0, 500, None, "EUR/6")),
        (Limits(1, 9_000, 60, "USD/6"), Limits()),
        (Limits(1), Limits()),
    ],
)
def test_nobody_is_let_spend_more_than_the_owner_lets_the_gateway(
    box: Box, above: Limits, within: Limits
) -> None:
    stores = start(box)
    asking = replace(owner.read_request(asked(stores)), limits=above)
    accept(stores, owner.grant(OWNER, asking, Terms(730), NOW_S))

    stores = start(box, limits=PAYER)

    assert may_spend(stores, "payer-charger") == within
    told = certify(stores, PAYER, box.stamp.wall_ms // 1000, clock_set=True)
    assert [each for each in told if "payer-charger may spend nothing" in each] == told
    assert bool(told) is (within == Limits())


def test_agreements_say_which_keys_pay_and_the_configuration_how_much(box: Box) -> None:
    stores = box.open()
    keys = {name: stores.home.key(f"party-{name}").public.did for name in ("car", "runner")}
    stores.home.key("party-idle")
    stores.shelf.open(NOW_S)
    spending = {"spend_minor_units_max": 7, "spend_period_s": 60}
    config = parse({"gateway": {"home": "h", "demo": True}, "trading": spending})
    before = paying(config, stores)

    document = contracts.plain("metered-service", provider="brand", customer="wearer")
    for party, name in zip(document["parties"], ("car", "runner"), strict=False):
        party["did"] = keys[name]
    deed = Deed(agreements.from_plain(document))
    path = agreed.path_of(stores.home, deed.digest)
    path.parent.mkdir()
    path.write_bytes(deed.encode())
    stores.shelf.look(NOW_S)

    assert before == {}
    assert paying(config, stores) == {
        "party-car": Limits(0, 7, 60, "EUR/6"),
        "party-runner": Limits(),
    }
    street = parse({"gateway": {"home": "h", "demo": True}, "radio": {"kind": "virtual"}})
    assert {"party-runner", "party-car"} <= paying(street, stores).keys()


def test_a_gateway_that_runs_on_renews_and_publishes(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    stores, _ = owned(box, days=2_000)
    first = keyring.known(stores.log).chain(stores.log_key)
    now_s = [NOW_S + 310 * DAY_S]
    renewal = Renewal(lambda: certify(stores, PAYER, now_s[0], clock_set=True))

    with caplog.at_level(logging.WARNING):
        renewal.once()
        renewal.once()
    renewed = keyring.known(stores.log).chain(stores.log_key)

    assert first is not None
    assert renewed is not None
    assert renewed[-1].grant.expires_s > first[-1].grant.expires_s
    (said,) = [each.message for each in caplog.records]
    assert said.startswith(
        "payer-charger may spend nothing: the owner's certificate is not for paying, or names no"
    )
    (stores.home.pending / "x.cbor").write_bytes(
        grant(enrolment.ask(BUYER, "x", ("stream",), Limits(1), NOW_S))
    )
    with caplog.at_level(logging.WARNING):
        renewal.once()
    assert "no key of this gateway" in caplog.records[-1].message
