"""C2SP signed notes, checkpoints and cosignatures: a log's head as text.

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature.

    <origin>
    <size>
    <base64 root>
    [more lines]
    <empty line>
    <em dash> <name> <base64 of key id || signature>

Only text that would print back the same is taken.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ledger_client import merkle
from ledger_client.errors import EncodingError, LocalError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

NOTE_BYTES_MAX = 16_384
SIGNATURES_MAX = 16
ED25519, COSIGNATURE = 0x01, 0x04

_DASH = "\u2014 "
_ROOT_BYTES_MAX = 64
_ID_BYTES, _TIME_BYTES, _SIGNATURE_BYTES = 4, 8, 64


@dataclass(frozen=True, slots=True)
class Verifier:
    """A name and key whose signatures on notes count; `kind` is ED25519 or COSIGNATURE."""

    name: str
    public: PublicKey
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that say which key of a name signed."""
        return hashlib.sha256(
            self.name.encode() + bytes((0x0A, self.kind)) + self.public.raw
        ).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The verifier key as text: `<name>+<id>+<base64 kind || key>`."""
        packed = bytes((self.kind,)) + self.public.raw
        return f"{self.name}+{self.key_id.hex()}+{to_base64(packed)}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The body of a checkpoint. Roots of other logs may have other sizes than 32 bytes."""

    origin: str
    size: int
    root: bytes
    more: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The lines that are signed."""
        lines = (self.origin, str(self.size), to_base64(self.root), *self.more)
        return "".join(f"{line}\n" for line in lines)


def parse_vkey(text: str) -> Verifier:
    """The verifier in its text form.

    Raises:
        EncodingError: not the one spelling of an Ed25519 or cosignature key.
    """
    name, _, rest = text.partition("+")
    packed = from_base64(rest.partition("+")[2], "verifier key")
    if len(packed) != 33 or packed[0] not in {ED25519, COSIGNATURE} or not _is_name(name):  # noqa: PLR2004  # kind and key
        raise EncodingError("verifier key: expected <name>+<id>+<kind and 32 bytes of key>")
    verifier = Verifier(name, PublicKey(packed[1:]), packed[0])
    if verifier.vkey != text:
        raise EncodingError(f"verifier key: the id is not the one of this key of {name!a}")
    return verifier


def sign(key: SigningKey, checkpoint: Checkpoint) -> str:
    """The checkpoint as a note signed by its log, whose key name is the origin."""
    if parse(checkpoint.text) != checkpoint or not _is_name(checkpoint.origin):
        raise LocalError(f"cannot write a checkpoint of origin {checkpoint.origin!a}")
    verifier = Verifier(checkpoint.origin, key.public)
    packed = verifier.key_id + key.sign(checkpoint.text.encode())
    return f"{checkpoint.text}\n{_DASH}{verifier.name} {to_base64(packed)}\n"


def cosign(key: SigningKey, name: str, note: str, seen_s: int) -> str:
    """The note with one more line: witness `name` saw it at Unix time `seen_s`."""
    text, _ = _split(note)
    verifier = Verifier(name, key.public, COSIGNATURE)
    time = seen_s.to_bytes(_TIME_BYTES, "big")
    packed = verifier.key_id + time + key.sign(_cosigned(text, seen_s))
    return f"{note}{_DASH}{name} {to_base64(packed)}\n"


def open_note(note: str, verifiers: Sequence[Verifier]) -> tuple[str, tuple[str, ...]]:
    """The text of a note and the names that signed it, at least one, in the order of its lines.

    Signatures of unknown keys are ignored, as the format asks; a wrong one of a known key is not.

    Raises:
        EncodingError: not a note.
        SignatureError: no known key signed, or one did not sign this.
    """
    text, lines = _split(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signers: list[str] = []
    for name, packed in lines:
        verifier = known.get((name, packed[:_ID_BYTES]))
        if verifier is None:
            continue
        _verify(verifier, text, packed[_ID_BYTES:])
        signers.append(name)
    if not signers:
        raise SignatureError("no known key signed the note")
    return text, tuple(signers)


def open_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """The checkpoint of a log whose origin is the verifier's name, with a root of 32 bytes.

    Raises:
        EncodingError, SignatureError: not one, or not by this log.
    """
    text, _ = open_note(note, [verifier])
    checkpoint = parse(text)
    if checkpoint.origin != verifier.name:
        raise SignatureError(f"a checkpoint of {checkpoint.origin!a} signed by {verifier.name!a}")
    if len(checkpoint.root) != merkle.HASH_BYTES:
        raise EncodingError(f"checkpoint: a root has 32 bytes, got {len(checkpoint.root)}")
    return checkpoint


def open_cosigned(
    note: str, verifier: Verifier, witnesses: Sequence[Verifier]
) -> tuple[Checkpoint, tuple[int, ...]]:
    """As `open_checkpoint`, for a note that these witnesses signed after its log, in this order.

    Returns when each of them saw it, in Unix seconds. There is no line besides, and no more text,
    so that not a character can be changed.

    Raises:
        EncodingError, SignatureError: other lines, or one that does not hold.
    """
    checkpoint = open_checkpoint(note, verifier)
    _, lines = _split(note)
    expected = [(each.name, each.key_id) for each in (verifier, *witnesses)]
    if checkpoint.more or [(name, packed[:_ID_BYTES]) for name, packed in lines] != expected:
        raise EncodingError("the checkpoint carries lines or signatures that nobody here can check")
    seen: list[int] = []
    for witness, (_, packed) in zip(witnesses, lines[1:], strict=True):
        if witness.kind != COSIGNATURE:
            raise EncodingError(f"{witness.name!a}: expected the verifier key of a witness")
        _verify(witness, checkpoint.text, packed[_ID_BYTES:])
        seen_s = int.from_bytes(packed[_ID_BYTES : _ID_BYTES + _TIME_BYTES], "big")
        if seen_s > merkle.SIZE_MAX:
            raise EncodingError(f"cosignature: expected a time below 2^63, got {seen_s}")
        seen.append(seen_s)
    return checkpoint, tuple(seen)


def alone(note: str, verifier: Verifier) -> str:
    """The note with the log's own signature and no other; raises as `open_checkpoint`."""
    checkpoint = open_checkpoint(note, verifier)
    _, lines = _split(note)
    own = next(
        packed
        for name, packed in lines
        if (name, packed[:_ID_BYTES]) == (verifier.name, verifier.key_id)
    )
    return f"{checkpoint.text}\n{_DASH}{verifier.name} {to_base64(own)}\n"


