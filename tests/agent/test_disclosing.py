"""Disclosure: the chosen readings with their proofs, and nothing that leads to the others."""

import hmac
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from box import WALL_MS, Box

from agent.disclosing import Wish, disclose
from agent.home import HomeError
from agent.journal import Journal
from ledger_client import batches, cbor, leaves, merkle, record, statements, verify
from ledger_client.disclosure import Part

START_S = WALL_MS / 1000


@pytest.fixture
def home(box: Box) -> Path:
    """Three batches of the runner (seconds 101, 103, 105), two of the car between them."""
    stores = box.open()
    for subject in ("runner", "car", "runner", "car", "runner"):
        box.hear(stores, 5, subject)
        box.prove(stores)
    box.close()
    return box.path


def readings_of(data: bytes) -> list[leaves.Leaf]:
    found = []
    for line in record.parse(data).lines:
        given = line.disclosure
        if given is not None:
            chosen = [each.leaf for each in given.chosen] if isinstance(given, Part) else given
            found += [leaves.parse(leaf) for leaf in chosen]
    return found


def test_a_subject_and_a_quantity_are_given_and_nobody_else(home: Path) -> None:
    given = disclose(home, Wish("runner", frozenset({"heart_rate"})))

    report = verify.verify_record(given.data)
    assert (given.readings, given.released) == (15, 0)
    assert (report.batches, report.readings, report.disclosed) == (3, 15, 15)
    assert (len(report.subjects), report.withheld) == (1, 2)
    assert {each.name for each in readings_of(given.data)} == {"strap/heart_rate"}
    assert b"tyre" not in given.data


def test_a_period_takes_what_is_in_it(home: Path) -> None:
    given = disclose(home, Wish("runner", from_s=START_S + 102, until_s=START_S + 105))

    assert {each.time_s for each in readings_of(given.data)} == {START_S + 103}
    assert verify.verify_record(given.data).batches == 1


def test_a_component_can_be_named_with_its_quantity(home: Path) -> None:
    assert disclose(home, Wish("car", frozenset({"tyre/tyre_pressure"}))).readings == 10


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish("nobody"), "expected a subject of this home: car, runner"),
        (Wish("runner", frozenset({"shoe_size"})), "shoe_size: expected a quantity: "),
        (Wish("runner", frozenset({"tyre_pressure"})), "no such reading"),
        (Wish("runner", until_s=5.0), "no such reading"),
    ],
    ids=str,
)
def test_what_cannot_be_given_is_said(home: Path, wish: Wish, message: str) -> None:
    with pytest.raises(HomeError, match=message):
        disclose(home, wish)


def test_a_folder_that_is_no_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="expected the home folder"):
        disclose(tmp_path, Wish("runner"))


def test_readings_that_were_released_are_counted(home: Path, box: Box) -> None:
    journal = Journal.open(home / "journal.db", 1 << 30, create=False)
    first = next(batch for batch in journal.receipted() if batch.subject == "runner")
    journal._db.execute(
        "UPDATE batch SET state = 'released', body = NULL WHERE number = ?", (first.number,)
    )
    journal.close()

    given = disclose(box.path, Wish("runner"))

    assert (given.readings, given.released) == (10, 1)


def split(box: Box) -> tuple[bytes, Path]:
    """An excerpt with one of two quantities of the same packets."""
    stores = box.open()
    box.hear(stores, 1)
    box.hear(stores, 1)
    box.prove(stores)
    box.close()
    return disclose(box.path, Wish("runner", until_s=START_S + 102)).data, box.path


def test_the_closed_leaf_cannot_be_found_by_trying_every_heart_rate(box: Box) -> None:
    """All 200 values with everything else known, and any guess at the salt: no hash fits."""
    data, path = split(box)
    line = record.parse(data).lines[-1]
    assert isinstance(line.disclosure, Part)
    (shown,) = line.disclosure.chosen
    (closed_hash,) = shown.path
    parts: Any = cbor.decode(shown.leaf, depth_max=3)
    salt, body, provenance, profile, packet = parts
    later = {**body, 6: START_S + 102}
    packets = (packet, (1).to_bytes(8, "big"))
    salts = [salt, bytes(16), *(sha256(salt + bytes([n])).digest()[:16] for n in range(8))]
    salts.append(hmac.new(salt, b"salt\x00\x00\x00\x01", "sha256").digest()[:16])

    guesses = {
        merkle.leaf_hash(
            cbor.encode([guess, {**later, 2: float(value)}, provenance, profile, heard])
        )
        for guess, value, heard in product(salts, range(30, 230), packets)
    }

    assert closed_hash not in guesses
    whole = disclose(path, Wish("runner"))
    closed = leaves.parse(_all_leaves(whole.data)[1])
    assert closed.value == 60.0  # it is one of the 200: only the salt keeps it closed
    assert closed_hash == merkle.leaf_hash(_all_leaves(whole.data)[1])


def _all_leaves(data: bytes) -> list[bytes]:
    given = record.parse(data).lines[-1].disclosure
    assert isinstance(given, list)
    return given


def test_no_salt_says_anything_about_another(box: Box) -> None:
    """Salts are of 128 bits and differ: between leaves, batches and subjects."""
    stores = box.open()
    for subject in ("runner", "car") * 3:
        box.hear(stores, 7, subject)
        box.prove(stores)
    box.close()

    found = [
        leaf[2:18]
        for subject in ("runner", "car")
        for line in record.parse(disclose(box.path, Wish(subject)).data).lines
        if isinstance(line.disclosure, list)
        for leaf in line.disclosure
    ]

    assert len(found) == len(set(found)) == 42
    assert {len(salt) for salt in found} == {16}


def test_the_log_knows_times_to_the_minute_only(home: Path) -> None:
    for line in record.parse(disclose(home, Wish("runner")).data).lines[1:]:
        statement = statements.verify(line.statement)
        assert statement.issued_s % 60 == 0
        assert batches.decode(statement.payload).first_minute == (WALL_MS + 101_000) // 60_000
