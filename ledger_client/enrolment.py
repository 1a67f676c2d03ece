"""What travels between a gateway and its owner, as a file or as text that a QR code holds.

A request is a statement of kind `request`, signed by the key that wants a certificate (so it
proves that somebody has it): {1: version, 2: scope, 3: limits, 4: name}. It is never logged. The
answer is the certificates of `certificates.encode_tokens`. As text, either is MILEPOST: and base32
without padding, all of it characters that a QR code packs two in eleven bits.
"""

import base64
import binascii
from dataclasses import dataclass

from ledger_client import cbor, certificates, shapes, statements
from ledger_client.certificates import Limits
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.statements import Statement

KIND = "request"
TEXT_PREFIX = "MILEPOST:"
NAME_CHARACTERS_MAX = 64
TEXT_CHARACTERS_MAX = 1 << 18

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Request:
    """The holder of `holder` asks to be certified; `name` is what it calls itself."""

    holder: PublicKey
    name: str
    scope: tuple[str, ...]
    limits: Limits


def ask(key: SigningKey, name: str, scope: tuple[str, ...], limits: Limits, issued_s: int) -> bytes:
    """The request of the holder of `key`."""
    payload = {1: _VERSION, 2: " ".join(scope), 3: limits.encode(), 4: name}
    return statements.sign(key, KIND, key.public.did, cbor.encode(payload), issued_s)


def asked(statement: Statement) -> Request:
    """What a request asks for.

    Raises:
        EncodingError: not a request.
        SignatureError: for a key that is not safe.
    """
    if statement.kind != KIND or statement.subject != statement.issuer.did:
        raise EncodingError(f"expected a request for a key, got a {statement.kind} statement")
    pairs = shapes.fields(cbor.decode(statement.payload), KIND, frozenset(range(1, 5)))
    shapes.integer(pairs[1], "request version", _VERSION, _VERSION)
    return Request(
        PublicKey.enrol(statement.issuer.raw),
        shapes.text(pairs[4], "name", NAME_CHARACTERS_MAX),
        certificates.parse_scope(pairs[2]),
        certificates.parse_limits(pairs[3]),
    )


def to_text(data: bytes) -> str:
    """A request or certificates for a QR code, or to be typed and pasted."""
    return TEXT_PREFIX + base64.b32encode(data).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """What `to_text` wrote, whatever white space came in; raises EncodingError."""
    body = "".join(text[:TEXT_CHARACTERS_MAX].split())
    packed = body.removeprefix(TEXT_PREFIX)
    try:
        data = base64.b32decode(packed + "=" * (-len(packed) % 8))
    except (binascii.Error, ValueError) as error:
        raise EncodingError("text: expected base32 after MILEPOST:") from error
    if to_text(data) != body:
        raise EncodingError(f"text: expected it to begin with {TEXT_PREFIX} and to be whole")
    return data