def parse(text: str) -> Checkpoint:
    """The checkpoint body in `text`.

    Raises:
        EncodingError: too few lines, a size or root that is not canonical, an empty origin.
    """
    *lines, last = text.split("\n")
    if len(lines) < 3 or last or not all(lines):  # noqa: PLR2004  # origin, size, root
        raise EncodingError("checkpoint: expected origin, size and root, a line each")
    origin, size, root, *more = lines
    if not size.isascii() or not size.isdigit() or len(size) > 19:  # noqa: PLR2004  # digits of 2^63
        raise EncodingError(f"checkpoint: expected a size in decimal, got {size[:24]!a}")
    packed = from_base64(root, "root")
    if not 1 <= len(packed) <= _ROOT_BYTES_MAX:
        raise EncodingError(f"checkpoint: a root has 1 to 64 bytes, got {len(packed)}")
    checkpoint = Checkpoint(origin, int(size), packed, tuple(more))
    if checkpoint.text != text or checkpoint.size > merkle.SIZE_MAX:
        raise EncodingError("checkpoint: the size is not written in its only way")
    return checkpoint


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Text and signature lines (name, id and signature) of a note."""
    if len(note) > NOTE_BYTES_MAX:
        raise EncodingError(f"note: at most {NOTE_BYTES_MAX} characters, got {len(note)}")
    if any(character < " " and character != "\n" for character in note):
        raise EncodingError("note: a control character")
    if any("\ud800" <= character <= "\udfff" for character in note):
        raise EncodingError("note: half a character, which UTF-8 does not have")
    text, blank, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not blank or lines.pop() or not 1 <= len(lines) <= SIGNATURES_MAX:
        raise EncodingError(
            f"note: expected text, an empty line and 1 to {SIGNATURES_MAX} signatures"
        )
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    name, _, packed = line.removeprefix(_DASH).partition(" ")
    data = from_base64(packed, "signature")
    if not line.startswith(_DASH) or not _is_name(name) or len(data) <= _ID_BYTES:
        raise EncodingError(f"note: not a signature line: {line[:80]!a}")
    return name, data


def _verify(verifier: Verifier, text: str, signature: bytes) -> None:
    if verifier.kind == ED25519:
        verifier.public.verify(text.encode(), signature)
        return
    if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES:
        raise SignatureError(f"a cosignature has 72 bytes, got {len(signature)}")
    seen_s = int.from_bytes(signature[:_TIME_BYTES], "big")
    verifier.public.verify(_cosigned(text, seen_s), signature[_TIME_BYTES:])


def _cosigned(text: str, seen_s: int) -> bytes:
    return f"cosignature/v1\ntime {seen_s}\n{text}".encode()


def _is_name(name: str) -> bool:
    return bool(name) and name.isprintable() and "+" not in name and " " not in name


def to_base64(data: bytes) -> str:
    """Standard base64 with padding, as all C2SP formats have it."""
    return base64.b64encode(data).decode()


def from_base64(text: str, what: str, length: int | None = None) -> bytes:
    """Strict: the padding bits and characters too are those that we would print.

    Raises:
        EncodingError: other text, or not `length` bytes.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EncodingError(f"{what}: not base64") from error
    if to_base64(data) != text:
        raise EncodingError(f"{what}: not the only base64 of these bytes")
    if length is not None and len(data) != length:
        raise EncodingError(f"{what}: expected {length} bytes, got {len(data)}")
    return data
