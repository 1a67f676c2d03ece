"""COSE receipts over an RFC 9162 tree (RFC 9942), made by and checked against one log key.

Protected: alg, kid, CWT claims {1 log, 2 log, 6 iat, -70010 tree size}, 395: 1 (RFC9162_SHA256).
Unprotected: {396: {-1: [[size, index, path]]}} or {-2: [[old, new, path]]}, each a byte string.
The payload is the root, detached: so one signature a head serves every receipt. RFC 9942 signs
neither size nor index; the size is compared with -70010, the index is as good as the path.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger_client import cbor, cose, merkle, shapes
from ledger_client.errors import EncodingError, ProofError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

SIZE_MAX = 16_384
PROOFS_MAX = 16
PATH_MAX = 64

_RFC9162_SHA256 = 1
_INCLUSION, _CONSISTENCY = -1, -2
_ISS, _SUB, _IAT, _TREE_SIZE = 1, 2, 6, -70010

_Proof = tuple[int, int, list[bytes]]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A proved place on a log. `tree_size` is None where the log signed none."""

    root: bytes
    index: int
    tree_size: int | None
    log: str | None
    issued_s: int | None


@dataclass(frozen=True, slots=True)
class Consistency:
    """A proved growth of a log, from `old_size` to `new_size` under `new_root`."""

    old_size: int
    new_size: int
    new_root: bytes


def sign_head(key: SigningKey, log: str, size: int, root: bytes, issued_s: int) -> bytes:
    """The one signature of a head: a receipt that carries no proof yet."""
    claims: dict[int, object] = {_ISS: log, _SUB: log, _IAT: issued_s, _TREE_SIZE: size}
    header: dict[int, object] = {
        cose.KID: key.public.thumbprint,
        cose.CWT_CLAIMS: claims,
        cose.VDS: _RFC9162_SHA256,
    }
    return cose.sign1(key, header, root, detached=True)


def inclusion(signed_head: bytes, size: int, index: int, path: Sequence[bytes]) -> bytes:
    """The receipt of leaf `index` under a head of `size` leaves, at least two."""
    return _with_proof(signed_head, _INCLUSION, [size, index, list(path)])


def consistency(signed_head: bytes, old: int, new: int, path: Sequence[bytes]) -> bytes:
    """The receipt that a head of `new` leaves continues one of `old`, fewer."""
    return _with_proof(signed_head, _CONSISTENCY, [old, new, list(path)])


def head_of(receipt: bytes) -> bytes:
    """The signed head that a receipt of ours was made from: the receipt without its proof."""
    return cose.parse_sign1(receipt, size_max=SIZE_MAX).encode()


def place_of(receipt: bytes) -> tuple[int, int, list[bytes]]:
    """Tree size, index and path that a receipt with one inclusion proof says. Proves nothing.

    Raises:
        EncodingError: not a receipt of inclusion, or one with several proofs.
    """
    proofs = _proofs(_parse(receipt), _INCLUSION)
    if len(proofs) != 1:
        raise EncodingError(f"receipt: expected one proof, got {len(proofs)}")
    return proofs[0]


def verify_head(log_key: PublicKey, signed_head: bytes, log: str, size: int, root: bytes) -> int:
    """When the log `log` signed this head of `size` leaves: Unix time in seconds.

    Raises:
        EncodingError, SignatureError, ProofError: by what is wrong.
    """
    message = _parse(signed_head)
    cose.verify_sign1(log_key, message, root)
    if message.protected.get(cose.KID) != log_key.thumbprint:
        raise SignatureError("the kid of the head is not the thumbprint of the log's key")
    signed_log, issued_s, tree_size = _claims(message)
    if (signed_log, tree_size) != (log, size) or issued_s is None:
        raise ProofError(f"the head is of {tree_size} leaves of {signed_log!a}, expected {size}")
    return issued_s


