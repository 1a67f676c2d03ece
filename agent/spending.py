"""How much may be promised in a period: by one key in all, or to each counterparty by itself.

A budget is judged when a voucher is about to be signed and written in the same commit, so a crash
neither spends twice nor forgets. What it keeps back is not lost: the seller's item waits. Times are
Unix seconds; while the clock is unset or set back the period does not begin again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from ledger_client import cbor
from ledger_client.certificates import Limits
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError

DAY_S = 86_400


class BudgetError(RemoteError):
    """What was invoiced is more than may be promised now; it can be paid in a later period."""


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `minor_units_max` of each asset (or of `asset` alone) in `period_s` seconds.

    No period: ever. `each_payee`: to every counterparty by itself, else to all of them together.
    """

    minor_units_max: int
    period_s: int | None = DAY_S
    each_payee: bool = False
    asset: str | None = None

    def name(self, terms: Terms) -> bytes:
        """Under which the sum of what was spent is kept, 32 bytes."""
        payee = terms.payee.raw if self.each_payee else b""
        words = [terms.signer.raw, payee, terms.asset, self.period_s or 0]
        return sha256(cbor.encode(words)).digest()

    def period(self, now_s: int) -> int:
        """The number of the period that it is."""
        return now_s // self.period_s if self.period_s else 0

    def left(self, terms: Terms, spent: int) -> int:
        """What may still be promised, after `spent` in this period."""
        if self.asset not in {None, terms.asset}:
            return 0
        return max(0, self.minor_units_max - spent)

    def check(self, terms: Terms, spent: int, amount: int) -> None:
        """Raise BudgetError, with what would help, if `amount` more is too much."""
        left = self.left(terms, spent)
        if amount <= left:
            return
        whom = f" to {terms.payee.short_id}" if self.each_payee else ""
        when = f"in {self.period_s} s" if self.period_s else "in all"
        raise BudgetError(
            f"{amount} of {terms.asset} is due{whom}, {left} is left of {self.minor_units_max}"
            f" {self.asset or terms.asset} {when}: it waits for the next period or a larger limit"
        )


def certified(limits: Limits) -> Budget:
    """What a certificate lets its holder spend: nothing, if it names no amount."""
    return Budget(limits.minor_units_max, limits.period_s, asset=limits.asset)


@dataclass(frozen=True, slots=True)
class Spent:
    """What the till holds of one budget: which period, and how much in it."""

    period: int
    amount: int

    def now(self, period: int) -> "Spent":
        """As it counts in `period`; an earlier one than was seen is the one that was seen."""
        return self if period <= self.period else Spent(period, 0)


def after(
    budgets: tuple[Budget, ...], terms: Terms, held: Mapping[bytes, Spent], spend: tuple[int, int]
) -> dict[bytes, Spent]:
    """What to hold of every budget after `spend` (amount, at Unix second) was promised.

    It is as late for all of them as any of them has seen: one that meets a payee for the first time
    while the clock is set back would else give it that day's amount twice.

    Raises:
        BudgetError: one of them has not enough left.
    """
    amount, now_s = spend
    names = [budget.name(terms) for budget in budgets]
    for budget, name in zip(budgets, names, strict=True):
        if name in held and budget.period_s:
            now_s = max(now_s, held[name].period * budget.period_s)
    result: dict[bytes, Spent] = {}
    for budget, name in zip(budgets, names, strict=True):
        period = budget.period(now_s)
        spent = held.get(name, Spent(period, 0)).now(period)
        budget.check(terms, spent.amount, amount)
        result[name] = Spent(spent.period, spent.amount + amount)
    return result
