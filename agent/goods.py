"""Proved readings as goods, and how a buyer of any of them judges them before it pays.

Pure. An item's body is CBOR [transparent statement, disclosure], all leaves of a batch or chosen
ones with their paths (`ledger_client.disclosure`). Both sides compute the same content identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from agent.marks import ISSUER_BYTES, Readings, marks
from ledger_client import batches, cbor, disclosure, receipts, shapes, statements
from ledger_client.batches import Batch
from ledger_client.channels import Terms
from ledger_client.disclosure import Disclosure, Part
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.leaves import Leaf
from ledger_client.messages import BODY_BYTES_MAX, Item
from ledger_client.statements import Statement

SOURCE_BYTES = 16
SIMULATED = 9


def readings_body(statement: bytes, receipt: bytes, disclosed: Disclosure) -> bytes:
    """One batch as goods: the statement with its receipt attached, and the leaves that are sold."""
    return cbor.encode([statements.attach(statement, [receipt]), disclosure.encode(disclosed)])


def without(body: bytes, price: int, known: frozenset[int]) -> tuple[bytes, int] | None:
    """The same readings but those of the `known` leaf indices, at the same price each.

    None when nothing is left.

    Raises:
        RemoteError: no readings, or none of these among them.
    """
    transparent, value = shapes.array(cbor.decode(body, size_max=BODY_BYTES_MAX), "readings", 2)
    given = disclosure.parse(value)
    if given is None:
        raise RemoteError("an item without readings")
    here = _indices(given)
    if not known <= set(here):
        raise RemoteError("a refusal of readings that the item does not hold")
    fresh = [index for index in here if index not in known]
    if not known or price % len(here):
        raise RemoteError("a refusal of readings that names none, or of goods of another kind")
    if not fresh:
        return None
    rest: Disclosure | None = (
        replace(given, chosen=tuple(each for each in given.chosen if each.index not in known))
        if isinstance(given, Part)
        else disclosure.choose(given, fresh)
    )
    return cbor.encode([transparent, disclosure.encode(rest)]), price // len(here) * len(fresh)


def _indices(given: Disclosure) -> Sequence[int]:
    if isinstance(given, Part):
        return [each.index for each in given.chosen]
    return range(len(given))


def readings_source(statement: bytes) -> bytes:
    """The content identity of a batch: the start of its statement's digest."""
    return sha256(statement).digest()[:SOURCE_BYTES]


def sure(provenance: int, least: int) -> bool:
    """Whether a reading is at least so sure. Simulated is another kind, neither more nor less."""
    return provenance == SIMULATED or provenance >= least


@dataclass(frozen=True, slots=True)
class Proved:
    """Readings of one batch that its statement, its receipt and their paths prove."""

    statement: Statement
    batch: Batch
    indices: Sequence[int]
    readings: Sequence[Leaf]


def prove(transparent: object, disclosed: object, issuer: PublicKey, log_key: PublicKey) -> Proved:
    """What a transparent statement and a disclosure prove, both as CBOR gave them.

    Raises:
        RemoteError: not a batch of this issuer on this log, or leaves that are not in it.
    """
    statement = statements.verify(shapes.octets(transparent, "statement"))
    if statement.issuer != issuer or statement.kind != "batch":
        raise RemoteError(f"readings of {statement.issuer.short_id}: not the one agreed on")
    if len(statement.receipts) != 1:
        raise RemoteError("readings come with one receipt")
    receipts.verify_inclusion(log_key, statement.receipts[0], statement.digest)
    batch = batches.decode(statement.payload)
    given = disclosure.parse(disclosed)
    if given is None:
        raise RemoteError("an item without readings")
    return Proved(statement, batch, _indices(given), disclosure.verify(given, batch))


def marked(proved: Proved, source: bytes, payer: PublicKey) -> Readings:
    """Proved readings as the till takes them, under the content identity `source`."""
    pairs = list(zip(proved.indices, proved.readings, strict=True))
    issuer = proved.statement.issuer.thumbprint[:ISSUER_BYTES]
    return Readings(source, issuer, marks(pairs, payer.raw))


@dataclass(frozen=True, slots=True)
class ReadingsWanted:
    """A buyer of readings: of whom, on which log, at what price in minor units each.

    With an `agreement`, only of batches that it governs.
    """

    issuer: PublicKey
    log_key: PublicKey
    price: int
    least_provenance: int
    agreement: bytes | None = None

    def accept(self, terms: Terms, item: Item) -> Readings:
        """What is in an item that is worth its price, each reading with its mark.

        Raises:
            RemoteError: not proved, not theirs, not enough provenance, or another price.
        """
        transparent, disclosed = shapes.array(
            cbor.decode(item.body, size_max=BODY_BYTES_MAX), "readings", 2
        )
        proved = prove(transparent, disclosed, self.issuer, self.log_key)
        readings = proved.readings
        if self.agreement not in {None, proved.batch.agreement}:
            raise RemoteError("readings that another agreement governs, or none")
        provenance = {reading.provenance for reading in readings}
        if not terms.simulated and SIMULATED in provenance:
            raise RemoteError("simulated readings are paid on a demo channel only")
        poor = [each for each in provenance if not sure(each, self.least_provenance)]
        if poor:
            raise RemoteError(
                f"readings of provenance {min(poor)}, the least paid for is {self.least_provenance}"
            )
        if item.invoice.price != self.price * len(readings):
            raise RemoteError(
                f"{item.invoice.price} for {len(readings)} readings at {self.price} each"
            )
        return marked(proved, proved.statement.digest[:SOURCE_BYTES], terms.payer)
