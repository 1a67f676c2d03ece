"""The leaves of a batch, as far as a stranger can judge them: shape, counts, period, root.

A leaf is CBOR [salt (16 bytes), {0: name, 1: unit, 2: value or 3: text, 6: Unix time in s},
provenance, index of the profile, first 8 bytes of the packet's SHA-256]. FORMATS section 4.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ledger_client import cbor, merkle, shapes
from ledger_client.batches import PROVENANCES, Batch
from ledger_client.errors import EncodingError, ProofError

LEAF_BYTES_MAX = 1_024

_NAME, _UNIT, _VALUE, _TEXT, _TIME = 0, 1, 2, 3, 6


@dataclass(frozen=True, slots=True)
class Leaf:
    """One reading as its leaf tells it: `name` is `<component>/<quantity>`, `unit` may be empty.

    `time_s` is Unix time in seconds, `profile` an index into the profiles of the batch.
    """

    name: str
    unit: str
    value: float | str
    time_s: float
    provenance: int
    profile: int
    packet: bytes


def verify(leaves: Sequence[bytes], batch: Batch) -> list[Leaf]:
    """The readings in `leaves`, if these are all of `batch`, and as its statement says.

    Raises:
        EncodingError: a leaf that has not the one shape.
        ProofError: another number, root, provenance, profile or period.
    """
    if len(leaves) != batch.leaf_count:
        raise ProofError(f"{len(leaves)} leaves, the statement says {batch.leaf_count}")
    if merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]) != batch.root:
        raise ProofError("the leaves do not lead to the root in the statement")
    return judge(leaves, batch)


def judge(leaves: Sequence[bytes], batch: Batch) -> list[Leaf]:
    """The readings in `leaves`, some or all of `batch`, if its statement can speak of them.

    Whether they are in its tree is for the caller to know.

    Raises:
        EncodingError: a leaf that has not the one shape.
        ProofError: more of a provenance than was counted, another profile or period.
    """
    readings = [parse(leaf) for leaf in leaves]
    for reading in readings:
        shapes.integer(reading.profile, "profile", 0, len(batch.profiles) - 1)
        minute = math.floor(reading.time_s / 60)
        if not batch.first_minute <= minute <= batch.last_minute:
            raise ProofError(f"a reading of minute {minute} is outside the period of its batch")
    if not Counter(reading.provenance for reading in readings) <= Counter(batch.provenance):
        raise ProofError("the leaves have another provenance than the statement counts")
    return readings


def parse(leaf: bytes) -> Leaf:
    """The reading in the bytes of a leaf. Nothing is proved by that.

    Raises:
        EncodingError: not the one shape.
    """
    value = cbor.decode(leaf, size_max=LEAF_BYTES_MAX, depth_max=2)
    salt, record, provenance, profile, packet = shapes.array(value, "leaf", 5)
    shapes.octets(salt, "salt", 16)
    known = shapes.integer(provenance, "provenance")
    if known not in PROVENANCES:
        raise EncodingError(f"provenance: expected one of 0 1 2 3 9, got {known}")
    pairs = shapes.fields(
        record, "record", frozenset({_NAME, _TIME}), frozenset({_UNIT, _VALUE, _TEXT})
    )
    if (_VALUE in pairs) == (_TEXT in pairs):
        raise EncodingError("record: expected either a value or a text")
    return Leaf(
        name=shapes.text(pairs[_NAME], "name"),
        unit=shapes.text(pairs.get(_UNIT, ""), "unit", 16),
        value=shapes.text(pairs[_TEXT], "text")
        if _TEXT in pairs
        else _number(pairs[_VALUE], "value"),
        time_s=_number(pairs[_TIME], "time"),
        provenance=known,
        profile=shapes.integer(profile, "profile"),
        packet=shapes.octets(packet, "packet hash", 8),
    )


def _number(value: object, what: str) -> float:
    if type(value) not in {int, float} or not isinstance(value, int | float):
        raise EncodingError(f"{what}: expected a number")
    if not math.isfinite(value):
        raise EncodingError(f"{what}: expected a finite number")
    return value
