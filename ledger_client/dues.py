"""What an agreement makes due: licences, meters, grants and the debts between brands. Pure.

All amounts are all-time totals of whole minor units or units, computed anew from the whole history:
whoever has agreement, acts and history gets the same numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ledger_client import shares
from ledger_client.agreements import (
    ActivationGrant,
    DataLicence,
    Ecosystem,
    MeteredService,
    PerReading,
)
from ledger_client.consents import Standing
from ledger_client.errors import ProofError
from ledger_client.shares import Debt

WINDOW_READINGS_MAX = 64
_WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Measured:
    """One proved reading as far as a licence asks: which quantity, when, how it was heard."""

    quantity: str
    time_s: float
    provenance: int


def earns(licence: DataLicence, standing: Standing, reading: Measured, *, demo: bool) -> bool:
    """Whether this reading is licensed, in time and good enough: nothing else is disclosed."""
    return (
        reading.quantity in licence.quantities
        and standing.covers(reading.time_s)
        and licence.pays_for(reading.provenance, demo=demo)
    )


def slot(licence: DataLicence, reading: Measured) -> tuple[str, int] | None:
    """What is paid once, counted from the agreement's begin; None where each reading is.

    The number of the period, or a quantity and the number of its `resolution_s`.
    """
    since_s = reading.time_s - licence.begins_s
    if not isinstance(licence.price, PerReading):
        return "", int(since_s // licence.price.period_s)
    if licence.resolution_s:
        return reading.quantity, int(since_s // licence.resolution_s)
    return None


def window_s(licence: DataLicence) -> int:
    """Seconds of readings that are sold together; 0 where each batch is sold by itself.

    A window is whole slots, of `WINDOW_READINGS_MAX` readings at most, and about a minute long.
    """
    if not isinstance(licence.price, PerReading):
        return licence.price.period_s
    if not licence.resolution_s:
        return 0
    fit = WINDOW_READINGS_MAX // len(licence.quantities)
    return licence.resolution_s * max(1, min(fit, -(-_WINDOW_S // licence.resolution_s)))


def window(licence: DataLicence, time_s: float) -> int:
    """The number of the window in which a moment lies; `window_s` must not be 0."""
    return int((time_s - licence.begins_s) // window_s(licence))


def licence_due(
    licence: DataLicence, standing: Standing, readings: Iterable[Measured], *, demo: bool
) -> int:
    """What the payer owes in all for these readings, in any order.

    As no slot is in two windows, it is the sum of what it is for each window alone.
    """
    earning = [each for each in readings if earns(licence, standing, each, demo=demo)]
    slots = {slot(licence, each) for each in earning}
    return licence.price.minor_units * (len(earning) if None in slots else len(slots))


def licence_shares(
    licence: DataLicence, standing: Standing, readings: Iterable[Measured], *, demo: bool
) -> dict[str, int]:
    """What each party has of it, by name."""
    total = licence_due(licence, standing, readings, demo=demo)
    parts = shares.split(total, licence.shares_bps)
    return {party.name: part for party, part in zip(licence.parties, parts, strict=True)}


@dataclass(frozen=True, slots=True)
class Bill:
    """`lines` are unit, whole units passed, minor units; the deposit counts towards the total."""

    lines: tuple[tuple[str, int, int], ...]
    total: int
    to_pay: int
    to_refund: int


def bill(service: MeteredService, used: Mapping[str, int]) -> Bill:
    """The final bill for what was `used` in all, in J, m, s and uses; only whole units cost.

    Raises:
        ProofError: a unit that has no price, or a meter that ran backwards.
    """
    known = {price.unit: price for price in service.prices}
    for unit, amount in used.items():
        if unit not in known or amount < 0:
            raise ProofError(f"{amount} of {unit!a}: the agreement prices {', '.join(known)}")
    lines = tuple(
        (unit, used.get(unit, 0) // price.per, used.get(unit, 0) // price.per * price.minor_units)
        for unit, price in known.items()
    )
    total = sum(amount for _, _, amount in lines)
    deposit = service.deposit_minor_units
    return Bill(lines, total, max(0, total - deposit), max(0, deposit - total))


@dataclass(frozen=True, slots=True)
class Activation:
    """`holder` (a did or pseudonym) activated `device`, or paired a further `wearable` with it."""

    holder: str
    device: str
    wearable: str
    at_s: int


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What one activation entitles its holder to; less than agreed where cap or pool ended."""

    holder: str
    device: str
    wearable: str
    granted_s: int
    units: int

    def vested(self, grant: ActivationGrant, now_s: int) -> int:
        """Whole units that are the holder's for good at `now_s`."""
        elapsed_s = now_s - self.granted_s
        if elapsed_s < grant.cliff_s:
            return 0
        if elapsed_s >= grant.vesting_s:
            return self.units
        return self.units * elapsed_s // grant.vesting_s


