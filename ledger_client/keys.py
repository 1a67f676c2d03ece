"""Ed25519 keys: signing, checking, naming, and the files that they live in.

A signature is valid when libsodium accepts it (RFC 8032, canonical S, no small-order key or R).
`kid` is the RFC 9679 thumbprint; the name is a did:key (W3C, multicodec 0xed).
"""

import base64
import hashlib
import hmac
import os
import stat
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

from nacl import bindings
from nacl.exceptions import BadSignatureError

from ledger_client import cbor, durable, shapes
from ledger_client.errors import EncodingError, LocalError, SignatureError

KEY_BYTES = 32
SIGNATURE_BYTES = 64
SHORT_ID_CHARACTERS = 16
DIDS_REMEMBERED_MAX = 64

_DID_PREFIX = "did:key:z"
_MULTICODEC = b"\xed\x01"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KEY_FILE_BYTES_MAX = 256


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, 32 raw bytes. Whether it is a good one only `enrol` asks."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise SignatureError(f"an Ed25519 key has {KEY_BYTES} bytes, got {len(self.raw)}")

    @classmethod
    def enrol(cls, raw: bytes) -> Self:
        """A key to be trusted from now on: canonical, on the curve and of the prime order.

        Raises:
            SignatureError: a small-order or malformed key, under which forgeries are easy.
        """
        key = cls(raw)
        if not bindings.crypto_core_ed25519_is_valid_point(raw):
            raise SignatureError(f"{raw.hex()} is no safe Ed25519 key: it has a small order")
        return key

    @classmethod
    @lru_cache(maxsize=DIDS_REMEMBERED_MAX)  # a log of a million statements has a few issuers
    def from_did(cls, did: str) -> Self:
        """The key that a `did:key:z...` names.

        Raises:
            SignatureError: not the did:key of an Ed25519 key, or not its only spelling.
        """
        number = 0
        for character in did.removeprefix(_DID_PREFIX)[:64]:
            number = number * 58 + _BASE58.find(character)
        width = len(_MULTICODEC) + KEY_BYTES
        packed = number.to_bytes(width, "big") if 0 <= number < 1 << 8 * width else b""
        key = cls(packed[2:]) if packed else None
        if key is None or key.did != did:
            raise SignatureError(f"expected the did:key of an Ed25519 key, got {did[:80]!a}")
        return key

    @cached_property
    def thumbprint(self) -> bytes:
        """SHA-256 of the deterministic COSE_Key: the `kid`, 32 bytes (RFC 9679)."""
        return hashlib.sha256(cbor.encode(self.cose_key())).digest()

    @cached_property
    def short_id(self) -> str:
        """16 characters for topics, file names and people: base32 of the thumbprint's start."""
        return base64.b32encode(self.thumbprint[:10]).decode().lower()

    @cached_property
    def did(self) -> str:
        """The name `did:key:z6Mk...`."""
        number = int.from_bytes(_MULTICODEC + self.raw, "big")
        digits = ""
        while number:
            number, digit = divmod(number, 58)
            digits = _BASE58[digit] + digits
        return _DID_PREFIX + digits

    def cose_key(self) -> dict[int, int | bytes]:
        """COSE_Key: kty OKP, crv Ed25519, x."""
        return {1: 1, -1: 6, -2: self.raw}

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` is this key's over `message`.

        Raises:
            SignatureError: it is not.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise SignatureError(f"an Ed25519 signature has 64 bytes, got {len(signature)}")
        try:
            bindings.crypto_sign_open(signature + message, self.raw)
        except BadSignatureError as error:
            raise SignatureError(f"the signature is not one of key {self.short_id}") from error


class SigningKey:
    """An Ed25519 private key. Its repr shows nothing."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_BYTES:
            raise LocalError(f"an Ed25519 seed has {KEY_BYTES} bytes, got {len(seed)}")
        raw, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(raw)

    @classmethod
    def generate(cls) -> Self:
        """A new key from the system's random source."""
        return cls(os.urandom(KEY_BYTES))

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of signature over `message`."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def file_bytes(self) -> bytes:
        """The COSE_Key with its private part, for the key file and nothing else."""
        return cbor.encode({**self.public.cose_key(), -4: self._secret[:KEY_BYTES]})

    def __repr__(self) -> str:
        return "***"


def create_key(path: Path) -> SigningKey:
    """Make a key and its file, readable by us alone, durable before it is returned.

    Raises:
        LocalError: there is a file of that name already, or it cannot be written.
    """
    key = SigningKey.generate()
    _create_file(path, key.file_bytes())
    return key


def read_key(path: Path) -> SigningKey:
    """The key in a file that `create_key` made.

    Raises:
        LocalError: missing, readable by others, or damaged.
    """
    data = _read_file(path)
    try:
        seed = shapes.mapping(cbor.decode(data), "key file").get(-4)
        key = SigningKey(shapes.octets(seed, "private part", KEY_BYTES))
    except EncodingError as error:
        raise LocalError(f"{path}: the key file is damaged; restore it from a copy") from error
    if key.file_bytes() != data:
        raise LocalError(f"{path}: the key file contradicts itself; restore it from a copy")
    return key


def create_secret(path: Path) -> bytes:
    """Make 32 random bytes and their file; as `create_key` otherwise."""
    secret = os.urandom(KEY_BYTES)
    _create_file(path, cbor.encode({1: 4, -1: secret}))
    return secret


def read_secret(path: Path) -> bytes:
    """The 32 bytes in a file that `create_secret` made: a symmetric COSE_Key (RFC 9053 6.2).

    Raises:
        LocalError: missing, readable by others, or damaged.
    """
    try:
        pairs = shapes.mapping(cbor.decode(_read_file(path)), "secret file")
        return shapes.octets(pairs.get(-1), "secret", KEY_BYTES)
    except EncodingError as error:
        raise LocalError(f"{path}: the secret file is damaged; restore it from a copy") from error


def _create_file(path: Path, data: bytes) -> None:
    """The file appears whole or not at all, and never in place of another."""
    try:
        durable.create(path, data)
    except FileExistsError as error:
        raise LocalError(f"{path}: there is a key already; it is never overwritten") from error
    except OSError as error:
        raise LocalError(f"{path}: cannot write a key file: {error.strerror}") from error


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise LocalError(
                    f"{path}: expected a key file for its owner alone, got mode {mode:04o}; "
                    f"run: chmod 600 {path}"
                )
            return file.read(_KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise LocalError(f"{path}: cannot read the key file: {error.strerror}") from error


def hkdf_sha256(key: bytes, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
    """RFC 5869: `length` bytes, at most 8160, derived from `key` for the use that `info` names."""
    if not 0 < length <= 255 * 32:
        raise LocalError(f"HKDF-SHA256 gives 1 to 8160 bytes, asked for {length}")
    pseudo_random = hmac.digest(salt or bytes(32), key, "sha256")
    output = block = b""
    while len(output) < length:
        block = hmac.digest(pseudo_random, block + info + bytes((len(output) // 32 + 1,)), "sha256")
        output += block
    return output[:length]
