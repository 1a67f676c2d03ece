"""What is behind a line of the till: which batches of the log, which window, which unit of a meter.

A line keeps no body, only the content identity of its goods. From the deeds of the home and the
batches of its log the same identities follow, so each line is found again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from agent import licensed, metering
from agent.goods import SOURCE_BYTES
from agent.licensed import Held
from ledger_client import batches, consents, dues, receipts
from ledger_client.agreements import (
    DataLicence,
    Document,
    Ecosystem,
    MeteredService,
    PerReading,
    UnitPrice,
)
from ledger_client.deeds import Deed
from ledger_client.genesis import Genesis
from ledger_client.log import LogReader
from ledger_client.statements import Statement

_MINUTE_S = 60
_PIECE_BYTES = 4
_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Proved:
    """A batch on the log: its entry, its statement's digest, how many readings, its minutes."""

    entry: int
    statement: str
    readings: int
    first_s: int
    after_s: int
    agreement: bytes | None


@dataclass(frozen=True, slots=True)
class Goods:
    """What one line is: in words, with its batches; `number` is that of its piece or window."""

    what: str
    batches: tuple[Proved, ...] = ()
    at_s: int | None = None
    readings: int | None = None
    agreement: str | None = None
    held: Held | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """Everything by which lines are found: batches and windows by the start of their identity."""

    ledger: str
    known: Mapping[bytes, Proved]
    licences: Mapping[bytes, Held]
    windows: Mapping[bytes, Held]
    units: Mapping[bytes, tuple[bytes, str]]
    ecosystems: Mapping[bytes, Ecosystem] = field(default_factory=dict)

    def goods(self, source: bytes | None, price: int, agreement: bytes = b"") -> Goods:
        """What the goods of this content identity are, which cost so many minor units.

        Those of another gateway's log are known by the licence under whose `agreement` they came.
        """
        if source is None:
            return Goods("taken back unpaid")
        name, rest = source[:SOURCE_BYTES], source[SOURCE_BYTES:]
        if name in self.known:
            return self._of_batch(self.known[name], rest, price)
        if name in self.windows and len(rest) == _NUMBER_BYTES:
            return self._of_window(self.windows[name], rest, price)
        if name in self.units and len(rest) == _NUMBER_BYTES:
            digest, unit = self.units[name]
            number = int.from_bytes(rest, "big")
            return Goods(f"unit {number} in {unit}", agreement=digest.hex())
        return self._of_others(agreement, price)

    def _of_others(self, agreement: bytes, price: int) -> Goods:
        licence = self.licences.get(agreement)
        if licence is None:
            return Goods("goods of no deed in this home")
        by_reading = isinstance(licence.licence.price, PerReading)
        return Goods(
            "readings of another gateway",
            readings=_sold(licence, price) if by_reading else None,
            agreement=agreement.hex(),
        )

    def _of_batch(self, batch: Proved, rest: bytes, price: int) -> Goods:
        licence = self.licences.get(batch.agreement or b"")
        piece = int.from_bytes(rest, "big") if len(rest) == _PIECE_BYTES else None
        readings = batch.readings if piece is None or licence is None else _sold(licence, price)
        return Goods(
            "batch" if piece is None else f"piece {piece + 1} of a batch",
            (batch,),
            batch.after_s - _MINUTE_S,
            readings,
            None if batch.agreement is None else batch.agreement.hex(),
            licence,
            piece,
        )

    def _of_window(self, held: Held, rest: bytes, price: int) -> Goods:
        licence, number = held.licence, int.from_bytes(rest, "big", signed=True)
        length_s = dues.window_s(licence)
        start_s = licence.begins_s + number * length_s
        within = tuple(
            each
            for each in self.known.values()
            if each.agreement == held.digest
            and each.first_s < start_s + length_s
            and start_s < each.after_s
        )
        by_reading = isinstance(licence.price, PerReading)
        return Goods(
            f"window {number} of {length_s} s",
            within,
            start_s,
            _sold(held, price) if by_reading else None,
            held.digest.hex(),
            held,
            number,
        )


def _sold(held: Held, price: int) -> int:
    return price // held.licence.price.minor_units


def read(
    log: LogReader,
    found: Iterable[tuple[int, Statement]],
    first: Genesis,
    deeds: Iterable[Deed],
) -> Book:
    """The book of a home from its log's statements and its deeds, for a till of so many lines.

    Raises:
        LedgerError: a receipt that does not hold.
    """
    known = dict(_batches(log, found, first))
    agreements: dict[bytes, Document] = {}
    held: dict[bytes, Held] = {}
    for deed in deeds:
        agreements[deed.digest] = deed.agreement
        if isinstance(deed.agreement, DataLicence):
            standing = consents.standing(deed.agreement, deed.acts, 0)
            held[deed.digest] = Held(deed.agreement, standing)
    return Book(
        first.name,
        known,
        held,
        {
            licensed.window_source(each.licence, 0)[:SOURCE_BYTES]: each
            for each in held.values()
            if dues.window_s(each.licence)
        },
        {
            metering.unit_source(digest, price.unit, 0)[:SOURCE_BYTES]: (digest, _unit(price))
            for digest, service in agreements.items()
            if isinstance(service, MeteredService)
            for price in service.prices
        },
        {digest: each for digest, each in agreements.items() if isinstance(each, Ecosystem)},
    )


def _unit(price: UnitPrice) -> str:
    return price.unit if price.per == 1 else f"{price.per} {price.unit}"


def _batches(
    log: LogReader, found: Iterable[tuple[int, Statement]], first: Genesis
) -> Iterator[tuple[bytes, Proved]]:
    """Each batch of the log by the start of its content identity, its receipt verified."""
    for index, said in found:
        if said.kind != "batch":
            continue
        receipts.verify_inclusion(first.receipt_key, log.receipt(index), said.digest)
        batch = batches.decode(said.payload)
        yield (
            sha256(said.signed).digest()[:SOURCE_BYTES],
            Proved(
                index,
                said.digest.hex(),
                batch.leaf_count,
                batch.first_minute * _MINUTE_S,
                (batch.last_minute + 1) * _MINUTE_S,
                batch.agreement,
            ),
        )
