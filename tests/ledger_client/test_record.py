"""The record and its verification: all of it holds, and no byte of it can be changed."""

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client import cbor, chains, cose, merkle, record, statements, verify
from ledger_client.database import open_database
from ledger_client.errors import (
    EncodingError,
    LocalError,
    ProofError,
    RemoteError,
    SignatureError,
    StoreError,
)
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader

if TYPE_CHECKING:
    from ledger_client.log import Entry
    from tests.ledger_client.conftest import Ledger


def build(ledger: "Ledger") -> bytes:
    return record.build(ledger.log, lambda entry: ledger.leaves.get(entry.identity))


def parts(data: bytes) -> dict[int, list[list[list[bytes]]]]:
    value = cbor.decode(data, size_max=record.SIZE_MAX)
    assert isinstance(value, dict)
    return value


def test_a_record_establishes_what_was_logged(ledger: "Ledger") -> None:
    ledger.grow(3, leaf_count=4)
    ledger.log.append([(b"n" * 16, ledger.statement(b"payload"))], ledger.now_s + 90)

    report = verify.verify_record(build(ledger))

    assert (report.log, report.demo, report.size) == ("milepost.example/gw", True, 5)
    assert report.kinds == {"genesis": 1, "batch": 3, "note": 1}
    assert (report.batches, report.readings, report.disclosed) == (3, 12, 12)
    assert report.receipts == 5
    assert report.root == ledger.log.head.root.hex()
    assert report.signed_s == ledger.now_s + 90
    assert report.receipt_key == ledger.receipt_key.public.did
    assert [each.did for each in report.issuers] == [ledger.gateway.public.did]
    assert [each.last_sequence for each in report.issuers] == [3]
    assert report.subjects == (ledger.subject,)
    assert (report.first_minute, report.last_minute) == (
        ledger.now_s // 60,
        ledger.now_s // 60 + 1,
    )
    assert report.provenance == {9: 12}
    assert report.losses == {"dropped": 2}
    assert report.gaps == ()
    assert (report.clock_states, report.boots) == ({2: 3}, 1)
    assert report.profiles == ("running/1",)


def test_the_log_that_it_came_from_verifies_to_the_same(ledger: "Ledger") -> None:
    ledger.grow(3)

    of_record = verify.verify_record(build(ledger)).as_json()
    of_log = verify.verify_log(ledger.log).as_json()

    for name in ("disclosed", "receipts", "findings"):
        of_record.pop(name)
        of_log.pop(name)
    assert of_record == of_log


@pytest.mark.parametrize("batch_count", [0, 1, 3])
def test_every_flipped_byte_and_bit_of_a_record_is_refused(
    ledger: "Ledger", batch_count: int
) -> None:
    ledger.grow(batch_count, leaf_count=2)
    data = build(ledger)
    verify.verify_record(data)
    flips = [1 << bit for bit in range(8)] if batch_count == 1 else [0xFF]

    for position in range(len(data)):
        for flip in flips:
            changed = bytearray(data)
            changed[position] ^= flip
            with pytest.raises(RemoteError):
                verify.verify_record(bytes(changed))


def test_a_record_cut_short_or_longer_is_refused(ledger: "Ledger") -> None:
    ledger.grow(1)
    data = build(ledger)

    for changed in (data + b"\x00", *(data[:size] for size in range(0, len(data), 7))):
        with pytest.raises(EncodingError):
            verify.verify_record(changed)


def test_a_log_with_nothing_but_its_genesis_is_a_record_too(ledger: "Ledger") -> None:
    report = verify.verify_record(build(ledger))

    assert (report.size, report.receipts, report.batches) == (1, 0, 0)
    assert report.signed_s == ledger.now_s
    assert "period       none" in report.lines()


def test_withheld_leaves_are_told(ledger: "Ledger") -> None:
    ledger.grow(2)

    def first_only(entry: "Entry") -> list[bytes] | None:
        return ledger.leaves.get(entry.identity) if entry.index == 1 else None

    report = verify.verify_record(record.build(ledger.log, first_only))

    assert (report.readings, report.disclosed) == (6, 3)
    assert "3 readings are counted and proved but not disclosed" in report.findings


def test_a_record_of_other_entries_in_another_order_is_refused(ledger: "Ledger") -> None:
    ledger.grow(3)
    good = parts(build(ledger))
    entries = good[4]

    for changed in (
        [],
        entries[:3],
        entries[1:],
        [entries[0], entries[2], entries[1], entries[3]],
        [*entries, entries[3]],
        [*entries[:3], [entries[2][0], *entries[3][1:]]],
        [entries[0], [entries[1][0], entries[2][1], entries[1][2]], *entries[2:]],
        [entries[0], [entries[1][0], None, entries[1][2]], *entries[2:]],
        [entries[0], [*entries[1][:2], entries[2][2][:2]], *entries[2:]],
        [[*entries[0][:2], []], *entries[1:]],
        [entries[0], entries[0], *entries[2:]],
    ):
        with pytest.raises(RemoteError):
            verify.verify_record(cbor.encode({**good, 4: changed}))


