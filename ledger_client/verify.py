"""Everything an outsider needs, offline: a record, an excerpt or a stored log, judged to the byte.

No network, no configuration, no key but those that the genesis names: who they belong to is for
the reader to know. The first thing that is wrong is raised, with the entry that it is in.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger_client import (
    batches,
    checkpoints,
    disclosure,
    genesis,
    merkle,
    pins,
    receipts,
    record,
    statements,
    trust,
)
from ledger_client.checkpoints import Checkpoint
from ledger_client.disclosure import Disclosure
from ledger_client.errors import EncodingError, ProofError, RemoteError
from ledger_client.genesis import Genesis
from ledger_client.keys import PublicKey
from ledger_client.report import Issuer, Report
from ledger_client.vouching import NOBODY, Anchors, Trust

if TYPE_CHECKING:
    from ledger_client.log import LogReader

BATCH = "batch"
CLOCK_UNSET = 0


def verify_record(data: bytes, anchors: Anchors = NOBODY) -> Report:
    """What the record or excerpt in `data` establishes, for a reader with these anchors.

    Raises:
        RemoteError: what is wrong with it, the first thing found.
    """
    parts = record.parse(data)
    audit = Audit(anchors)
    for line in parts.lines:
        audit.add(line.index, line.statement, line.disclosure)
    first = audit.genesis
    if first.verifier.vkey != parts.vkey:
        raise ProofError("the verifier key of the record is not the one in the genesis")
    head = _open_note(parts.note, first)
    signed_s = _verify_receipts(parts, audit, head)
    return audit.report(
        head, parts.note, signed_s, shown=len(parts.lines), disclosed=audit.disclosed
    )


def verify_log(log: "LogReader", anchors: Anchors = NOBODY) -> Report:
    """What the stored log establishes: every statement, hash, head and chain in it.

    Raises:
        StoreError: there is no log.
        RemoteError: what is wrong with it, the first thing found.
    """
    with log.snapshot():
        audit = Audit(anchors)
        for position, entry in enumerate(log.entries()):
            if entry.index != position:
                raise ProofError(f"entry {position} is missing")
            audit.add(entry.index, entry.statement, None)
        first = audit.genesis
        if audit.gaps:
            raise ProofError(audit.gaps[0])
        nodes = merkle.nodes_of(audit.hashes)
        head = log.head
        if head.size != len(audit.hashes):
            raise ProofError(f"{len(audit.hashes)} entries, the last head has {head.size}")
        for signed in log.heads():
            root = _root_of(signed.size, nodes)
            with _within(f"head of {signed.size} entries"):
                issued_s = receipts.verify_head(
                    first.receipt_key, signed.receipt, first.name, signed.size, root
                )
                _expect_head(_open_note(signed.note, first), signed.size, root)
                if (signed.root, signed.issued_s) != (root, issued_s):
                    raise ProofError("the stored root or time is not the signed one")
        _verify_nodes(log, head.size, nodes)
        _verify_chains(log, audit)
    checkpoint = Checkpoint(first.name, head.size, head.root)
    return audit.report(checkpoint, head.note, head.issued_s, shown=head.size, disclosed=None)


def _verify_chains(log: "LogReader", audit: "Audit") -> None:
    """What the log keeps beside its statements is what they say: tips, successors, trust."""
    for issuer, sequence, digest in audit.tips():
        tip = log.tip(issuer)
        if (tip.sequence, tip.digest) != (sequence, digest):
            raise ProofError(f"the stored chain of {issuer.short_id} ends elsewhere")
        if log.successor(issuer) != audit.trust.followed.get(issuer):
            raise ProofError(f"the stored successor of {issuer.short_id} is another")
    if log.trust_positions() != audit.trust.positions:
        raise ProofError("the log does not know where its statements of trust are")


@dataclass(frozen=True, slots=True)
class _Tip:
    """An issuer's newest batch, at its place on the log and in the file."""

    sequence: int = 0
    digest: bytes = batches.NO_PREVIOUS
    index: int = -1
    rank: int = -1


