"""COSE_Sign1 and COSE_Encrypt0 (RFC 9052), with Ed25519 and ChaCha20-Poly1305 only.

We emit alg -8 (EdDSA) and take -19 (Ed25519, RFC 9864) as well; `ALGORITHM` decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nacl import bindings
from nacl.exceptions import CryptoError

from ledger_client import cbor, shapes
from ledger_client.errors import EncodingError, LocalError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

ALGORITHM = -8
ALGORITHMS_TAKEN = frozenset({-8, -19})
CHACHA20_POLY1305 = 24
NONCE_BYTES = 12

ALG, CRIT, CONTENT_TYPE, KID, IV, CWT_CLAIMS, TYP = 1, 2, 3, 4, 5, 15, 16
RECEIPTS, VDS, VDP = 394, 395, 396

_SIGN1_TAG, _ENCRYPT0_TAG = 18, 16
# Labels whose meaning some module here knows, so that `crit` may name them.
_UNDERSTOOD = frozenset({ALG, CONTENT_TYPE, KID, CWT_CLAIMS, TYP, VDS})


@dataclass(frozen=True, slots=True)
class Sign1:
    """A parsed COSE_Sign1. Parsing proves its shape, not its signature."""

    protected_bytes: bytes
    protected: Mapping[object, object]
    unprotected: Mapping[object, object]
    payload: bytes | None
    signature: bytes

    def encode(self, unprotected: Mapping[int, object] | None = None) -> bytes:
        """The message with another unprotected header (none by default): the signature holds on."""
        content = [self.protected_bytes, dict(unprotected or {}), self.payload, self.signature]
        return cbor.encode(cbor.Tag(_SIGN1_TAG, content))


def sign1(
    key: SigningKey,
    protected: Mapping[int, object],
    payload: bytes,
    *,
    unprotected: Mapping[int, object] | None = None,
    detached: bool = False,
    external: bytes = b"",
) -> bytes:
    """A tagged COSE_Sign1 over `payload`; `detached` leaves it out of the message.

    `protected` gets alg unless it names one; `external` is signed along and never carried.
    """
    header = cbor.encode({ALG: ALGORITHM, **protected})
    signature = key.sign(_signed_bytes(header, external, payload))
    message = Sign1(header, {}, {}, None if detached else payload, signature)
    return message.encode(unprotected)


def parse_sign1(
    message: bytes, *, size_max: int = cbor.SIZE_MAX, deterministic: bool = True
) -> Sign1:
    """The parts of a tagged COSE_Sign1 whose headers keep the rules of RFC 9052 section 3.

    Raises:
        EncodingError: not the strict encoding, a label in both headers, a `crit` we cannot honour.
    """
    value = cbor.decode(
        message, size_max=size_max, tags=frozenset({_SIGN1_TAG}), deterministic=deterministic
    )
    if not isinstance(value, cbor.Tag):
        raise EncodingError("expected a COSE_Sign1 (tag 18), got something untagged")
    header, unprotected, payload, signature = shapes.array(value.value, "COSE_Sign1", 4)
    header = shapes.octets(header, "protected header")
    return Sign1(
        header,
        *_headers(header, unprotected, deterministic=deterministic),
        None if payload is None else shapes.octets(payload, "payload", most=size_max),
        shapes.octets(signature, "signature", 64),
    )


def verify_sign1(
    public: PublicKey, message: Sign1, payload: bytes | None = None, external: bytes = b""
) -> bytes:
    """The payload, signed by `public`: the attached one, or `payload` for a detached one.

    Raises:
        SignatureError: another key, another payload, or an algorithm that is not Ed25519.
    """
    algorithm = message.protected.get(ALG)
    if type(algorithm) is not int or algorithm not in ALGORITHMS_TAKEN:
        raise SignatureError(f"expected alg -8 or -19 (Ed25519), got {algorithm!a:.40}")
    match message.payload, payload:
        case (bytes() as signed, None) | (None, bytes() as signed):
            pass
        case _:
            held = "has none" if payload is None else "carries one"
            raise SignatureError(f"a payload is either attached or detached: the message {held}")
    public.verify(_signed_bytes(message.protected_bytes, external, signed), message.signature)
    return signed


def encrypt0(key: bytes, nonce: bytes, plaintext: bytes, external: bytes = b"") -> bytes:
    """A tagged COSE_Encrypt0, ChaCha20-Poly1305; never the same key and 12-byte nonce twice."""
    if len(nonce) != NONCE_BYTES:
        raise LocalError(f"a ChaCha20-Poly1305 nonce has {NONCE_BYTES} bytes, got {len(nonce)}")
    header = cbor.encode({ALG: CHACHA20_POLY1305})
    sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        plaintext, _sealed_bytes(header, external), nonce, key
    )
    return cbor.encode(cbor.Tag(_ENCRYPT0_TAG, [header, {IV: nonce}, sealed]))


def decrypt0(
    key: bytes, message: bytes, external: bytes = b"", *, size_max: int = cbor.SIZE_MAX
) -> bytes:
    """The plaintext of a tagged COSE_Encrypt0 under `key`.

    Raises:
        EncodingError: not one that we could have made.
        SignatureError: another key, or bytes that were changed.
    """
    value = cbor.decode(message, size_max=size_max, tags=frozenset({_ENCRYPT0_TAG}))
    if not isinstance(value, cbor.Tag):
        raise EncodingError("expected a COSE_Encrypt0 (tag 16), got something untagged")
    header, unprotected, sealed = shapes.array(value.value, "COSE_Encrypt0", 3)
    header = shapes.octets(header, "protected header")
    protected, unprotected = _headers(header, unprotected, deterministic=True)
    if protected.get(ALG) != CHACHA20_POLY1305:
        raise EncodingError("expected alg 24 (ChaCha20-Poly1305) in the protected header")
    nonce = shapes.octets(unprotected.get(IV), "nonce", NONCE_BYTES)
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(
            shapes.octets(sealed, "ciphertext", most=size_max),
            _sealed_bytes(header, external),
            nonce,
            key,
        )
    except CryptoError as error:
        raise SignatureError("the ciphertext is not one under this key") from error


def _signed_bytes(header: bytes, external: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", header, external, payload])


def _sealed_bytes(header: bytes, external: bytes) -> bytes:
    return cbor.encode(["Encrypt0", header, external])


def _headers(
    header: bytes, unprotected: object, *, deterministic: bool
) -> tuple[dict[object, object], dict[object, object]]:
    """Both header maps; an empty protected one is the empty byte string."""
    protected: dict[object, object] = {}
    if header:
        protected = shapes.mapping(
            cbor.decode(header, deterministic=deterministic), "protected header"
        )
        if not protected:
            raise EncodingError("an empty protected header is written as an empty byte string")
    pairs = shapes.mapping(unprotected, "unprotected header")
    labels = protected.keys() | pairs.keys()
    if any(isinstance(label, bytes) for label in labels):
        raise EncodingError("a header label is an integer or text")
    if protected.keys() & pairs.keys():
        raise EncodingError("a label is in the protected and the unprotected header")
    if CRIT in labels:
        critical = shapes.array(protected.get(CRIT), "crit (protected)")
        if not critical or not all(
            type(label) is int and label in _UNDERSTOOD and label in protected for label in critical
        ):
            raise EncodingError("crit names a label that is absent or not understood")
    return protected, pairs
