"""When two readings count as one: same quantity, value and packet, within a minute, two issuers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import memory

from agent.marks import ISSUER_BYTES, MARK_BYTES, Readings, mark, marks
from agent.till import Till
from ledger_client.leaves import Leaf

LEAF = Leaf("strap/heart_rate", "beat/min", 72, 120.0, 0, 0, b"12345678")
ONE, OTHER = bytes(ISSUER_BYTES), b"\x01" * ISSUER_BYTES


def test_component_salt_profile_and_seconds_do_not_matter() -> None:
    heard = replace(LEAF, name="my-strap/heart_rate", value=72.0, time_s=179.9, profile=3)

    assert mark(0, heard, b"payer") == mark(0, LEAF, b"payer")
    assert len(mark(0, LEAF, b"payer").digest) == MARK_BYTES


@pytest.mark.parametrize(
    "change",
    [{"name": "strap/rr_interval"}, {"value": 73}, {"value": "72"}, {"packet": b"12345679"}],
)
def test_quantity_value_and_packet_do(change: dict[str, object]) -> None:
    other = replace(LEAF, **change)  # type: ignore[arg-type]  # what the test is about

    assert mark(0, other, b"payer").digest != mark(0, LEAF, b"payer").digest
    assert mark(0, LEAF, b"who else").digest != mark(0, LEAF, b"payer").digest


def said(issuer: bytes, minutes: list[float]) -> Readings:
    heard = [(index, replace(LEAF, time_s=60 * at)) for index, at in enumerate(minutes)]
    return Readings(b"source", issuer, marks(heard, b"payer"))


def test_who_was_first_paid_for_a_minute_owns_it_and_those_beside_it() -> None:
    till = Till.open(memory())
    till.write_readings(said(ONE, [10, 10.5]), 100)

    assert till.paid_before(said(OTHER, [8, 9, 10, 11.9, 12])) == (1, 2, 3)
    assert till.paid_before(said(ONE, [8, 9, 10, 11, 12])) == ()


def test_beyond_its_limit_the_oldest_minutes_go_and_nothing_so_old_is_paid() -> None:
    till = Till.open(memory())
    for minute in range(20, 60):
        till.write_readings(said(ONE, [minute]), 16)
    (kept,) = till._row("SELECT count(*) FROM till_readings", ())

    assert 10 <= kept <= 16
    assert till.paid_before(said(ONE, [20, 30, 58, 59, 60])) == (0, 1)
    assert till.paid_before(said(OTHER, [20, 59, 70])) == (0, 1)


@given(
    sold=st.lists(
        st.tuples(st.sampled_from([ONE, OTHER]), st.lists(st.integers(0, 30), max_size=5)),
        max_size=8,
    )
)
def test_no_minute_is_paid_to_two(sold: list[tuple[bytes, list[int]]]) -> None:
    till = Till.open(memory())
    owners: dict[int, set[bytes]] = {}

    for issuer, minutes in sold:
        readings = said(issuer, [float(minute) for minute in minutes])
        known = till.paid_before(readings)
        fresh = tuple(each for each in readings.marks if each.index not in known)
        till.write_readings(replace(readings, marks=fresh), 1_000)
        for each in fresh:
            owners.setdefault(each.minute, set()).add(issuer)

    for minute, issuers in owners.items():
        near = owners.get(minute - 1, set()) | owners.get(minute + 1, set())
        assert len(issuers | near) == 1
