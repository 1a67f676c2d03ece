"""The state of one link as a table, its deadlines and back-off, and the scanner watchdog.

Pure: time comes in boot-time milliseconds, chance as a number from 0 to 1.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from firmware_bridge.errors import BridgeError


class State(StrEnum):
    """Where a device's link stands, in words for people."""

    SCANNING = "scanning"  # not heard yet, deadline running
    MISSING = "missing"  # not on the air within the deadline
    BROADCASTING = "broadcasting"  # heard by its adverts; it needs no connection
    QUEUED = "queued"  # on the air, waits for a connection slot
    CONNECTING = "connecting"  # connecting, pairing, subscribing
    SUBSCRIBED = "subscribed"  # connected and heard within the deadline
    SILENT = "silent"  # connected and not heard within the deadline: hang up
    BACKING_OFF = "backing off"  # lost or failed; waits before it tries again


class Event(StrEnum):
    """What can happen to a link."""

    SEEN = "seen"  # an advert of a device that wants a connection
    HEARD = "heard"  # a packet with readings
    ADMITTED = "admitted"  # got a connection slot
    UP = "up"  # connected and subscribed
    DOWN = "down"  # failed, lost or hung up
    DUE = "due"  # the deadline passed


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.SCANNING, Event.SEEN): State.QUEUED,
    (State.SCANNING, Event.HEARD): State.BROADCASTING,
    (State.SCANNING, Event.DUE): State.MISSING,
    (State.MISSING, Event.SEEN): State.QUEUED,
    (State.MISSING, Event.HEARD): State.BROADCASTING,
    (State.BROADCASTING, Event.HEARD): State.BROADCASTING,
    (State.BROADCASTING, Event.DUE): State.MISSING,
    (State.QUEUED, Event.SEEN): State.QUEUED,
    (State.QUEUED, Event.ADMITTED): State.CONNECTING,
    (State.CONNECTING, Event.SEEN): State.CONNECTING,
    (State.CONNECTING, Event.HEARD): State.CONNECTING,  # the first value may overtake the last ack
    (State.CONNECTING, Event.UP): State.SUBSCRIBED,
    (State.CONNECTING, Event.DOWN): State.BACKING_OFF,
    (State.SUBSCRIBED, Event.SEEN): State.SUBSCRIBED,
    (State.SUBSCRIBED, Event.HEARD): State.SUBSCRIBED,
    (State.SUBSCRIBED, Event.DUE): State.SILENT,
    (State.SUBSCRIBED, Event.DOWN): State.BACKING_OFF,
    (State.SILENT, Event.SEEN): State.SILENT,
    (State.SILENT, Event.HEARD): State.SILENT,  # too late: it is being hung up
    (State.SILENT, Event.DOWN): State.BACKING_OFF,
    (State.BACKING_OFF, Event.SEEN): State.BACKING_OFF,
    (State.BACKING_OFF, Event.HEARD): State.BACKING_OFF,  # was under way when the link went
    (State.BACKING_OFF, Event.DUE): State.SCANNING,
}

WATCHED = frozenset({State.SCANNING, State.BROADCASTING, State.SUBSCRIBED})


class LinkStateError(BridgeError):
    """An event that cannot happen in this state: our own fault."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a device may be silent and how long to wait after failures, in milliseconds.

    The wait is uniform between 0 and `backoff_first_ms` doubled for each failure in a row, at most
    `backoff_max_ms` (full jitter), but never under `backoff_min_ms`.
    """

    silence_max_ms: int = 30_000
    backoff_first_ms: int = 1_000
    backoff_max_ms: int = 60_000
    backoff_min_ms: int = 50

    def backoff_ms(self, failures: int, chance: float) -> int:
        """The wait after `failures` in a row (from 1)."""
        ceiling_ms = min(self.backoff_max_ms, self.backoff_first_ms << min(failures - 1, 20))
        return max(self.backoff_min_ms, int(chance * ceiling_ms))


@dataclass(frozen=True, slots=True)
class Link:
    """One device's link: its state, since when, and when something is due.

    `failures` in a row are forgotten when the device is heard, not when it merely connects.
    """

    policy: Policy
    state: State
    since_ms: int
    due_ms: int | None
    heard_ms: int | None = None
    failures: int = 0
    packets: int = 0
    error: str = ""

    @classmethod
    def new(cls, policy: Policy, now_ms: int) -> "Link":
        """A link that was never up."""
        return cls(policy, State.SCANNING, now_ms, now_ms + policy.silence_max_ms)

    def after(self, event: Event, now_ms: int, *, chance: float = 1.0, error: str = "") -> "Link":
        """The link after `event`; raises LinkStateError for one that cannot happen now."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise LinkStateError(f"{event.name} cannot happen while {self.state.name}")
        failures = self.failures
        if event is Event.DOWN:
            failures += 1
        elif event is Event.HEARD:
            failures = 0
        return replace(
            self,
            state=state,
            since_ms=self.since_ms if state is self.state else now_ms,
            due_ms=self._due_ms(state, event, now_ms, failures, chance),
            heard_ms=now_ms if event is Event.HEARD else self.heard_ms,
            failures=failures,
            packets=self.packets + (event is Event.HEARD),
            error=error if event is Event.DOWN else self.error,
        )

    def is_due(self, now_ms: int) -> bool:
        """Whether `Event.DUE` has come."""
        return self.due_ms is not None and now_ms >= self.due_ms

    def _due_ms(
        self, state: State, event: Event, now_ms: int, failures: int, chance: float
    ) -> int | None:
        if state is self.state and event is not Event.HEARD:
            return self.due_ms
        if state is State.BACKING_OFF:
            if event is Event.HEARD:
                return self.due_ms
            return now_ms + self.policy.backoff_ms(failures, chance)
        return now_ms + self.policy.silence_max_ms if state in WATCHED else None


RESETS_IN_VAIN_MAX = 3


class Remedy(StrEnum):
    """What the watchdog asks for."""

    NONE = "none"
    REBUILD = "rebuild the scanner"
    RESET = "reset the adapter"


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Watches a scanner that may silently stop: rebuild it, and if that did not help, the adapter.

    A reset cuts every link, so it is not asked for while one of them is still heard. Nothing may be
    on the air at all: after each reset that changed nothing the next remedy takes twice as long to
    come, and after `RESETS_IN_VAIN_MAX` of them only the scanner is rebuilt.
    """

    silence_max_ms: int
    heard_ms: int
    mended: Remedy = Remedy.NONE
    resets: int = 0  # since anything was heard

    def heard(self, now_ms: int) -> "Watchdog":
        """An advert came, from whomever."""
        return Watchdog(self.silence_max_ms, now_ms)

    @property
    def deaf(self) -> bool:
        """Nothing was heard since the last remedy."""
        return self.mended is not Remedy.NONE

    @property
    def gave_up(self) -> bool:
        """The adapter is not reset any more: it changed nothing."""
        return self.resets >= RESETS_IN_VAIN_MAX

    def verdict(self, now_ms: int, *, links_alive: bool) -> tuple["Watchdog", Remedy]:
        """What to do now. The time to the next remedy starts anew with each."""
        if now_ms - self.heard_ms < self.silence_max_ms << self.resets:
            return self, Remedy.NONE
        reset = self.mended is Remedy.REBUILD and not links_alive and not self.gave_up
        remedy = Remedy.RESET if reset else Remedy.REBUILD
        return Watchdog(self.silence_max_ms, now_ms, remedy, self.resets + reset), remedy
