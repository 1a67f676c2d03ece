"""Everything an outsider needs, offline: a record, or a stored log, is judged from its first byte.

No network, no configuration, no key but those that the genesis names: who they belong to is for
the reader to know. The first thing that is wrong is raised, with the entry that it is in.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ledger_client import (
    batches,
    checkpoints,
    genesis,
    leaves,
    merkle,
    receipts,
    record,
    statements,
)
from ledger_client.errors import EncodingError, ProofError, RemoteError
from ledger_client.genesis import Genesis
from ledger_client.keys import PublicKey
from ledger_client.report import Issuer, Report

if TYPE_CHECKING:
    from ledger_client.log import LogReader

BATCH = "batch"


def verify_record(data: bytes) -> Report:
    """What the record in `data` establishes.

    Raises:
        RemoteError: what is wrong with it, the first thing found.
    """
    parts = record.parse(data)
    audit = Audit()
    for line in parts.lines:
        audit.add(line.statement, line.leaves)
    first = audit.genesis
    if first.verifier.vkey != parts.vkey:
        raise ProofError("the verifier key of the record is not the one in the genesis")
    nodes = merkle.nodes_of(audit.hashes)
    root = merkle.root_of(len(audit.hashes), nodes)
    _verify_note(parts.note, first, len(audit.hashes), root)
    signed_s = _verify_receipts(parts, first, root, nodes)
    return audit.report(root, signed_s, len(parts.lines) if len(parts.lines) > 1 else 0)


def verify_log(log: "LogReader") -> Report:
    """What the stored log establishes: every statement, hash, head and chain in it.

    Raises:
        StoreError: there is no log.
        RemoteError: what is wrong with it, the first thing found.
    """
    with log.snapshot():
        audit = Audit()
        for position, entry in enumerate(log.entries()):
            if entry.index != position:
                raise ProofError(f"entry {position} is missing")
            audit.add(entry.statement, None)
        first = audit.genesis
        if audit.gaps:
            raise ProofError(audit.gaps[0])
        nodes = merkle.nodes_of(audit.hashes)
        head = log.head
        if head.size != len(audit.hashes):
            raise ProofError(f"{len(audit.hashes)} entries, the last head has {head.size}")
        for signed in log.heads():
            root = merkle.root_of(signed.size, nodes)
            with _within(f"head of {signed.size} entries"):
                issued_s = receipts.verify_head(
                    first.receipt_key, signed.receipt, first.name, signed.size, root
                )
                _verify_note(signed.note, first, signed.size, root)
                if (signed.root, signed.issued_s) != (root, issued_s):
                    raise ProofError("the stored root or time is not the signed one")
        _verify_nodes(log, head.size, nodes)
        for issuer, sequence, digest in audit.tips():
            tip = log.tip(issuer)
            if (tip.sequence, tip.digest) != (sequence, digest):
                raise ProofError(f"the stored chain of {issuer.short_id} ends elsewhere")
    return audit.report(head.root, head.issued_s, 0)


class Audit:
    """Takes the statements of one log in order and keeps count of what they say."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.gaps: list[str] = []
        self._genesis: Genesis | None = None
        self._kinds: Counter[str] = Counter()
        self._chains: dict[PublicKey, list[batches.Batch]] = {}
        self._tips: dict[PublicKey, bytes] = {}
        self._subjects: dict[str, None] = {}
        self._disclosed = 0

    @property
    def genesis(self) -> Genesis:
        """What the log says about itself.

        Raises:
            ProofError: nothing was added.
        """
        if self._genesis is None:
            raise ProofError("there is no entry, not even a genesis")
        return self._genesis

    def add(self, data: bytes, disclosed: Sequence[bytes] | None) -> None:
        """Judge the next statement, and the leaves that came with it."""
        with _within(f"entry {len(self.hashes)}"):
            statement = statements.verify(data)
            if statement.receipts:
                raise EncodingError("a statement on a log carries no receipts")
            if self._genesis is None:
                self._genesis = genesis.verify(statement)
            elif statement.kind == genesis.KIND:
                raise ProofError("a second genesis")
            if statement.kind == BATCH:
                self._add_batch(statement, disclosed)
            elif disclosed is not None:
                raise ProofError(f"a {statement.kind} statement has no leaves")
        self._kinds[statement.kind] += 1
        self.hashes.append(merkle.leaf_hash(statement.digest))

    def _add_batch(
        self, statement: statements.Statement, disclosed: Sequence[bytes] | None
    ) -> None:
        batch = batches.decode(statement.payload)
        chain = self._chains.setdefault(statement.issuer, [])
        due = chain[-1].sequence + 1 if chain else 1
        name = statement.issuer.short_id
        if batch.sequence < due:
            raise ProofError(f"sequence {batch.sequence} of {name} comes after {due - 1}")
        if batch.sequence > due:
            self.gaps.append(f"{name} lacks sequence {due} to {batch.sequence - 1}")
        elif chain and batch.previous != self._tips[statement.issuer]:
            raise ProofError(f"sequence {batch.sequence} of {name} does not follow {due - 1}")
        if disclosed is not None:
            leaves.verify(disclosed, batch)
            self._disclosed += len(disclosed)
        chain.append(batch)
        self._tips[statement.issuer] = statement.digest
        self._subjects[statement.subject] = None

    def tips(self) -> Iterator[tuple[PublicKey, int, bytes]]:
        """Issuer, last sequence and its digest, for each chain."""
        for issuer, chain in self._chains.items():
            yield issuer, chain[-1].sequence, self._tips[issuer]

    def report(self, root: bytes, signed_s: int, proved: int) -> Report:
        """The sum of it, under a head whose signatures were checked."""
        every = [batch for chain in self._chains.values() for batch in chain]
        provenance: Counter[int] = Counter()
        losses: Counter[str] = Counter()
        for batch in every:
            provenance.update(batch.provenance)
            losses.update(
                dropped=batch.losses.dropped, rejected=batch.losses.rejected, gap=batch.losses.gap
            )
        return Report(
            log=self.genesis.name,
            demo=self.genesis.demo,
            vkey=self.genesis.verifier.vkey,
            receipt_key=self.genesis.receipt_key.did,
            size=len(self.hashes),
            root=root.hex(),
            signed_s=signed_s,
            receipts=proved,
            kinds=dict(self._kinds),
            issuers=tuple(
                Issuer(key.did, key.short_id, len(chain), chain[0].sequence, chain[-1].sequence)
                for key, chain in self._chains.items()
            ),
            subjects=tuple(self._subjects),
            batches=len(every),
            readings=sum(batch.leaf_count for batch in every),
            disclosed=self._disclosed,
            first_minute=min((batch.first_minute for batch in every), default=None),
            last_minute=max((batch.last_minute for batch in every), default=None),
            provenance=dict(sorted(provenance.items())),
            losses={name: count for name, count in losses.items() if count},
            gaps=tuple(self.gaps),
            clock_states=dict(sorted(Counter(batch.clock.state for batch in every).items())),
            clock_steps=sum(batch.clock.stepped for batch in every),
            boots=len({batch.clock.boot for batch in every}),
            profiles=tuple(sorted({name for batch in every for name in batch.profiles})),
        )


