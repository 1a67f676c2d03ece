"""The keys of a home: certified, refused, listed, and crashes in between."""

from dataclasses import replace

import pytest
from box import Box
from owning import (
    AT,
    BUYER,
    NOTHING,
    NOW_S,
    OWNER,
    accept,
    asked,
    grant,
    owned,
    prove,
    report,
    start,
)

from agent import keylist, keyring, owner
from agent.gateway.certifying import certify
from agent.home import HomeError
from agent.keyring import DAY_S, Moment, Role
from agent.owner import Terms
from ledger_client import enrolment, statements
from ledger_client.certificates import Limits
from ledger_client.errors import ProofError
from ledger_client.keys import SigningKey


def test_a_gateway_without_an_owner_certifies_what_is_its_own(box: Box) -> None:
    stores = start(box)
    prove(box, stores)

    found = keyring.known(stores.log)

    mine = [stores.log_key, *(stores.home.key(f"component-{a}").public for a in stores.components)]
    assert set(found.chains) == set(mine)
    assert {chain[0].issuer for (chain,) in found.chains.values()} == {stores.signer.public}
    assert [(each.use, len(each.by)) for each in report(box).vouchings] == [
        ("log", 1),
        ("stream", 0),
    ]


def test_what_is_certified_is_not_certified_again(box: Box) -> None:
    size = start(box).log.head.size

    assert start(box).log.head.size == size


def test_nothing_is_certified_while_the_clock_is_unset(box: Box) -> None:
    assert start(box, clock_set=False).log.head.size == 1


def test_a_clock_before_the_newest_head_counts_as_unset(box: Box) -> None:
    stores = start(box)

    at = keyring.moment(stores.log, NOW_S - DAY_S, clock_set=True)

    assert at.now_s is None
    assert at.latest_s == at.floor_s > NOW_S


def test_an_owners_certificate_stands_above_everything(box: Box) -> None:
    stores, _ = owned(box)
    prove(box, stores)

    found = report(box)

    by = [each.by for each in found.vouchings]
    assert by == [(OWNER.public.did, stores.signer.public.did), (OWNER.public.did,)]
    assert not list(stores.home.pending.glob("*"))


def test_what_is_pending_is_published_once_however_often_it_crashes(box: Box) -> None:
    stores = start(box)
    given = grant(asked(stores))
    accept(stores, given)
    (file,) = stores.home.pending.iterdir()
    keyring.publish(stores.home, stores.log, AT.latest_s)
    size = stores.log.head.size

    file.write_bytes(given)  # as if the crash came before the file was removed

    assert keyring.publish(stores.home, stores.log, AT.latest_s) == []
    assert stores.log.head.size == size
    assert not file.exists()


def test_certificates_of_our_own_are_renewed_before_they_end(box: Box) -> None:
    stores = start(box)
    first = keyring.known(stores.log).chain(stores.log_key)

    stores = start(box, days=300)
    unchanged = keyring.known(stores.log).chain(stores.log_key)
    stores = start(box, days=10)
    renewed = keyring.known(stores.log).chain(stores.log_key)

    assert first is not None
    assert unchanged is not None
    assert renewed is not None
    assert unchanged[-1].handle == first[-1].handle
    assert renewed[-1].grant.expires_s > first[-1].grant.expires_s + 300 * DAY_S


def test_a_gateway_certifies_no_longer_than_its_own_certificate(box: Box) -> None:
    stores, _ = owned(box, days=20)
    size = stores.log.head.size
    chain = keyring.known(stores.log).chain(stores.log_key)

    assert chain is not None
    assert chain[-1].grant.expires_s == chain[0].grant.expires_s
    assert start(box).log.head.size == size
    assert start(box, days=30).log.head.size == size


def test_a_gateway_that_may_not_certify_does_not(box: Box) -> None:
    stores = start(box)
    only_stream = enrolment.asked(statements.verify(asked(stores, scope="stream")))
    data = owner.grant(OWNER, replace(only_stream, limits=Limits(0)), Terms(730), NOW_S)
    accept(stores, data)
    size = stores.log.head.size

    assert start(box).log.head.size == size + 1


def test_many_components_fit_in_several_statements(box: Box) -> None:
    stores = box.open()
    role = Role("stream")
    holders = {SigningKey(n.to_bytes(32, "big")).public: role for n in range(1, 96)}

    certified = keyring.certify_own(stores.log, stores.signer, holders, AT)

    assert len(certified) == 95
    assert set(keyring.known(stores.log).chains) == set(holders)
    assert stores.log.head.size == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("stranger", "is for"),
        ("scope", "needs 'stream'"),
        ("expired", "has expired"),
        ("other owner", "--new-owner"),
    ],
)
def test_a_certificate_that_does_not_belong_here_is_refused(
    box: Box, change: str, problem: str
) -> None:
    stores, _ = owned(box)
    stranger = enrolment.ask(BUYER, "x", ("stream",), Limits(1), NOW_S)
    data = {
        "stranger": lambda: grant(stranger),
        "scope": lambda: grant(asked(stores, scope="pay")),
        "expired": lambda: grant(asked(stores), days=1, at_s=NOW_S - 2 * DAY_S),
        "other owner": lambda: grant(asked(stores), BUYER),
    }[change]()

    with pytest.raises(HomeError, match=problem):
        accept(stores, data)

    assert not list(stores.home.pending.glob("*"))


@pytest.mark.parametrize(
    ("days_left", "said"), [(31, ""), (30, "in 30 days"), (7, "URGENT"), (0, "has expired")]
)
def test_what_ends_is_warned_of_at_30_and_7_days(box: Box, days_left: int, said: str) -> None:
    stores, given = owned(box, days=365)
    end_s = owner.read_chain(given)[-1].grant.expires_s
    at = Moment(end_s - days_left * DAY_S, NOW_S)

    warnings = keylist.warnings(stores.home, stores.log, at)

    assert len(warnings) == (1 if said else 0)
    assert all(said in text and "milepost keys request" in text for text in warnings)


def test_every_key_is_listed_with_who_vouches_for_it(box: Box) -> None:
    stores, _ = owned(box, days=20)

    rows = {each.name: each for each in keylist.held(stores.home, stores.log, AT)}

    assert list(rows) == ["gateway", "log", "note", "component-strap", "component-tyre"]
    assert rows["gateway"].by == rows["component-strap"].by == OWNER.public.did
    assert rows["gateway"].days_left == 19
    assert rows["note"].by == "the genesis of the log"
    assert "nobody certifies it" not in rows["note"].line()
    assert "stream by did:key:" in rows["component-tyre"].line()
    assert rows["log"].as_json()["expires_s"] == rows["gateway"].expires_s
    told = certify(stores, NOTHING, box.stamp.wall_ms // 1000, clock_set=True)
    assert "expires in 20 days" in told[0]


def test_an_owner_under_another_owner_grants_no_more_than_he_has() -> None:
    fleet = enrolment.ask(BUYER, "fleet", ("stream",), Limits(2), NOW_S)
    above = owner.read_chain(grant(fleet))
    key = SigningKey(bytes([43]) * 32)
    request = owner.read_request(enrolment.ask(key, "x", ("stream",), Limits(1), NOW_S))
    tokens = [each.token for each in above]

    chain = owner.read_chain(owner.grant(BUYER, request, Terms(700), NOW_S, tokens))

    assert [each.issuer for each in chain] == [OWNER.public, BUYER.public]
    with pytest.raises(ProofError, match="time"):
        owner.grant(BUYER, request, Terms(731), NOW_S, tokens)
