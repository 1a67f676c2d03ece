"""The statements by which trust is given, taken back and carried on: three kinds on the log.

`certificate`: {1: version, 2: [token...]}, a tree of certificates (see `certificates`), published
by one of the keys in it. `revocation`: {1: version, 2: [token...], 3: reason, 4: [size, root]}, the
chain of the certificate that is taken back, the last one, signed by an issuer in that chain; label
4, if there is one, is the last head of the log that the signer still believes. `rotation`: {1:
version, 2: COSE_Key of the new key, 3: last sequence, 4: digest of that batch, 5: acceptance},
signed by the old key; acceptance is a COSE_Sign1 of the new key over the same without label 5, with
the old key's COSE_Key under 5. The new key carries on the old key's batches, and the old is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger_client import cbor, certificates, cose, shapes, statements
from ledger_client.certificates import Chain
from ledger_client.errors import EncodingError, ProofError, SignatureError
from ledger_client.keys import KEY_BYTES, PublicKey, SigningKey
from ledger_client.statements import Statement

CERTIFICATE, REVOCATION, ROTATION = "certificate", "revocation", "rotation"
KINDS = frozenset({CERTIFICATE, REVOCATION, ROTATION})
REASONS = ("lost", "stolen", "compromised", "sold", "retired", "mistaken")
HASH_BYTES = 32

_VERSION = 1
_LAST_HEAD = 4


@dataclass(frozen=True, slots=True)
class Believed:
    """The last head of a log that the signer of a revocation still believes."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """`revoker` takes back the last certificate of `chain`."""

    revoker: PublicKey
    chain: Chain
    reason: str
    believed: Believed | None
    issued_s: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """`new` carries on after `old`'s batch of that sequence, whose statement has that digest."""

    old: PublicKey
    new: PublicKey
    sequence: int
    digest: bytes


def certify(key: SigningKey, tokens: Sequence[bytes], issued_s: int) -> bytes:
    """The statement that publishes these certificates, by one of the keys in them."""
    payload = certificates.encode_tokens(tokens)
    return statements.sign(key, CERTIFICATE, key.public.did, payload, issued_s)


def certified(statement: Statement) -> list[Chain]:
    """The chains that a `certificate` statement publishes, each checked but for time.

    Raises:
        RemoteError: not one, or certificates that break a rule.
    """
    _expect(statement, CERTIFICATE, statement.issuer)
    chains = certificates.verify_tree(certificates.decode_tokens(statement.payload))
    if not any(statement.issuer in {each[-1].issuer, each[-1].holder} for each in chains):
        raise SignatureError("certificates are published by one of the keys in them")
    return chains


def revoke(
    key: SigningKey,
    tokens: Sequence[bytes],
    reason: str,
    issued_s: int,
    believed: Believed | None = None,
) -> bytes:
    """The statement that takes back the last certificate of a chain.

    Raises:
        RemoteError: `key` is no issuer in that chain, or it is no chain.
    """
    payload: dict[int, object] = {1: _VERSION, 2: list(tokens), 3: reason}
    if believed is not None:
        payload[_LAST_HEAD] = [believed.size, believed.root]
    holder = certificates.verify_chain(tokens)[-1].holder
    data = statements.sign(key, REVOCATION, holder.did, cbor.encode(payload), issued_s)
    revoked(statements.verify(data))
    return data


def revoked(statement: Statement) -> Revocation:
    """What a `revocation` statement takes back.

    Raises:
        RemoteError: not one, or signed by a key that may not.
    """
    pairs = _payload(statement, REVOCATION, frozenset({1, 2, 3}), frozenset({_LAST_HEAD}))
    tokens = [shapes.octets(token, "certificate") for token in shapes.array(pairs[2], "chain")]
    chain = certificates.verify_chain(tokens)
    _expect(statement, REVOCATION, chain[-1].holder)
    if statement.issuer not in {each.issuer for each in chain}:
        raise SignatureError("a certificate is taken back by an issuer above it, nobody else")
    reason = shapes.text(pairs[3], "reason")
    if reason not in REASONS:
        raise EncodingError(f"reason: expected one of {', '.join(REASONS)}")
    believed = None
    if _LAST_HEAD in pairs:
        size, root = shapes.array(pairs[_LAST_HEAD], "last head", 2)
        believed = Believed(
            shapes.integer(size, "size", 1), shapes.octets(root, "root", HASH_BYTES)
        )
    return Revocation(statement.issuer, chain, reason, believed, statement.issued_s)


