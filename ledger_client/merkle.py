"""Merkle trees of RFC 9162 section 2.1 over SHA-256.

A leaf hash is SHA-256(00 || data), a node SHA-256(01 || left || right). Whole trees come as
sequences of leaf hashes, stored ones through `Nodes`: the hash of the complete subtree over the
leaves [position << level, (position + 1) << level).
"""

import hashlib
from collections.abc import Callable, Sequence

from ledger_client.errors import ProofError

HASH_BYTES = 32
SIZE_MAX = (1 << 63) - 1

Nodes = Callable[[int, int], bytes]

_EMPTY = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes; the hash of nothing for none."""
    level = list(leaves)
    sha256 = hashlib.sha256
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ] + odd
    return level[0] if level else _EMPTY


def nodes_of(leaves: Sequence[bytes]) -> Nodes:
    """The complete subtrees over leaf hashes held in memory."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(*pair) for pair in zip(below[::2], below[1::2], strict=False)])
    return lambda level, position: levels[level][position]


def completed(position: int, leaf: bytes, nodes: Nodes) -> list[tuple[int, int, bytes]]:
    """The subtrees that the leaf at `position` completes, as (level, position, hash), leaf first.

    `nodes` is asked for what stands to the left only.
    """
    done = [(0, position, leaf)]
    level = 0
    while position & 1:
        leaf = node_hash(nodes(level, position - 1), leaf)
        level, position = level + 1, position >> 1
        done.append((level, position, leaf))
    return done


def root_of(size: int, nodes: Nodes) -> bytes:
    """The root over the first `size` leaves, of which there is at least one."""
    return _range_root(0, size, nodes)


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Sibling hashes from leaf `index` up to the root over `size` leaves, lowest first."""
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, nodes))
            end = middle
        else:
            path.append(_range_root(start, middle, nodes))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """What turns the root over `old` leaves into the one over `new`; RFC 9162 section 2.1.4.1."""
    if not 0 < old <= new:
        raise ProofError(f"there is no consistency from {old} leaves to {new}")
    path: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range_root(middle, end, nodes))
            end = middle
        else:
            path.append(_range_root(start, middle, nodes))
            start = middle
    if start:
        path.append(_range_root(start, end, nodes))
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that `path` leads to from leaf hash `leaf`; RFC 9162 section 2.1.3.2.

    Raises:
        ProofError: no such leaf, another length of path, or a hash that has no 32 bytes.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    _expect_hashes(leaf, *path)
    position, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofError(f"{len(path)} hashes are too many for leaf {index} of {size}")
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError(f"{len(path)} hashes are too few for leaf {index} of {size}")
    return result


def roots_from_consistency(
    old: int, new: int, old_root: bytes, path: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The old and the new root that `path` leads to; RFC 9162 section 2.1.4.2.

    Raises:
        ProofError: no such sizes, another length of path, or a hash that has no 32 bytes.
    """
    if not 0 < old < new <= SIZE_MAX or not path:
        raise ProofError(f"{len(path)} hashes cannot lead from {old} leaves to {new}")
    _expect_hashes(old_root, *path)
    first, *rest = path if old & (old - 1) else [old_root, *path]
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    left = right = first
    for sibling in rest:
        if last == 0:
            raise ProofError(f"{len(path)} hashes are too many from {old} leaves to {new}")
        if position & 1 or position == last:
            left, right = node_hash(sibling, left), node_hash(sibling, right)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            right = node_hash(right, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError(f"{len(path)} hashes are too few from {old} leaves to {new}")
    return left, right


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes
) -> None:
    """Return if leaf hash `leaf` stands at `index` under the root `expected`.

    Raises:
        ProofError: it does not.
    """
    _expect(root_from_inclusion(leaf, index, size, path), expected)


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Return if the tree of `new` leaves begins with the tree of `old` leaves, at least one.

    Raises:
        ProofError: it does not.
    """
    if old == new and old > 0 and not path:
        _expect(new_root, old_root)
        return
    left, right = roots_from_consistency(old, new, old_root, path)
    _expect(left, old_root)
    _expect(right, new_root)


def _expect(computed: bytes, expected: bytes) -> None:
    if computed != expected:
        raise ProofError(f"the proof leads to {computed.hex()}, not to {expected.hex()}")


def _expect_hashes(*hashes: bytes) -> None:
    for each in hashes:
        if len(each) != HASH_BYTES:
            raise ProofError(f"a hash has {HASH_BYTES} bytes, got {len(each)}")


def _split(count: int) -> int:
    """The largest power of two that is smaller than `count`."""
    return 1 << (count - 1).bit_length() - 1


def _range_root(start: int, end: int, nodes: Nodes) -> bytes:
    """The root over the leaves [start, end), where start is a multiple of the range's top power."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return nodes(level, start >> level)
    middle = start + _split(count)
    return node_hash(_range_root(start, middle, nodes), _range_root(middle, end, nodes))
