"""What this run left on the log, gathered as it grows: the traces by which cheating is found.

Every leaf carries the fingerprint of the packet that it came in, every batch its losses, its clock
and the agreement over it. Nothing else is asked: who has the record can look for the same.
"""

from dataclasses import dataclass

from agent.export import disclosing
from agent.stores import Stores
from ledger_client import batches, leaves, statements
from ledger_client.batches import Batch
from ledger_client.disclosure import Part
from ledger_client.log import Entry

PACKETS_MAX = 200_000
BATCHES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """One packet in one batch: the log's entry, the reading's time and provenance."""

    entry: int
    time_s: float
    provenance: int


@dataclass(frozen=True, slots=True)
class Told:
    """One batch of this run; `names` are its readings as `component/quantity`."""

    entry: int
    batch: Batch
    names: frozenset[str]
    statement: bytes
    leaves: tuple[bytes, ...]

    def of(self, component: str) -> bool:
        """Whether it holds a reading of that component."""
        return any(name.partition("/")[0] == component for name in self.names)


class Traces:
    """Everything from the log's present end on; at its limits the oldest is let go."""

    def __init__(self, stores: Stores) -> None:
        self._log = stores.log
        self._leaves_of = disclosing(stores.journal, stores.vault)
        self._next = stores.log.head.size
        self._packets: dict[tuple[str, bytes], dict[tuple[int, float], Place]] = {}
        self.told: list[Told] = []
        """The batches, by rising entry."""

    def look(self) -> None:
        """Take in what was logged since the last look."""
        for entry in self._log.entries(self._next):
            self._next = entry.index + 1
            said = statements.verify(entry.statement)
            if said.kind == "batch":
                self._take(entry, batches.decode(said.payload))

    def packets(self, fingerprint: bytes) -> list[Place]:
        """Where a packet of this fingerprint is on the log: once for each time it was taken."""
        return [
            place
            for (_, found), places in self._packets.items()
            if found == fingerprint
            for place in places.values()
        ]

    def repeated(self, component: str, *, but: bytes) -> int:
        """How many packets of a component, beside that one, came more than once."""
        return sum(
            len(places) > 1 and owner == component and found != but
            for (owner, found), places in self._packets.items()
        )

    def after(self, boottime_ms: int) -> list[Told]:
        """The batches with a reading from that moment of this boot on."""
        return [each for each in self.told if each.batch.clock.last_ms >= boottime_ms]

    def _take(self, entry: Entry, batch: Batch) -> None:
        given = self._leaves_of(entry)
        disclosed = () if given is None or isinstance(given, Part) else tuple(given)
        names = set()
        for leaf in map(leaves.parse, disclosed):
            names.add(leaf.name)
            known = self._packets.setdefault((leaf.name.partition("/")[0], leaf.packet), {})
            place = Place(entry.index, leaf.time_s, leaf.provenance)
            known[entry.index, leaf.time_s] = place
        while len(self._packets) > PACKETS_MAX:
            del self._packets[next(iter(self._packets))]
        told = Told(entry.index, batch, frozenset(names), entry.statement, disclosed)
        self.told = [*self.told, told][-BATCHES_MAX:]
