"""Whole minor units divided and netted so that not one is made or lost. Pure arithmetic.

Shares are in basis points of an all-time total: floor(total * bps / 10000), the remainder to the
first party. FORMATS section 7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger_client.errors import LocalError, ProofError

WHOLE_BPS = 10_000


def split(total: int, bps: Sequence[int]) -> tuple[int, ...]:
    """What each party has of an all-time `total`; the parts sum to it exactly.

    Raises:
        LocalError: shares that are negative or not a whole, or a negative total.
    """
    if not bps or min(bps) < 0 or sum(bps) != WHOLE_BPS or total < 0:
        raise LocalError(f"cannot split {total} into {list(bps)}: shares are {WHOLE_BPS} in all")
    rest = [total * share // WHOLE_BPS for share in bps[1:]]
    return (total - sum(rest), *rest)


def credit(bps: Sequence[int], credited: Sequence[int], total: int) -> tuple[int, ...]:
    """What to add to `credited` now that the all-time total rose to `total`; never less than 0.

    Each is brought to its part of the total. When several parts become whole at once, a rise may be
    too small for all of them: then the later parties wait for the next one, at most one unit each.

    Raises:
        LocalError: as `split`, or a total that is below what was credited.
    """
    left = total - sum(credited)
    parts = split(total, bps)
    if left < 0 or len(credited) != len(parts):
        raise LocalError(f"a total of {total} where {sum(credited)} was credited: it only rises")
    added = [0] * len(parts)
    for index in range(1, len(parts)):
        added[index] = min(parts[index] - credited[index], left)
        left -= added[index]
    added[0] = left
    return tuple(added)


@dataclass(frozen=True, slots=True)
class Debt:
    """`debtor` owes `creditor` so many minor units, more than 0."""

    debtor: str
    creditor: str
    amount: int


def positions(debts: Sequence[Debt]) -> dict[str, int]:
    """What each is owed less what it owes, by name; they sum to zero.

    Raises:
        ProofError: a debt to oneself, or one that is not above zero.
    """
    held: dict[str, int] = {}
    for debt in debts:
        if debt.amount <= 0 or debt.debtor == debt.creditor:
            raise ProofError(f"a debt of {debt.amount} from {debt.debtor!a} to {debt.creditor!a}")
        held[debt.debtor] = held.get(debt.debtor, 0) - debt.amount
        held[debt.creditor] = held.get(debt.creditor, 0) + debt.amount
    return dict(sorted(held.items()))


def net(debts: Sequence[Debt]) -> tuple[Debt, ...]:
    """The fewest payments this simple rule finds, fewer than there are parties: largest to largest.

    Everybody who has the debts computes the same payments. Raises ProofError as `positions` does.
    """
    left = positions(debts)
    payments: list[Debt] = []
    while any(left.values()):
        debtor = min(left, key=lambda name: (left[name], name))
        creditor = min(left, key=lambda name: (-left[name], name))
        amount = min(-left[debtor], left[creditor])
        payments.append(Debt(debtor, creditor, amount))
        left[debtor] += amount
        left[creditor] -= amount
    return tuple(payments)


def check_netting(debts: Sequence[Debt], payments: Sequence[Debt]) -> Mapping[str, int]:
    """The positions, if the payments leave each party exactly where its debts did.

    Raises:
        ProofError: a party that would gain or lose by the netting.
    """
    before, after = positions(debts), positions(payments)
    for name in before.keys() | after.keys():
        if before.get(name, 0) != after.get(name, 0):
            raise ProofError(
                f"{name!a} stood at {before.get(name, 0)}, after the netting at"
                f" {after.get(name, 0)}"
            )
    return before
