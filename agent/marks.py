"""What tells one reading from another, whoever heard it: for a payer, who pays for each once.

Two gateways that hear the same packet sign two batches. What stays the same is the quantity, the
value, the packet's digest and, within a minute either way, the time; component, salt and profile
are each gateway's own. Equal packets come again (a resting heart, a parked tyre), so a mark is not
one reading: it says "this, in this minute", and whoever is first paid for it owns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import floor

from ledger_client import cbor
from ledger_client.leaves import Leaf

MARK_BYTES = 12
ISSUER_BYTES = 8
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Mark:
    """A reading of leaf `index` of its batch, in Unix `minute`."""

    index: int
    minute: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Readings:
    """What an item holds: `source` names its batch, `issuer` who signed that (8 bytes)."""

    source: bytes
    issuer: bytes
    marks: tuple[Mark, ...]


def mark(index: int, leaf: Leaf, payer: bytes) -> Mark:
    """The mark of a reading for one payer; two payers in one till do not meet."""
    quantity = leaf.name.rpartition("/")[2]
    value = leaf.value if isinstance(leaf.value, str) else float(leaf.value)
    digest = sha256(cbor.encode([payer, quantity, value, leaf.packet])).digest()[:MARK_BYTES]
    return Mark(index, floor(leaf.time_s / MINUTE_S), digest)


def marks(readings: Sequence[tuple[int, Leaf]], payer: bytes) -> tuple[Mark, ...]:
    """The mark of each reading with its index."""
    return tuple(mark(index, leaf, payer) for index, leaf in readings)
