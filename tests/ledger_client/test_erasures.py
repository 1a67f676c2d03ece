"""Erasure statements: one payload, and they speak for batches before them of their signer's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, erasures, statements
from ledger_client.erasures import Erasures
from ledger_client.errors import EncodingError
from ledger_client.keys import SigningKey

OLD, NEW, STRANGER = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
URN, OTHER = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55", "urn:uuid:other"


def batch(key: SigningKey, urn: str = URN) -> statements.Statement:
    """Nothing of a batch but who signed it, and about whom, is looked at."""
    return statements.verify(statements.sign(key, "batch", urn, b"", 60))


def erasure(key: SigningKey, urn: str = URN) -> statements.Statement:
    return statements.verify(erasures.sign(key, urn, 120))


def test_what_was_closed_before_is_erased_and_nothing_else() -> None:
    told = Erasures()
    told.closed(batch(OLD), 3)
    told.closed(batch(OLD, OTHER), 4)
    told.add(erasure(OLD))
    told.closed(batch(OLD), 5)

    assert told.count({}) == {URN: 3}
    told.add(erasure(OLD))
    assert told.count({}) == {URN: 8}


def test_a_key_that_carries_on_speaks_for_the_one_before_and_a_stranger_for_nobody() -> None:
    told = Erasures()
    told.closed(batch(OLD), 3)
    told.add(erasure(STRANGER))
    assert told.count({}) == {}
    told.add(erasure(NEW))

    assert told.count({}) == {}
    assert told.count({OLD.public: NEW.public}) == {URN: 3}
    assert told.count({OLD.public: NEW.public, NEW.public: OLD.public}) == {URN: 3}
    assert told.count({NEW.public: OLD.public}) == {}


def test_a_batch_that_is_all_here_has_nothing_erased() -> None:
    told = Erasures()
    told.closed(batch(OLD), 0)
    told.add(erasure(OLD))
    told.add(batch(OLD))

    assert told.count({}) == {}


@pytest.mark.parametrize("payload", [{}, {1: 2}, {1: 1, 2: 0}, 1, {1: True}])
def test_another_payload_is_refused(payload: object) -> None:
    data = statements.sign(OLD, erasures.KIND, URN, cbor.encode(payload), 60)

    with pytest.raises(EncodingError):
        erasures.check(statements.verify(data))
    with pytest.raises(EncodingError):
        Erasures().add(statements.verify(data))


def test_another_kind_is_refused() -> None:
    with pytest.raises(EncodingError, match="expected an erasure statement, got a batch"):
        erasures.check(batch(OLD))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([URN, OTHER]), st.integers(0, 9))))
def test_no_more_is_erased_than_was_closed(events: list[tuple[bool, str, int]]) -> None:
    told, closed = Erasures(), {URN: 0, OTHER: 0}
    sure = dict(closed)
    for is_erasure, urn, readings in events:
        if is_erasure:
            told.add(erasure(OLD, urn))
            sure[urn] = closed[urn]
        else:
            told.closed(batch(OLD, urn), readings)
            closed[urn] += readings

    assert told.count({}) == {urn: count for urn, count in sure.items() if count}
