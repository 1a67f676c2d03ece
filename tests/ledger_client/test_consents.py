"""Consent: given by signing, ended by either side, withdrawn at once, void with the owner."""

import contracts
import pytest
from contracts import BEGINS_S, BRAND, EXPIRES_S, KEYS, OTHER, WEARER, act, signed
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import agreements, cbor, consents, statements
from ledger_client.consents import Act, State, consented, pairwise_key, standing
from ledger_client.errors import EncodingError
from ledger_client.keys import SigningKey

LICENCE = contracts.licence()
LATER_S = BEGINS_S + 600


def test_it_holds_from_the_last_signature_until_before_it_expires() -> None:
    acts = [*signed(LICENCE), act(BRAND, LICENCE, at_s=LATER_S)]

    held = standing(LICENCE, acts, BEGINS_S)

    assert (held.state, held.missing) == (State.IN_FORCE, ())
    assert held.covers(BEGINS_S)
    assert not held.covers(BEGINS_S - 0.5)
    assert held.covers(EXPIRES_S - 0.5)
    assert not held.covers(EXPIRES_S)
    assert standing(LICENCE, acts, EXPIRES_S).state is State.EXPIRED
    assert standing(LICENCE, acts, BEGINS_S - 60).state is State.AGREED


def test_until_everybody_signed_it_is_a_proposal() -> None:
    held = standing(LICENCE, signed(LICENCE)[:2], LATER_S)

    assert (held.state, held.signed, held.missing) == (
        State.PROPOSED,
        ("brand", "wearer"),
        ("platform",),
    )
    assert not held.covers(LATER_S)
    assert standing(LICENCE, [], LATER_S, [BEGINS_S]).state is State.PROPOSED


@pytest.mark.parametrize(
    ("key", "what", "state", "until_s"),
    [
        (BRAND, Act.END, State.ENDED, LATER_S + 3_600),
        (WEARER, Act.END, State.ENDED, LATER_S + 3_600),
        (WEARER, Act.WITHDRAW, State.WITHDRAWN, LATER_S),
        (BRAND, Act.WITHDRAW, State.ENDED, LATER_S + 3_600),
    ],
)
def test_either_side_ends_it_and_a_consent_is_withdrawn_at_once(
    key: SigningKey, what: Act, state: State, until_s: int
) -> None:
    acts = [*signed(LICENCE), act(key, LICENCE, what, LATER_S)]

    held = standing(LICENCE, [*acts, act(key, LICENCE, at_s=LATER_S + 60)], EXPIRES_S - 60)

    assert (held.state, held.until_s) == (state, until_s)
    assert held.covers(until_s - 1)
    assert not held.covers(until_s)


def test_where_nobody_consents_for_a_subject_a_withdrawal_is_an_ending() -> None:
    shared = contracts.ecosystem()
    acts = [*signed(shared), act(WEARER, shared, Act.WITHDRAW, LATER_S)]

    held = standing(shared, acts, LATER_S)

    assert (held.state, held.until_s) == (State.IN_FORCE, LATER_S + 3_600)


def test_a_new_owner_voids_it_but_an_earlier_change_does_not() -> None:
    acts = signed(LICENCE)

    held = standing(LICENCE, acts, EXPIRES_S - 60, [BEGINS_S - 600, LATER_S])

    assert (held.state, held.until_s) == (State.VOID, LATER_S)
    assert standing(LICENCE, acts, LATER_S, [BEGINS_S - 600]).state is State.IN_FORCE


def test_strangers_and_other_agreements_change_nothing() -> None:
    other = contracts.licence(notice_s=0)
    acts = [*signed(LICENCE), act(OTHER, LICENCE, Act.END), act(WEARER, other, Act.WITHDRAW)]

    assert standing(LICENCE, acts, LATER_S).state is State.IN_FORCE


@given(st.lists(st.tuples(st.sampled_from([*KEYS]), st.sampled_from(Act), st.integers(0, 99))))
def test_it_never_holds_again_once_it_was_over(history: list[tuple[str, Act, int]]) -> None:
    acts = [act(KEYS[name], LICENCE, what, BEGINS_S + 60 * at) for name, what, at in history]
    before = standing(LICENCE, acts, LATER_S)

    after = standing(LICENCE, [*acts, act(WEARER, LICENCE, Act.WITHDRAW, LATER_S)], LATER_S)

    assert after.until_s <= min(before.until_s, LATER_S)
    assert not after.covers(LATER_S)


@pytest.mark.parametrize(
    ("kind", "payload", "subject", "words"),
    [
        ("note", b"", "", "an act about an agreement"),
        ("agreement", cbor.encode({1: 2, 2: bytes(32), 3: "sign"}), "", "version"),
        ("agreement", cbor.encode({1: 1, 2: bytes(31), 3: "sign"}), "", "32 bytes"),
        ("agreement", cbor.encode({1: 1, 2: bytes(32), 3: "sign"}), "", "another agreement"),
        (
            "agreement",
            cbor.encode({1: 1, 2: bytes(32), 3: "sell"}),
            consents.subject(bytes(32)),
            "sign, end or withdraw",
        ),
    ],
)
def test_what_is_no_act_is_refused(kind: str, payload: bytes, subject: str, words: str) -> None:
    statement = statements.verify(statements.sign(WEARER, kind, subject, payload, BEGINS_S))

    with pytest.raises(EncodingError, match=words):
        consents.parse_act(statement)


def test_acts_name_the_agreement_and_tell_the_time_to_the_minute() -> None:
    said = act(WEARER, LICENCE, at_s=BEGINS_S + 59)

    assert said.issued_s == BEGINS_S
    assert consents.parse_act(said) == (agreements.digest(LICENCE), Act.SIGN)


def test_a_customer_joins_and_leaves_under_the_brands_own_name_for_them() -> None:
    shared = contracts.ecosystem()
    digest = agreements.digest(shared)
    known = pairwise_key(bytes(32), digest, BRAND.public)
    acts = [act(known, shared), act(known, shared, Act.WITHDRAW, LATER_S), act(OTHER, shared)]

    assert not consented(known.public, digest, acts, BEGINS_S - 1)
    assert consented(known.public, digest, acts, BEGINS_S)
    assert not consented(known.public, digest, acts, LATER_S)
    assert not consented(known.public, bytes(32), acts, BEGINS_S)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_two_brands_cannot_link_a_customer_by_anything_that_is_signed(
    secret: bytes, digest: bytes
) -> None:
    one, two = (pairwise_key(secret, digest, brand.public) for brand in (BRAND, OTHER))
    said_one, said_two, common = (
        consents.sign_act(key, digest, Act.SIGN, BEGINS_S) for key in (one, two, contracts.PLATFORM)
    )

    own = (one.public.did[12:].encode(), one.public.thumbprint, said_one[-64:])
    assert not any(part[at : at + 8] in said_two for part in own for at in range(len(part) - 7))
    assert bare(said_one, one) == bare(common, contracts.PLATFORM)  # what is left is everybody's
    assert one.public == pairwise_key(secret, digest, BRAND.public).public


def bare(said: bytes, key: SigningKey) -> bytes:
    return said[:-64].replace(key.public.did.encode(), b"").replace(key.public.thumbprint, b"")


def test_a_customers_secret_has_32_bytes() -> None:
    with pytest.raises(EncodingError, match="32 bytes"):
        pairwise_key(b"short", bytes(32), BRAND.public)
