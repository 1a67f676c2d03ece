"""C2SP tlog-proof: one entry's place on a log as text that is checked offline.

    c2sp.org/tlog-proof@v1
    index <n>
    <base64 hash, lowest first>*
    <empty line>
    <checkpoint, with the cosignatures that there are>

Source: c2sp.org/tlog-proof. We write no `extra` line and take none: nothing signs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger_client import checkpoints, merkle, witnessing
from ledger_client.checkpoints import Checkpoint, Verifier
from ledger_client.errors import EncodingError, ProofError

TEXT_CHARACTERS_MAX = 32_768

FIRST = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Proof:
    """A proved place on a log, and the names of the known witnesses that cosigned the head."""

    index: int
    checkpoint: Checkpoint
    witnesses: tuple[str, ...]


def write(index: int, path: Sequence[bytes], note: str) -> str:
    """The proof of entry `index` under the head in `note`."""
    lines = [FIRST, f"index {index}", *(checkpoints.to_base64(each) for each in path), ""]
    return "\n".join(lines) + f"\n{note}"


def verify(
    text: str, log: Verifier, leaf: bytes, witnesses: Sequence[Verifier] = (), least: int = 0
) -> Proof:
    """The place of the leaf data `leaf` on `log`, cosigned by at least `least` of `witnesses`.

    Raises:
        EncodingError, SignatureError, ProofError: by what is wrong.
    """
    head, blank, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if len(text) > TEXT_CHARACTERS_MAX or first != FIRST or not blank or not lines:
        raise EncodingError(f"proof: expected {FIRST}, an index, hashes, an empty line and a note")
    if not lines[0].startswith("index "):
        raise EncodingError(f"proof: expected 'index <n>', got {lines[0][:40]!a}")
    index = witnessing.parse_size(lines[0].removeprefix("index "))
    path = [checkpoints.from_base64(line, "hash", merkle.HASH_BYTES) for line in lines[1:]]
    checkpoint = checkpoints.open_checkpoint(note, log)
    hashed = merkle.leaf_hash(leaf)
    merkle.verify_inclusion(hashed, index, checkpoint.size, path, checkpoint.root)
    seen: tuple[str, ...] = ()
    if witnesses:
        _, signers = checkpoints.open_note(note, [log, *witnesses])
        names = {each.name for each in witnesses}
        seen = tuple(dict.fromkeys(name for name in signers if name in names))
    if len(seen) < least:
        raise ProofError(f"expected the cosignatures of {least} witnesses, got {len(seen)}")
    return Proof(index, checkpoint, seen)
