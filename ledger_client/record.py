"""The record and the excerpt: files of evidence, so rigid that no byte of them can be changed.

A record is a whole log: CBOR {1: "milepost-record", 2: version, 3: verifier key of the notes, 4:
[[statement, receipt or null, disclosure or null]...] in log order from the genesis on, 5:
checkpoint, 6: [verifier key of each witness that cosigned the checkpoint, in that order]}. An
excerpt is chosen entries of one: {1: "milepost-excerpt", ..., 4: [[index, statement, receipt or
null, disclosure or null]...] by ascending index, the genesis always first, 7: [an earlier
checkpoint, [hash...]], which the log is shown to continue}. Labels 6 and 7 may be absent. All
receipts are of the one head that the checkpoint shows; a log of one entry has none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ledger_client import cbor, checkpoints, disclosure, genesis, merkle, shapes, statements
from ledger_client.disclosure import Disclosure
from ledger_client.errors import EncodingError, LocalError

if TYPE_CHECKING:
    from ledger_client.log import Entry, LogReader

RECORD = "milepost-record"
EXCERPT = "milepost-excerpt"
VERSION = 1
SIZE_MAX = 1 << 28
ENTRIES_MAX = 1 << 20
VKEY_CHARACTERS_MAX = 512
ITEM_BYTES_MIN = 24
"""Bytes an item at the least, on average: ours have 26 (many leaves with short paths) and more.

So a hostile file costs five times its own size in memory before it is refused, not seventy.
"""

WITNESSES_MAX = checkpoints.SIGNATURES_MAX - 1
PATH_MAX = 64

_FIELDS = frozenset({1, 2, 3, 4, 5})
_WITNESSES, _EARLIER = 6, 7


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the log as the file carries it."""

    index: int
    statement: bytes
    receipt: bytes | None
    disclosure: Disclosure | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A checkpoint before the file's own, and the consistency path from there to here."""

    note: str
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The head under which a file is made, if it is another than the log's newest as it stands.

    `note` is the checkpoint with cosignatures, `witnesses` are the verifier keys that made them, in
    their order; `since` is an earlier checkpoint, to be continued.
    """

    note: str = ""
    witnesses: tuple[str, ...] = ()
    since: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A record, or an excerpt if not `whole`, in parts. Parsing it proves nothing."""

    whole: bool
    vkey: str
    lines: Sequence[Line]
    note: str
    witnesses: tuple[str, ...] = ()
    earlier: Earlier | None = None


_PLAIN = Head()


def build(
    log: "LogReader", disclosed: "Callable[[Entry], Disclosure | None]", head: Head = _PLAIN
) -> bytes:
    """The record of a whole log, with what `disclosed` gives away of an entry.

    Raises:
        LocalError: the record would be larger than `SIZE_MAX` bytes, or the log than it holds.
    """
    with log.snapshot():
        size = log.head.size
        if size > ENTRIES_MAX:
            raise LocalError(f"a record holds {ENTRIES_MAX} entries, the log has {size}")
        return _pack(
            RECORD,
            log,
            head,
            [
                [
                    entry.statement,
                    log.receipt(entry.index) if size > 1 else None,
                    disclosure.encode(disclosed(entry)),
                ]
                for entry in log.entries()
            ],
        )


def excerpt(
    log: "LogReader", disclosed: Mapping[int, Disclosure | None], head: Head = _PLAIN
) -> bytes:
    """The excerpt of the entries in `disclosed`, by index, with what is given away of each.

    The genesis comes along, unasked.

    Raises:
        LocalError: an entry that the log has not, or more than `SIZE_MAX` bytes.
    """
    with log.snapshot():
        size = log.head.size
        return _pack(
            EXCERPT,
            log,
            head,
            [
                [
                    index,
                    log.statement(index),
                    log.receipt(index) if size > 1 else None,
                    disclosure.encode(disclosed.get(index)),
                ]
                for index in sorted({0, *disclosed})
            ],
        )


