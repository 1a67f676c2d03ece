"""Plain words: every remark stands exactly when it is true."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ledger_client import explanation, record, verify

if TYPE_CHECKING:
    from ledger_client.report import Report
    from tests.ledger_client.conftest import Ledger


def report_of(ledger: "Ledger") -> "Report":
    ledger.grow(2)
    return verify.verify_record(
        record.build(ledger.log, lambda entry: ledger.leaves.get(entry.identity))
    )


def test_a_whole_record_is_explained_by_who_signed_what(ledger: "Ledger") -> None:
    report = report_of(ledger)

    text = "\n".join(explanation.proved(report))

    name = ledger.gateway.public.short_id
    assert "had 3 entries when its keys signed for them at 2026-01-01 00:01:01Z" in text
    assert "All of them are here" in text
    assert f"{name} signed 2 batches of readings (numbers 1 to 2)" in text
    assert "Every batch that these numbers promise is here." in text
    assert "6 readings can be read here" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"demo": True}, "this is a demo log"),
        ({"provenance": {9: 4}}, "That a sensor measured 4 readings: they are simulated."),
        ({"provenance": {0: 1, 2: 9}}, "Who sent 1 reading: they were heard as open broadcasts"),
        ({"gaps": ("x lacks sequence 2 to 3",)}, "batches that are gone: x lacks sequence 2 to 3."),
        ({"withheld": 2}, "What is in 2 batches between those shown"),
        ({"shown": 2}, "That the excerpt is fair"),
        ({"disclosed": 5}, "What is in 1 reading: counted and fixed, but not disclosed."),
        ({"losses": {"dropped": 2, "rejected": 1}}, "What was in 3 readings lost or refused"),
        ({"losses": {"gap": 1}}, "What happened in 1 silence or restart."),
        ({"clock_states": {0: 1, 2: 1}}, "The hour of 1 batch: the clock was not set."),
        ({"clock_steps": 2}, "the clock was set in 2 batches"),
        ({"unlinked": 7}, "continues the head of 7 entries that you pinned"),
        ({"vouchings": ()}, "compare the log key"),
        ({"continues": 1}, "compare the log key, which is the one that you pinned"),
        ({}, "That a sensor told the truth"),
    ],
    ids=str,
)
def test_what_is_not_proved_is_said(ledger: "Ledger", changes: dict[str, Any], said: str) -> None:
    clean: dict[str, Any] = {"demo": False, "provenance": {2: 6}, "losses": {}}
    report = replace(report_of(ledger), **clean)

    with_it = "\n".join(explanation.not_proved(replace(report, **changes)))
    without = "\n".join(explanation.not_proved(report))

    assert said in with_it
    assert (said in without) == (said in {"compare the log key", "That a sensor told the truth"})


def test_a_log_alone_claims_nothing_about_disclosure(ledger: "Ledger") -> None:
    ledger.grow(1)

    report = verify.verify_log(ledger.log)

    text = "\n".join([*report.lines(), *report.findings, *explanation.not_proved(report)])
    assert "disclosed" not in text


def test_who_vouches_for_a_key_is_proved_and_who_does_not_is_said(ledger: "Ledger") -> None:
    report = report_of(ledger)
    nobody = report.vouchings[0]
    somebody = replace(nobody, by=("did:key:owner",), expires_s=1_800_000_000)

    vouched = replace(report, vouchings=(somebody,))

    assert any("did:key:owner vouches for" in text for text in explanation.proved(vouched))
    assert any("nobody vouches for" in text for text in explanation.not_proved(report))


def test_an_empty_log_proves_its_genesis_alone(ledger: "Ledger") -> None:
    report = verify.verify_record(record.build(ledger.log, lambda _: None))

    assert "had 1 entry when" in explanation.proved(report)[0]
    assert not any("sensor" in text for text in explanation.not_proved(replace(report, demo=False)))
