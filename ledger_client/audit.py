"""What the statements of one log say together: chains, counts, trust, and what was erased."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ledger_client import batches, disclosure, genesis, merkle, pins, statements, trust
from ledger_client.checkpoints import Checkpoint
from ledger_client.disclosure import Disclosure
from ledger_client.erasures import Erasures
from ledger_client.errors import EncodingError, ProofError, RemoteError
from ledger_client.genesis import Genesis
from ledger_client.keys import PublicKey
from ledger_client.report import Issuer, Report, Witnessed
from ledger_client.vouching import Anchors, RootOf, Trust

BATCH = "batch"
CLOCK_UNSET = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A statement whose signature holds at its place on the log; `batch` is what a batch says."""

    statement: statements.Statement
    batch: batches.Batch | None


@dataclass(frozen=True, slots=True)
class _Tip:
    """An issuer's newest batch, at its place on the log and in the file."""

    sequence: int = 0
    digest: bytes = batches.NO_PREVIOUS
    index: int = -1
    rank: int = -1


@dataclass(frozen=True, slots=True)
class Sealed:
    """A head whose signatures were checked: its note, when it was signed, and who else saw it.

    `earlier` is a head of the same log that this one was shown to continue.
    """

    checkpoint: Checkpoint
    note: str
    signed_s: int
    witnesses: tuple[Witnessed, ...] = ()
    earlier: Checkpoint | None = None


@dataclass(slots=True)
class _Sums:
    """What batches say together; a million of them take no more room than one."""

    count: int = 0
    readings: int = 0
    first_minute: int | None = None
    last_minute: int | None = None
    provenance: Counter[int] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    clock_states: Counter[int] = field(default_factory=Counter)
    clock_steps: int = 0
    boots: set[bytes] = field(default_factory=set)
    profiles: set[str] = field(default_factory=set)

    def add(self, batch: batches.Batch) -> None:
        """Count one more."""
        self.count += 1
        self.readings += batch.leaf_count
        first, last = self.first_minute, self.last_minute
        self.first_minute = batch.first_minute if first is None else min(first, batch.first_minute)
        self.last_minute = batch.last_minute if last is None else max(last, batch.last_minute)
        self.provenance.update(batch.provenance)
        lost = batch.losses
        self.losses.update(dropped=lost.dropped, rejected=lost.rejected, gap=lost.gap)
        self.clock_states[batch.clock.state] += 1
        self.clock_steps += batch.clock.stepped
        self.boots.add(batch.clock.boot)
        self.profiles.update(batch.profiles)


