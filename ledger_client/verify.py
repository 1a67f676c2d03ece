"""Everything an outsider needs, offline: a record, an excerpt or a stored log, judged to the byte.

No network, no configuration, no key but those that the genesis names: who they belong to is for
the reader to know. The first thing that is wrong is raised, with the entry that it is in.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ledger_client import checkpoints, merkle, receipts, record, statements
from ledger_client.audit import Audit, Judged, Sealed, within
from ledger_client.checkpoints import Checkpoint, Verifier
from ledger_client.errors import ProofError
from ledger_client.genesis import Genesis
from ledger_client.report import Report, Witnessed
from ledger_client.vouching import NOBODY, Anchors

if TYPE_CHECKING:
    from ledger_client.log import Entry, LogReader


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
    keys = [checkpoints.parse_vkey(text) for text in parts.witnesses]
    head, seen = checkpoints.open_cosigned(parts.note, first.verifier, keys)
    witnesses = _witnesses(keys, seen, anchors)
    signed_s = _verify_receipts(parts, audit, head)
    return audit.report(
        Sealed(head, parts.note, signed_s, witnesses, _verify_earlier(parts, first, head)),
        shown=len(parts.lines),
        disclosed=audit.disclosed,
    )


def _witnesses(
    keys: Sequence[Verifier], seen: Sequence[int], anchors: Anchors
) -> tuple[Witnessed, ...]:
    """Who cosigned the head; each that the reader asks for is among them."""
    for wanted in anchors.witnesses:
        if wanted not in keys:
            raise ProofError(f"the head is not cosigned by {wanted.vkey}, which you asked for")
    return tuple(
        Witnessed(key.vkey, seen_s, known=key in anchors.witnesses)
        for key, seen_s in zip(keys, seen, strict=True)
    )


def _verify_earlier(parts: record.Record, first: Genesis, head: Checkpoint) -> Checkpoint | None:
    """The earlier head that this one is shown to continue, if the file has one."""
    if parts.earlier is None:
        return None
    with within("earlier head"):
        old = _open_note(parts.earlier.note, first)
        merkle.verify_consistency(old.size, head.size, old.root, head.root, parts.earlier.path)
    return old


def verify_log(
    log: "LogReader",
    anchors: Anchors = NOBODY,
    also: "Callable[[Entry, Judged], None] | None" = None,
) -> Report:
    """What the stored log establishes: every statement, hash, head and chain in it.

    `also` is shown each entry once it is judged, in log order, and may raise what it finds wrong.

    Raises:
        StoreError: there is no log.
        RemoteError: what is wrong with it, the first thing found.
    """
    with log.snapshot():
        audit = Audit(anchors)
        for position, entry in enumerate(log.entries()):
            if entry.index != position:
                raise ProofError(f"entry {position} is missing")
            judged = audit.add(entry.index, entry.statement, None)
            if also is not None:
                also(entry, judged)
        first = audit.genesis
        if audit.gaps:
            raise ProofError(audit.gaps[0])
        nodes = merkle.nodes_of(audit.hashes)
        head = log.head
        if head.size != len(audit.hashes):
            raise ProofError(f"{len(audit.hashes)} entries, the last head has {head.size}")
        for signed in log.heads():
            root = _root_of(signed.size, nodes)
            with within(f"head of {signed.size} entries"):
                issued_s = receipts.verify_head(
                    first.receipt_key, signed.receipt, first.name, signed.size, root
                )
                _expect_head(_open_note(signed.note, first), signed.size, root)
                if (signed.root, signed.issued_s) != (root, issued_s):
                    raise ProofError("the stored root or time is not the signed one")
        _verify_nodes(log, head.size, nodes)
        _verify_chains(log, audit)
    checkpoint = Checkpoint(first.name, head.size, head.root)
    sealed = Sealed(checkpoint, head.note, head.issued_s)
    return audit.report(sealed, shown=head.size, disclosed=None)


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


def _root_of(size: int, nodes: merkle.Nodes) -> bytes:
    if size < 1:
        raise ProofError(f"a head of {size} entries: the first one has 1")
    return merkle.root_of(size, nodes)


def _verify_nodes(log: "LogReader", size: int, nodes: merkle.Nodes) -> None:
    """The stored tree is the computed one, no hash more and none less."""
    stored = log.stored_nodes()
    for level in range(size.bit_length()):
        for position in range(size >> level):
            if next(stored, None) != (level, position, nodes(level, position)):
                raise ProofError(f"the stored hash at level {level}, position {position} is wrong")
    more = sum(1 for _ in stored)
    if more:
        raise ProofError(f"{more} stored hashes have no place in the tree")


def _open_note(note: str, first: Genesis) -> Checkpoint:
    """The checkpoint that the log's note key signed, with nothing besides."""
    checkpoint, _ = checkpoints.open_cosigned(note, first.verifier, ())
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
        with within(f"entry {line.index}"):
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
