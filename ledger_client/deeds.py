"""A deed: an agreement with what its parties signed about it, as one file. Pure.

CBOR {1: "milepost-agreement", 2: version, 3: the agreement's encoding, 4: [act...]}, the acts by
rising digest and each once. It can be carried from party to party: each adds its own signature.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ledger_client import agreements, cbor, consents, shapes, statements
from ledger_client.agreements import Document
from ledger_client.errors import EncodingError, ProofError
from ledger_client.statements import Statement

MAGIC = "milepost-agreement"
VERSION = 1
ACTS_MAX = 1_000
SIZE_MAX = 1 << 20

_FIELDS = frozenset({1, 2, 3, 4})


@dataclass(frozen=True, slots=True)
class Deed:
    """An agreement and the acts about it, their signatures verified."""

    agreement: Document
    acts: tuple[Statement, ...] = ()

    @property
    def digest(self) -> bytes:
        """The agreement's name, 32 bytes."""
        return agreements.digest(self.agreement)

    def encode(self) -> bytes:
        """The file."""
        acts = [each.signed for each in self.acts]
        return cbor.encode({1: MAGIC, 2: VERSION, 3: agreements.encode(self.agreement), 4: acts})

    def joined(self, more: Iterable[bytes]) -> "Deed":
        """This with further acts, each once.

        Raises:
            ProofError: an act about another agreement, or of nobody who is a party.
            RemoteError: not an act, or not signed by its issuer.
        """
        found = {hashlib.sha256(data).digest(): data for data in more}
        found |= {each.digest: each.signed for each in self.acts}
        if len(found) > ACTS_MAX:
            raise EncodingError(f"a deed holds {ACTS_MAX} acts, got {len(found)}")
        parties = {party.did for party in self.agreement.parties}
        acts = []
        for _, data in sorted(found.items()):
            act = statements.verify(data)
            if consents.parse_act(act)[0] != self.digest:
                raise ProofError("an act about another agreement")
            if act.issuer.did not in parties or act.receipts:
                raise ProofError(f"an act of {act.issuer.did}: expected a party's, and no receipts")
            acts.append(act)
        return Deed(self.agreement, tuple(acts))


def parse(data: bytes) -> Deed:
    """The deed in a file, its signatures verified.

    Raises:
        RemoteError: what is wrong with it.
    """
    pairs = shapes.fields(cbor.decode(data, size_max=SIZE_MAX), "deed", _FIELDS)
    if pairs[1] != MAGIC:
        raise EncodingError(f"deed: expected it to begin with {MAGIC!r}")
    shapes.integer(pairs[2], "deed version", VERSION, VERSION)
    agreement = agreements.parse(shapes.octets(pairs[3], "agreement"))
    deed = Deed(agreement).joined(shapes.octets(a, "act") for a in shapes.array(pairs[4], "acts"))
    if deed.encode() != data:
        raise EncodingError("deed: expected each act once, by rising digest")
    return deed


def is_one(head: bytes) -> bool:
    """Whether a file that begins with these bytes, at least 32, means to be a deed."""
    return head[1:].startswith(cbor.encode({1: MAGIC})[1:])
