"""A gateway's stores on disk, with time, crashes and readings to order."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent import proving
from agent.agreed import Governing, ungoverned
from agent.batching import BatchLimits
from agent.claims import Kept, pack
from agent.clock import ClockState, Quality
from agent.journal import Journal, Losses, Pack
from agent.registry import Registered
from agent.stores import Stores, Wanted, open_stores
from agent.uplink import Now, Proved, Uplink
from firmware_bridge.radio import Stamp
from ledger_client.log import Log

WALL_MS = 1_767_225_600_000
COMPONENTS = (
    Registered("strap", "heart strap", "F0:00:00:00:00:01", "heart-rate", "runner", ""),
    Registered("tyre", "tyre sensor", "F0:00:00:00:00:02", "tyre", "car", ""),
)


@dataclass
class Box:
    """One home folder. Everything in it was heard at `second` since the boot."""

    path: Path
    limits: BatchLimits = field(default_factory=lambda: BatchLimits(1_000, 60_000))
    batches_max: int = 64
    bytes_max: int = 1 << 20
    second: int = 100
    put_readings: int = 0
    provenance: int = 9
    wall_step_ms: int = 0
    steps: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    def wanted(self, **changes: object) -> Wanted:
        """What the configuration would ask of the stores."""
        asked = {
            "home": self.path,
            "log_name": "box.example/log",
            "demo": True,
            "journal_bytes_max": self.bytes_max,
            "components": COMPONENTS,
        }
        return Wanted(**(asked | changes))  # type: ignore[arg-type]  # each test changes what it needs

    @property
    def stamp(self) -> Stamp:
        """Both clocks, now."""
        return Stamp(WALL_MS + self.second * 1000 + self.wall_step_ms, self.second * 1000)

    def open(self, **changes: object) -> Stores:
        """Open everything, as at a start; closed at the end of the test or by `close`."""
        self.close()
        stores = open_stores(self.wanted(**changes), self.stamp)
        self._stack.callback(stores.close)
        return stores

    def close(self) -> None:
        """Close what is open."""
        self._stack.close()

    def uplink(
        self,
        stores: Stores,
        *,
        journal: Journal | None = None,
        log: Log | None = None,
        governing: Governing = ungoverned,
    ) -> Uplink:
        """The uplink over these stores, or over something that stands in front of them."""
        asked = replace(stores, journal=journal or stores.journal, log=log or stores.log)
        return proving.uplink(asked, self.limits, self.batches_max, governing)

    def now(self, stores: Stores) -> Now:
        """What the gateway would know of time."""
        return Now(self.stamp, Quality(ClockState.NTP, 20), stores.boot, self.steps)

    def hear(
        self,
        stores: Stores,
        count: int = 3,
        subject: str = "runner",
        purpose: str = "",
        **losses: int,
    ) -> list[Kept]:
        """Commit one pack of `count` readings, a second after the last."""
        self.second += 1
        alias, quantity = {"runner": ("strap", "heart_rate"), "car": ("tyre", "tyre_pressure")}[
            subject
        ]
        kept = [
            Kept(
                component=alias,
                profile="heart-rate/1",
                provenance=self.provenance,
                wall_ms=self.stamp.wall_ms,
                boottime_ms=self.stamp.boottime_ms,
                packet=(self.put_readings + number).to_bytes(8, "big"),
                readings=((quantity, 60.0 + number),),
            )
            for number in range(count)
        ]
        self.put_readings += count
        stream = stores.stream_for(subject, purpose).name
        body = stores.vault.seal_pack(stream, pack(kept))
        now_ms = self.stamp.boottime_ms
        stores.journal.put(
            [Pack(stream, stores.boot, count, now_ms, now_ms, body)],
            {},
            {subject: Losses(**losses)} if losses else {},
            now_ms,
        )
        return kept

    def prove(self, stores: Stores) -> list[Proved]:
        """Everything that waits becomes receipted batches."""
        return self.uplink(stores).step(self.now(stores), drain=True)
