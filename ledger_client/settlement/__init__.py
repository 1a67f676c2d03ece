"""Settlement: where channels are funded and vouchers become money. One protocol for every engine.

An engine acts for one party, whose key it holds. Everything here is safe to repeat: amounts are
all-time totals, and ending twice is the same as ending once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger_client.channels import State, Terms, Voucher
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import PublicKey


class RefusedError(RemoteError):
    """The ledger says no: not covered, not allowed to this party, or not at this time."""


class AwayError(RemoteError):
    """The ledger does not answer for now; what was asked may have been done all the same."""


@dataclass(frozen=True, slots=True)
class View:
    """A channel as its ledger has it; `closes_at_s` is the Unix second from which it may finish.

    Raises:
        EncodingError: more was claimed than is in it.
    """

    terms: Terms
    state: State
    funded: int
    claimed: int
    closes_at_s: int | None

    def __post_init__(self) -> None:
        if not 0 <= self.claimed <= self.funded:
            raise EncodingError(f"a channel of {self.funded} that paid {self.claimed}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A voucher to be turned into money, with the terms that say who signs and who is paid."""

    terms: Terms
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one claim: `claimed` is the channel's all-time total, `refusal` why not."""

    channel: bytes
    claimed: int
    refusal: str | None


class Settlement(Protocol):
    """A ledger that holds channels, seen by one party."""

    @property
    def ledger(self) -> str:
        """The name that channel ids are bound to."""

    @property
    def demo(self) -> bool:
        """Whether this ledger takes channels that carry simulated readings."""

    async def balance(self, holder: PublicKey) -> int:
        """Minor units that `holder` can spend."""

    async def open(self, terms: Terms, funded: int) -> View:
        """As the payer, make `funded` the all-time total put in: opens the channel or tops it up.

        Raises:
            RefusedError: not covered, not our channel, or simulated outside a demo ledger.
        """

    async def status(self, channel: bytes) -> View | None:
        """The channel as it stands, or None if this ledger has no such channel."""

    async def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay the payees up to their vouchers' totals, anybody may ask; bad claims are skipped."""

    async def close(self, channel: bytes) -> View:
        """As the payer, start the closing delay; raises RefusedError to anybody else."""

    async def close_now(self, channel: bytes) -> View:
        """As the payee, end it at once: the rest goes back; raises RefusedError to others."""

    async def finish(self, channel: bytes) -> View:
        """After the delay, anybody: the rest goes back; raises RefusedError before."""
