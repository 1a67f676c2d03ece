"""The payload of a log's first statement: its name, keys, hash rule, and whether it is play.

Labels: 1 version, 2 log name, 3 hash rule, 4 COSE_Key of the receipt key, 5 verifier key of the
notes, 6 demo. The statement is signed by the receipt key. Leaf 0 exists because an RFC 9942 receipt
cannot have an empty path.
"""

from dataclasses import dataclass

from ledger_client import cbor, checkpoints, shapes, statements
from ledger_client.checkpoints import Verifier
from ledger_client.errors import EncodingError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

KIND = "genesis"

_VERSION = 1
_HASH_RULE = "RFC9162_SHA256"


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a log says about itself. On a demo log simulated readings may settle."""

    name: str
    receipt_key: PublicKey
    note_key: PublicKey
    demo: bool

    @property
    def verifier(self) -> Verifier:
        """Whose signature a checkpoint of this log carries."""
        return Verifier(self.name, self.note_key)


def sign(key: SigningKey, note_key: PublicKey, name: str, issued_s: int, *, demo: bool) -> bytes:
    """The genesis statement of the log `name`, signed by its receipt key."""
    payload = {
        1: _VERSION,
        2: name,
        3: _HASH_RULE,
        4: key.public.cose_key(),
        5: Verifier(name, note_key).vkey,
        6: demo,
    }
    return statements.sign(key, KIND, name, cbor.encode(payload), issued_s)


def verify(statement: statements.Statement) -> Genesis:
    """The log that its first statement describes.

    Raises:
        EncodingError: not a genesis.
        SignatureError: not signed by the receipt key that it names.
    """
    if statement.kind != KIND:
        raise EncodingError(f"expected the genesis of a log, got a {statement.kind} statement")
    pairs = shapes.fields(cbor.decode(statement.payload), "genesis", frozenset(range(1, 7)))
    shapes.integer(pairs[1], "genesis version", _VERSION, _VERSION)
    if pairs[3] != _HASH_RULE:
        raise EncodingError(f"genesis: expected the hash rule {_HASH_RULE}, got another")
    verifier = checkpoints.parse_vkey(shapes.text(pairs[5], "note key"))
    if cbor.encode(pairs[4]) != cbor.encode(statement.issuer.cose_key()):
        raise SignatureError("the genesis is not signed by the receipt key that it names")
    if not pairs[2] == verifier.name == statement.subject or verifier.kind != checkpoints.ED25519:
        raise EncodingError("genesis: the log has two names, or a note key of another kind")
    demo = shapes.boolean(pairs[6], "demo")
    return Genesis(verifier.name, statement.issuer, verifier.public, demo)