def entitlements(
    grant: ActivationGrant, standing: Standing, activations: Sequence[Activation]
) -> list[Entitlement]:
    """What these activations entitle to: by their minute, devices first, then as the log has them.

    A device counts once, whoever activates it; a further wearable once for each holder of a device.
    One at a time when the agreement does not hold gives nothing and takes nothing away.
    """
    further = {each.wearable: each.units for each in grant.further}
    devices: set[str] = set()
    paired: set[tuple[str, str]] = set()
    held: dict[str, int] = {}
    pool = grant.pool_units
    found: list[Entitlement] = []
    for each in sorted(activations, key=lambda each: (each.at_s, bool(each.wearable))):
        if not standing.covers(each.at_s):
            continue
        if not each.wearable and each.device not in devices:
            devices.add(each.device)
            units = grant.activation_units
        elif each.wearable in further and each.holder in held:
            if (each.holder, each.wearable) in paired:
                continue
            paired.add((each.holder, each.wearable))
            units = further[each.wearable]
        else:
            continue
        before = held.setdefault(each.holder, 0)
        given = min(units, grant.cap_units - before, pool)
        held[each.holder] += given
        pool -= given
        if given:
            found.append(Entitlement(each.holder, each.device, each.wearable, each.at_s, given))
    return found


@dataclass(frozen=True, slots=True)
class Value:
    """Brand `by` gave a customer `amount` (`at` empty), or brand `at` took it for goods of its own.

    Who the customer is does not matter to what the brands owe, and is not here.
    """

    by: str
    amount: int
    at_brand: str = ""


def debts(
    ecosystem: Ecosystem, history: Iterable[Value], paid: Iterable[Debt] = ()
) -> tuple[Debt, ...]:
    """What each brand ever owed each other: whoever gave value owes where it was redeemed.

    The agreed limit is on what is open: `paid` are the payments that nettings brought about.

    Raises:
        ProofError: more redeemed than was given, no party, or a debt beyond the agreed limit.
    """
    names = {party.name for party in ecosystem.parties}
    given = dict.fromkeys(names, 0)
    owed: dict[tuple[str, str], int] = {}
    for each in history:
        if each.by not in names or each.at_brand not in {"", *names} or each.amount <= 0:
            raise ProofError(f"value of {each.amount} by {each.by!a}: no party, or not above zero")
        given[each.by] += -each.amount if each.at_brand else each.amount
        if given[each.by] < 0:
            raise ProofError(f"more of the value of {each.by} was redeemed than it ever gave")
        if each.at_brand not in {"", each.by}:
            pair = each.by, each.at_brand
            owed[pair] = owed.get(pair, 0) + each.amount
    found = tuple(Debt(by, at, amount) for (by, at), amount in sorted(owed.items()))
    open_positions(ecosystem, found, paid)
    return found


def open_positions(
    ecosystem: Ecosystem, debts: Iterable[Debt], paid: Iterable[Debt]
) -> tuple[Debt, ...]:
    """All-time `debts` and, as debts the other way, what was `paid` of them.

    Raises:
        ProofError: one that owes more than was agreed.
    """
    left = (*debts, *(Debt(each.creditor, each.debtor, each.amount) for each in paid))
    for name, position in shares.positions(left).items():
        if -position > ecosystem.debt_minor_units_max:
            raise ProofError(
                f"{name} owes {-position}, agreed are {ecosystem.debt_minor_units_max} at most"
            )
    return left
