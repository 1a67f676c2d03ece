"""Signed statements: COSE_Sign1 of one shape, named by their kind, issuer and subject.

Protected header: alg, content type `application/vnd.milepost.<kind>+cbor`, kid (RFC 9679), CWT
claims {iss did:key, sub, iat} (RFC 9597). The unprotected header is empty, or carries
receipts (394).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ledger_client import cose, shapes
from ledger_client.errors import EncodingError, LocalError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

SIZE_MAX = 65_536
RECEIPTS_MAX = 8

_CONTENT_TYPE = re.compile(r"application/vnd\.milepost\.([a-z][a-z0-9-]{0,31})\+cbor")
_ISS, _SUB, _IAT = 1, 2, 6
_HEADER = frozenset({cose.ALG, cose.CONTENT_TYPE, cose.KID, cose.CWT_CLAIMS})
_CLAIMS = frozenset({_ISS, _SUB, _IAT})


@dataclass(frozen=True, slots=True)
class Statement:
    """What an issuer says about a subject. `issued_s` is Unix time in seconds."""

    kind: str
    issuer: PublicKey
    subject: str
    issued_s: int
    payload: bytes
    signed: bytes
    receipts: tuple[bytes, ...] = ()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the statement without its receipts: its name, and its leaf on the log."""
        return hashlib.sha256(self.signed).digest()


def sign(key: SigningKey, kind: str, subject: str, payload: bytes, issued_s: int) -> bytes:
    """A statement of `kind` ("batch", "settlement"...) about `subject`, by the holder of `key`."""
    content_type = f"application/vnd.milepost.{kind}+cbor"
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise LocalError(f"a kind is lower case letters, digits and hyphens, got {kind!a}")
    header = {
        cose.CONTENT_TYPE: content_type,
        cose.KID: key.public.thumbprint,
        cose.CWT_CLAIMS: {_ISS: key.public.did, _SUB: subject, _IAT: issued_s},
    }
    return cose.sign1(key, header, payload)


def attach(statement: bytes, receipts: Sequence[bytes]) -> bytes:
    """The statement with these receipts in its unprotected header: a transparent statement."""
    return cose.parse_sign1(statement, size_max=SIZE_MAX).encode({cose.RECEIPTS: list(receipts)})


def verify(data: bytes) -> Statement:
    """The statement in `data`, signed by the issuer that it names. Its receipts are not judged.

    Raises:
        EncodingError: not the one encoding of a statement.
        SignatureError: the issuer, the kid and the signature do not belong together.
    """
    message = cose.parse_sign1(data, size_max=SIZE_MAX)
    header = shapes.fields(message.protected, "statement header", _HEADER)
    content_type = shapes.text(header[cose.CONTENT_TYPE], "content type")
    named = _CONTENT_TYPE.fullmatch(content_type)
    if named is None:
        raise EncodingError(f"content type: expected one of ours, got {content_type!a}")
    claims = shapes.fields(header[cose.CWT_CLAIMS], "claims", _CLAIMS)
    issuer = PublicKey.from_did(shapes.text(claims[_ISS], "issuer"))
    if header[cose.KID] != issuer.thumbprint:
        raise SignatureError("the kid is not the thumbprint of the issuer's key")
    payload = cose.verify_sign1(issuer, message)
    return Statement(
        kind=named[1],
        issuer=issuer,
        subject=shapes.text(claims[_SUB], "subject"),
        issued_s=shapes.integer(claims[_IAT], "issued at"),
        payload=payload,
        signed=message.encode() if message.unprotected else data,
        receipts=_receipts(message),
    )


def _receipts(message: cose.Sign1) -> tuple[bytes, ...]:
    if not message.unprotected:
        return ()
    pairs = shapes.fields(message.unprotected, "unprotected header", frozenset({cose.RECEIPTS}))
    attached = shapes.array(pairs[cose.RECEIPTS], "receipts")
    if not 1 <= len(attached) <= RECEIPTS_MAX:
        raise EncodingError(f"receipts: expected 1 to {RECEIPTS_MAX}, got {len(attached)}")
    return tuple(shapes.octets(entry, "receipt") for entry in attached)
