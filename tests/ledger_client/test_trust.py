"""Certificates, revocations and rotations as statements, and every way to break one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, certificates, cose, statements, trust
from ledger_client.certificates import Grant, Limits
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.trust import Believed

OWNER, GATEWAY, COMPONENT, STRANGER, NEXT = (SigningKey(bytes([n]) * 32) for n in range(21, 26))
NOW_S = 1_767_225_600
UNTIL_S = NOW_S + 86_400
HANDLE = bytes(16)


def token(key: SigningKey, holder: SigningKey, depth: int = 0) -> bytes:
    grant = Grant(holder.public, NOW_S, UNTIL_S, ("stream",), Limits(depth))
    return certificates.issue(key, grant, HANDLE, NOW_S)


CHAIN = [token(OWNER, GATEWAY, 1), token(GATEWAY, COMPONENT)]


def said(key: SigningKey, kind: str, subject: PublicKey, payload: object) -> statements.Statement:
    encoded = cbor.encode(payload)
    return statements.verify(statements.sign(key, kind, subject.did, encoded, NOW_S))


def test_certificates_are_published_by_a_key_in_them() -> None:
    for key in (OWNER, GATEWAY, COMPONENT):
        chains = trust.certified(statements.verify(trust.certify(key, CHAIN, NOW_S)))
        assert [chain[-1].token for chain in chains] == CHAIN

    with pytest.raises(SignatureError, match="one of the keys in them"):
        trust.certified(statements.verify(trust.certify(STRANGER, CHAIN, NOW_S)))


def test_what_is_published_keeps_the_rules_of_certificates() -> None:
    broken = trust.certify(GATEWAY, [CHAIN[0], token(GATEWAY, COMPONENT, depth=1)], NOW_S)

    with pytest.raises(ProofError, match="depth"):
        trust.certified(statements.verify(broken))


def test_a_certificate_is_taken_back_by_any_issuer_above_it() -> None:
    believed = Believed(7, bytes(32))

    for key in (OWNER, GATEWAY):
        data = trust.revoke(key, CHAIN, "stolen", NOW_S, believed)
        revocation = trust.revoked(statements.verify(data))
        assert revocation.revoker == key.public
        assert revocation.chain[-1].token == CHAIN[-1]
        assert (revocation.reason, revocation.believed) == ("stolen", believed)


@pytest.mark.parametrize("key", [COMPONENT, STRANGER])
def test_a_certificate_is_not_taken_back_by_others(key: SigningKey) -> None:
    with pytest.raises(SignatureError, match="issuer above"):
        trust.revoke(key, CHAIN, "stolen", NOW_S)


def test_a_revocation_names_one_of_the_reasons() -> None:
    with pytest.raises(EncodingError, match="one of lost"):
        trust.revoke(OWNER, CHAIN, "because", NOW_S)


def test_a_rotation_is_signed_by_both_keys() -> None:
    data = trust.rotate(GATEWAY, NEXT, 5, b"d" * 32, NOW_S)

    rotation = trust.rotated(statements.verify(data))

    assert (rotation.old, rotation.new) == (GATEWAY.public, NEXT.public)
    assert (rotation.sequence, rotation.digest) == (5, b"d" * 32)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (1, 2),
        (2, STRANGER.public.cose_key()),
        (2, {**NEXT.public.cose_key(), 3: -8}),
        (2, PublicKey(bytes(32)).cose_key()),
        (2, {}),
        (3, 6),
        (3, -1),
        (4, b"e" * 32),
        (4, b"short"),
        (5, b""),
        (5, cose.sign1(NEXT, {3: "application/vnd.milepost.rotation+cbor"}, b"", detached=True)),
        (6, None),
    ],
)
def test_a_rotation_that_is_wrong_in_one_place_is_refused(label: int, value: object) -> None:
    good = statements.verify(trust.rotate(GATEWAY, NEXT, 5, b"d" * 32, NOW_S))
    pairs = cbor.decode(good.payload)
    assert isinstance(pairs, dict)

    with pytest.raises(RemoteError):
        trust.rotated(said(GATEWAY, "rotation", NEXT.public, {**pairs, label: value}))


def test_an_acceptance_holds_for_one_old_key_only() -> None:
    good = statements.verify(trust.rotate(GATEWAY, NEXT, 5, b"d" * 32, NOW_S))

    with pytest.raises(SignatureError):
        trust.rotated(said(STRANGER, "rotation", NEXT.public, cbor.decode(good.payload)))


def test_an_acceptance_carries_nothing_unsigned() -> None:
    good = statements.verify(trust.rotate(GATEWAY, NEXT, 5, b"d" * 32, NOW_S))
    pairs = cbor.decode(good.payload)
    assert isinstance(pairs, dict)
    more = cose.parse_sign1(pairs[5]).encode({1000: 1})

    with pytest.raises(EncodingError, match="unprotected"):
        trust.rotated(said(GATEWAY, "rotation", NEXT.public, {**pairs, 5: more}))


def test_a_key_does_not_follow_itself() -> None:
    data = trust.rotate(GATEWAY, GATEWAY, 5, b"d" * 32, NOW_S)

    with pytest.raises(ProofError, match="itself"):
        trust.rotated(statements.verify(data))


@pytest.mark.parametrize("kind", ["certificate", "revocation", "rotation"])
def test_the_subject_is_whom_the_statement_is_about(kind: str) -> None:
    good = {
        "certificate": trust.certify(GATEWAY, CHAIN, NOW_S),
        "revocation": trust.revoke(GATEWAY, CHAIN, "lost", NOW_S),
        "rotation": trust.rotate(GATEWAY, NEXT, 0, bytes(32), NOW_S),
    }[kind]
    trust.check(statements.verify(good))
    payload = cbor.decode(statements.verify(good).payload)

    with pytest.raises(EncodingError, match="subject"):
        trust.check(said(GATEWAY, kind, STRANGER.public, payload))


def test_another_kind_is_not_judged_and_not_taken_for_one_of_these() -> None:
    note = said(GATEWAY, "note", GATEWAY.public, {})

    trust.check(note)
    for take in (trust.certified, trust.revoked, trust.rotated):
        with pytest.raises(EncodingError, match="note statement"):
            take(note)


@given(st.sampled_from(["certificate", "revocation", "rotation"]), st.binary(max_size=40))
def test_any_payload_is_refused_with_one_kind_of_error(kind: str, payload: bytes) -> None:
    statement = statements.verify(
        statements.sign(GATEWAY, kind, GATEWAY.public.did, payload, NOW_S)
    )

    with pytest.raises(RemoteError):
        trust.check(replace(statement))
