"""When is a batch full, and which packs go into it. Pure.

One batch is one subject's readings of one boot: order inside it is by boot and monotonic time, so a
restart of the gateway always starts a new batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec


class PackHead(msgspec.Struct, frozen=True, gc=False):
    """A pack on disk as the batcher sees it: whose, how many, when; not what."""

    pack: int
    subject: str
    boot: bytes
    readings: int
    first_ms: int
    last_ms: int
    committed_ms: int


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch closes at `readings_max`, or `age_max_ms` (boot time) after its first pack."""

    readings_max: int
    age_max_ms: int


def due(
    packs: Sequence[PackHead], limits: BatchLimits, boot: bytes, now_ms: int, *, drain: bool = False
) -> tuple[PackHead, ...]:
    """The packs of the next batch of one subject (oldest first), or () while it is still open.

    `packs` are that subject's unbatched packs in order. A batch of an earlier boot is always due;
    `drain` makes the open one due as well.
    """
    if not packs:
        return ()
    first = packs[0]
    chosen: list[PackHead] = []
    readings = 0
    for pack in packs:
        if pack.boot != first.boot or (chosen and readings + pack.readings > limits.readings_max):
            return tuple(chosen)
        chosen.append(pack)
        readings += pack.readings
    full = readings >= limits.readings_max
    old = now_ms - first.committed_ms >= limits.age_max_ms
    if full or old or drain or first.boot != boot:
        return tuple(chosen)
    return ()
