"""One frozen snapshot of the gateway that the terminal, the status topic and the CLI all show.

The board is written by the parts as things happen; `snapshot` reads it. Text from devices is
stripped of control characters here, once.
"""

import msgspec

from firmware_bridge.packets import Advert, Packet
from firmware_bridge.readings import Reading


class ComponentView(msgspec.Struct, frozen=True):
    """One component: `values` maps a quantity to its last value; times are boot time in ms."""

    alias: str
    id: str
    kind: str
    subject: str
    state: str
    rssi_dbm: int | None
    heard_ms: int | None
    readings: int
    values: dict[str, float | str]
    error: str = ""


class BatchView(msgspec.Struct, frozen=True):
    """One receipted batch."""

    subject: str
    sequence: int
    readings: int
    log_index: int
    log_size: int


class AccountView(msgspec.Struct, frozen=True):
    """One trade in minor units: `paid` is promised by vouchers, `settled` is on the ledger."""

    what: str
    payer: str
    payee: str
    state: str
    items: int
    items_paid: int
    due: int
    paid: int
    settled: int


class AgreementView(msgspec.Struct, frozen=True):
    """An agreement of a demo: `says` what came of it by now, `facts` the numbers behind that."""

    kind: str
    digest: str
    parties: tuple[str, ...]
    state: str
    says: str
    facts: dict[str, object]


class CheatView(msgspec.Struct, frozen=True):
    """A demo's cheat: when in the run it is or was done, and what is found of it by now."""

    name: str
    at_s: float
    outcome: str
    says: str
    evidence: dict[str, object]


class Governed(msgspec.Struct, frozen=True):
    """One agreement: its digest in hex, where it stands, and whether it `governs` anything now."""

    agreement: str
    kind: str
    state: str
    about: str
    governs: bool
    until_s: int


class Snapshot(msgspec.Struct, frozen=True):
    """Everything that is shown of a running gateway. Counts are since this start."""

    version: str
    gateway: str
    started_ms: int
    now_ms: int
    radio: str
    broker_connected: bool
    clock: str
    readings: int
    repeats: int
    dropped: int
    refused: dict[str, int]
    batches: int
    receipts_verified: int
    log_size: int
    journal_bytes: int
    published: int
    components: tuple[ComponentView, ...]
    latest: tuple[BatchView, ...]
    money: tuple[AccountView, ...]
    asset: str
    traffic: tuple[str, ...] = ()
    orders: dict[str, str] = {}
    agreements: tuple[AgreementView, ...] = ()
    governed: tuple[Governed, ...] = ()
    cheats: tuple[CheatView, ...] = ()


def printable(text: str, characters_max: int = 120) -> str:
    """Text from outside without control characters, cut to a length."""
    return "".join(c if c.isprintable() else "?" for c in text[:characters_max])


class _Line:
    """What the board remembers about one component."""

    __slots__ = ("heard_ms", "provenances", "readings", "rssi_dbm", "values")

    def __init__(self) -> None:
        self.heard_ms: int | None = None
        self.readings = 0
        self.rssi_dbm: int | None = None
        self.values: dict[str, float | str] = {}
        self.provenances: dict[str, int] = {}


class Board:
    """Written by the pipeline for every packet that passes; bounded by components x quantities."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self.orders: dict[str, str] = {}
        """What each standing order decided last, and why, by its subject."""

    def heard(self, alias: str, packet: Packet, readings: list[Reading]) -> None:
        """Note the newest value of each quantity."""
        line = self._lines.get(alias)
        if line is None:
            line = self._lines[alias] = _Line()
        line.heard_ms = packet.boottime_ms
        line.readings += len(readings)
        if isinstance(packet, Advert):
            line.rssi_dbm = packet.rssi_dbm
        for reading in readings:
            value = reading.value
            line.values[reading.quantity] = printable(value) if isinstance(value, str) else value
            line.provenances[reading.quantity] = reading.provenance

    def number(self, alias: str, quantity: str) -> float:
        """The newest value of a quantity of a component; 0 while it was not heard."""
        line = self._lines.get(alias)
        value = line.values.get(quantity, 0.0) if line else 0.0
        return value if isinstance(value, int | float) else 0.0

    def newest(self, alias: str, quantity: str) -> tuple[float, int] | None:
        """The newest number of a quantity of a component and how it was heard; None for none."""
        line = self._lines.get(alias)
        value = line.values.get(quantity) if line else None
        if line is None or not isinstance(value, int | float):
            return None
        return value, line.provenances[quantity]

    def view(self, alias: str, short_id: str, kind: str, subject: str) -> ComponentView:
        """The component as it is shown before its link is added."""
        line = self._lines.get(alias) or _Line()
        return ComponentView(
            alias=alias,
            id=short_id,
            kind=kind,
            subject=subject,
            state="waiting" if line.heard_ms is None else "heard",
            rssi_dbm=line.rssi_dbm,
            heard_ms=line.heard_ms,
            readings=line.readings,
            values=dict(line.values),
        )