class Audit:
    """Takes statements of one log, in its order, and keeps count of what they say."""

    def __init__(self, anchors: Anchors) -> None:
        self.trust = Trust(anchors)
        self.hashes: list[bytes] = []
        self.gaps: list[str] = []
        self.withheld = 0
        self.disclosed = 0
        self._genesis: Genesis | None = None
        self._kinds: Counter[str] = Counter()
        self._tips: dict[PublicKey, _Tip] = {}
        self._batches: dict[PublicKey, list[batches.Batch]] = {}
        self._subjects: dict[str, None] = {}

    @property
    def genesis(self) -> Genesis:
        """What the log says about itself.

        Raises:
            ProofError: nothing was added.
        """
        if self._genesis is None:
            raise ProofError("there is no entry, not even a genesis")
        return self._genesis

    def add(self, index: int, data: bytes, disclosed: Disclosure | None) -> None:
        """Judge the next statement, entry `index` of the log, and what came with it."""
        with _within(f"entry {index}"):
            statement = statements.verify(data)
            if statement.receipts:
                raise EncodingError("a statement on a log carries no receipts")
            if self._genesis is None:
                self._genesis = genesis.verify(statement)
            elif statement.kind == genesis.KIND:
                raise ProofError("a second genesis")
            if statement.kind == BATCH:
                self._add_batch(index, statement, disclosed)
            elif disclosed is not None:
                raise ProofError(f"a {statement.kind} statement has no leaves")
            self.trust.add(index, statement)
            if statement.kind == trust.ROTATION:
                self._rotate(index, trust.rotated(statement))
        self._kinds[statement.kind] += 1
        self.hashes.append(merkle.leaf_hash(statement.digest))

    def _add_batch(
        self, index: int, statement: statements.Statement, disclosed: Disclosure | None
    ) -> None:
        batch, issuer = batches.decode(statement.payload), statement.issuer
        self._follow(issuer, batch.sequence - 1, batch.previous, index)
        self._tips[issuer] = _Tip(batch.sequence, statement.digest, index, len(self.hashes))
        clock_set = batch.clock.state != CLOCK_UNSET
        self.trust.used(index, issuer, statement.issued_s, clock_set=clock_set)
        if disclosed is not None:
            self.disclosed += len(disclosure.verify(disclosed, batch))
        self._batches.setdefault(issuer, []).append(batch)
        self._subjects[statement.subject] = None

    def _rotate(self, index: int, rotation: trust.Rotation) -> None:
        """The new key's chain begins where the old one's ends."""
        self._follow(rotation.old, rotation.sequence, rotation.digest, index)
        tip = _Tip(rotation.sequence, rotation.digest, index, len(self.hashes))
        self._tips.setdefault(rotation.old, tip)
        self._tips[rotation.new] = tip

    def _follow(self, issuer: PublicKey, last: int, digest: bytes, index: int) -> None:
        """Whether the batch `last` is the issuer's newest, or some are missing up to it.

        Those may be withheld, if there is room for them: since the issuer's newest batch there may
        have been as many others as there are entries that the file lacks.
        """
        before, name = self._tips.get(issuer, _Tip()), issuer.short_id
        missing = last - before.sequence
        if missing < 0:
            raise ProofError(f"sequence {last + 1} of {name} comes after {before.sequence}")
        if missing == 0 and digest != before.digest:
            raise ProofError(f"sequence {last + 1} of {name} does not follow {last}")
        room = (index - before.index) - (len(self.hashes) - before.rank)
        self.withheld += min(missing, room)
        if missing > room:
            least = f"at least {missing - room} of " if room else ""
            self.gaps.append(f"{name} lacks {least}sequence {before.sequence + 1} to {last}")

    def _root_of(self, size: int) -> bytes:
        return merkle.root_of(size, merkle.nodes_of(self.hashes))

    def tips(self) -> Iterator[tuple[PublicKey, int, bytes]]:
        """Issuer, last sequence and its digest, for each chain."""
        for issuer, tip in self._tips.items():
            yield issuer, tip.sequence, tip.digest

    def report(
        self, head: Checkpoint, note: str, signed_s: int, *, shown: int, disclosed: int | None
    ) -> Report:
        """The sum of it, under a head whose signatures were checked."""
        every = [batch for chain in self._batches.values() for batch in chain]
        root_of = self._root_of if head.size == len(self.hashes) else None
        log_key = self.genesis.receipt_key
        pin = self.trust.anchors.pins.get(self.genesis.name)
        linked = pin is not None and pins.follow(
            pin, self.genesis.name, head, self.genesis.verifier.vkey, root_of
        )
        pinned = None if pin is None else pin.checkpoint.size
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
            receipt_key=log_key.did,
            size=head.size,
            shown=shown,
            root=head.root.hex(),
            signed_s=signed_s,
            receipts=shown if head.size > 1 and disclosed is not None else 0,
            kinds=dict(self._kinds),
            issuers=tuple(
                Issuer(key.did, key.short_id, len(chain), chain[0].sequence, chain[-1].sequence)
                for key, chain in self._batches.items()
            ),
            subjects=tuple(self._subjects),
            batches=len(every),
            readings=sum(batch.leaf_count for batch in every),
            disclosed=disclosed,
            first_minute=min((batch.first_minute for batch in every), default=None),
            last_minute=max((batch.last_minute for batch in every), default=None),
            provenance=dict(sorted(provenance.items())),
            losses={name: count for name, count in losses.items() if count},
            gaps=tuple(self.gaps),
            withheld=self.withheld,
            clock_states=dict(sorted(Counter(batch.clock.state for batch in every).items())),
            clock_steps=sum(batch.clock.stepped for batch in every),
            boots=len({batch.clock.boot for batch in every}),
            profiles=tuple(sorted({name for batch in every for name in batch.profiles})),
            vouchings=self.trust.judge(log_key, signed_s, head.size, root_of),
            rotations=tuple((old.did, new.did) for old, new in self.trust.followed.items()),
            note=note,
            continues=pinned if linked else None,
            unlinked=None if linked else pinned,
        )


