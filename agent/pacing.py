"""When a payment message leaves: at once, paced, or once more later. Times are a loop's seconds."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from agent.desks import Send
from ledger_client.messages import Item, Standing


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one shell. Beyond `inbox_max` messages the broker waits.

    Beyond `messages_per_s_max` from one peer its messages are dropped: what counts is said again.
    For one peer the ledger is asked about `unknown_per_s_max` channels that we do not have.
    So many peers are told apart; a channel is introduced again after `introduce_s`, then later.
    """

    inbox_max: int = 1024
    group_max: int = 256
    in_flight_max: int = 32
    messages_per_s_max: int = 2_000
    unknown_per_s_max: int = 8
    peers_max: int = 1_024
    introduce_s: float = 0.1
    retry_first_s: float = 1.0
    retry_most_s: float = 300.0
    watch_s: float = 30.0


LIMITS = Limits()


class Backoff:
    """When to do something again, by channel: later each time, until it is reset or done."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at: dict[bytes, tuple[float, float]] = {}

    def start(self, channel: bytes, now: float, first_s: float | None = None) -> None:
        """Count from now on, unless it is being counted already; with another first delay."""
        if channel not in self._at:
            delay = self._limits.retry_first_s if first_s is None else first_s
            self._at[channel] = (now + delay, delay)

    def reset(self, channel: bytes, now: float) -> None:
        """Begin again with the first delay: there was progress."""
        self._at[channel] = (now + self._limits.retry_first_s, self._limits.retry_first_s)

    def done(self, channel: bytes) -> None:
        """Nothing is left to do again."""
        self._at.pop(channel, None)

    def due(self, now: float) -> list[bytes]:
        """The channels whose time has come; each is put off to a later one."""
        ready = [channel for channel, (at, _) in self._at.items() if at <= now]
        for channel in ready:
            delay = min(2 * self._at[channel][1], self._limits.retry_most_s)
            self._at[channel] = (now + delay, delay)
        return ready

    def next(self) -> float:
        """When something is due next; infinity when nothing is."""
        return min((at for at, _ in self._at.values()), default=float("inf"))


class Mail:
    """What is to be published: newest of a kind by channel. A standing said again is paced."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[tuple[bytes, str, int], Send] = {}
        self._said: dict[bytes, tuple[Standing, float, float]] = {}
        self.stirred = asyncio.Event()

    def put(self, sends: Iterable[Send]) -> None:
        """Have these leave; one of the same kind and channel that waits is replaced."""
        for send in sends:
            number = send.message.invoice.n if isinstance(send.message, Item) else 0
            self._waiting[send.channel, type(send.message).__name__, number] = send
            self.stirred.set()

    def take(self, now: float) -> list[Send]:
        """Everything that may leave now, in the order in which it was put."""
        ready = [(key, send) for key, send in self._waiting.items() if self._at(send) <= now]
        for key, send in ready:
            del self._waiting[key]
            self._note(send, now)
        return [send for _, send in ready]

    def next(self) -> float:
        """When something is due next; infinity when nothing is."""
        return min((self._at(send) for send in self._waiting.values()), default=float("inf"))

    def _at(self, send: Send) -> float:
        if not isinstance(send.message, Standing) or send.channel not in self._said:
            return 0.0
        said, until, _ = self._said[send.channel]
        return until if said.run == send.message.run else 0.0  # an answer to another run is new

    def _note(self, send: Send, now: float) -> None:
        if not isinstance(send.message, Standing):
            return
        said = self._said.get(send.channel)
        delay = self._limits.retry_first_s if send.message.run else self._limits.introduce_s
        if said is not None and said[0] == send.message:
            delay = min(2 * said[2], self._limits.retry_most_s)
        self._said[send.channel] = (send.message, now + delay, delay)
