"""The payload of a `batch` statement: what is said in the open about one subject's readings.

FORMATS section 4. Labels: 1 version, 2 leaves, 3 root, 4 and 5 first and last minute (Unix time in
whole minutes), 6 clock, 7 digest of the issuer's batch before, 8 sequence, 9 counts by provenance,
10 losses, 11 profiles, 12 agreement. Never a value, a name or a place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ledger_client import cbor, shapes
from ledger_client.errors import EncodingError

VERSION = 1
LEAVES_MAX = 65_536
PROFILES_MAX = 64
NO_PREVIOUS = bytes(32)
PROVENANCES = frozenset({0, 1, 2, 3, 9})
CLOCK_STATE_MAX = 6

_REQUIRED = frozenset(range(1, 12))
_AGREEMENT = 12
_CLOCK_REQUIRED = frozenset({1, 3, 4, 5, 6, 8})
_CLOCK_OPTIONAL = frozenset({2, 7})


@dataclass(frozen=True, slots=True)
class Clock:
    """How far the wall clock is to be trusted. Times of CLOCK_BOOTTIME are in milliseconds.

    `state`: 0 unset, 1 restored, 2 NTP, 3 authenticated, 4 roughtime, 5 GNSS, 6 RTC. `error_max_ms`
    and `since_sync_s` are None where nobody knows. `boot` is 8 random bytes of this boot.
    """

    state: int
    boot: bytes
    boot_count: int
    first_ms: int
    last_ms: int
    error_max_ms: int | None = None
    since_sync_s: int | None = None
    stepped: bool = False

    def labelled(self) -> dict[int, object]:
        """The map that goes into the payload."""
        labels: dict[int, object] = {
            1: self.state,
            2: self.error_max_ms,
            3: self.boot,
            4: self.boot_count,
            5: self.first_ms,
            6: self.last_ms,
            7: self.since_sync_s,
            8: self.stepped,
        }
        return {label: value for label, value in labels.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Losses:
    """What was heard or due and is not in any batch, since the batch before.

    Readings `dropped` by a full queue or `rejected` by a decoder or by admission; `gap` counts
    silences and restarts, of which nobody knows how many readings they cost.
    """

    dropped: int = 0
    rejected: int = 0
    gap: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch, as its statement tells it."""

    leaf_count: int
    root: bytes
    first_minute: int
    last_minute: int
    clock: Clock
    previous: bytes
    sequence: int
    provenance: Mapping[int, int]
    losses: Losses
    profiles: tuple[str, ...]
    agreement: bytes | None = None

    def encode(self) -> bytes:
        """The payload's bytes; whatever `decode` would refuse is refused here."""
        labels: dict[int, object] = {
            1: VERSION,
            2: self.leaf_count,
            3: self.root,
            4: self.first_minute,
            5: self.last_minute,
            6: self.clock.labelled(),
            7: self.previous,
            8: self.sequence,
            9: dict(self.provenance),
            10: {
                "dropped": self.losses.dropped,
                "rejected": self.losses.rejected,
                "gap": self.losses.gap,
            },
            11: list(self.profiles),
        }
        if self.agreement is not None:
            labels[_AGREEMENT] = self.agreement
        payload = cbor.encode(labels)
        decode(payload)
        return payload


def decode(payload: bytes) -> Batch:
    """The batch in a statement's payload.

    Raises:
        EncodingError: not a batch of this version, or one that contradicts itself.
    """
    pairs = shapes.fields(cbor.decode(payload), "batch", _REQUIRED, frozenset({_AGREEMENT}))
    shapes.integer(pairs[1], "batch version", VERSION, VERSION)
    agreement = pairs.get(_AGREEMENT)
    batch = Batch(
        leaf_count=shapes.integer(pairs[2], "leaves", 1, LEAVES_MAX),
        root=shapes.octets(pairs[3], "root", 32),
        first_minute=shapes.integer(pairs[4], "first minute"),
        last_minute=shapes.integer(pairs[5], "last minute"),
        clock=_clock(pairs[6]),
        previous=shapes.octets(pairs[7], "previous", 32),
        sequence=shapes.integer(pairs[8], "sequence", 1),
        provenance=_provenance(pairs[9]),
        losses=_losses(pairs[10]),
        profiles=_profiles(pairs[11]),
        agreement=None if agreement is None else shapes.octets(agreement, "agreement", 32),
    )
    if batch.first_minute > batch.last_minute:
        raise EncodingError("batch: the last minute is before the first")
    if sum(batch.provenance.values()) != batch.leaf_count:
        raise EncodingError("batch: the counts by provenance do not add up to the leaves")
    if (batch.sequence == 1) != (batch.previous == NO_PREVIOUS):
        raise EncodingError("batch: exactly the first one has 32 zero bytes for its previous")
    return batch


def _clock(value: object) -> Clock:
    pairs = shapes.fields(value, "clock", _CLOCK_REQUIRED, _CLOCK_OPTIONAL)
    clock = Clock(
        state=shapes.integer(pairs[1], "clock state", 0, CLOCK_STATE_MAX),
        error_max_ms=shapes.integer(pairs[2], "clock error") if 2 in pairs else None,  # noqa: PLR2004  # the label
        boot=shapes.octets(pairs[3], "boot", 8),
        boot_count=shapes.integer(pairs[4], "boot count"),
        first_ms=shapes.integer(pairs[5], "first sample"),
        last_ms=shapes.integer(pairs[6], "last sample"),
        since_sync_s=shapes.integer(pairs[7], "since sync") if 7 in pairs else None,  # noqa: PLR2004  # the label
        stepped=shapes.boolean(pairs[8], "step seen"),
    )
    if clock.first_ms > clock.last_ms:
        raise EncodingError("clock: the last sample is before the first")
    return clock


def _provenance(value: object) -> dict[int, int]:
    counts: dict[int, int] = {}
    for label, count in shapes.mapping(value, "provenance").items():
        provenance = shapes.integer(label, "provenance", 0, 9)
        if provenance not in PROVENANCES:
            raise EncodingError(f"provenance: expected one of 0 1 2 3 9, got {provenance}")
        counts[provenance] = shapes.integer(count, "provenance count", 1, LEAVES_MAX)
    return counts


def _losses(value: object) -> Losses:
    pairs = shapes.mapping(value, "losses")
    if pairs.keys() != {"dropped", "rejected", "gap"}:
        raise EncodingError("losses: expected dropped, rejected and gap")
    return Losses(*(shapes.integer(pairs[name], name) for name in ("dropped", "rejected", "gap")))


def _profiles(value: object) -> tuple[str, ...]:
    names = tuple(shapes.text(name, "profile", 64) for name in shapes.array(value, "profiles"))
    if not 1 <= len(names) <= PROFILES_MAX or len(set(names)) != len(names):
        raise EncodingError(f"profiles: expected 1 to {PROFILES_MAX} different names")
    return names
