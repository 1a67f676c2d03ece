"""Who may speak, how often, and what is merely said again. Pure: time comes with the packet.

Three answers only: the packet is new; it repeats what was already taken (normal on the air, dropped
silently); or it is refused, with a reason that is counted and signed into the next statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from firmware_bridge.packets import Advert, Packet


class Refusal(StrEnum):
    """Why a packet did not become readings. Counted by reason."""

    UNKNOWN = "unknown device"
    MALFORMED = "malformed"
    REPLAYED = "replayed"
    RATE = "too many readings"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one component may say. `burst_s` seconds of the rate may come at once."""

    readings_per_s_max: int = 200
    burst_s: int = 10
    repeat_ms: int = 10_000


@dataclass(slots=True)
class _Voice:
    """What is remembered about one component: bounded, a few words each."""

    counter: int = -1
    digest: bytes = b""
    digest_at_ms: int = 0
    tokens: float = 0.0
    tokens_at_ms: int = 0


class Admission:
    """The gate behind the decoders. `counters` are the replay counters that the disk remembers."""

    def __init__(self, limits: Limits, counters: Mapping[str, int]) -> None:
        self._limits = limits
        self._voices = {address: _Voice(counter=counter) for address, counter in counters.items()}

    def repeats(self, packet: Packet, digest: bytes, counter: int | None) -> bool:
        """Whether this advert was already taken: same counter, or same bytes within `repeat_ms`.

        A notification is never a repeat: a steady heart says the same bytes every second.
        """
        if not isinstance(packet, Advert):
            return False
        voice = self._voice(packet)
        if counter is not None:
            return counter == voice.counter
        return (
            digest == voice.digest
            and packet.boottime_ms - voice.digest_at_ms < self._limits.repeat_ms
        )

    def admit(
        self, packet: Packet, digest: bytes, counter: int | None, readings: int
    ) -> Refusal | None:
        """None when `readings` readings of this packet may pass, else the reason why not.

        A counter must strictly rise; it is remembered only when the packet passes.
        """
        voice = self._voice(packet)
        if counter is not None and counter <= voice.counter:
            return Refusal.REPLAYED
        if not self._spend(voice, packet.boottime_ms, readings):
            return Refusal.RATE
        if counter is not None:
            voice.counter = counter
        if readings and isinstance(packet, Advert):
            voice.digest, voice.digest_at_ms = digest, packet.boottime_ms
        return None

    def _voice(self, packet: Packet) -> _Voice:
        voice = self._voices.get(packet.address)
        if voice is None:
            voice = self._voices[packet.address] = _Voice()
        return voice

    def _spend(self, voice: _Voice, now_ms: int, readings: int) -> bool:
        rate, most = self._limits.readings_per_s_max, self._limits.burst_s
        if voice.tokens_at_ms == 0:
            voice.tokens = float(rate * most)
        else:
            elapsed_s = max(0, now_ms - voice.tokens_at_ms) / 1000
            voice.tokens = min(float(rate * most), voice.tokens + elapsed_s * rate)
        voice.tokens_at_ms = now_ms
        if readings > voice.tokens:
            return False
        voice.tokens -= readings
        return True
