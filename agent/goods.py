"""What is sold, and how a buyer judges it before paying: proved readings, units of a meter.

Pure. An item's body for readings is CBOR [transparent statement, [leaf...]]; for a metered service
[unit number from 1, meter in joules when it passed]. Both sides compute the same content identity.
"""

from dataclasses import dataclass
from hashlib import sha256

from ledger_client import batches, cbor, leaves, receipts, shapes, statements
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.messages import BODY_BYTES_MAX, Item

SOURCE_BYTES = 16
SIMULATED = 9


def readings_body(statement: bytes, receipt: bytes, disclosed: list[bytes]) -> bytes:
    """One batch as goods: the statement with its receipt attached, and all its leaves."""
    return cbor.encode([statements.attach(statement, [receipt]), disclosed])


def readings_source(statement: bytes) -> bytes:
    """The content identity of a batch: the start of its statement's digest."""
    return sha256(statement).digest()[:SOURCE_BYTES]


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

    def accept(self, terms: Terms, item: Item) -> bytes:
        """The identity of a batch that is worth its price.

        Raises:
            RemoteError: not proved, not theirs, not enough provenance, or another price.
        """
        transparent, disclosed = shapes.array(
            cbor.decode(item.body, size_max=BODY_BYTES_MAX), "readings", 2
        )
        statement = statements.verify(shapes.octets(transparent, "statement"))
        if statement.issuer != self.issuer or statement.kind != "batch":
            raise RemoteError(f"readings of {statement.issuer.short_id}: not the one agreed on")
        if len(statement.receipts) != 1:
            raise RemoteError("readings come with one receipt")
        receipts.verify_inclusion(self.log_key, statement.receipts[0], statement.digest)
        batch = batches.decode(statement.payload)
        leaves.verify(
            [shapes.octets(leaf, "leaf") for leaf in shapes.array(disclosed, "leaves")], batch
        )
        if self.agreement not in {None, batch.agreement}:
            raise RemoteError("readings that another agreement governs, or none")
        if not terms.simulated and SIMULATED in batch.provenance:
            raise RemoteError("simulated readings are paid on a demo channel only")
        if min(batch.provenance) < self.least_provenance:
            raise RemoteError(
                f"readings of provenance {min(batch.provenance)}, the least paid for is"
                f" {self.least_provenance}"
            )
        if item.invoice.price != self.price * batch.leaf_count:
            raise RemoteError(
                f"{item.invoice.price} for {batch.leaf_count} readings at {self.price} each"
            )
        return statement.digest[:SOURCE_BYTES]


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a unit of a meter costs in minor units; `meter` names it for ever."""

    meter: str
    unit_j: int
    price: int
    simulated: bool

    def source(self, unit: int) -> bytes:
        """The content identity of a unit: which meter, which of its units from 1."""
        return sha256(f"{self.meter} {unit}".encode()).digest()[:SOURCE_BYTES]

    def body(self, unit: int) -> bytes:
        """A unit as goods: its number, and the meter in joules when it had passed."""
        return cbor.encode([unit, unit * self.unit_j])

    def accept(self, item: Item, heard_j: float) -> bytes:
        """The identity of a unit, if the meter was heard to pass it: hearsay is not paid for.

        Raises:
            RemoteError: another price, or a meter that did not get there.
        """
        number, meter_j = shapes.array(cbor.decode(item.body), "unit", 2)
        unit = shapes.integer(number, "unit", 1)
        shapes.integer(meter_j, "meter", unit * self.unit_j)
        if item.invoice.price != self.price:
            raise RemoteError(f"{item.invoice.price} for a unit at {self.price}")
        if unit * self.unit_j > heard_j + self.unit_j:  # it runs on between two broadcasts
            raise RemoteError(f"unit {unit} was invoiced, the meter was heard at {heard_j:.0f} J")
        return self.source(unit)
