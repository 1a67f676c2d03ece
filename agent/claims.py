"""Readings become the canonical bytes that the ledger signs: the one file that speaks both.

FORMATS sections 2 and 4. A leaf is CBOR [salt(16), {0: name, 1: unit, 2: value (3: text), 6: time},
provenance, profile index, first 8 bytes of the packet's SHA-256]; the subject in front of the name
is the statement's own and not repeated. Pure: keys, ids and readings are arguments.
"""

import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import cbor2
import msgspec

from firmware_bridge.readings import QUANTITIES
from ledger_client import cbor
from ledger_client.keys import hkdf_sha256

_SALT_BYTES = 16


class Kept(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The readings of one packet as the journal keeps them: by alias, never by address."""

    component: str
    profile: str
    provenance: int
    wall_ms: int
    boottime_ms: int
    packet: bytes
    readings: tuple[tuple[str, float | int | str], ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Kept])


def pack(kept: Sequence[Kept]) -> bytes:
    """The bytes of one group commit of one subject, before they are sealed."""
    return _encoder.encode(kept)


def unpack(data: bytes) -> list[Kept]:
    """What `pack` packed; raises msgspec.DecodeError when it did not."""
    return _decoder.decode(data)


class Claim(NamedTuple):
    """A batch as leaves, with the counts and period that its statement names."""

    leaves: list[bytes]
    provenance: dict[int, int]
    profiles: list[str]
    first_minute: int
    last_minute: int


def batch_key(subject_key: bytes, batch: bytes) -> bytes:
    """K_batch = HKDF-SHA256(K_subject, "batch" || batch id)."""
    return hkdf_sha256(subject_key, b"batch" + batch)


def claim(kept: Iterable[Kept], key: bytes) -> Claim:
    """The leaves of a batch in order, salted under K_batch `key`.

    Minutes are Unix minutes of the gateway's wall clock, earliest and latest.
    """
    salting = hmac.new(key, b"salt", "sha256")
    leaves: list[bytes] = []
    counts: Counter[int] = Counter()
    profiles: dict[str, int] = {}
    walls: list[int] = []
    for each in kept:
        index = profiles.setdefault(each.profile, len(profiles))
        tail = b"\x06%b%b%b\x48%b" % (
            _number(each.wall_ms / 1000),
            _number(each.provenance),
            _number(index),
            each.packet,
        )
        for quantity, value in each.readings:
            salt = salting.copy()
            salt.update(len(leaves).to_bytes(4, "big"))
            leaves.append(
                b"\x85\x50%b%b%b%b"
                % (
                    salt.digest()[:_SALT_BYTES],
                    _name(each.component, quantity),
                    _value(value),
                    tail,
                )
            )
        counts[each.provenance] += len(each.readings)
        walls.append(each.wall_ms)
    return Claim(
        leaves,
        dict(sorted(counts.items())),
        list(profiles),
        min(walls) // 60_000,
        max(walls) // 60_000,
    )


@lru_cache(maxsize=4096)
def _name(component: str, quantity: str) -> bytes:
    """The head of the record up to its value: map of three or four, name, unit if it has one."""
    name, unit = cbor.encode(f"{component}/{quantity}"), QUANTITIES[quantity].unit
    return b"\xa4\x00%b\x01%b" % (name, cbor.encode(unit)) if unit else b"\xa3\x00" + name


def _value(value: float | str) -> bytes:
    if isinstance(value, str):
        return b"\x03" + cbor.encode(value)
    return b"\x02" + _number(value)


def _number(value: float) -> bytes:
    """Core-deterministic: the C encoder's `canonical` gives shortest heads and floats."""
    return cbor2.dumps(value, canonical=True)


def senml(kept: Iterable[Kept], subject_urn: str, identity: str) -> dict[tuple[str, str], bytes]:
    """SenML CBOR packs (RFC 8428) by (component, quantity), for telemetry.

    `identity` names the pack on disk; it goes along as "pk" so that a reader can drop repeats.
    """
    series: dict[tuple[str, str], list[tuple[float, float | str]]] = {}
    for each in kept:
        for quantity, value in each.readings:
            series.setdefault((each.component, quantity), []).append((each.wall_ms / 1000, value))
    return {
        (component, quantity): cbor.encode(
            _records({-2: f"{subject_urn}:", "pk": identity}, f"{component}/{quantity}", points)
        )
        for (component, quantity), points in series.items()
    }


def _records(
    base: dict[object, object], name: str, points: Sequence[tuple[float, float | str]]
) -> list[dict[object, object]]:
    base_s = points[0][0]
    unit = QUANTITIES[name.partition("/")[2]].unit
    records: list[dict[object, object]] = []
    for time_s, value in points:
        record: dict[object, object] = {0: name, 3 if isinstance(value, str) else 2: value}
        if unit:
            record[1] = unit
        if time_s != base_s:
            record[6] = round(time_s - base_s, 3)
        records.append(record)
    records[0] |= base | {-3: base_s}
    return records