def _pack(magic: str, log: "LogReader", head: Head, entries: Sequence[object]) -> bytes:
    first = genesis.verify(statements.verify(log.statement(0)))
    note = head.note or log.head.note
    pairs: dict[int, object] = {1: magic, 2: VERSION, 3: first.verifier.vkey, 4: entries, 5: note}
    if head.witnesses:
        pairs[_WITNESSES] = list(head.witnesses)
    if head.since:
        old = checkpoints.open_checkpoint(head.since, first.verifier)
        path = merkle.consistency_proof(old.size, log.head.size, log.nodes)
        pairs[_EARLIER] = [checkpoints.alone(head.since, first.verifier), path]
    data = cbor.encode(pairs)
    if len(data) > SIZE_MAX:
        raise LocalError(f"a {magic} has at most {SIZE_MAX} bytes, this one {len(data)}")
    return data


def is_one(head: bytes) -> bool:
    """Whether a file that begins with these bytes, at least 32, means to be a record or excerpt."""
    return any(head[1:].startswith(cbor.encode({1: magic})[1:]) for magic in (RECORD, EXCERPT))


def parse(data: bytes) -> Record:
    """The parts of a record or excerpt.

    Raises:
        EncodingError: neither, or of another version.
    """
    value = cbor.decode(data, size_max=SIZE_MAX, items_max=1_024 + len(data) // ITEM_BYTES_MIN)
    pairs = shapes.fields(value, "record", _FIELDS, frozenset({_WITNESSES, _EARLIER}))
    if pairs[1] not in (RECORD, EXCERPT):
        raise EncodingError(f"record: expected it to begin with {RECORD!r} or {EXCERPT!r}")
    shapes.integer(pairs[2], "record version", VERSION, VERSION)
    whole = pairs[1] == RECORD
    entries = shapes.array(pairs[4], "entries")
    if len(entries) > ENTRIES_MAX:
        raise EncodingError(f"entries: expected at most {ENTRIES_MAX}, got {len(entries)}")
    lines = [_line(entry) for entry in (_enumerated(entries) if whole else entries)]
    note = pairs[5]
    if not isinstance(note, str):
        raise EncodingError("checkpoint: expected text")
    if not whole and (not lines or lines[0].index != 0 or not _ascends(lines)):
        raise EncodingError("excerpt: expected the genesis and then entries by ascending index")
    vkey = shapes.text(pairs[3], "verifier key", VKEY_CHARACTERS_MAX)
    return Record(whole, vkey, lines, note, _witnesses(pairs), _earlier(pairs, whole=whole))


def _witnesses(pairs: Mapping[object, object]) -> tuple[str, ...]:
    if _WITNESSES not in pairs:
        return ()
    keys = shapes.array(pairs[_WITNESSES], "witnesses")
    found = tuple(shapes.text(key, "witness", VKEY_CHARACTERS_MAX) for key in keys)
    if not 1 <= len(found) <= WITNESSES_MAX or len(set(found)) != len(found):
        raise EncodingError(f"witnesses: expected 1 to {WITNESSES_MAX} different ones")
    return found


def _earlier(pairs: Mapping[object, object], *, whole: bool) -> Earlier | None:
    if _EARLIER not in pairs:
        return None
    note, path = shapes.array(pairs[_EARLIER], "earlier head", 2)
    if whole or not isinstance(note, str):
        raise EncodingError("earlier head: expected a checkpoint as text, in an excerpt")
    hashes = [shapes.octets(each, "hash", merkle.HASH_BYTES) for each in shapes.array(path, "path")]
    if not 1 <= len(hashes) <= PATH_MAX:
        raise EncodingError(f"earlier head: expected 1 to {PATH_MAX} hashes, got {len(hashes)}")
    return Earlier(note, tuple(hashes))


def _enumerated(entries: Sequence[object]) -> Iterator[object]:
    """The entries of a record with their places, as an excerpt has them."""
    for index, entry in enumerate(entries):
        yield [index, *shapes.array(entry, f"entry {index}", 3)]


def _ascends(lines: Sequence[Line]) -> bool:
    return all(a.index < b.index for a, b in pairwise(lines))


def _line(entry: object) -> Line:
    index, statement, receipt, disclosed = shapes.array(entry, "entry", 4)
    return Line(
        shapes.integer(index, "entry index"),
        shapes.octets(statement, "statement"),
        None if receipt is None else shapes.octets(receipt, "receipt"),
        disclosure.parse(disclosed),
    )