def _root_of(size: int, nodes: merkle.Nodes) -> bytes:
    if size < 1:
        raise ProofError(f"a head of {size} entries: the first one has 1")
    return merkle.root_of(size, nodes)


def _verify_nodes(log: "LogReader", size: int, nodes: merkle.Nodes) -> None:
    """The stored tree is the computed one, no hash more and none less."""
    stored = {(level, position): digest for level, position, digest in log.stored_nodes()}
    for level in range(size.bit_length()):
        for position in range(size >> level):
            if stored.pop((level, position), None) != nodes(level, position):
                raise ProofError(f"the stored hash at level {level}, position {position} is wrong")
    if stored:
        raise ProofError(f"{len(stored)} stored hashes have no place in the tree")


def _open_note(note: str, first: Genesis) -> Checkpoint:
    """The checkpoint that the log's note key signed, with nothing besides."""
    checkpoint = checkpoints.open_checkpoint(note, first.verifier)
    if checkpoint.more or note.removeprefix(checkpoint.text).count("\n") != 2:  # noqa: PLR2004  # the empty line, one signature
        raise EncodingError("the checkpoint carries lines or signatures that nobody here can check")
    return checkpoint


def _expect_head(checkpoint: Checkpoint, size: int, root: bytes) -> None:
    if (checkpoint.size, checkpoint.root) != (size, root):
        raise ProofError(
            f"the checkpoint is of {checkpoint.size} entries with root {checkpoint.root.hex()}, "
            f"computed {size} with {root.hex()}"
        )


def _computed_paths(parts: record.Record, audit: Audit, head: Checkpoint) -> Iterator[list[bytes]]:
    """The path of each entry of a whole log, from the statements alone."""
    size = len(parts.lines)
    nodes = merkle.nodes_of(audit.hashes)
    _expect_head(head, size, merkle.root_of(size, nodes))
    return (merkle.inclusion_proof(index, size, nodes) for index in range(size))


def _given_paths(parts: record.Record, audit: Audit, head: Checkpoint) -> Iterator[list[bytes]]:
    """The path in each receipt, which leads to the head from that place and from no other."""
    for line, hashed in zip(parts.lines, audit.hashes, strict=True):
        _, _, path = receipts.place_of(line.receipt or b"")
        found = merkle.root_from_inclusion(hashed, line.index, head.size, path)
        if found != head.root:
            raise ProofError(f"the receipt leads to {found.hex()}, the checkpoint has another root")
        yield path


def _verify_receipts(parts: record.Record, audit: Audit, head: Checkpoint) -> int:
    """When the head was signed: all receipts are of this head, with the path that belongs there.

    RFC 9942 signs neither index nor size: a receipt must be the very bytes that belong here.
    """
    if head.size == 1:
        _expect_head(head, len(parts.lines), audit.hashes[0])
        if parts.lines[0].receipt is not None:
            raise ProofError("entry 0: a log of one entry has no receipts")
        return statements.verify(parts.lines[0].statement).issued_s
    first, signed_head, signed_s = audit.genesis, b"", 0
    paths = (_computed_paths if parts.whole else _given_paths)(parts, audit, head)
    for line in parts.lines:
        with _within(f"entry {line.index}"):
            if line.receipt is None:
                raise ProofError("the receipt is missing")
            found = receipts.head_of(line.receipt)
            if line.index == 0:
                signed_head = found
                signed_s = receipts.verify_head(
                    first.receipt_key, signed_head, first.name, head.size, head.root
                )
            place = (signed_head, head.size, line.index, next(paths))
            if line.receipt != receipts.inclusion(*place):
                raise ProofError("the receipt is not the one of this entry under the signed head")
    return signed_s


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Say where it was that something was wrong."""
    try:
        yield
    except RemoteError as error:
        raise type(error)(f"{place}: {error}") from error
