"""The record: one file with a whole log in it, so rigid that no byte of it can be changed.

CBOR {1: "milepost-record", 2: version, 3: verifier key of the notes, 4: [[statement, receipt or
null, [leaf...] or null]...] in log order from the genesis on, 5: checkpoint}. All receipts are of
the one head that the checkpoint shows; a log of one entry has none. Leaves are there for the
batches whose readings the owner gives away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger_client import cbor, genesis, shapes, statements
from ledger_client.errors import EncodingError, LocalError

if TYPE_CHECKING:
    from ledger_client.log import Entry, LogReader

MAGIC = "milepost-record"
VERSION = 1
SIZE_MAX = 1 << 28
ENTRIES_MAX = 1 << 20

_FIELDS = frozenset({1, 2, 3, 4, 5})


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the log as the record carries it."""

    statement: bytes
    receipt: bytes | None
    leaves: Sequence[bytes] | None


@dataclass(frozen=True, slots=True)
class Record:
    """A record in parts. Parsing it proves nothing."""

    vkey: str
    lines: Sequence[Line]
    note: str


def build(log: "LogReader", leaves_of: "Callable[[Entry], Sequence[bytes] | None]") -> bytes:
    """The record of a whole log, with the leaves that `leaves_of` an entry gives.

    Raises:
        LocalError: the record would be larger than `SIZE_MAX` bytes, or the log than it holds.
    """
    with log.snapshot():
        head = log.head
        if head.size > ENTRIES_MAX:
            raise LocalError(f"a record holds {ENTRIES_MAX} entries, the log has {head.size}")
        first = genesis.verify(statements.verify(log.statement(0)))
        entries = [
            [
                entry.statement,
                log.receipt(entry.index) if head.size > 1 else None,
                leaves_of(entry),
            ]
            for entry in log.entries()
        ]
    data = cbor.encode({1: MAGIC, 2: VERSION, 3: first.verifier.vkey, 4: entries, 5: head.note})
    if len(data) > SIZE_MAX:
        raise LocalError(f"a record has at most {SIZE_MAX} bytes, this one {len(data)}")
    return data


def parse(data: bytes) -> Record:
    """The parts of a record.

    Raises:
        EncodingError: not a record of this version.
    """
    value = cbor.decode(data, size_max=SIZE_MAX)
    pairs = shapes.fields(value, "record", _FIELDS)
    if pairs[1] != MAGIC:
        raise EncodingError(f"record: expected it to begin with {MAGIC!r}")
    shapes.integer(pairs[2], "record version", VERSION, VERSION)
    lines = [_line(entry) for entry in shapes.array(pairs[4], "entries")]
    note = pairs[5]
    if not isinstance(note, str):
        raise EncodingError("checkpoint: expected text")
    return Record(shapes.text(pairs[3], "verifier key", 512), lines, note)


def _line(entry: object) -> Line:
    statement, receipt, leaves = shapes.array(entry, "entry", 3)
    return Line(
        shapes.octets(statement, "statement"),
        None if receipt is None else shapes.octets(receipt, "receipt"),
        None
        if leaves is None
        else [shapes.octets(leaf, "leaf") for leaf in shapes.array(leaves, "leaves")],
    )