def test_the_first_thing_wrong_is_named_with_its_entry(ledger: "Ledger") -> None:
    ledger.grow(3)
    good = parts(build(ledger))
    good[4][2][2][1] = ledger.leaf(77)

    with pytest.raises(ProofError, match="entry 2: the leaves do not lead to the root"):
        verify.verify_record(cbor.encode(good))


def test_attached_receipts_and_second_geneses_have_no_place(ledger: "Ledger") -> None:
    ledger.grow(1)
    good = parts(build(ledger))
    (first, *_), (second, *rest) = good[4]
    message = cose.parse_sign1(second)  # type: ignore[arg-type]  # bytes at this place
    attached = message.encode({cose.RECEIPTS: [b"receipt"]})

    with pytest.raises(EncodingError, match="carries no receipts"):
        verify.verify_record(cbor.encode({**good, 4: [good[4][0], [attached, *rest]]}))
    with pytest.raises(ProofError, match="second genesis"):
        verify.verify_record(cbor.encode({**good, 4: [good[4][0], [first, *rest]]}))


def test_a_cosignature_that_nobody_can_check_is_refused(ledger: "Ledger") -> None:
    good = parts(build(ledger))
    note = str(good[5])

    with pytest.raises(EncodingError, match="nobody here can check"):
        verify.verify_record(cbor.encode({**good, 5: note + note.splitlines(keepends=True)[-1]}))


def test_keys_of_another_log_do_not_fit(ledger: "Ledger") -> None:
    good = parts(build(ledger))
    verifier = verify.checkpoints.Verifier(ledger.log.name, SigningKey(b"\x09" * 32).public)  # type: ignore[attr-defined]  # its own import

    with pytest.raises(ProofError, match="verifier key"):
        verify.verify_record(cbor.encode({**good, 3: verifier.vkey}))


@pytest.mark.parametrize(
    "changes",
    [
        {1: "record"},
        {2: 2},
        {2: True},
        {3: 1},
        {4: {}},
        {4: [[]]},
        {4: [[b"", 1, None]]},
        {4: [[b"", None, [1]]]},
        {5: b"note"},
        {6: 0},
    ],
    ids=str,
)
def test_a_record_of_another_shape_is_refused(ledger: "Ledger", changes: dict[int, object]) -> None:
    with pytest.raises(EncodingError):
        verify.verify_record(cbor.encode({**parts(build(ledger)), **changes}))


def forged(ledger: "Ledger", monkeypatch: pytest.MonkeyPatch, *payloads: bytes) -> "Ledger":
    """The ledger with batches on it that its own log would refuse, as another maker's could be."""
    monkeypatch.setattr(chains, "add", lambda *_: None)  # a careless log
    for number, payload in enumerate(payloads):
        statement = ledger.statement(payload, "batch")
        ledger.log.append([(number.to_bytes(16, "big"), statement)], ledger.now_s)
    return ledger


