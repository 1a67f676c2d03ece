"""A gateway that changes hands, is lost or replaced, or carries on with another key."""

from pathlib import Path

import pytest
from box import Box
from owning import AT, BUYER, NOW_S, OWNER, accept, asked, grant, owned, prove, report, start

from agent import keyring, owner
from agent.home import HomeError
from ledger_client import enrolment
from ledger_client.certificates import Limits
from ledger_client.errors import LocalError
from ledger_client.trust import Believed
from ledger_client.vouching import Anchors


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
