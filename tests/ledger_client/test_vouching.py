"""Who vouches for whom in a record: owners, expiry, unset clocks, revocation, rotation, thieves."""

from typing import TYPE_CHECKING

import pytest

from ledger_client import certificates, record, statements, trust, verify
from ledger_client.certificates import Grant, Limits
from ledger_client.errors import LocalError, ProofError
from ledger_client.keys import SigningKey
from ledger_client.report import Report
from ledger_client.trust import Believed
from ledger_client.vouching import (
    NO_CERTIFICATE,
    NOBODY,
    OUT_OF_SCOPE,
    OUT_OF_TIME,
    REVOKED,
    Anchors,
    Trust,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.ledger_client.conftest import Ledger

OWNER, BUYER, NEXT = (SigningKey(bytes([n]) * 32) for n in (31, 32, 33))
SCOPE = ("log", "stream")
YEAR_S = 31_536_000


def granted(
    ledger: "Ledger",
    owner: SigningKey = OWNER,
    *,
    holder: SigningKey | None = None,
    scope: tuple[str, ...] = SCOPE,
    window: tuple[int, int] = (0, YEAR_S),
    handle: bytes = bytes(16),
) -> bytes:
    """The owner's certificate of the gateway (or another), from and until relative to now."""
    start_s, end_s = (ledger.now_s + each for each in window)
    key = (holder or ledger.gateway).public
    return certificates.issue(
        owner, Grant(key, start_s, end_s, scope, Limits(1)), handle, ledger.now_s
    )


def of_log(ledger: "Ledger") -> bytes:
    """The gateway's certificate of its log's key."""
    grant = Grant(
        ledger.receipt_key.public, ledger.now_s, ledger.now_s + YEAR_S, ("log",), Limits(0)
    )
    return certificates.issue(ledger.gateway, grant, bytes(16), ledger.now_s)


def publish(ledger: "Ledger", tokens: "Iterable[bytes]", key: SigningKey | None = None) -> None:
    log(ledger, trust.certify(key or ledger.gateway, list(tokens), ledger.now_s))


def log(ledger: "Ledger", statement: bytes) -> None:
    ledger.log.append([(statements.verify(statement).digest, statement)], ledger.now_s + 70)


def report(ledger: "Ledger", anchors: Anchors = NOBODY) -> Report:
    data = record.build(ledger.log, lambda _: None)
    found = verify.verify_record(data, anchors)
    assert verify.verify_log(ledger.log, anchors).vouchings == found.vouchings
    return found


def stream(found: Report) -> list[tuple[tuple[str, ...], int, dict[str, int]]]:
    return [
        (each.by, each.statements, dict(each.reasons))
        for each in found.vouchings
        if each.use == "stream"
    ]


def test_without_an_owner_nobody_vouches_for_the_gateway(ledger: "Ledger") -> None:
    ledger.grow(2)

    found = report(ledger)

    assert stream(found) == [((), 2, {NO_CERTIFICATE: 2})]
    assert f"vouched      nobody vouches for 2 batches of {ledger.gateway.public.short_id}" in (
        "\n".join(found.lines())
    )
    assert "nobody vouches for the keys that signed 2 batches" in found.findings


def test_an_owner_vouches_for_gateway_and_log(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger), of_log(ledger)])
    ledger.grow(2)

    found = report(ledger)

    assert stream(found) == [((OWNER.public.did,), 2, {})]
    assert found.vouchings[0].use == "log"
    assert found.vouchings[0].by == (OWNER.public.did, ledger.gateway.public.did)
    text = "\n".join(found.lines())
    assert f"{OWNER.public.did} vouches for 2 batches" in text
    assert "log stream, until 2027-01-01" in text
    assert found.findings == report(ledger, Anchors(OWNER.public)).findings


def test_a_reader_who_names_another_owner_is_told_that_nobody_vouches(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    ledger.grow(1)

    assert stream(report(ledger, Anchors(BUYER.public))) == [((), 1, {NO_CERTIFICATE: 1})]


def test_two_owners_vouch_each_for_their_time(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    ledger.grow(1)
    log(ledger, trust.revoke(OWNER, [granted(ledger)], "sold", ledger.now_s))
    publish(ledger, [granted(ledger, BUYER)])
    ledger.grow(2)

    assert stream(report(ledger)) == [
        ((OWNER.public.did,), 1, {}),
        ((BUYER.public.did,), 2, {}),
    ]


@pytest.mark.parametrize("window", [(-YEAR_S, 60), (61, YEAR_S)])
def test_a_batch_outside_the_certificates_time_has_no_voucher(
    ledger: "Ledger", window: tuple[int, int]
) -> None:
    publish(ledger, [granted(ledger, window=window)])
    ledger.grow(1)

    assert stream(report(ledger)) == [((), 1, {OUT_OF_TIME: 1})]


def test_a_certificate_without_the_scope_is_none_for_batches(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger, scope=("pay",))])
    ledger.grow(1)

    assert stream(report(ledger)) == [((), 1, {OUT_OF_SCOPE: 1})]


