"""What a data licence lets be sold: which readings of a batch, for how much, under which name.

Pure. Only the licensed readings are disclosed. Where each reading earns, an item is a piece of one
batch, `PIECE_LEAVES` leaves in a row, and its body that of `agent.goods`. Where at most one reading
in a resolution or one payment for a period is earned, it is a window of time over a few batches,
and its body CBOR [[transparent statement, disclosure]...]. Its content identity follows from what
was agreed, so it is paid once, whoever packs it: statement and piece, or subject, agreement and
number of the window.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from agent.goods import Proved, marked, prove
from agent.marks import Readings
from ledger_client import agreements, cbor, disclosure, dues, leaves, shapes, statements
from ledger_client.agreements import DataLicence
from ledger_client.channels import Terms
from ledger_client.consents import Standing
from ledger_client.disclosure import Disclosure
from ledger_client.dues import Measured
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.leaves import Leaf
from ledger_client.messages import BODY_BYTES_MAX, Item

PIECE_LEAVES = 64
BATCHES_MAX = dues.WINDOW_READINGS_MAX
_NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class Held:
    """A licence in our hands, and where it stands by now."""

    licence: DataLicence
    standing: Standing

    @property
    def digest(self) -> bytes:
        """The agreement's name."""
        return agreements.digest(self.licence)

    def fits(self, terms: Terms) -> bool:
        """Whether a channel is the one on which this licence is paid."""
        licence = self.licence
        return (
            terms.agreement == self.digest
            and terms.payer == licence.key_of(licence.payer)
            and terms.payee == licence.key_of(licence.collector)
            and (terms.ledger, terms.asset) == (licence.ledger, licence.asset)
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """A leaf that may be sold: its place in its batch, and the slot that it fills, if any."""

    index: int
    window: int
    slot: tuple[str, int] | None


def measured(leaf: Leaf) -> Measured:
    """As a licence looks at a reading."""
    return Measured(leaf.name.rpartition("/")[2], leaf.time_s, leaf.provenance)


def chosen(held: Held, every: Sequence[bytes], *, demo: bool) -> list[Chosen]:
    """The leaves of a batch that earn, one for each slot, in order.

    `window` is the piece of the batch where each reading earns.
    """
    licence, found, taken = held.licence, list[Chosen](), set[tuple[str, int]]()
    by_batch = dues.window_s(licence) == 0
    for index, data in enumerate(every):
        reading = measured(leaves.parse(data))
        if not dues.earns(licence, held.standing, reading, demo=demo):
            continue
        number = index // PIECE_LEAVES if by_batch else dues.window(licence, reading.time_s)
        filled = place(licence, reading)
        if filled is not None and filled in taken:
            continue
        if filled is not None:
            taken.add(filled)
        found.append(Chosen(index, number, filled))
    return found


def place(licence: DataLicence, reading: Measured) -> tuple[str, int] | None:
    """The slot of a reading that needs no second one beside it; None where each is wanted.

    What is paid by the period is disclosed as the resolution says, all the same.
    """
    if not licence.resolution_s:
        return None
    since_s = reading.time_s - licence.begins_s
    return reading.quantity, int(since_s // licence.resolution_s)


def piece_source(statement: bytes, number: int) -> bytes:
    """The content identity of a piece of a batch: its statement's name, and which piece."""
    return sha256(statement).digest()[:_NAME_BYTES] + number.to_bytes(4, "big")


def window_source(licence: DataLicence, number: int) -> bytes:
    """The content identity of a window: whose readings, which agreement, which window."""
    name = sha256(agreements.digest(licence) + licence.subject.encode()).digest()
    return name[:_NAME_BYTES] + number.to_bytes(8, "big", signed=True)


def window_body(parts: Iterable[tuple[bytes, bytes, Disclosure]]) -> bytes:
    """Statement, receipt and what is disclosed of each batch, as an item's body."""
    return cbor.encode(
        [
            [statements.attach(statement, [receipt]), disclosure.encode(disclosed)]
            for statement, receipt, disclosed in parts
        ]
    )


@dataclass(frozen=True, slots=True)
class Judge:
    """The payer's judgement of what comes under a licence, by the ledger's keys.

    `issuer` signs the batches, `log_key` the receipts.
    """

    held: Held
    issuer: PublicKey
    log_key: PublicKey

    def accept(self, terms: Terms, item: Item) -> bytes | Readings:
        """The identity of goods that are licensed, proved, and worth exactly their price.

        Raises:
            RemoteError: what is wrong with them; nothing is owed.
        """
        if not self.held.fits(terms):
            raise RemoteError("goods on a channel that is not the licence's own")
        licence, value = self.held.licence, cbor.decode(item.body, size_max=BODY_BYTES_MAX)
        by_batch = dues.window_s(licence) == 0
        entries = [value] if by_batch else shapes.array(value, "readings")
        if not 1 <= len(entries) <= BATCHES_MAX:
            raise RemoteError(f"readings of {len(entries)} batches, expected 1 to {BATCHES_MAX}")
        parts = [self._part(*shapes.array(entry, "readings", 2)) for entry in entries]
        if len({part.statement.digest for part in parts}) != len(parts):
            raise RemoteError("one batch is named twice")
        readings = [measured(leaf) for part in parts for leaf in part.readings]
        self._check(readings, demo=terms.simulated)
        price = dues.licence_due(licence, self.held.standing, readings, demo=terms.simulated)
        if item.invoice.price != price:
            raise RemoteError(f"{item.invoice.price} for readings that are worth {price}")
        if by_batch:
            return marked(parts[0], _piece(parts[0]), terms.payer)
        numbers = {dues.window(licence, each.time_s) for each in readings}
        if len(numbers) != 1:
            raise RemoteError("readings of more than one window of the licence")
        return window_source(licence, numbers.pop())

    def _part(self, transparent: object, disclosed: object) -> Proved:
        proved = prove(transparent, disclosed, self.issuer, self.log_key)
        if proved.statement.subject != self.held.licence.subject:
            raise RemoteError("readings of somebody whom the licence is not about")
        if proved.batch.agreement != self.held.digest:
            raise RemoteError("readings that another agreement governs, or none")
        return proved

    def _check(self, readings: Sequence[Measured], *, demo: bool) -> None:
        licence, standing = self.held.licence, self.held.standing
        for each in readings:
            if not dues.earns(licence, standing, each, demo=demo):
                raise RemoteError(
                    f"a reading of {each.quantity} with provenance {each.provenance}"
                    " that the licence does not pay"
                )
        filled = [place(licence, each) for each in readings]
        if licence.resolution_s and len(set(filled)) != len(filled):
            raise RemoteError(f"two readings of a quantity within {licence.resolution_s} s")


def _piece(proved: Proved) -> bytes:
    """The identity of one piece of a batch; raises RemoteError for readings of several."""
    numbers = {index // PIECE_LEAVES for index in proved.indices}
    if len(numbers) != 1:
        raise RemoteError(f"readings of more than one piece of {PIECE_LEAVES} leaves")
    return piece_source(proved.statement.signed, numbers.pop())
