"""Readings as the canonical bytes that the ledger signs."""

import hmac
from dataclasses import dataclass
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import claims
from agent.claims import Kept
from firmware_bridge.readings import QUANTITIES
from ledger_client import batches, cbor, leaves, merkle

KEY = bytes(range(32))
NUMBERS = sorted(name for name, quantity in QUANTITIES.items() if quantity.unit)
TEXTS = sorted(name for name, quantity in QUANTITIES.items() if not quantity.unit)

numbers = st.tuples(
    st.sampled_from(NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1),
)
texts = st.tuples(st.sampled_from(TEXTS), st.text(max_size=256).filter(str.isprintable))
kept_packets = st.builds(
    Kept,
    component=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
    profile=st.sampled_from(["heart-rate/1", "obd/1", "tyre/1", "bthome/1"]),
    provenance=st.sampled_from([0, 1, 2, 3, 9]),
    wall_ms=st.integers(0, 4_102_444_800_000),
    boottime_ms=st.integers(0, 2**40),
    packet=st.binary(min_size=8, max_size=8),
    readings=st.lists(numbers | texts, min_size=1, max_size=6).map(tuple),
)
groups = st.lists(kept_packets, min_size=1, max_size=8)


@dataclass
class Spoken:
    """The same batch, written down the slow and obvious way."""

    kept: list[Kept]

    def leaves(self) -> list[bytes]:
        profiles = list(dict.fromkeys(each.profile for each in self.kept))
        found: list[bytes] = []
        for each in self.kept:
            for quantity, value in each.readings:
                record: dict[int, Any] = {0: f"{each.component}/{quantity}"}
                if QUANTITIES[quantity].unit:
                    record[1] = QUANTITIES[quantity].unit
                record[3 if isinstance(value, str) else 2] = value
                record[6] = each.wall_ms / 1000
                message = b"salt" + len(found).to_bytes(4, "big")
                salt = hmac.digest(KEY, message, "sha256")[:16]
                place = profiles.index(each.profile)
                found.append(cbor.encode([salt, record, each.provenance, place, each.packet]))
        return found


@given(kept=groups)
def test_every_leaf_is_the_deterministic_encoding_of_its_structure(kept: list[Kept]) -> None:
    assert claims.claim(kept, KEY).leaves == Spoken(kept).leaves()


@given(kept=groups)
def test_a_stranger_accepts_the_leaves_with_the_counts_and_period_of_the_claim(
    kept: list[Kept],
) -> None:
    claim = claims.claim(kept, KEY)
    batch = batches.Batch(
        leaf_count=len(claim.leaves),
        root=merkle.root([merkle.leaf_hash(leaf) for leaf in claim.leaves]),
        first_minute=claim.first_minute,
        last_minute=claim.last_minute,
        clock=batches.Clock(0, b"bootboot", 1, 0, 0),
        previous=bytes(32),
        sequence=1,
        provenance=claim.provenance,
        losses=batches.Losses(),
        profiles=tuple(claim.profiles),
    )

    leaves.verify(claim.leaves, batches.decode(batch.encode()))


@given(kept=groups)
def test_what_is_packed_comes_out_again(kept: list[Kept]) -> None:
    assert claims.unpack(claims.pack(kept)) == kept


@given(data=st.binary(max_size=64))
def test_other_bytes_than_a_pack_are_refused_or_read(data: bytes) -> None:
    try:
        kept = claims.unpack(data)
    except msgspec.DecodeError:
        return
    assert all(isinstance(each, Kept) for each in kept)


def test_two_batches_of_the_same_readings_have_nothing_in_common() -> None:
    kept = [Kept("strap", "heart-rate/1", 1, 60_000, 5, b"packet!!", (("heart_rate", 60.0),))]

    first, second = (
        claims.claim(kept, claims.batch_key(KEY, name)).leaves for name in (b"one", b"two")
    )

    assert first != second


def test_a_batch_names_its_first_and_last_minute_whatever_the_order() -> None:
    def at(wall_ms: int) -> Kept:
        return Kept("strap", "heart-rate/1", 1, wall_ms, 5, b"packet!!", (("heart_rate", 60.0),))

    claim = claims.claim([at(179_999), at(60_000), at(120_000)], KEY)

    assert (claim.first_minute, claim.last_minute) == (1, 2)
    assert claim.provenance == {1: 3}


def test_telemetry_is_senml_with_absolute_base_time_and_the_identity_of_its_pack() -> None:
    kept = [
        Kept("strap", "heart-rate/1", 1, 10_000, 5, b"packet!!", (("heart_rate", 60.0),)),
        Kept("strap", "heart-rate/1", 1, 10_250, 6, b"packet!?", (("heart_rate", 61.0),)),
        Kept("obd", "obd/1", 1, 10_500, 7, b"packet??", (("dtc", "P0301"),)),
    ]

    series = claims.senml(kept, "urn:uuid:1", "boot-7")

    assert {key: cbor2.loads(data) for key, data in series.items()} == {
        ("strap", "heart_rate"): [
            {
                -2: "urn:uuid:1:",
                -3: 10.0,
                "pk": "boot-7",
                0: "strap/heart_rate",
                1: "beat/min",
                2: 60.0,
            },
            {0: "strap/heart_rate", 1: "beat/min", 2: 61.0, 6: 0.25},
        ],
        ("obd", "dtc"): [
            {-2: "urn:uuid:1:", -3: 10.5, "pk": "boot-7", 0: "obd/dtc", 3: "P0301"},
        ],
    }


@pytest.mark.parametrize("quantity", sorted(QUANTITIES))
def test_every_quantity_of_the_table_can_be_claimed_and_told(quantity: str) -> None:
    value: float | str = 1.5 if QUANTITIES[quantity].unit else "text"
    kept = [Kept("thing", "obd/1", 0, 60_000, 5, b"packet!!", ((quantity, value),))]

    assert claims.claim(kept, KEY).leaves == Spoken(kept).leaves()
    assert list(claims.senml(kept, "urn:uuid:1", "1")) == [("thing", quantity)]
