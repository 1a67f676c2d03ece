"""What a simulated market goes through, and what really happened in it."""

from dataclasses import dataclass, field


class CrashError(Exception):
    """The process that was at work died."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


def demand(holds: object, complaint: str) -> None:
    """Raise ViolationError unless it `holds`."""
    if not holds:
        raise ViolationError(complaint)


@dataclass
class Odds:
    """How bad it is; all 0 once the net has healed."""

    loss: float = 0.3
    double: float = 0.3
    crash: float = 0.02
    restore: float = 0.02
    forgery: float = 0.05


CALM = Odds(0, 0, 0, 0, 0)


@dataclass
class Truth:
    """What really happened, whoever remembers it."""

    signed: int = 0
    delivered: int = 0
    items: int = 0
    promised: int = 0
    day: int = 0
    signed_before_day: int = 0
    credited: int = 0
    sent: dict[int, bytes] = field(default_factory=dict)
    lines: set[bytes] = field(default_factory=set)
    withdrawn: set[bytes] = field(default_factory=set)