def rotate(old: SigningKey, new: SigningKey, sequence: int, digest: bytes, issued_s: int) -> bytes:
    """The statement by which `new` carries on after batch `sequence` of `old`."""
    shared = {1: _VERSION, 2: new.public.cose_key(), 3: sequence, 4: digest}
    acceptance = cose.sign1(
        new, _acceptance_header(new.public), _accepted(shared, old.public), detached=True
    )
    payload = cbor.encode({**shared, 5: acceptance})
    return statements.sign(old, ROTATION, new.public.did, payload, issued_s)


def rotated(statement: Statement) -> Rotation:
    """Which key a `rotation` statement puts after which.

    Raises:
        RemoteError: not one, or not signed by both.
    """
    pairs = _payload(statement, ROTATION, frozenset(range(1, 6)))
    raw = shapes.mapping(pairs[2], "new key").get(-2)
    new = PublicKey.enrol(shapes.octets(raw, "new key", KEY_BYTES))
    if cbor.encode(pairs[2]) != cbor.encode(new.cose_key()):
        raise EncodingError("new key: expected the COSE_Key of an Ed25519 key")
    if new == statement.issuer:
        raise ProofError("a key cannot follow itself")
    _expect(statement, ROTATION, new)
    acceptance = cose.parse_sign1(shapes.octets(pairs[5], "acceptance"))
    if acceptance.protected != {cose.ALG: cose.ALGORITHM, **_acceptance_header(new)}:
        raise EncodingError("acceptance: expected alg, content type and the kid of the new key")
    if acceptance.unprotected:
        raise EncodingError("acceptance: expected an empty unprotected header")
    shared = {label: pairs[label] for label in range(1, 5)}
    cose.verify_sign1(new, acceptance, _accepted(shared, statement.issuer))
    return Rotation(
        statement.issuer,
        new,
        shapes.integer(pairs[3], "sequence"),
        shapes.octets(pairs[4], "digest", HASH_BYTES),
    )


def check(statement: Statement) -> None:
    """Return if a statement of one of the three kinds keeps its rules; others are not judged.

    Raises:
        RemoteError: it does not.
    """
    match statement.kind:
        case "certificate":
            certified(statement)
        case "revocation":
            revoked(statement)
        case "rotation":
            rotated(statement)


def _acceptance_header(new: PublicKey) -> dict[int, object]:
    return {
        cose.CONTENT_TYPE: f"application/vnd.milepost.{ROTATION}+cbor",
        cose.KID: new.thumbprint,
    }


def _accepted(shared: dict[int, object], old: PublicKey) -> bytes:
    return cbor.encode({**shared, 5: old.cose_key()})


def _payload(
    statement: Statement,
    kind: str,
    required: frozenset[int],
    optional: frozenset[int] = frozenset(),
) -> dict[object, object]:
    if statement.kind != kind:
        raise EncodingError(f"expected a {kind} statement, got a {statement.kind} statement")
    pairs = shapes.fields(cbor.decode(statement.payload), kind, required, optional)
    shapes.integer(pairs[1], f"{kind} version", _VERSION, _VERSION)
    return pairs


def _expect(statement: Statement, kind: str, subject: PublicKey) -> None:
    if statement.kind != kind:
        raise EncodingError(f"expected a {kind} statement, got a {statement.kind} statement")
    if statement.subject != subject.did:
        raise EncodingError(f"{kind}: expected the subject {subject.did}")
