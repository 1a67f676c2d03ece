"""Pinned heads: a log may only grow, and the reader notices when it did not."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ledger_client import explanation, pins, record, verify
from ledger_client.database import open_database
from ledger_client.errors import EncodingError, ProofError
from ledger_client.keys import SigningKey
from ledger_client.log import Log
from ledger_client.pins import Pin
from ledger_client.vouching import Anchors

if TYPE_CHECKING:
    from pathlib import Path

    from ledger_client.report import Report
    from tests.ledger_client.conftest import Ledger


def whole(ledger: "Ledger") -> bytes:
    return record.build(ledger.log, lambda entry: ledger.leaves.get(entry.identity))


def pinned(report: "Report") -> Anchors:
    return Anchors(pins={report.log: Pin(report.vkey, report.note)})


def test_a_log_that_grew_continues_its_pin(ledger: "Ledger") -> None:
    ledger.grow(2)
    anchors = pinned(verify.verify_record(whole(ledger)))
    same = verify.verify_record(whole(ledger), anchors)
    ledger.grow(3)

    grown = verify.verify_record(whole(ledger), anchors)
    stored = verify.verify_log(ledger.log, anchors)

    assert (same.continues, grown.continues, stored.continues) == (3, 3, 3)
    assert (grown.size, grown.unlinked) == (6, None)
    assert any("3 entries that you pinned" in text for text in explanation.proved(grown))
    assert "pinned       the head of 3 entries, which this one continues" in grown.lines()


def test_an_excerpt_of_the_pinned_head_is_known_and_of_a_later_one_not_linked(
    ledger: "Ledger",
) -> None:
    ledger.grow(2)
    anchors = pinned(verify.verify_record(whole(ledger)))
    same = verify.verify_record(record.excerpt(ledger.log, {1: None}), anchors)
    ledger.grow(1)

    later = verify.verify_record(record.excerpt(ledger.log, {1: None}), anchors)

    assert (same.continues, same.unlinked) == (3, None)
    assert (later.continues, later.unlinked) == (None, 3)
    assert any("ask for the record" in text for text in explanation.not_proved(later))


def test_a_smaller_head_than_the_pinned_one_is_refused(ledger: "Ledger") -> None:
    ledger.grow(1)
    old, excerpt = whole(ledger), record.excerpt(ledger.log, {1: None})
    ledger.grow(1)
    anchors = pinned(verify.verify_record(whole(ledger)))

    for data in (old, excerpt):
        with pytest.raises(ProofError, match="the pinned head has 3 entries, this one 2"):
            verify.verify_record(data, anchors)


def test_another_history_under_the_same_keys_is_refused(ledger: "Ledger", tmp_path: "Path") -> None:
    connection = open_database(tmp_path / "fork.db")
    fork = Log.open(
        connection,
        name=ledger.log.name,
        receipt_key=ledger.receipt_key,
        note_key=ledger.note_key,
        demo=True,
        now_s=ledger.now_s,
    )
    fork.append([(b"f" * 16, ledger.statement(b"another"))], ledger.now_s)
    ledger.grow(1)
    anchors = pinned(verify.verify_record(whole(ledger)))
    same_size = record.build(fork, lambda _: None)
    excerpt = record.excerpt(fork, {1: None})
    fork.append([(b"g" * 16, ledger.statement(b"more"))], ledger.now_s)

    for data in (same_size, excerpt, record.build(fork, lambda _: None)):
        with pytest.raises(ProofError, match="was rewritten; keep both files"):
            verify.verify_record(data, anchors)
    connection.close()


def test_another_key_under_the_same_name_is_refused(ledger: "Ledger") -> None:
    report = verify.verify_record(whole(ledger))
    other = verify.checkpoints.Verifier(report.log, SigningKey(b"\x09" * 32).public)  # type: ignore[attr-defined]  # its own import
    anchors = Anchors(pins={report.log: Pin(other.vkey, report.note)})

    with pytest.raises(ProofError, match="another log"):
        verify.verify_record(whole(ledger), anchors)


def test_pins_read_back_as_they_were_written(ledger: "Ledger") -> None:
    held = pinned(verify.verify_record(whole(ledger))).pins

    assert pins.parse(pins.render(held)) == held


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"log": 1}', '{"log": {"vkey": "a"}}', '{"log": {"vkey": 1, "note": 2}}'],
)
def test_a_damaged_file_of_pins_is_refused(text: str) -> None:
    with pytest.raises(EncodingError, match="pin anew"):
        pins.parse(text)


def test_a_pin_that_its_key_did_not_sign_or_of_another_log_is_refused(ledger: "Ledger") -> None:
    report = verify.verify_record(whole(ledger))
    good = Pin(report.vkey, report.note)
    changed = replace(good, note=good.note.replace("\n1\n", "\n2\n", 1))

    for held in ({report.log: changed}, {"another": good}):
        with pytest.raises(EncodingError, match="pin anew"):
            pins.parse(pins.render(held))
