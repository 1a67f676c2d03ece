"""What a verification established, as values, as lines for people and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from ledger_client.vouching import STREAM, Vouching

PROVENANCE_NAMES = {
    0: "observed",
    1: "bonded",
    2: "authenticated",
    3: "signed by the sensor",
    9: "simulated",
}
LOSS_NAMES = {
    "dropped": "readings dropped",
    "rejected": "readings rejected",
    "gap": "silences or restarts",
}
CLOCK_NAMES = ("unset", "restored", "NTP", "authenticated", "roughtime", "GNSS", "RTC")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One signer of batches: name, how many, from which sequence to which."""

    did: str
    short_id: str
    batches: int
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A witness that cosigned the head, and saw it at `seen_s` by its clock.

    Its key stands in the file; `known` if the reader named it, too.
    """

    vkey: str
    seen_s: int
    known: bool

    def line(self) -> str:
        """For people."""
        whose = "whom you named" if self.known else "a key that you did not name"
        return f"{self.vkey} at {moment(self.seen_s)}, {whose}"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything below is signed, and was checked. Minutes are Unix minutes, times Unix seconds.

    The log has `size` entries, of which `shown` were there. `gaps` are missing sequences of an
    issuer, `withheld` sequences may stand among the entries that are not shown. In `losses`,
    `dropped` and `rejected` count readings, `gap` silences and restarts. `disclosed` readings are
    those whose leaves were there to be checked; None when none are ever there, as in a log.
    `erased` counts, by subject, those that are not here and of which their signer says that it
    destroyed them.
    `vouchings` say whose word stands behind each key, `rotations` which key followed which.
    `witnesses` cosigned the head. `extends` is the size of the earlier head in the file that this
    one continues; `continues` is the size of the pinned head that this one is shown to be or to
    continue, and `unlinked` that of one which an excerpt cannot be shown to continue; both None
    without a pin. `note` is the checkpoint. `findings` are remarks, not failures.
    """

    log: str
    demo: bool
    vkey: str
    receipt_key: str
    size: int
    shown: int
    root: str
    signed_s: int
    receipts: int
    kinds: Mapping[str, int]
    issuers: tuple[Issuer, ...]
    subjects: tuple[str, ...]
    batches: int
    readings: int
    disclosed: int | None
    erased: Mapping[str, int]
    first_minute: int | None
    last_minute: int | None
    provenance: Mapping[int, int]
    losses: Mapping[str, int]
    gaps: tuple[str, ...]
    withheld: int
    clock_states: Mapping[int, int]
    clock_steps: int
    boots: int
    profiles: tuple[str, ...]
    vouchings: tuple[Vouching, ...]
    rotations: tuple[tuple[str, str], ...]
    note: str
    witnesses: tuple[Witnessed, ...]
    extends: int | None
    continues: int | None
    unlinked: int | None

    @property
    def findings(self) -> tuple[str, ...]:
        """What a reader should know although everything holds."""
        closed = self.closed
        unset = self.clock_states.get(0, 0)
        lost = self.losses.get("dropped", 0) + self.losses.get("rejected", 0)
        silences = self.losses.get("gap", 0)
        unvouched = sum(
            each.statements for each in self.vouchings if each.use == STREAM and not each.by
        )
        gone = f"{sum(self.erased.values())} readings of {len(self.erased)} subjects"
        remarks = (
            (self.demo, "this is a demo log: its readings and money are play"),
            (lost, f"{lost} readings were lost and signed for as lost"),
            (silences, f"{silences} silences or restarts were noticed and signed for"),
            (self.gaps, f"{len(self.gaps)} gaps in the issuers' sequences"),
            (
                self.shown < self.size,
                f"an excerpt: {self.shown} of the log's {self.size} entries are here",
            ),
            (self.withheld, f"{self.withheld} batches of the issuers here are not in the excerpt"),
            (closed, f"{closed} readings are counted and proved but not disclosed"),
            (self.erased, f"{gone} were erased, as their signer says"),
            (unset, f"{unset} batches were made while the clock was not set"),
            (self.clock_steps, f"the clock stepped in {self.clock_steps} batches"),
            (unvouched, f"nobody vouches for the keys that signed {unvouched} batches"),
        )
        return tuple(text for applies, text in remarks if applies)

    @property
    def closed(self) -> int:
        """Readings that are there to be given away, and are not."""
        here = self.disclosed
        return 0 if here is None else self.readings - here - sum(self.erased.values())

    def as_json(self) -> dict[str, object]:
        """The same as plain JSON values."""
        provenance = {PROVENANCE_NAMES[key]: count for key, count in self.provenance.items()}
        states = {CLOCK_NAMES[key]: count for key, count in self.clock_states.items()}
        return {
            **asdict(self),
            "provenance": provenance,
            "clock_states": states,
            "findings": list(self.findings),
        }

    def lines(self) -> list[str]:
        """For people, one fact a line."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        provenance = ", ".join(
            f"{count} {PROVENANCE_NAMES[key]}" for key, count in self.provenance.items()
        )
        losses = ", ".join(
            f"{count} {LOSS_NAMES[name]}" for name, count in self.losses.items() if count
        )
        disclosed = "" if self.disclosed is None else f", {self.disclosed} disclosed"
        clock = ", ".join(f"{CLOCK_NAMES[key]} {count}" for key, count in self.clock_states.items())
        return [
            f"log          {self.log}{' (demo)' if self.demo else ''}",
            f"log key      {self.vkey}",
            f"receipt key  {self.receipt_key}",
            f"head         {self.size} entries, root {self.root}, signed {moment(self.signed_s)}",
            f"entries      {kinds}; {self.receipts} receipts hold",
            *(
                f"issuer       {issuer.did} ({issuer.short_id}): {issuer.batches} batches, "
                f"sequence {issuer.first_sequence} to {issuer.last_sequence}"
                for issuer in self.issuers
            ),
            *(f"rotation     {new} follows {old}" for old, new in self.rotations),
            *(f"vouched      {each.line()}" for each in self.vouchings),
            *(
                f"subject      {subject}{' (erased)' if subject in self.erased else ''}"
                for subject in self.subjects
            ),
            f"readings     {self.readings} in {self.batches} batches{disclosed}",
            f"period       {self._period()}",
            f"provenance   {provenance or 'none'}",
            f"losses       {losses or 'none'}",
            f"gaps         {'; '.join(self.gaps) or 'none'}",
            f"clock        {clock or 'none'} (batches); {self.boots} boots",
            *(f"witnessed    {each.line()}" for each in self.witnesses),
            *([f"continues    the head of {self.extends} entries"] if self.extends else []),
            *(
                f"pinned       the head of {size} entries, {how}"
                for size, how in (
                    (self.continues, "which this one continues"),
                    (self.unlinked, "which an excerpt cannot be shown to continue"),
                )
                if size is not None
            ),
            *(f"note         {finding}" for finding in self.findings),
        ]

    def _period(self) -> str:
        if self.first_minute is None or self.last_minute is None:
            return "none"
        return f"{moment(self.first_minute * 60)} to {moment(self.last_minute * 60)}"


def moment(unix_s: int) -> str:
    """A Unix time in words, whatever number it is."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"Unix time {unix_s}"