def _verify_nodes(log: "LogReader", size: int, nodes: merkle.Nodes) -> None:
    """The stored tree is the computed one, no hash more and none less."""
    stored = {(level, position): digest for level, position, digest in log.stored_nodes()}
    for level in range(size.bit_length()):
        for position in range(size >> level):
            if stored.pop((level, position), None) != nodes(level, position):
                raise ProofError(f"the stored hash at level {level}, position {position} is wrong")
    if stored:
        raise ProofError(f"{len(stored)} stored hashes have no place in the tree")


def _verify_note(note: str, first: Genesis, size: int, root: bytes) -> None:
    """The one checkpoint that the log's note key signed for this head, and nothing besides."""
    checkpoint = checkpoints.open_checkpoint(note, first.verifier)
    if (checkpoint.size, checkpoint.root, checkpoint.more) != (size, root, ()):
        raise ProofError(
            f"the checkpoint is of {checkpoint.size} entries with root {checkpoint.root.hex()}, "
            f"computed {size} with {root.hex()}"
        )
    if note.removeprefix(checkpoint.text).count("\n") != 2:  # noqa: PLR2004  # the empty line, one signature
        raise EncodingError("the checkpoint carries signatures that nobody here can check")


def _verify_receipts(parts: record.Record, first: Genesis, root: bytes, nodes: merkle.Nodes) -> int:
    """When the head was signed: all receipts are of this head, with the path that we compute.

    RFC 9942 signs neither index nor size: a receipt must be the very bytes that belong here.
    """
    size = len(parts.lines)
    if size == 1:
        if parts.lines[0].receipt is not None:
            raise ProofError("entry 0: a log of one entry has no receipts")
        return statements.verify(parts.lines[0].statement).issued_s
    signed_head, signed_s = b"", 0
    for index, line in enumerate(parts.lines):
        with _within(f"entry {index}"):
            if line.receipt is None:
                raise ProofError("the receipt is missing")
            found = receipts.head_of(line.receipt)
            if index == 0:
                signed_head = found
                signed_s = receipts.verify_head(
                    first.receipt_key, signed_head, first.name, size, root
                )
            path = merkle.inclusion_proof(index, size, nodes)
            if line.receipt != receipts.inclusion(signed_head, size, index, path):
                raise ProofError("the receipt is not the one of this entry under the signed head")
    return signed_s


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Say where it was that something was wrong."""
    try:
        yield
    except RemoteError as error:
        raise type(error)(f"{place}: {error}") from error
