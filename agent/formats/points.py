"""The readings that a record gives away, as every other format takes them. Pure.

Where a point says that it is simulated, each format says so as well as it can.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from firmware_bridge.readings import QUANTITIES, Provenance
from ledger_client import batches, leaves, merkle, record, statements
from ledger_client.disclosure import Disclosure, Part
from ledger_client.errors import LedgerError
from ledger_client.report import PROVENANCE_NAMES

_SANE_MAX = 1e12  # what is larger no sensor says, and would overflow where units differ
_NAMESPACE = UUID("6d696c65-706f-5374-8001-706f696e7473")


class FormatError(LedgerError):
    """What is asked for cannot be written in this format: what came, and what to do."""


class Point(msgspec.Struct, frozen=True, gc=False):
    """One disclosed reading. `time_s` is Unix time in seconds, `subject` the urn of its stream.

    `log` and `entry` are where its batch stands, `leaf` is the hash of its leaf in that batch.
    """

    log: str
    entry: int
    subject: str
    component: str
    quantity: str
    value: float | str
    unit: str
    time_s: float
    provenance: int
    profile: str
    leaf: bytes

    @property
    def simulated(self) -> bool:
        """Whether no sensor measured this."""
        return self.provenance == Provenance.SIMULATED

    @property
    def provenance_name(self) -> str:
        """How it was heard, in a word."""
        return PROVENANCE_NAMES[self.provenance]

    @property
    def identifier(self) -> str:
        """A UUID of this reading: the same whenever and wherever it is exported."""
        return str(uuid5(_NAMESPACE, self.leaf.hex()))

    def number(self, *quantities: str) -> float | None:
        """Its value, if it is of one of `quantities`, in our table's unit and of a sane size."""
        if self.quantity not in quantities or self.unit != QUANTITIES[self.quantity].unit:
            return None
        if isinstance(self.value, str) or abs(self.value) > _SANE_MAX:
            return None
        return self.value


class Written(NamedTuple):
    """What a format made, and how many of the points found a place in it."""

    data: bytes
    points: int


def points_of(data: bytes) -> Iterator[Point]:
    """What the record or excerpt in `data`, which was verified before, gives away; in log order."""
    parts = record.parse(data)
    log = parts.vkey.partition("+")[0]
    for line in parts.lines:
        if line.disclosure is None:
            continue
        statement = statements.verify(line.statement)
        batch = batches.decode(statement.payload)
        for packed in _leaves(line.disclosure):
            leaf = leaves.parse(packed)
            component, _, quantity = leaf.name.rpartition("/")
            yield Point(
                log=log,
                entry=line.index,
                subject=statement.subject,
                component=component,
                quantity=quantity,
                value=leaf.value,
                unit=leaf.unit,
                time_s=leaf.time_s,
                provenance=leaf.provenance,
                profile=batch.profiles[leaf.profile],
                leaf=merkle.leaf_hash(packed),
            )


def _leaves(disclosure: Disclosure) -> Sequence[bytes]:
    if isinstance(disclosure, Part):
        return [each.leaf for each in disclosure.chosen]
    return disclosure


def moment(time_s: float) -> str:
    """The time as RFC 3339 writes it, in UTC, to the millisecond.

    Raises:
        FormatError: before the year 1 or after 9999.
    """
    try:
        text = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError) as error:
        raise FormatError(
            f"a reading is of Unix time {time_s:g}, which no calendar has; senml can hold it,"
            " and so can --raw"
        ) from error
    return text.replace("+00:00", "Z")


def one_subject(points: Iterable[Point], what: str) -> list[Point]:
    """The points, if all are of one subject, and there are any.

    Raises:
        FormatError: none, or of several persons, whose data nobody wants mixed.
    """
    found = list(points)
    subjects = sorted({point.subject for point in found})
    if not found:
        raise FormatError(f"expected {what}, there are none among the readings that are disclosed")
    if len(subjects) > 1:
        raise FormatError(
            f"expected the readings of one subject, got {len(subjects)}; name one with --subject:"
            f" {', '.join(subjects)}"
        )
    return found
