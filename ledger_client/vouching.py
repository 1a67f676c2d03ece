"""Who vouches for the keys that signed a log: the certificates on it, against what was signed.

Judged when the whole log is known. A batch is vouched for by the root of a chain whose last holder
signed it, with the scope `stream`, at a time within the certificate and before a revocation. While
a gateway's clock was unset, time counts only as far as it passed for certain: the certificate was
on the log before the batch, and nothing earlier on the log is as late as the expiry.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from ledger_client import trust
from ledger_client.certificates import Chain
from ledger_client.checkpoints import Verifier
from ledger_client.errors import ProofError
from ledger_client.keys import PublicKey
from ledger_client.pins import Pin
from ledger_client.statements import Statement
from ledger_client.trust import Revocation, Rotation

STREAM, LOG = "stream", "log"
RootOf = Callable[[int], bytes]
_YEAR_9999_S = 253_402_300_799

NO_CERTIFICATE = "no certificate"
OUT_OF_TIME = "not within the certificate's time"
OUT_OF_SCOPE = "not within the certificate's scope"
REVOKED = "the certificate was revoked"


@dataclass(frozen=True, slots=True)
class Vouching:
    """For `statements` statements of one key: who vouches, or (`by` empty) why nobody does.

    `use` is `stream` for a signer of batches and `log` for the log's own key. `by` are the issuers
    of the chain as did:key, from the owner's root down; times are Unix seconds. `reasons` counts
    the statements by why nobody vouches for them.
    """

    did: str
    short_id: str
    use: str
    by: tuple[str, ...]
    not_before_s: int | None
    expires_s: int | None
    scope: tuple[str, ...]
    statements: int
    reasons: Mapping[str, int]

    def line(self) -> str:
        """For people."""
        if self.use == LOG:
            what = f"the log's key {self.short_id}"
        else:
            what = f"{self.statements} batches of {self.short_id}"
        if not self.by:
            why = ", ".join(f"{reason} ({count})" for reason, count in self.reasons.items())
            return f"nobody vouches for {what}: {why}"
        until = datetime.fromtimestamp(min(self.expires_s or 0, _YEAR_9999_S), UTC)
        return (
            f"{' through '.join(self.by)} vouches for {what}"
            f" ({' '.join(self.scope)}, until {until:%Y-%m-%d})"
        )


class Use(NamedTuple):
    """A key signed at `position` on the log, at `when_s` by its clock (None: unset)."""

    position: int
    when_s: int | None
    floor_s: int


@dataclass(frozen=True, slots=True)
class Published:
    """A chain and the position of the statement that brought it."""

    position: int
    chain: Chain


@dataclass(frozen=True, slots=True)
class Anchors:
    """What a reader brings along: `owner` is whom he trusts, if he named anybody.

    `revocations` are those that he has from elsewhere: a stolen gateway logs none. `pins` are the
    heads that he saw before, by the name of the log. `witnesses` are those whose cosignature he
    asks for.
    """

    owner: PublicKey | None = None
    revocations: tuple[Revocation, ...] = ()
    pins: Mapping[str, Pin] = field(default_factory=dict)
    witnesses: tuple[Verifier, ...] = ()


NOBODY = Anchors()


@dataclass(slots=True)
class Trust:
    """What a log says of trust, at which positions, as a reader with these anchors takes it."""

    anchors: Anchors = NOBODY
    positions: list[int] = field(default_factory=list)
    _published: dict[PublicKey, list[Published]] = field(default_factory=dict)
    _revoked: list[tuple[int, Revocation]] = field(default_factory=list)
    _followed: dict[PublicKey, PublicKey] = field(default_factory=dict)
    _uses: dict[PublicKey, list[Use]] = field(default_factory=dict)
    _floor_s: int = 0

    def add(self, position: int, statement: Statement) -> None:
        """Note the next statement, if it is of trust.

        Raises:
            RemoteError: it breaks a rule.
        """
        if statement.kind in trust.KINDS:
            self.positions.append(position)
        match statement.kind:
            case trust.CERTIFICATE:
                for chain in trust.certified(statement):
                    found = self._published.setdefault(chain[-1].holder, [])
                    found.append(Published(position, chain))
            case trust.REVOCATION:
                self._revoked.append((position, trust.revoked(statement)))
            case trust.ROTATION:
                self._rotate(trust.rotated(statement))

    def _rotate(self, rotation: Rotation) -> None:
        self._still_signs(rotation.old)
        taken = {*self._uses, *self._followed, *self._followed.values()}
        if rotation.new in taken:
            raise ProofError(f"{rotation.new.short_id} was in use before the rotation to it")
        self._followed[rotation.old] = rotation.new

    def _still_signs(self, key: PublicKey) -> None:
        if key in self._followed:
            raise ProofError(
                f"{key.short_id} signed after {self._followed[key].short_id} had followed it"
            )

    def used(self, position: int, key: PublicKey, issued_s: int, *, clock_set: bool) -> None:
        """Note that `key` signed a batch at `position`; raises ProofError after its rotation."""
        self._still_signs(key)
        use = Use(position, issued_s if clock_set else None, self._floor_s)
        self._uses.setdefault(key, []).append(use)
        if clock_set:
            self._floor_s = max(self._floor_s, issued_s)

    def judge(
        self, log_key: PublicKey, signed_s: int, size: int, root_of: RootOf | None
    ) -> tuple[Vouching, ...]:
        """Who vouches for whom: for each key that signed batches, and for the log's own.

        The head of `size` entries was signed at `signed_s` with `log_key`; `root_of`
        gives the root of its first entries; None where nobody can compute that, in an excerpt.
        """
        ends = [(_last(each, size, root_of), each) for each in self.anchors.revocations]
        ends += [
            (_earlier(position, each, size, root_of), each) for position, each in self._revoked
        ]
        found = list(self._of(log_key, LOG, [Use(size - 1, signed_s, 0)], ends))
        for key, uses in self._uses.items():
            found += self._of(key, STREAM, uses, ends)
        return tuple(found)

    @property
    def followed(self) -> Mapping[PublicKey, PublicKey]:
        """Each key that signs no more, and the one that follows it."""
        return self._followed

    def _of(
        self,
        key: PublicKey,
        scope: str,
        uses: Iterable[Use],
        ends: Iterable[tuple[int, Revocation]],
    ) -> Iterable[Vouching]:
        """One line for each root that vouches for `key`, and one for what nobody vouches for."""
        by_root: dict[PublicKey, tuple[Chain, int]] = {}
        reasons: Counter[str] = Counter()
        published = [
            each
            for each in self._published.get(key, [])
            if self.anchors.owner in {None, each.chain[0].issuer}
        ]
        for use in uses:
            chain, reason = _vouching(published, use, scope, ends)
            if chain is None:
                reasons[reason] += 1
            else:
                root = chain[0].issuer
                by_root[root] = (chain, by_root.get(root, (chain, 0))[1] + 1)
        for chain, count in by_root.values():
            yield _line(key, scope, chain, count, {})
        if reasons:
            yield _line(key, scope, (), 0, dict(reasons))


def _vouching(
    published: Iterable[Published], use: Use, scope: str, ends: Iterable[tuple[int, Revocation]]
) -> tuple[Chain | None, str]:
    """The chain that vouches for this use, or why none does.

    The newest that was on the log by then; only without one, the first that came later.
    """
    reason = NO_CERTIFICATE

    def distance(each: Published) -> tuple[bool, int]:
        return each.position > use.position, abs(each.position - use.position)

    for each in sorted(published, key=distance):
        last = each.chain[-1]
        if scope not in last.grant.scope:
            reason = OUT_OF_SCOPE
        elif not last.current(use.when_s, use.floor_s) or (
            use.when_s is None and each.position > use.position
        ):
            reason = OUT_OF_TIME
        elif any(use.position >= end and takes_back(gone, each.chain) for end, gone in ends):
            reason = REVOKED
        else:
            return each.chain, ""
    return None, reason


def takes_back(revocation: Revocation, chain: Chain) -> bool:
    """A revoker counts for the chains that it stands in: anybody can make a chain of his own."""
    gone = revocation.chain[-1]
    for depth, each in enumerate(chain):
        if (each.issuer, each.handle) == (gone.issuer, gone.handle):
            return revocation.revoker in {above.issuer for above in chain[: depth + 1]}
    return False


def _last(revocation: Revocation, size: int, root_of: RootOf | None) -> int:
    """The first position that is not believed any more: 0 where the signer names no head of ours.

    Without the tree, in an excerpt, no earlier head can be compared, and nothing is believed.
    """
    believed = revocation.believed
    if believed is None:
        return 0
    if believed.size > size:
        return size  # the signer saw more of this log than we do
    if root_of is None or root_of(believed.size) != believed.root:
        return 0
    return believed.size


def _earlier(position: int, revocation: Revocation, size: int, root_of: RootOf | None) -> int:
    """As `_last`, for a revocation on the log itself: what stands after it is never believed."""
    if revocation.believed is None:
        return position
    return min(position, _last(revocation, size, root_of))


def _line(
    key: PublicKey, scope: str, chain: Chain, count: int, reasons: Mapping[str, int]
) -> Vouching:
    last = chain[-1].grant if chain else None
    return Vouching(
        did=key.did,
        short_id=key.short_id,
        use=scope,
        by=tuple(each.issuer.did for each in chain),
        not_before_s=last.not_before_s if last else None,
        expires_s=last.expires_s if last else None,
        scope=last.scope if last else (),
        statements=count or sum(reasons.values()),
        reasons=reasons,
    )
