"""What certified parties may spend, by the certificates and revocations on a ledger's own log.

Only certificates count that the ledger's operator issued, under whichever key it had: others on the
log are others' business. The newest that was not taken back holds.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ledger_client import statements, trust
from ledger_client.certificates import Chain
from ledger_client.keys import PublicKey
from ledger_client.log import LogReader
from ledger_client.settlement import RefusedError
from ledger_client.trust import Revocation
from ledger_client.vouching import takes_back

PAY = "pay"


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most so many minor units in any `period_s` seconds; None: in the certificate's life."""

    minor_units_max: int
    period_s: int | None
    asset: str | None

    def since_s(self, now_s: int) -> int:
        """The Unix second after which money counts that was spent."""
        return -1 if self.period_s is None else now_s - self.period_s

    @property
    def period(self) -> str:
        """For people."""
        return "in all" if self.period_s is None else f"in {self.period_s} s"


class _Found(NamedTuple):
    """What so many statements of trust say."""

    statements: int
    chains: dict[PublicKey, list[Chain]]
    revocations: list[Revocation]


class Allowances:
    """Reads the log again only when there is more about trust on it."""

    def __init__(self, log: LogReader, operator: PublicKey) -> None:
        self._log = log
        self._operator = operator
        self._found = _Found(0, {}, [])

    def of(self, party: PublicKey, now_s: int) -> Allowance | None:
        """What `party` may spend; None for one that the operator never certified.

        Raises:
            RefusedError: its certificate was taken back, is over, or is not for paying.
        """
        found = self._look()
        if party not in found.chains:
            return None
        chain = _newest(found, party)
        if chain is None:
            raise RefusedError(f"the certificate of {party.short_id} was taken back")
        grant = chain[-1].grant
        if PAY not in grant.scope or not grant.limits.minor_units_max:
            raise RefusedError(f"the certificate of {party.short_id} is not for paying")
        if not all(each.current(now_s) for each in chain):
            raise RefusedError(f"the certificate of {party.short_id} does not hold at this time")
        limits = grant.limits
        return Allowance(limits.minor_units_max, limits.period_s, limits.asset)

    def revoked(self, party: PublicKey) -> bool:
        """Whether the operator certified `party` and took all of it back."""
        found = self._look()
        return party in found.chains and _newest(found, party) is None

    def _look(self) -> _Found:
        positions = self._log.trust_positions()
        if len(positions) != self._found.statements:
            chains: dict[PublicKey, list[Chain]] = {}
            revocations: list[Revocation] = []
            for position in positions:
                statement = statements.verify(self._log.statement(position))
                if statement.kind == trust.CERTIFICATE:
                    for chain in trust.certified(statement):
                        if self._ours(chain[-1].issuer):
                            chains.setdefault(chain[-1].holder, []).insert(0, chain)
                elif statement.kind == trust.REVOCATION:
                    revocations.append(trust.revoked(statement))
            self._found = _Found(len(positions), chains, revocations)
        return self._found

    def _ours(self, issuer: PublicKey) -> bool:
        """Whether this is the operator's key, or one that it followed."""
        follower: PublicKey | None = issuer
        while follower is not None and follower != self._operator:
            follower = self._log.successor(follower)
        return follower is not None


def _newest(found: _Found, party: PublicKey) -> Chain | None:
    for chain in found.chains[party]:
        if not any(takes_back(each, chain) for each in found.revocations):
            return chain
    return None
