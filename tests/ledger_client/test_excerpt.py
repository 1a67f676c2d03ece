"""The excerpt: chosen entries and chosen readings, each proved, and no byte can be changed."""

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, checkpoints, cose, disclosure, merkle, receipts, record, verify
from ledger_client.disclosure import Part
from ledger_client.errors import EncodingError, LocalError, ProofError, RemoteError
from ledger_client.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger_client.disclosure import Disclosure
    from tests.ledger_client.conftest import Ledger


def leaves_of(ledger: "Ledger", index: int) -> list[bytes]:
    return next(
        ledger.leaves[entry.identity] for entry in ledger.log.entries() if entry.index == index
    )


def some(ledger: "Ledger", index: int, *indices: int) -> "Disclosure | None":
    return disclosure.choose(leaves_of(ledger, index), indices)


def parts(data: bytes) -> dict[int, list[list[object]]]:
    value = cbor.decode(data, size_max=record.SIZE_MAX)
    assert isinstance(value, dict)
    return value


def by_hand(ledger: "Ledger", entries: list[bytes], *shown: int) -> bytes:
    """An excerpt of a log that takes anything."""
    hashes = [merkle.leaf_hash(sha256(each).digest()) for each in entries]
    root, nodes, size = merkle.root(hashes), merkle.nodes_of(hashes), len(entries)
    name = ledger.log.name
    head = receipts.sign_head(ledger.receipt_key, name, size, root, ledger.now_s)
    note = checkpoints.sign(ledger.note_key, checkpoints.Checkpoint(name, size, root))
    lines = [
        [
            index,
            entries[index],
            receipts.inclusion(head, size, index, merkle.inclusion_proof(index, size, nodes)),
            None,
        ]
        for index in (0, *shown)
    ]
    vkey = checkpoints.Verifier(name, ledger.note_key.public).vkey
    return cbor.encode({1: record.EXCERPT, 2: 1, 3: vkey, 4: lines, 5: note})


def test_an_excerpt_establishes_its_entries_and_no_more(ledger: "Ledger") -> None:
    ledger.grow(5, leaf_count=4)
    shown: Mapping[int, Disclosure | None] = {2: some(ledger, 2, 1, 3), 3: None}

    data = record.excerpt(ledger.log, shown)
    report = verify.verify_record(data)

    assert (report.size, report.shown, report.receipts) == (6, 3, 3)
    assert report.root == ledger.log.head.root.hex()
    assert report.signed_s == ledger.log.head.issued_s
    assert (report.batches, report.readings, report.disclosed) == (2, 8, 2)
    assert (report.gaps, report.withheld) == ((), 1)
    assert "an excerpt: 3 of the log's 6 entries are here" in report.findings
    assert "1 batches of the issuers here are not in the excerpt" in report.findings
    assert all(leaf not in data for leaf in leaves_of(ledger, 2)[::2])


def test_an_excerpt_of_everything_says_what_the_record_says(ledger: "Ledger") -> None:
    ledger.grow(3)

    of_excerpt = verify.verify_record(
        record.excerpt(ledger.log, {index: leaves_of(ledger, index) for index in (1, 2, 3)})
    )
    of_record = verify.verify_record(
        record.build(ledger.log, lambda entry: ledger.leaves.get(entry.identity))
    )

    assert of_excerpt == of_record


@pytest.mark.parametrize(
    ("batch_count", "shown"), [(0, ()), (1, (1,)), (4, (2,)), (5, (2, 3, 5))], ids=str
)
def test_every_flipped_byte_and_bit_of_an_excerpt_is_refused(
    ledger: "Ledger", batch_count: int, shown: tuple[int, ...]
) -> None:
    ledger.grow(batch_count, leaf_count=3)
    data = record.excerpt(ledger.log, {index: some(ledger, index, 0, 2) for index in shown})
    verify.verify_record(data)
    flips = [1 << bit for bit in range(8)] if batch_count == 1 else [0xFF, 0x01]

    for position in range(len(data)):
        for flip in flips:
            changed = bytearray(data)
            changed[position] ^= flip
            with pytest.raises(RemoteError):
                verify.verify_record(bytes(changed))


