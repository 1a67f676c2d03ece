"""The leaves of a batch, as far as a stranger can judge them: shape, counts, period, root.

A leaf is CBOR [salt (16 bytes), {0: name, 1: unit, 2: value or 3: text, 6: Unix time in s},
provenance, index of the profile, first 8 bytes of the packet's SHA-256]. FORMATS section 4.
"""

import math
from collections import Counter
from collections.abc import Sequence

from ledger_client import cbor, merkle, shapes
from ledger_client.batches import PROVENANCES, Batch
from ledger_client.errors import EncodingError, ProofError

LEAF_BYTES_MAX = 1_024

_NAME, _UNIT, _VALUE, _TEXT, _TIME = 0, 1, 2, 3, 6


def verify(leaves: Sequence[bytes], batch: Batch) -> None:
    """Return if these are all the leaves of `batch`, and as its statement says.

    Raises:
        EncodingError: a leaf that has not the one shape.
        ProofError: another number, root, provenance, profile or period.
    """
    if len(leaves) != batch.leaf_count:
        raise ProofError(f"{len(leaves)} leaves, the statement says {batch.leaf_count}")
    if merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]) != batch.root:
        raise ProofError("the leaves do not lead to the root in the statement")
    counts = Counter(_provenance(leaf, batch) for leaf in leaves)
    if counts != batch.provenance:
        raise ProofError("the leaves have another provenance than the statement counts")


def _provenance(leaf: bytes, batch: Batch) -> int:
    """The provenance of one leaf whose profile and time are among the batch's."""
    value = cbor.decode(leaf, size_max=LEAF_BYTES_MAX, depth_max=2)
    salt, record, provenance, profile, packet = shapes.array(value, "leaf", 5)
    shapes.octets(salt, "salt", 16)
    shapes.octets(packet, "packet hash", 8)
    shapes.integer(profile, "profile", 0, len(batch.profiles) - 1)
    minute = math.floor(_time_s(record) / 60)
    if not batch.first_minute <= minute <= batch.last_minute:
        raise ProofError(f"a reading of minute {minute} is outside the period of its batch")
    known = shapes.integer(provenance, "provenance")
    if known not in PROVENANCES:
        raise EncodingError(f"provenance: expected one of 0 1 2 3 9, got {known}")
    return known


def _time_s(record: object) -> float:
    pairs = shapes.fields(
        record, "record", frozenset({_NAME, _TIME}), frozenset({_UNIT, _VALUE, _TEXT})
    )
    shapes.text(pairs[_NAME], "name")
    shapes.text(pairs.get(_UNIT, ""), "unit", 16)
    if (_VALUE in pairs) == (_TEXT in pairs):
        raise EncodingError("record: expected either a value or a text")
    if _TEXT in pairs:
        shapes.text(pairs[_TEXT], "text")
    else:
        _number(pairs[_VALUE], "value")
    return _number(pairs[_TIME], "time")


def _number(value: object, what: str) -> float:
    if type(value) not in {int, float} or not isinstance(value, int | float):
        raise EncodingError(f"{what}: expected a number")
    if not math.isfinite(value):
        raise EncodingError(f"{what}: expected a finite number")
    return value
