"""The C2SP tlog-witness protocol: a log offers a head, and the proof that it continues another.

    old <size>
    [<base64 hash>, at most 63 lines, lowest first]
    <empty line>
    <checkpoint, a signed note>

Source: c2sp.org/tlog-witness. What a witness makes of an offer is `judge`; who keeps what it saw
is `witness.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ledger_client import checkpoints, merkle
from ledger_client.checkpoints import Checkpoint
from ledger_client.errors import EncodingError, ProofError

PROOF_MAX = 63
BODY_BYTES_MAX = 32_768
SIZE_DIGITS_MAX = 19

_EMPTY_ROOT = merkle.root([])


@dataclass(frozen=True, slots=True)
class Offer:
    """A signed head, and the path from the head of `old` entries that it continues; 0 is none."""

    old: int
    path: tuple[bytes, ...]
    note: str

    @property
    def body(self) -> bytes:
        """The bytes of the request."""
        lines = [f"old {self.old}", *(checkpoints.to_base64(each) for each in self.path), ""]
        return ("\n".join(lines) + f"\n{self.note}").encode()


class Verdict(Enum):
    """What a head is to a witness that pinned an older one of that log.

    FORKED is proved by the two signed heads (and the path): both cannot be of one log. UNPROVEN
    may be a fork as well, or no more than a wrong path by whoever offered it.
    """

    GROWN = "grown"
    UNPROVEN = "unproven"
    FORKED = "forked"


def parse(body: bytes) -> Offer:
    """The offer in the body of a request; its note is not judged.

    Raises:
        EncodingError: not the one spelling of an offer.
    """
    if len(body) > BODY_BYTES_MAX:
        raise EncodingError(f"offer: expected at most {BODY_BYTES_MAX} bytes, got {len(body)}")
    try:
        head, blank, note = body.decode().partition("\n\n")
    except UnicodeDecodeError as error:
        raise EncodingError("offer: expected UTF-8") from error
    first, *lines = head.split("\n")
    if not blank or not first.startswith("old ") or len(lines) > PROOF_MAX:
        raise EncodingError(
            f"offer: expected 'old <size>', at most {PROOF_MAX} hashes, an empty line and a note"
        )
    path = tuple(checkpoints.from_base64(line, "hash", merkle.HASH_BYTES) for line in lines)
    return Offer(parse_size(first.removeprefix("old ")), path, note)


def parse_size(text: str) -> int:
    """A tree size in its one decimal spelling.

    Raises:
        EncodingError: another spelling, or more than 2^63 - 1.
    """
    plain = text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS_MAX
    if not plain or str(int(text)) != text or int(text) > merkle.SIZE_MAX:
        raise EncodingError(f"size: expected a decimal number below 2^63, got {text[:24]!a}")
    return int(text)


def judge(pinned: Checkpoint | None, offered: Checkpoint, path: Sequence[bytes]) -> Verdict:
    """What the offered head is after the pinned one, which is not larger; both are signed.

    A path that ends in the offered root and begins in another root than the pinned one proves a
    fork: it shows which head of the pinned size the offered one contains. (From a size that is a
    power of two a path says nothing of its beginning; there only equal sizes prove a fork.)
    """
    if pinned is None or pinned.size in {0, offered.size}:
        if pinned is not None and pinned.size and pinned.root != offered.root:
            return Verdict.FORKED
        wrong = path or (offered.size == 0 and offered.root != _EMPTY_ROOT)
        return Verdict.UNPROVEN if wrong else Verdict.GROWN
    try:
        left, right = merkle.roots_from_consistency(pinned.size, offered.size, pinned.root, path)
    except ProofError:
        return Verdict.UNPROVEN
    if right != offered.root:
        return Verdict.UNPROVEN
    return Verdict.GROWN if left == pinned.root else Verdict.FORKED
