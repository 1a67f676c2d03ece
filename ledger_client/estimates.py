"""What an offer is worth: its terms line by line, and what past readings would earn. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from ledger_client import dues, offers, shares, wording
from ledger_client.agreements import DataLicence, Document, MeteredService, PerReading
from ledger_client.consents import Standing, State
from ledger_client.dues import Measured
from ledger_client.offers import EarnedFee, Fee, Offer, OnceFee, PeriodFee, ReadingFee, Signed
from ledger_client.shares import WHOLE_BPS


@dataclass(frozen=True, slots=True)
class Window:
    """The time that an estimate looks back on: from one Unix second until before another."""

    from_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class History:
    """Readings of a time, and whether simulated ones count."""

    readings: Sequence[Measured]
    window: Window
    demo: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `readings` proved readings would have earned the open party, less what it would pay.

    Minor units. `units` of them (or periods with one) would have been paid. `fees` are by name, in
    the order of the offer. It says what was: another season brings other readings.
    """

    readings: int
    units: int
    earned: int
    fees: tuple[tuple[str, int], ...]

    @property
    def net(self) -> int:
        """What would have been left; less than 0 where the fees take more than it earns."""
        return self.earned - sum(amount for _, amount in self.fees)


def estimate(offer: Offer, history: History) -> Estimate | None:
    """What this history would have earned; None without readings, or if it is no licence."""
    licence = offers.sample(offer)
    if not isinstance(licence, DataLicence):
        return None
    return of_licence(licence, offer.open, offer.fees, history)


def of_licence(
    licence: DataLicence, party: str, fees: Sequence[Fee], history: History
) -> Estimate | None:
    """What the history would have earned `party` under a licence; None without readings."""
    window, demo = history.window, history.demo
    taken = [each for each in history.readings if window.from_s <= each.time_s < window.until_s]
    if not taken:
        return None
    standing = Standing(State.IN_FORCE, (), (), window.from_s, window.until_s)
    due = dues.licence_due(licence, standing, taken, demo=demo)
    units = due // licence.price.minor_units
    index = [each.name for each in licence.parties].index(party)
    earned = shares.split(due, licence.shares_bps)[index] - due * (licence.payer == party)
    paid = units if isinstance(licence.price, PerReading) else _paid(licence, taken, demo=demo)
    span_s = window.until_s - window.from_s
    return Estimate(len(taken), units, earned, charges(fees, earned, paid, span_s))


def charges(
    fees: Sequence[Fee], earned: int, readings: int, span_s: int, *, once: bool = True
) -> tuple[tuple[str, int], ...]:
    """What each fee takes in so many seconds; with `once`, also what accepting costs."""
    return tuple(
        (fee.name, _charge(fee, earned, readings, span_s))
        for fee in fees
        if once or not isinstance(fee, OnceFee)
    )


def _paid(licence: DataLicence, readings: Iterable[Measured], *, demo: bool) -> int:
    return sum(
        each.quantity in licence.quantities and licence.pays_for(each.provenance, demo=demo)
        for each in readings
    )


def _charge(fee: Fee, earned: int, readings: int, span_s: int) -> int:
    match fee:
        case ReadingFee():
            return fee.minor_units * readings
        case PeriodFee():
            return fee.minor_units * -(-span_s // fee.period_s)
        case OnceFee():
            return fee.minor_units
        case EarnedFee():
            return -(-max(0, earned) * fee.bps // WHOLE_BPS)
        case _:
            assert_never(fee)


def lines(signed: Signed) -> list[tuple[str, str]]:
    """The terms of an offer as (what, how it is), each fee by its name; in one order for all."""
    offer, agreement = signed.offer, signed.sample()
    share_bps = next(each.share_bps for each in agreement.parties if each.name == offer.open)
    common = [
        ("your share", f"{share_bps / 100:g} %"),
        ("least provenance", wording.PROVENANCES[agreement.least_provenance]),
        ("begins", "at once" if agreement.begins_s == 0 else wording.day(agreement.begins_s)),
        ("expires", wording.day(agreement.expires_s)),
        ("notice", wording.span(agreement.notice_s) if agreement.notice_s else "none"),
    ]
    fees = [(f"fee: {fee.name}", charged(fee, agreement.asset)) for fee in offer.fees]
    return [
        ("kind", str(offer.document["kind"])),
        *_own(agreement),
        *common,
        *(fees or [("fees", "none")]),
        ("lapses", wording.day(offer.lapses_s)),
        ("places", str(offer.places)),
    ]


def _own(agreement: Document) -> list[tuple[str, str]]:
    match agreement:
        case DataLicence():
            price = wording.money(agreement.price.minor_units, agreement.asset)
            per = (
                "reading"
                if isinstance(agreement.price, PerReading)
                else wording.span(agreement.price.period_s).removeprefix("1 ")
            )
            every = wording.span(agreement.resolution_s) if agreement.resolution_s else "each one"
            return [
                ("price", f"{price} a {per}"),
                ("quantities", ", ".join(agreement.quantities)),
                ("resolution", every),
                ("purpose", agreement.purpose),
            ]
        case MeteredService():
            return [
                (
                    f"price of {each.per} {each.unit}",
                    wording.money(each.minor_units, agreement.asset),
                )
                for each in agreement.prices
            ]
        case _:
            return []


def charged(fee: Fee, asset: str) -> str:
    """A fee, for people."""
    if isinstance(fee, EarnedFee):
        return f"{fee.bps / 100:g} % of what is earned"
    amount = wording.money(fee.minor_units, asset)
    match fee:
        case ReadingFee():
            return f"{amount} a reading"
        case PeriodFee():
            return f"{amount} a {wording.span(fee.period_s).removeprefix('1 ')}"
        case OnceFee():
            return f"{amount} once"
        case _:
            assert_never(fee)