def test_every_flipped_byte_of_a_record_with_chosen_readings_is_refused(ledger: "Ledger") -> None:
    ledger.grow(2, leaf_count=3)
    data = record.build(
        ledger.log, lambda entry: some(ledger, entry.index, 1) if entry.index else None
    )
    assert verify.verify_record(data).disclosed == 2

    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0xFF
        with pytest.raises(RemoteError):
            verify.verify_record(bytes(changed))


def test_an_excerpt_cut_short_or_longer_is_refused(ledger: "Ledger") -> None:
    ledger.grow(2)
    data = record.excerpt(ledger.log, {2: some(ledger, 2, 1)})

    for changed in (data + b"\x00", *(data[:size] for size in range(0, len(data), 7))):
        with pytest.raises(EncodingError):
            verify.verify_record(changed)


def test_entries_and_proofs_in_other_places_are_refused(ledger: "Ledger") -> None:
    ledger.grow(5)
    good = parts(
        record.excerpt(ledger.log, {index: some(ledger, index, 0, 2) for index in (1, 2, 4)})
    )
    first, *rest = good[4]
    one, two, four = rest
    chosen = two[3][1]  # type: ignore[index]  # the map of chosen leaves

    def with_chosen(value: object) -> list[list[object]]:
        return [first, one, [*two[:3], {1: value}], four]

    for changed in (
        [],
        rest,
        [first, one, four, two],
        [first, one, one],
        [first, [1, *two[1:]]],
        [first, [2, *one[1:]]],
        [first, [3, *two[1:]], four],
        [first, [*one[:2], two[2], one[3]]],
        [first, [*one[:2], None, one[3]]],
        [first, [*one[:3], leaves_of(ledger, 1)[:2]]],
        [[*first[:3], {1: chosen}], one],
        with_chosen([]),
        with_chosen(chosen[::-1]),
        with_chosen([chosen[0], chosen[0]]),
        with_chosen([[1, *chosen[0][1:]]]),
        with_chosen([[*chosen[0][:2], chosen[1][2]]]),
        with_chosen([[*chosen[0][:2], []]]),
        with_chosen([[*chosen[0][:2], [bytes(32)] * 17]]),
        with_chosen([[*chosen[0][:2], [bytes(31)]]]),
        with_chosen([[0, b"leaf", chosen[0][2]]]),
        with_chosen([[65_536, *chosen[0][1:]]]),
    ):
        with pytest.raises(RemoteError):
            verify.verify_record(cbor.encode({**good, 4: changed}))


def test_an_excerpt_and_a_record_do_not_pass_for_each_other(ledger: "Ledger") -> None:
    ledger.grow(1)
    excerpt = parts(record.excerpt(ledger.log, {1: None}))
    whole = parts(record.build(ledger.log, lambda _: None))

    for changed in ({**excerpt, 1: record.RECORD}, {**whole, 1: record.EXCERPT}):
        with pytest.raises(EncodingError):
            verify.verify_record(cbor.encode(changed))


def test_receipts_of_different_heads_do_not_mix(ledger: "Ledger") -> None:
    ledger.grow(1)
    old = parts(record.excerpt(ledger.log, {1: None}))
    ledger.grow(1)
    new = parts(record.excerpt(ledger.log, {1: None}))

    for changed in (
        {**new, 5: old[5]},
        {**old, 5: new[5]},
        {**new, 4: [new[4][0], old[4][1]]},
        {**new, 4: [old[4][0], new[4][1]]},
    ):
        with pytest.raises(RemoteError):
            verify.verify_record(cbor.encode(changed))


def test_a_receipt_with_two_proofs_is_not_ours(ledger: "Ledger") -> None:
    ledger.grow(2)
    good = parts(record.excerpt(ledger.log, {1: None}))
    message = cose.parse_sign1(good[4][1][2])  # type: ignore[arg-type]  # bytes at this place
    proofs = message.unprotected[396][-1]  # type: ignore[index]  # a map of lists
    good[4][1][2] = message.encode({396: {-1: proofs * 2}})

    with pytest.raises(EncodingError, match="entry 1: receipt: expected one proof, got 2"):
        verify.verify_record(cbor.encode(good))


