"""The keys of a home: certified, renewed, rotated, taken back, and crashes in between."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import contracts
import pytest
from box import WALL_MS, Box

from agent import agreed, keylist, keyring, owner
from agent.audit import verify_home
from agent.config import parse
from agent.gateway.certifying import Renewal, certify, paying
from agent.home import HomeError
from agent.keyring import DAY_S, Moment, Role
from agent.owner import Terms
from agent.stores import Stores
from ledger_client import agreements, enrolment, statements
from ledger_client.certificates import Limits
from ledger_client.deeds import Deed
from ledger_client.errors import LocalError, ProofError
from ledger_client.keys import SigningKey
from ledger_client.report import Report
from ledger_client.trust import Believed
from ledger_client.vouching import Anchors

OWNER, BUYER = (SigningKey(bytes([n]) * 32) for n in (41, 42))
NOW_S = WALL_MS // 1000
NOTHING: Mapping[str, Limits] = {}
PAYER = {"payer-charger": Limits(0, 500, 3_600, "EUR/6"), "party-car": Limits()}
AT = Moment(NOW_S + 120, NOW_S)


def start(
    box: Box, *, clock_set: bool = True, days: int = 0, limits: Mapping[str, Limits] = NOTHING
) -> Stores:
    """A gateway as it starts, so many days later than the last time."""
    box.second += 60 + days * DAY_S
    stores = box.open()
    certify(stores, limits, box.stamp.wall_ms // 1000, clock_set=clock_set)
    return stores


def asked(stores: Stores, name: str = keyring.GATEWAY, scope: str = "log pay stream") -> bytes:
    key = stores.home.key(name)
    return enrolment.ask(key, "car", tuple(scope.split()), Limits(1), NOW_S)


def grant(request: bytes, key: SigningKey = OWNER, days: int = 730, at_s: int = NOW_S) -> bytes:
    return owner.grant(key, owner.read_request(request), Terms(days), at_s)


def accept(stores: Stores, data: bytes, *, new_owner: bool = False) -> str:
    return keyring.accept(stores.home, stores.log, data, AT, new_owner=new_owner)


def owned(box: Box, days: int = 730) -> tuple[Stores, bytes]:
    """A gateway that its owner certified, started again."""
    stores = start(box)
    given = grant(asked(stores), days=days)
    accept(stores, given)
    return start(box), given


def prove(box: Box, stores: Stores) -> None:
    box.hear(stores)
    box.uplink(stores).step(box.now(stores), drain=True)


def report(box: Box, anchors: Anchors | None = None) -> Report:
    box.close()
    return verify_home(box.path, anchors or Anchors()).log


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


def test_a_gateway_changes_hands(box: Box) -> None:
    stores, given = owned(box)
    prove(box, stores)
    accept(stores, owner.revoke(OWNER, given, "sold", NOW_S, None))
    accept(stores, grant(asked(stores), BUYER), new_owner=True)
    stores = start(box)
    prove(box, stores)
    prove(box, stores)

    lines = [(each.by, each.statements) for each in report(box).vouchings if each.use == "stream"]

    assert lines == [((OWNER.public.did,), 1), ((BUYER.public.did,), 2)]


def test_a_foreign_file_among_the_pending_ones_is_named(box: Box) -> None:
    stores = start(box)
    stores.home.pending.mkdir(exist_ok=True)
    stranger = grant(enrolment.ask(BUYER, "x", ("stream",), Limits(1), NOW_S))
    (stores.home.pending / "x.cbor").write_bytes(stranger)

    with pytest.raises(HomeError, match="no key of this gateway"):
        keyring.publish(stores.home, stores.log, AT.latest_s)


def test_a_stolen_gateway_counts_up_to_the_head_its_owner_saw(box: Box) -> None:
    """Loss of a gateway: the owner revokes with the last record; the thief goes on in vain."""
    stores, given = owned(box)
    prove(box, stores)
    seen = stores.log.head
    believed = Believed(seen.size, seen.root)
    revocation = owner.revoke(OWNER, given, "stolen", NOW_S, believed)
    prove(box, stores)
    prove(box, stores)
    taken = owner.read_revocation(revocation)

    found = report(box, Anchors(OWNER.public, (taken,)))

    counts = [(bool(each.by), each.statements) for each in found.vouchings if each.use == "stream"]
    assert counts == [(True, 1), (False, 2)]


def test_a_replaced_gateway_has_its_own_history_under_the_same_owner(
    box: Box, tmp_path: Path
) -> None:
    stores, _ = owned(box)
    prove(box, stores)
    fresh = Box(tmp_path / "new")
    stores, _ = owned(fresh)
    prove(fresh, stores)

    reports = [report(each, Anchors(OWNER.public)) for each in (box, fresh)]

    assert [each.vouchings[-1].by for each in reports] == [(OWNER.public.did,)] * 2


def test_a_new_key_carries_on_without_an_owner(box: Box) -> None:
    stores = start(box)
    prove(box, stores)
    first = stores.signer.public

    old, new = keyring.rotate(stores.home, stores.log, AT)
    stores = start(box)
    prove(box, stores)

    assert (old, stores.signer.public) == (first, new)
    found = report(box)
    assert found.rotations == ((old.did, new.did),)
    assert [each.last_sequence for each in found.issuers] == [1, 2]
    assert found.gaps == ()


def test_an_owned_gateway_rotates_when_its_owner_has_certified_the_next_key(box: Box) -> None:
    stores, _ = owned(box)
    prove(box, stores)
    with pytest.raises(HomeError, match="not yet the next key"):
        keyring.rotate(stores.home, stores.log, AT)

    accept(stores, grant(asked(stores, keyring.NEXT)))
    keyring.publish(stores.home, stores.log, AT.latest_s)
    keyring.rotate(stores.home, stores.log, AT)
    stores = start(box)
    prove(box, stores)

    lines = [(each.by, each.statements) for each in report(box).vouchings if each.use == "stream"]
    assert lines == [((OWNER.public.did,), 1), ((OWNER.public.did,), 1)]


def test_a_rotation_is_completed_after_a_crash(box: Box) -> None:
    stores = start(box)
    home = stores.home
    old_file = home.key_path(keyring.GATEWAY).read_bytes()
    _, new = keyring.rotate(home, stores.log, AT)
    home.key_path(keyring.GATEWAY).rename(home.key_path(keyring.NEXT))
    home.key_path(keyring.GATEWAY).write_bytes(old_file)
    home.key_path(keyring.GATEWAY).chmod(0o600)

    assert start(box).signer.public == new
    assert not home.key_path(keyring.NEXT).exists()


def test_keys_from_an_older_copy_than_the_log_are_refused(box: Box) -> None:
    stores = start(box)
    home = stores.home
    old_file = home.key_path(keyring.GATEWAY).read_bytes()
    keyring.rotate(home, stores.log, AT)
    home.key_path(keyring.GATEWAY).write_bytes(old_file)

    with pytest.raises(LocalError, match="newest copy"):
        start(box)
    home.key(keyring.NEXT)
    with pytest.raises(LocalError, match="newest copy"):
        start(box)


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