def verify_inclusion(
    log_key: PublicKey, receipt: bytes, leaf: bytes, *, size_signed: bool = True
) -> Inclusion:
    """The place of the leaf data `leaf` on the log of `log_key`.

    Every proof must be well-formed, one must hold. `size_signed=False` takes receipts of logs that
    do not sign their tree size.

    Raises:
        EncodingError, SignatureError, ProofError: by what is wrong.
    """
    message = _parse(receipt)
    hashed = merkle.leaf_hash(leaf)

    def lead(proof: _Proof) -> bytes:
        size, index, path = proof
        return merkle.root_from_inclusion(hashed, index, size, path)

    proofs = _proofs(message, _INCLUSION)
    for size, index, _ in proofs:
        if not index < size:
            raise EncodingError(f"receipt: there is no leaf {index} in a tree of {size}")
    (size, index, _), root = _first_that_holds(log_key, message, proofs, lead)
    log, issued_s, tree_size = _claims(message)
    if tree_size != size and (size_signed or tree_size is not None):
        raise ProofError(f"the receipt says {size} leaves, its log signed {tree_size}")
    return Inclusion(root, index, tree_size, log, issued_s)


def verify_consistency(log_key: PublicKey, receipt: bytes, old_root: bytes) -> Consistency:
    """The growth of the log of `log_key` from a head with `old_root`.

    Raises:
        EncodingError, SignatureError, ProofError: by what is wrong.
    """
    message = _parse(receipt)

    def lead(proof: _Proof) -> bytes:
        old, new, path = proof
        computed, root = merkle.roots_from_consistency(old, new, old_root, path)
        if computed != old_root:
            raise ProofError(f"the proof starts from {computed.hex()}, not {old_root.hex()}")
        return root

    (old, new, _), root = _first_that_holds(log_key, message, _proofs(message, _CONSISTENCY), lead)
    tree_size = _claims(message)[2]
    if tree_size != new:
        raise ProofError(f"the receipt says {new} leaves, its log signed {tree_size}")
    return Consistency(old, new, root)


def _with_proof(signed_head: bytes, kind: int, proof: list[object]) -> bytes:
    message = cose.parse_sign1(signed_head)
    return message.encode({cose.VDP: {kind: [cbor.encode(proof)]}})


def _parse(receipt: bytes) -> cose.Sign1:
    """A receipt's shape; other makers need not write deterministic CBOR, so it is not asked."""
    message = cose.parse_sign1(receipt, size_max=SIZE_MAX, deterministic=False)
    structure = message.protected.get(cose.VDS)
    if type(structure) is not int or structure != _RFC9162_SHA256:
        raise EncodingError("receipt: expected the tree RFC9162_SHA256 (395: 1)")
    if message.payload is not None:
        raise EncodingError("receipt: the payload is attached, the root is to be computed")
    return message


def _proofs(message: cose.Sign1, kind: int) -> list[_Proof]:
    found = shapes.fields(message.unprotected.get(cose.VDP), "proofs", frozenset({kind}))[kind]
    packed = shapes.array(found, "proofs")
    if not 1 <= len(packed) <= PROOFS_MAX:
        raise EncodingError(f"receipt: expected 1 to {PROOFS_MAX} proofs, got {len(packed)}")
    return [_proof(entry) for entry in packed]


def _proof(packed: object) -> _Proof:
    data = shapes.octets(packed, "proof", most=SIZE_MAX)
    first, second, path = shapes.array(cbor.decode(data, deterministic=False), "proof", 3)
    hashes = [shapes.octets(entry, "hash", 32) for entry in shapes.array(path, "path")]
    if not 1 <= len(hashes) <= PATH_MAX:
        raise EncodingError(f"proof: expected 1 to {PATH_MAX} hashes, got {len(hashes)}")
    return shapes.integer(first, "proof", 1), shapes.integer(second, "proof"), hashes


def _first_that_holds(
    log_key: PublicKey,
    message: cose.Sign1,
    proofs: Sequence[_Proof],
    lead: Callable[[_Proof], bytes],
) -> tuple[_Proof, bytes]:
    """The first proof whose root the log signed; the last error if none is."""
    failure: ProofError | SignatureError = ProofError("no proof")
    for proof in proofs:
        try:
            root = lead(proof)
            cose.verify_sign1(log_key, message, root)
        except (ProofError, SignatureError) as error:
            failure = error
        else:
            return proof, root
    raise failure


def _claims(message: cose.Sign1) -> tuple[str | None, int | None, int | None]:
    """Log name, time and tree size, as far as they are signed."""
    claims = shapes.mapping(message.protected.get(cose.CWT_CLAIMS, {}), "claims")
    log, issued_s, size = claims.get(_ISS), claims.get(_IAT), claims.get(_TREE_SIZE)
    return (
        None if log is None else shapes.text(log, "log"),
        None if issued_s is None else shapes.integer(issued_s, "issued at"),
        None if size is None else shapes.integer(size, "tree size", 1),
    )