class Audit:
    """Takes statements of one log, in its order, and keeps count of what they say."""

    def __init__(self, anchors: Anchors) -> None:
        self.trust = Trust(anchors)
        self.hashes: list[bytes] = []
        self.gaps: list[str] = []
        self.withheld = 0
        self.disclosed = 0
        self._genesis: Genesis | None = None
        self._kinds: Counter[str] = Counter()
        self._tips: dict[PublicKey, _Tip] = {}
        self._sums = _Sums()
        self._issuers: dict[PublicKey, Issuer] = {}
        self._subjects: dict[str, None] = {}
        self._erasures = Erasures()

    @property
    def genesis(self) -> Genesis:
        """What the log says about itself.

        Raises:
            ProofError: nothing was added.
        """
        if self._genesis is None:
            raise ProofError("there is no entry, not even a genesis")
        return self._genesis

    def add(self, index: int, data: bytes, disclosed: Disclosure | None) -> Judged:
        """Judge the next statement, entry `index` of the log, and what came with it."""
        batch = None
        with within(f"entry {index}"):
            statement = statements.verify(data)
            if statement.receipts:
                raise EncodingError("a statement on a log carries no receipts")
            if self._genesis is None:
                self._genesis = genesis.verify(statement)
            elif statement.kind == genesis.KIND:
                raise ProofError("a second genesis")
            if statement.kind == BATCH:
                batch = batches.decode(statement.payload)
                self._add_batch(index, statement, batch, disclosed)
            elif disclosed is not None:
                raise ProofError(f"a {statement.kind} statement has no leaves")
            self.trust.add(index, statement)
            self._erasures.add(statement)
            if statement.kind == trust.ROTATION:
                self._rotate(index, trust.rotated(statement))
        self._kinds[statement.kind] += 1
        self.hashes.append(merkle.leaf_hash(statement.digest))
        return Judged(statement, batch)

    def _add_batch(
        self,
        index: int,
        statement: statements.Statement,
        batch: batches.Batch,
        disclosed: Disclosure | None,
    ) -> None:
        issuer = statement.issuer
        self._follow(issuer, batch.sequence - 1, batch.previous, index)
        self._tips[issuer] = _Tip(batch.sequence, statement.digest, index, len(self.hashes))
        clock_set = batch.clock.state != CLOCK_UNSET
        self.trust.used(index, issuer, statement.issued_s, clock_set=clock_set)
        here = 0 if disclosed is None else len(disclosure.verify(disclosed, batch))
        self.disclosed += here
        self._erasures.closed(statement, batch.leaf_count - here)
        self._sums.add(batch)
        known = self._issuers.get(issuer)
        first, count = (known.first_sequence, known.batches) if known else (batch.sequence, 0)
        self._issuers[issuer] = Issuer(
            issuer.did, issuer.short_id, count + 1, first, batch.sequence
        )
        self._subjects[statement.subject] = None

    def _rotate(self, index: int, rotation: trust.Rotation) -> None:
        """The new key's chain begins where the old one's ends."""
        self._follow(rotation.old, rotation.sequence, rotation.digest, index)
        tip = _Tip(rotation.sequence, rotation.digest, index, len(self.hashes))
        self._tips.setdefault(rotation.old, tip)
        self._tips[rotation.new] = tip

    def _follow(self, issuer: PublicKey, last: int, digest: bytes, index: int) -> None:
        """Whether the batch `last` is the issuer's newest, or some are missing up to it.

        Those may be withheld, if there is room for them: since the issuer's newest batch there may
        have been as many others as there are entries that the file lacks.
        """
        before, name = self._tips.get(issuer, _Tip()), issuer.short_id
        missing = last - before.sequence
        if missing < 0:
            raise ProofError(f"sequence {last + 1} of {name} comes after {before.sequence}")
        if missing == 0 and digest != before.digest:
            raise ProofError(f"sequence {last + 1} of {name} does not follow {last}")
        room = (index - before.index) - (len(self.hashes) - before.rank)
        self.withheld += min(missing, room)
        if missing > room:
            least = f"at least {missing - room} of " if room else ""
            self.gaps.append(f"{name} lacks {least}sequence {before.sequence + 1} to {last}")

    def _root_of(self, size: int) -> bytes:
        return merkle.root_of(size, merkle.nodes_of(self.hashes))

    def tips(self) -> Iterator[tuple[PublicKey, int, bytes]]:
        """Issuer, last sequence and its digest, for each chain."""
        for issuer, tip in self._tips.items():
            yield issuer, tip.sequence, tip.digest

    def _continues(self, sealed: Sealed, root_of: RootOf | None) -> tuple[int | None, int | None]:
        """The size of the pinned head that this is shown to continue, or of one that it is not.

        Raises:
            ProofError: another key, an older head, or another history than the pinned.
        """
        pin, first = self.trust.anchors.pins.get(self.genesis.name), self.genesis
        if pin is None:
            return None, None
        pin.expect(first.name, first.verifier.vkey)
        old, earlier = pin.checkpoint, sealed.earlier
        if root_of is None and earlier is not None and earlier.size == old.size:
            root_of = {old.size: earlier.root}.__getitem__
        linked = pins.follow(old, sealed.checkpoint, root_of)
        return (old.size, None) if linked else (None, old.size)

    def report(self, sealed: Sealed, *, shown: int, disclosed: int | None) -> Report:
        """The sum of it, under this head."""
        head, signed_s = sealed.checkpoint, sealed.signed_s
        sums = self._sums
        root_of = self._root_of if head.size == len(self.hashes) else None
        log_key = self.genesis.receipt_key
        continues, unlinked = self._continues(sealed, root_of)
        return Report(
            log=self.genesis.name,
            demo=self.genesis.demo,
            vkey=self.genesis.verifier.vkey,
            receipt_key=log_key.did,
            size=head.size,
            shown=shown,
            root=head.root.hex(),
            signed_s=signed_s,
            receipts=shown if head.size > 1 and disclosed is not None else 0,
            kinds=dict(self._kinds),
            issuers=tuple(self._issuers.values()),
            subjects=tuple(self._subjects),
            batches=sums.count,
            readings=sums.readings,
            disclosed=disclosed,
            erased=self._erasures.count(self.trust.followed),
            first_minute=sums.first_minute,
            last_minute=sums.last_minute,
            provenance=dict(sorted(sums.provenance.items())),
            losses={name: count for name, count in sums.losses.items() if count},
            gaps=tuple(self.gaps),
            withheld=self.withheld,
            clock_states=dict(sorted(sums.clock_states.items())),
            clock_steps=sums.clock_steps,
            boots=len(sums.boots),
            profiles=tuple(sorted(sums.profiles)),
            vouchings=self.trust.judge(log_key, signed_s, head.size, root_of),
            rotations=tuple((old.did, new.did) for old, new in self.trust.followed.items()),
            note=sealed.note,
            witnesses=sealed.witnesses,
            extends=None if sealed.earlier is None else sealed.earlier.size,
            continues=continues,
            unlinked=unlinked,
        )


@contextmanager
def within(place: str) -> Iterator[None]:
    """Say where it was that something was wrong."""
    try:
        yield
    except RemoteError as error:
        raise type(error)(f"{place}: {error}") from error
