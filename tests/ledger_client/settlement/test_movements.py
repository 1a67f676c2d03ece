"""Movements as bytes, and their replay."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BUYER, LEDGER, SELLER, terms

from ledger_client import cbor, cose
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.settlement.movements import (
    ISSUANCE,
    Movement,
    Order,
    after,
    parse_movement,
    replay,
    sign_order,
    verify_order,
)

A, B = b"a" * 32, b"b" * 32
ISSUE = Movement(1, bytes(32), "issue", "EUR/6", ((ISSUANCE, -10), (A, 10)), (b"order",))


def following(movement: Movement, *postings: tuple[bytes, int]) -> Movement:
    digest = sha256(movement.encoded()).digest()
    return Movement(movement.sequence + 1, digest, "open", "EUR/6", postings, ())


def test_a_movement_comes_back_as_it_was() -> None:
    assert parse_movement(ISSUE.encoded()) == ISSUE


@given(data=st.binary(max_size=100))
def test_no_bytes_become_a_movement_by_chance(data: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_movement(data)


def test_a_movement_has_a_known_verb() -> None:
    with pytest.raises(EncodingError, match="verb"):
        parse_movement(replace(ISSUE, verb="print").encoded())


def test_replay_gives_the_balances() -> None:
    second = following(ISSUE, (A, -4), (B, 4))

    assert replay([ISSUE.encoded(), second.encoded()]) == {ISSUANCE: -10, A: 6, B: 4}


def test_replay_finds_holes_broken_chains_and_money_from_nowhere() -> None:
    second = following(ISSUE, (A, -4), (B, 4))

    for wrong, complaint in (
        ([second], "does not follow"),
        ([ISSUE, replace(second, previous=bytes(32))], "does not follow"),
        ([ISSUE, replace(second, sequence=3)], "does not follow"),
        ([ISSUE, following(ISSUE, (A, 4))], "sum to zero"),
        ([ISSUE, following(ISSUE, (A, -11), (B, 11))], "would hold -1"),
        ([following(replace(ISSUE, sequence=0), (ISSUANCE, 1), (A, -1))], "follow"),
    ):
        with pytest.raises(ProofError, match=complaint):
            replay(movement.encoded() for movement in wrong)


@given(
    postings=st.lists(
        st.tuples(st.sampled_from([ISSUANCE, A, B]), st.integers(-50, 50)), max_size=8
    )
)
def test_whatever_is_posted_sums_to_zero_or_is_refused(postings: list[tuple[bytes, int]]) -> None:
    before = {ISSUANCE: -20, A: 10, B: 10}

    try:
        changed = before | after(before, postings)
    except ProofError:
        return

    assert sum(changed.values()) == 0
    assert changed[ISSUANCE] <= 0 <= min(changed[A], changed[B])


def test_an_order_holds_for_its_party_and_its_purpose() -> None:
    wanted = Order("open", LEDGER, terms().channel, 5, terms())
    data = sign_order(BUYER, wanted)

    assert verify_order(BUYER.public, data) == wanted
    with pytest.raises(SignatureError):
        verify_order(SELLER.public, data)
    other = cose.sign1(BUYER, {cose.CONTENT_TYPE: "text/plain"}, cbor.encode([]))
    with pytest.raises(SignatureError, match="expected a signature of type"):
        verify_order(BUYER.public, other)