def test_expiry_is_not_judged_while_the_clock_is_unset_but_order_is(ledger: "Ledger") -> None:
    judged = Trust()
    kept = statements.verify(trust.certify(ledger.gateway, [granted(ledger)], ledger.now_s))
    judged.used(1, ledger.gateway.public, 5, clock_set=False)
    judged.add(2, kept)
    judged.used(3, ledger.gateway.public, 5, clock_set=False)
    judged.used(4, ledger.gateway.public, ledger.now_s + YEAR_S, clock_set=True)
    judged.used(5, ledger.gateway.public, 5, clock_set=False)

    _, by_owner, by_nobody = judged.judge(ledger.receipt_key.public, ledger.now_s, 6, None)

    assert (by_owner.by, by_owner.statements) == ((OWNER.public.did,), 1)
    assert (by_nobody.by, by_nobody.reasons) == ((), {OUT_OF_TIME: 3})


def test_what_was_signed_after_a_revocation_has_no_voucher(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    ledger.grow(2)
    log(ledger, trust.revoke(OWNER, [granted(ledger)], "retired", ledger.now_s))
    ledger.grow(1)

    assert stream(report(ledger)) == [((OWNER.public.did,), 2, {}), ((), 1, {REVOKED: 1})]


def test_a_stolen_gateway_is_believed_up_to_the_head_that_its_owner_saw(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger), of_log(ledger)])
    seen = ledger.grow(2)
    ledger.grow(3)
    data = trust.revoke(
        OWNER, [granted(ledger)], "stolen", ledger.now_s, Believed(seen.size, seen.root)
    )
    revocation = trust.revoked(statements.verify(data))

    found = report(ledger, Anchors(OWNER.public, (revocation,)))

    assert stream(found) == [((OWNER.public.did,), 2, {}), ((), 3, {REVOKED: 3})]
    assert (found.vouchings[0].use, found.vouchings[0].by) == ("log", ())


