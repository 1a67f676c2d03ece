"""What the owner gives away of one batch: all its leaves, or chosen ones with a proof of each.

In a record or excerpt a disclosure is [leaf...], all leaves in order, or {1: [[index, leaf, [path
hash...]]...]}, the chosen ones with ascending index. A path leads to the root in the batch's
statement, over as many leaves as that statement says, lowest first (RFC 9162): it fits one index.
Nothing else follows about the leaves that stay: each is hashed together with a salt of 16 bytes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ledger_client import leaves, merkle, shapes
from ledger_client.batches import LEAVES_MAX, Batch
from ledger_client.errors import EncodingError, ProofError
from ledger_client.leaves import Leaf

PATH_MAX = 16

_CHOSEN = 1


@dataclass(frozen=True, slots=True)
class Chosen:
    """One leaf, its place in the batch, and the hashes that lead from it to the batch's root."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Chosen leaves of a batch, at least one, by ascending index."""

    chosen: tuple[Chosen, ...]


Disclosure = Sequence[bytes] | Part


def choose(every: Sequence[bytes], indices: Collection[int]) -> Disclosure | None:
    """The leaves at `indices` of all leaves of a batch; None for none, all of them as they are."""
    if not indices:
        return None
    if len(indices) == len(every):
        return every
    nodes = merkle.nodes_of([merkle.leaf_hash(leaf) for leaf in every])
    return Part(
        tuple(
            Chosen(index, every[index], tuple(merkle.inclusion_proof(index, len(every), nodes)))
            for index in sorted(indices)
        )
    )


def encode(disclosure: Disclosure | None) -> object:
    """What goes into the file, before CBOR."""
    if disclosure is None:
        return None
    if isinstance(disclosure, Part):
        return {_CHOSEN: [[each.index, each.leaf, list(each.path)] for each in disclosure.chosen]}
    return list(disclosure)


def parse(value: object) -> Disclosure | None:
    """The disclosure in decoded CBOR. Nothing is proved by that.

    Raises:
        EncodingError: not the one shape, or not in ascending order.
    """
    if value is None:
        return None
    if isinstance(value, list):
        return [shapes.octets(leaf, "leaf") for leaf in value]
    pairs = shapes.fields(value, "disclosure", frozenset({_CHOSEN}))
    chosen = tuple(_chosen(entry) for entry in shapes.array(pairs[_CHOSEN], "chosen leaves"))
    places = [each.index for each in chosen]
    if not places or any(not a < b for a, b in pairwise(places)):
        raise EncodingError("chosen leaves: expected at least one, by ascending index")
    return Part(chosen)


def verify(disclosure: Disclosure, batch: Batch) -> list[Leaf]:
    """The readings that are given away, proved to be of `batch`.

    Raises:
        EncodingError: a leaf that has not the one shape.
        ProofError: another number, root, provenance, profile or period.
    """
    if not isinstance(disclosure, Part):
        return leaves.verify(disclosure, batch)
    for each in disclosure.chosen:
        hashed = merkle.leaf_hash(each.leaf)
        found = merkle.root_from_inclusion(hashed, each.index, batch.leaf_count, each.path)
        if found != batch.root:
            raise ProofError(f"leaf {each.index} does not lead to the root in the statement")
    return leaves.judge([each.leaf for each in disclosure.chosen], batch)


def _chosen(entry: object) -> Chosen:
    index, leaf, path = shapes.array(entry, "chosen leaf", 3)
    hashes = tuple(shapes.octets(each, "hash", 32) for each in shapes.array(path, "path"))
    if len(hashes) > PATH_MAX:
        raise EncodingError(f"path: expected at most {PATH_MAX} hashes, got {len(hashes)}")
    return Chosen(
        shapes.integer(index, "leaf index", 0, LEAVES_MAX - 1), shapes.octets(leaf, "leaf"), hashes
    )
