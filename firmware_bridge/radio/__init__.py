"""What a radio is to the rest: packets go to a sink, and each link can be asked how it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from firmware_bridge.packets import Advert, Packet

if TYPE_CHECKING:
    from firmware_bridge.profiles.profile import Profile


class Stamp(NamedTuple):
    """One look at the clock: Unix time and CLOCK_BOOTTIME, both in milliseconds."""

    wall_ms: int
    boottime_ms: int


Clock = Callable[[], Stamp]
Sink = Callable[[Packet], None]


@dataclass(frozen=True, slots=True)
class Device:
    """A device to listen to: its address, how it speaks, and how long it may say nothing.

    `pair` allows pairing with it; without that, a device that asks for it is refused.
    """

    address: str
    profile: "Profile"
    pair: bool = False
    silence_max_s: float = 30.0


class LinkView(NamedTuple):
    """The state of one device's link for people: `state` is a word of `links.State`.

    `since_ms` and `heard_ms` are boot time; `heard_ms` is None before the first packet. `failures`
    counts those in a row; `error` says why the last one failed.
    """

    address: str
    state: str
    since_ms: int
    heard_ms: int | None
    rssi_dbm: int | None
    failures: int
    packets: int
    error: str


class Health(NamedTuple):
    """What the scanner's watchdog had to do since the start, and whether it helped.

    `deaf`: nothing was heard since the last remedy. `gave_up`: the adapter is not reset any more,
    because it changed nothing; perhaps nothing is on the air.
    """

    scanner_rebuilds: int
    adapter_resets: int
    deaf: bool = False
    gave_up: bool = False

    @property
    def words(self) -> str:
        """What is wrong, for people; empty while something is heard."""
        if not self.deaf:
            return ""
        return (
            f"hears nothing at all: the scanner was started anew {self.scanner_rebuilds} times,"
            f" the adapter reset {self.adapter_resets} times"
            + (", which changed nothing and is not tried again" if self.gave_up else "")
        )


class Radio(Protocol):
    """Hears devices. One `run` at a time; `scan` may go on beside it."""

    @property
    def kind(self) -> str:
        """The word of the configuration that chose this radio."""
        ...

    @property
    def health(self) -> Health:
        """What had to be mended so far."""
        ...

    async def run(self, sink: Sink) -> None:
        """Hand every packet to `sink`, in the order heard, until cancelled.

        `sink` must not wait. Raises RadioUnavailableError with the command that mends it.
        """
        ...

    def links(self) -> tuple[LinkView, ...]:
        """The state of every device's link, in the order of the configuration."""
        ...

    async def scan(self, seconds: float) -> list[Advert]:
        """The newest advertisement of every device heard within `seconds`, strongest first."""
        ...
