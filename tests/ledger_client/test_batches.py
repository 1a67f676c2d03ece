"""batches and their leaves: round trips, and each way to contradict oneself."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import batches, cbor, leaves
from ledger_client.errors import EncodingError, ProofError, RemoteError

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

CLOCK = batches.Clock(0, b"bootboot", 1, 5, 6)
BATCH = batches.Batch(
    leaf_count=3,
    root=bytes(32),
    first_minute=1,
    last_minute=2,
    clock=CLOCK,
    previous=bytes(32),
    sequence=1,
    provenance={0: 1, 9: 2},
    losses=batches.Losses(1, 2, 3),
    profiles=("heart_rate/1", "running/1"),
)
LABELS: dict[int, Any] = {
    1: 1,
    2: 3,
    3: bytes(32),
    4: 1,
    5: 2,
    6: {1: 0, 3: b"bootboot", 4: 1, 5: 5, 6: 6, 8: False},
    7: bytes(32),
    8: 1,
    9: {0: 1, 9: 2},
    10: {"dropped": 1, "rejected": 2, "gap": 3},
    11: ["heart_rate/1", "running/1"],
}
RECORD: dict[int, Any] = {0: "a/b", 1: "V", 2: 1.5, 6: 1_767_225_600}
COUNTS = st.integers(0, (1 << 63) - 1)


def test_the_payload_has_the_labels_of_the_format() -> None:
    assert BATCH.encode() == cbor.encode(LABELS)
    assert batches.decode(BATCH.encode()) == BATCH


@given(
    counts=st.dictionaries(st.sampled_from([0, 1, 2, 3, 9]), st.integers(1, 9_000), min_size=1),
    first=st.integers(0, 1 << 40),
    minutes=st.integers(0, 1 << 20),
    sequence=st.integers(2, (1 << 63) - 1),
    losses=st.builds(batches.Losses, COUNTS, COUNTS, COUNTS),
    error_max_ms=st.none() | COUNTS,
    since_sync_s=st.none() | COUNTS,
    stepped=st.booleans(),
    agreement=st.none() | st.binary(min_size=32, max_size=32),
)
def test_a_batch_comes_back_as_it_went(
    *,
    counts: dict[int, int],
    first: int,
    minutes: int,
    sequence: int,
    losses: batches.Losses,
    error_max_ms: int | None,
    since_sync_s: int | None,
    stepped: bool,
    agreement: bytes | None,
) -> None:
    batch = batches.Batch(
        leaf_count=sum(counts.values()),
        root=b"r" * 32,
        first_minute=first,
        last_minute=first + minutes,
        clock=batches.Clock(6, b"bootboot", 7, 8, 9, error_max_ms, since_sync_s, stepped),
        previous=b"p" * 32,
        sequence=sequence,
        provenance=counts,
        losses=losses,
        profiles=("x/1",),
        agreement=agreement,
    )

    assert batches.decode(batch.encode()) == batch


@pytest.mark.parametrize(
    "changes",
    [
        {1: 2},
        {2: 0},
        {2: True},
        {2: 65_537},
        {2: 4},
        {3: bytes(31)},
        {4: 3},
        {4: -1},
        {5: "2"},
        {6: {}},
        {6: {**LABELS[6], 1: 7}},
        {6: {**LABELS[6], 2: -1}},
        {6: {**LABELS[6], 3: b"boot"}},
        {6: {**LABELS[6], 5: 7}},
        {6: {**LABELS[6], 7: "never"}},
        {6: {**LABELS[6], 8: 0}},
        {6: {**LABELS[6], 9: 0}},
        {7: b"p" * 32},
        {8: 0},
        {8: 2},
        {9: []},
        {9: {0: 3, 4: 0}},
        {9: {0: 2, 4: 1}},
        {9: {0: 3, 9: 0}},
        {9: {"0": 3}},
        {10: {"dropped": 1}},
        {10: {"dropped": 1, "rejected": 2, "gap": -3}},
        {10: {"dropped": 1, "rejected": 2, "gap": 3, "lost": 1}},
        {11: []},
        {11: ["x/1", "x/1"]},
        {11: [str(number) for number in range(65)]},
        {11: ["x" * 65]},
        {11: ["\x1b[2J"]},
        {12: b"short"},
        {13: 0},
    ],
    ids=str,
)
def test_a_batch_that_breaks_a_rule_is_refused(changes: dict[int, object]) -> None:
    with pytest.raises(EncodingError):
        batches.decode(cbor.encode({**LABELS, **changes}))


def test_our_own_mistakes_are_not_signed_either() -> None:
    with pytest.raises(EncodingError, match="add up"):
        replace(BATCH, leaf_count=4).encode()


@given(data=st.binary(max_size=100))
def test_any_bytes_are_a_batch_or_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        batches.decode(data)


def test_all_leaves_of_a_batch_hold(ledger: "Ledger") -> None:
    made = [ledger.leaf(number) for number in range(5)]
    made.append(ledger.leaf(5, record={0: "car/vin", 3: "WVWZZZ", 6: ledger.now_s + 119.9}))

    leaves.verify(made, ledger.batch(made))


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": b"short"},
        {"record": {0: "a/b", 2: 1.5}},
        {"record": {**RECORD, 7: 0}},
        {"record": {**RECORD, 3: "both"}},
        {"record": {0: "a/b", 6: RECORD[6]}},
        {"record": {**RECORD, 2: True}},
        {"record": {**RECORD, 2: float("inf")}},
        {"record": {**RECORD, 2: "text"}},
        {"record": {**RECORD, 0: 5}},
        {"record": {**RECORD, 1: "x" * 17}},
        {"record": {**RECORD, 6: RECORD[6] - 1}},
        {"record": {**RECORD, 6: RECORD[6] + 120}},
        {"record": {**RECORD, 6: 1e300}},
        {"provenance": 4},
        {"provenance": 0},
        {"profile": 1},
        {"packet": b"short"},
        {"more": 0},
    ],
    ids=str,
)
def test_a_leaf_of_another_shape_or_place_is_refused_although_its_root_is_signed(
    ledger: "Ledger", changes: dict[str, object]
) -> None:
    made = [ledger.leaf(0), ledger.leaf(1, **changes)]

    with pytest.raises(RemoteError):
        leaves.verify(made, ledger.batch(made))


def test_other_leaves_than_the_signed_ones_are_refused(ledger: "Ledger") -> None:
    made = [ledger.leaf(number) for number in range(4)]
    batch = ledger.batch(made)

    for others in (made[:3], [*made, made[0]], made[::-1], [*made[:3], ledger.leaf(9)]):
        with pytest.raises(ProofError):
            leaves.verify(others, batch)
