"""What the journal takes and gives: packs, losses, batches. Times are boot time in ms."""

from typing import Any

import msgspec


class Pack(msgspec.Struct, frozen=True, gc=False):
    """One group commit of one subject; `body` is sealed."""

    subject: str
    boot: bytes
    readings: int
    first_ms: int
    last_ms: int
    body: bytes


class HeldPack(msgspec.Struct, frozen=True, gc=False):
    """A pack as it lies in the journal; `batch` is None until it has a name."""

    pack: int
    subject: str
    boot: bytes
    readings: int
    first_ms: int
    last_ms: int
    batch: bytes | None


class Losses(msgspec.Struct, frozen=True, gc=False):
    """What did not become a reading of a subject since its last statement."""

    dropped: int = 0
    rejected: int = 0
    gap: int = 0


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One batch as the journal knows it; `log_index` is None until its receipt is believed."""

    number: int
    batch: bytes
    subject: str
    boot: bytes
    readings: int
    first_ms: int
    last_ms: int
    losses: Losses
    state: str
    log_index: int | None


BATCH_COLUMNS = (
    "number, batch, subject, boot, readings, first_ms, last_ms, dropped, rejected, gap, state,"
    " log_index"
)


def batch_of(row: tuple[Any, ...]) -> Batch:
    """The batch in a row of `BATCH_COLUMNS`."""
    number, batch, subject, boot, readings, first_ms, last_ms, *lost, state, log_index = row
    return Batch(
        number,
        batch,
        subject,
        boot,
        readings,
        first_ms,
        last_ms,
        Losses(*lost),
        state,
        log_index,
    )