def test_a_missing_sequence_is_visible_as_a_gap(
    ledger: "Ledger", monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [ledger.leaf()]
    payloads = [ledger.batch(made).encode(), ledger.batch(made, 4, b"p" * 32).encode()]

    report = verify.verify_record(build(forged(ledger, monkeypatch, *payloads)))

    assert report.gaps == (f"{ledger.gateway.public.short_id} lacks sequence 2 to 3",)
    assert "1 gaps in the issuers' sequences" in report.findings
    with pytest.raises(ProofError, match="lacks sequence 2 to 3"):
        verify.verify_log(ledger.log)


def test_a_repeated_sequence_or_a_broken_chain_is_refused(
    ledger: "Ledger", monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [ledger.leaf()]
    first = ledger.batch(made).encode()

    with pytest.raises(ProofError, match="comes after 1"):
        verify.verify_record(build(forged(ledger, monkeypatch, first, first)))


def test_a_batch_that_follows_another_than_the_one_before_is_refused(
    ledger: "Ledger", monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [ledger.leaf()]
    payloads = [ledger.batch(made).encode(), ledger.batch(made, 2, b"p" * 32).encode()]

    with pytest.raises(ProofError, match="does not follow 1"):
        verify.verify_record(build(forged(ledger, monkeypatch, *payloads)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM log_entries WHERE position = 1", "entry 1 is missing"),
        ("DELETE FROM log_entries WHERE position = 3", "3 entries, the last head has 4"),
        ("UPDATE log_entries SET statement = zeroblob(9) WHERE position = 2", "entry 2: "),
        ("UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 1", "stored hash at level 1"),
        ("DELETE FROM log_nodes WHERE level = 0 AND position = 2", "stored hash at level 0"),
        ("INSERT INTO log_nodes VALUES (9, 9, zeroblob(32))", "1 stored hashes"),
        ("UPDATE log_heads SET root = zeroblob(32), note = 'x' WHERE size = 2", "head of 2"),
        ("UPDATE log_heads SET root = zeroblob(32) WHERE size = 2", "head of 2"),
        ("UPDATE log_heads SET issued_s = 5 WHERE size = 4", "head of 4"),
        ("UPDATE log_heads SET receipt = x'd2' WHERE size = 3", "head of 3"),
        ("DELETE FROM log_chains WHERE sequence = 3", "ends elsewhere"),
    ],
)
def test_any_damage_to_a_stored_log_is_found(ledger: "Ledger", damage: str, message: str) -> None:
    ledger.grow(3)
    ledger.connection.execute("PRAGMA foreign_keys = OFF")
    for table in ("log_entries", "log_nodes", "log_heads", "log_chains"):
        for verb in ("UPDATE", "DELETE"):
            ledger.connection.execute(f"DROP TRIGGER {table}_no_{verb}")
    ledger.connection.execute(damage)

    with pytest.raises(RemoteError, match=message):
        verify.verify_log(ledger.log)


def test_a_database_without_a_log_is_named(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "other.db")

    with pytest.raises(StoreError, match="no such table"):
        verify.verify_log(LogReader(connection))
    connection.close()


def test_a_record_too_large_is_our_own_mistake(
    ledger: "Ledger", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "SIZE_MAX", 100)
    with pytest.raises(LocalError, match="at most 100 bytes"):
        build(ledger)
    monkeypatch.setattr(record, "ENTRIES_MAX", 0)
    with pytest.raises(LocalError, match="holds 0 entries"):
        build(ledger)


@pytest.mark.parametrize("entry", ["00", "80", "a0", "40", "8340f640"])
def test_a_hostile_record_costs_few_times_its_own_size(entry: str) -> None:
    """A megabyte of the smallest items there are, and as much beside them to pay for."""
    one = bytes.fromhex(entry)
    entries = b"\x9a" + (250_000).to_bytes(4, "big") + one * 250_000
    padding = b"\x7a" + (6_000_000).to_bytes(4, "big") + b"n" * 6_000_000
    head = cbor.encode({1: "milepost-record", 2: 1, 3: "v"}).replace(b"\xa3", b"\xa5", 1)
    hostile = head + b"\x04" + entries + b"\x05" + padding

    tracemalloc.start()
    with pytest.raises(EncodingError):
        verify.verify_record(hostile)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 5 * len(hostile)


def test_a_record_of_too_many_entries_is_refused(
    ledger: "Ledger", monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.grow(3)
    data = build(ledger)
    monkeypatch.setattr(record, "ENTRIES_MAX", 3)

    with pytest.raises(EncodingError, match="at most 3, got 4"):
        verify.verify_record(data)


def test_the_report_reads_as_lines_and_as_json(ledger: "Ledger") -> None:
    ledger.grow(2)

    report = verify.verify_record(build(ledger))

    text = "\n".join(report.lines())
    assert "readings     6 in 2 batches, 6 disclosed" in text
    assert "period       2026-01-01 00:00:00Z to 2026-01-01 00:01:00Z" in text
    assert "losses       1 readings dropped" in text
    assert "clock        NTP 2 (batches)" in text
    assert report.as_json()["provenance"] == {"simulated": 6}
    assert len(str(report.as_json()["root"])) == merkle.HASH_BYTES * 2


def test_a_clock_gone_mad_is_printed_as_a_number(ledger: "Ledger") -> None:
    ledger.log.append([(b"n" * 16, ledger.statement(b"payload"))], (1 << 63) - 1)

    report = verify.verify_record(build(ledger))

    assert "signed Unix time 9223372036854775807" in "\n".join(report.lines())


def test_a_lone_genesis_has_no_receipt(ledger: "Ledger") -> None:
    good = parts(build(ledger))
    good[4][0][1] = ledger.log.head.receipt  # type: ignore[call-overload]  # bytes at this place

    with pytest.raises(ProofError, match="no receipts"):
        verify.verify_record(cbor.encode(good))


def test_signatures_of_the_right_shape_by_the_wrong_key_are_refused(ledger: "Ledger") -> None:
    good = parts(build(ledger))
    entry = statements.sign(SigningKey(b"\x09" * 32), "genesis", "log", b"", 0)

    with pytest.raises((SignatureError, EncodingError)):
        verify.verify_record(cbor.encode({**good, 4: [[entry, None, None]]}))