def test_a_lone_genesis_can_be_an_excerpt_but_nothing_can_be_added(ledger: "Ledger") -> None:
    good = parts(record.excerpt(ledger.log, {}))
    report = verify.verify_record(cbor.encode(good))
    ledger.grow(1)
    more = parts(record.excerpt(ledger.log, {1: None}))

    assert (report.size, report.shown, report.receipts) == (1, 1, 0)
    with pytest.raises(ProofError, match="the checkpoint is of 1 entries"):
        verify.verify_record(cbor.encode({**good, 4: more[4]}))
    with pytest.raises(ProofError, match="no receipts"):
        verify.verify_record(cbor.encode({**good, 4: [[*good[4][0][:2], more[4][0][2], None]]}))


def test_an_entry_that_the_log_has_not_cannot_be_excerpted(ledger: "Ledger") -> None:
    with pytest.raises(LocalError, match="no entry 7"):
        record.excerpt(ledger.log, {7: None})


def test_missing_sequences_are_withheld_as_far_as_there_is_room_and_gaps_beyond(
    ledger: "Ledger",
) -> None:
    made = [ledger.leaf()]
    entries = [ledger.log.statement(0)]
    for sequence in (1, 2, 3, 9):
        payload = ledger.batch(made, sequence, b"p" * 32 if sequence > 1 else bytes(32)).encode()
        entries.append(ledger.statement(payload, "batch"))
    name = ledger.gateway.public.short_id

    withheld = verify.verify_record(by_hand(ledger, entries, 1, 3))
    gapped = verify.verify_record(by_hand(ledger, entries, 1, 4))
    other = verify.verify_record(by_hand(ledger, entries, 3, 4))

    assert (withheld.withheld, withheld.gaps) == (1, ())
    assert (gapped.withheld, gapped.gaps) == (2, (f"{name} lacks at least 5 of sequence 2 to 8",))
    assert (other.withheld, other.gaps) == (2, (f"{name} lacks sequence 4 to 8",))


def test_two_issuers_have_chains_of_their_own(ledger: "Ledger") -> None:
    ledger.grow(1)
    other = SigningKey(b"\x09" * 32)
    payload = ledger.batch([ledger.leaf()]).encode()
    ledger.log.append([(b"o" * 16, ledger.statement(payload, "batch", other))], ledger.now_s)

    report = verify.verify_record(record.excerpt(ledger.log, {2: None}))

    assert [each.did for each in report.issuers] == [other.public.did]
    assert (report.withheld, report.gaps) == (0, ())


@given(leaf_count=st.integers(1, 40), data=st.data())
def test_any_choice_of_any_batch_verifies_and_reads_back(
    leaf_count: int, data: st.DataObject
) -> None:
    from tests.ledger_client.conftest import Ledger  # noqa: PLC0415  # only its two static makers

    made = [Ledger.leaf(number) for number in range(leaf_count)]
    indices = data.draw(st.sets(st.integers(0, leaf_count - 1)))

    chosen = disclosure.choose(made, indices)
    packed = cbor.decode(cbor.encode(disclosure.encode(chosen)), size_max=1 << 20)
    read = disclosure.parse(packed)

    if not indices:
        assert read is None
        return
    assert read is not None
    readings = disclosure.verify(read, Ledger.batch(made))
    assert [each.value for each in readings] == [160.5 + index for index in sorted(indices)]
    assert isinstance(read, Part) == (len(indices) < leaf_count)


def test_chosen_leaves_are_hidden_behind_hashes_only(ledger: "Ledger") -> None:
    made = [ledger.leaf(number) for number in range(8)]

    part = disclosure.choose(made, [3])

    assert isinstance(part, Part)
    (chosen,) = part.chosen
    assert chosen.path[0] == merkle.leaf_hash(made[2])
    assert {len(each) for each in chosen.path} == {merkle.HASH_BYTES}