def test_a_thief_who_rewrites_the_log_is_not_believed_at_all(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    ledger.grow(2)
    data = trust.revoke(OWNER, [granted(ledger)], "stolen", ledger.now_s, Believed(2, b"r" * 32))
    revocation = trust.revoked(statements.verify(data))

    assert stream(report(ledger, Anchors(None, (revocation,)))) == [((), 2, {REVOKED: 2})]


@pytest.mark.parametrize(("believed", "left"), [(None, 0), (Believed(99, bytes(32)), 2)])
def test_a_revocation_without_a_head_leaves_nothing_and_one_of_a_later_head_all(
    ledger: "Ledger", believed: Believed | None, left: int
) -> None:
    publish(ledger, [granted(ledger)])
    ledger.grow(2)
    data = trust.revoke(OWNER, [granted(ledger)], "lost", ledger.now_s, believed)
    revocation = trust.revoked(statements.verify(data))

    found = stream(report(ledger, Anchors(None, (revocation,))))

    assert sum(count for by, count, _ in found if by) == left


def test_a_revocation_on_the_log_may_reach_back_to_an_earlier_head(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    seen = ledger.grow(1)
    ledger.grow(2)
    last = Believed(seen.size, seen.root)
    log(ledger, trust.revoke(OWNER, [granted(ledger)], "compromised", ledger.now_s, last))

    assert stream(report(ledger)) == [((OWNER.public.did,), 1, {}), ((), 2, {REVOKED: 2})]


def test_an_excerpt_cannot_show_an_earlier_head_so_nothing_is_believed(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    seen = ledger.grow(2)
    ledger.grow(1)
    last = Believed(seen.size, seen.root)
    data = trust.revoke(OWNER, [granted(ledger)], "stolen", ledger.now_s, last)
    revocation = trust.revoked(statements.verify(data))
    excerpt = record.excerpt(ledger.log, {1: None, 2: None})

    found = verify.verify_record(excerpt, Anchors(None, (revocation,)))

    assert stream(found) == [((), 1, {REVOKED: 1})]


def test_a_stranger_cannot_take_back_anothers_certificate(ledger: "Ledger") -> None:
    """He may certify the gateway himself and revoke in that chain; it is only his own."""
    publish(ledger, [granted(ledger), of_log(ledger)])
    log(ledger, trust.revoke(BUYER, [granted(ledger, BUYER)], "mistaken", ledger.now_s))
    log(ledger, trust.revoke(BUYER, [granted(ledger, BUYER), of_log(ledger)], "lost", ledger.now_s))
    ledger.grow(1)

    found = report(ledger)

    assert stream(found) == [((OWNER.public.did,), 1, {})]
    assert found.vouchings[0].by == (OWNER.public.did, ledger.gateway.public.did)


def rotate(ledger: "Ledger", new: SigningKey = NEXT) -> None:
    tip = ledger.log.tip(ledger.gateway.public)
    log(ledger, trust.rotate(ledger.gateway, new, tip.sequence, tip.digest, ledger.now_s))


@pytest.mark.parametrize("before", [0, 2])
def test_a_new_key_carries_on_the_history_without_a_gap(ledger: "Ledger", before: int) -> None:
    old = ledger.gateway
    publish(ledger, [granted(ledger)])
    ledger.grow(before)
    publish(ledger, [granted(ledger, holder=NEXT)], OWNER)
    rotate(ledger)
    ledger.gateway = NEXT
    ledger.grow(2)

    found = report(ledger)

    assert found.gaps == ()
    assert found.rotations == ((old.public.did, NEXT.public.did),)
    assert f"rotation     {NEXT.public.did} follows {old.public.did}" in found.lines()
    assert [each.last_sequence for each in found.issuers][-1] == before + 2
    assert sum(count for by, count, _ in stream(found) if by) == before + 2
    assert ledger.log.successor(old.public) == NEXT.public


def test_an_excerpt_without_the_rotation_still_verifies(ledger: "Ledger") -> None:
    ledger.grow(1)
    rotate(ledger)
    ledger.gateway = NEXT
    ledger.grow(2)

    found = verify.verify_record(record.excerpt(ledger.log, {4: None}))

    assert (found.gaps, found.withheld) == ((), 2)


def test_a_key_that_was_followed_signs_no_more(ledger: "Ledger") -> None:
    ledger.grow(1)
    rotate(ledger)

    with pytest.raises(LocalError, match="signs no more"):
        ledger.grow(1)
    with pytest.raises(LocalError, match="already"):
        rotate(ledger, BUYER)


def test_a_rotation_fits_the_end_of_the_chain_and_a_key_that_is_new(ledger: "Ledger") -> None:
    ledger.grow(2)
    tip = ledger.log.tip(ledger.gateway.public)

    with pytest.raises(LocalError, match="ends at 2"):
        log(ledger, trust.rotate(ledger.gateway, NEXT, 1, tip.digest, ledger.now_s))
    with pytest.raises(LocalError, match="in use before"):
        log(
            ledger,
            trust.rotate(NEXT, ledger.gateway, 0, bytes(32), ledger.now_s),
        )


def test_a_verifier_refuses_what_a_log_would_have(ledger: "Ledger") -> None:
    followed = statements.verify(trust.rotate(ledger.gateway, NEXT, 0, bytes(32), ledger.now_s))
    back = statements.verify(trust.rotate(NEXT, ledger.gateway, 0, bytes(32), ledger.now_s))
    judged = Trust()
    judged.add(1, followed)

    with pytest.raises(ProofError, match="had followed it"):
        judged.used(2, ledger.gateway.public, ledger.now_s, clock_set=True)
    with pytest.raises(ProofError, match="had followed it"):
        judged.add(2, followed)
    with pytest.raises(ProofError, match="in use before"):
        judged.add(2, back)


def test_the_log_takes_no_certificate_that_breaks_a_rule(ledger: "Ledger") -> None:
    with pytest.raises(ProofError, match="nobody certifies"):
        publish(ledger, [granted(ledger), granted(ledger, BUYER, holder=NEXT)])

    assert ledger.log.head.size == 1


def test_a_log_that_forgot_where_its_certificates_are_is_refused(ledger: "Ledger") -> None:
    publish(ledger, [granted(ledger)])
    ledger.connection.execute("DROP TRIGGER log_trust_no_DELETE")
    ledger.connection.execute("DELETE FROM log_trust")

    with pytest.raises(ProofError, match="where its statements of trust are"):
        verify.verify_log(ledger.log)


def test_a_record_whose_stored_successor_was_changed_is_refused(ledger: "Ledger") -> None:
    ledger.grow(1)
    ledger.connection.execute(
        "INSERT INTO log_rotations VALUES (?, ?, 0)", (ledger.gateway.public.raw, NEXT.public.raw)
    )

    with pytest.raises(ProofError, match="stored successor"):
        verify.verify_log(ledger.log)
