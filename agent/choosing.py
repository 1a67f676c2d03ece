"""Standing orders: which offer a subject's owner would take, by rule. Pure.

An order says what may be sold and on which terms at the worst; of the offers that it allows, the
one that would have left most, net of every fee, is the best. The same offers and readings always
give the same choice, and each refusal says why.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ledger_client import estimates, offers
from ledger_client.agreements import DataLicence, PerReading
from ledger_client.dues import Measured
from ledger_client.errors import EncodingError
from ledger_client.estimates import Estimate, History, Window
from ledger_client.offers import (
    Acceptor,
    EarnedFee,
    Fee,
    Offer,
    OnceFee,
    PeriodFee,
    ReadingFee,
    Signed,
)
from ledger_client.shares import WHOLE_BPS

_DAY_S = 86_400
_IMAGINED_EVERY_S = 600
_BEST_PROVENANCE = 3
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Order:
    """What may be sold of a subject, and on which terms at the worst.

    `least_minor_units` is what must be left of each reading after all fees; with `period_s` above
    0, of each period of that length. Whatever `never` names, as a quantity or as a word of the
    purpose, is refused. Empty `purposes` allow any. The order itself lapses at `lapses_s`.
    """

    subject: str
    quantities: frozenset[str]
    least_minor_units: int
    period_s: int = 0
    never: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    provenance_max: int = _BEST_PROVENANCE
    notice_s_max: int = 0
    lapses_s: int | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """Whose readings are sold on which ledger, what there was to sell, and the time, Unix seconds.

    Where there are no readings yet, one of each quantity every ten minutes of a day is imagined, to
    compare with; nothing is promised by that.
    """

    acceptor: Acceptor
    asset: str
    history: History
    now_s: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The best of what is allowed, what it would have left, and why each other was refused."""

    best: Signed | None
    net: int
    refused: tuple[tuple[str, str], ...]


def choose(order: Order, known: Iterable[Signed], past: Past) -> Choice:
    """The offer to take; of those that would leave the same, the one of the lower digest."""
    allowed: list[tuple[int, bytes, Signed]] = []
    refused: list[tuple[str, str]] = []
    for each in known:
        reason = refusal(order, each, past)
        if reason:
            refused.append((each.reference, reason))
        else:
            allowed.append((-net(order, each, past), each.digest, each))
    best = min(allowed, key=lambda entry: entry[:2], default=None)
    if best is None:
        return Choice(None, 0, tuple(sorted(refused)))
    return Choice(best[2], -best[0], tuple(sorted(refused)))


def better(order: Order, present: Signed, choice: Choice, past: Past) -> bool:
    """Whether to leave the offer that was accepted for the choice: for more, or as it is unfit.

    What was charged once for the present one is gone either way.
    """
    if choice.best is None or choice.best.digest == present.digest:
        return False
    if unfit(order, present.offer, past):
        return True
    fees = tuple(fee for fee in present.offer.fees if not isinstance(fee, OnceFee))
    kept = replace(present, offer=_with_fees(present.offer, fees))
    return choice.net > net(order, kept, past)


def net(order: Order, signed: Signed, past: Past) -> int:
    """What the offer would have left of the past, or of an imagined day, in minor units."""
    found = estimates.estimate(signed.offer, past.history)
    found = found or estimates.estimate(signed.offer, _imagined(order))
    return found.net if found else 0


def refusal(order: Order, signed: Signed, past: Past) -> str:
    """Why the order does not allow an offer; empty if it does."""
    if order.lapses_s is not None and past.now_s >= order.lapses_s:
        return "the standing order lapsed"
    if signed.lapsed(past.now_s):
        return "it lapsed"
    return unfit(order, signed.offer, past)


def unfit(order: Order, offer: Offer, past: Past) -> str:
    """Why the order does not allow these terms, whenever they were offered; empty if it does."""
    try:
        licence = offers.filled(offer, past.acceptor, past.now_s)
    except EncodingError as error:
        return str(error)
    if not isinstance(licence, DataLicence):
        return "it is no data licence"
    reasons = (
        *_not_ours(offer, licence, past),
        *_not_wanted(order, licence),
        _too_little(order, licence, offer, past),
    )
    return next(filter(None, reasons), "")


def _not_ours(offer: Offer, licence: DataLicence, past: Past) -> Iterator[str]:
    if licence.grantor != offer.open or licence.payer == offer.open:
        yield "we would not be the one who grants, or be the one who pays"
    if licence.subject != past.acceptor.subject:
        yield "it is about another subject"
    if (licence.ledger, licence.asset) != (past.acceptor.ledger, past.asset):
        yield f"it is on the ledger {licence.ledger} in {licence.asset}"


def _not_wanted(order: Order, licence: DataLicence) -> Iterator[str]:
    if forbidden := _never(order, licence):
        yield f"{', '.join(sorted(forbidden))}: never"
    if unwanted := set(licence.quantities) - order.quantities:
        yield f"{', '.join(sorted(unwanted))}: not to be sold"
    if order.purposes and licence.purpose not in order.purposes:
        yield f"another purpose: {licence.purpose}"
    if licence.least_provenance > order.provenance_max:
        yield f"it pays for provenance {licence.least_provenance} and better only"
    if licence.notice_s > order.notice_s_max:
        yield f"a notice of {licence.notice_s} s, the most is {order.notice_s_max}"


def _never(order: Order, licence: DataLicence) -> set[str]:
    """What the order forbids and the licence names."""
    words = {*_WORD.findall(licence.purpose.casefold()), *licence.quantities}
    return {each for each in order.never if each.casefold() in words}


def _too_little(order: Order, licence: DataLicence, offer: Offer, past: Past) -> str:
    """Why the price is too low; what is charged by time is judged by what the past left."""
    price = licence.price
    if isinstance(price, PerReading) != (order.period_s == 0):
        return "it pays by another measure than the order asks for"
    share_bps = next(each.share_bps for each in licence.parties if each.name == offer.open)
    own = price.minor_units * share_bps // WHOLE_BPS
    sure = own - sum(_of_each(fee, own) for fee in offer.fees)
    # a reading, or so many seconds for which the least is asked
    unit_s, least_s = (1, 1) if isinstance(price, PerReading) else (price.period_s, order.period_s)
    if sure * least_s < order.least_minor_units * unit_s:
        return f"{sure} minor units are left of {price.minor_units}: too little"
    if not any(_by_time(fee, price) for fee in offer.fees):
        return ""
    found = estimates.estimate(offer, past.history)
    if found is None or not found.units:
        return "it has fees by time, and no readings tell what would be left"
    return _left(found, order.least_minor_units * unit_s, least_s)


def _left(found: Estimate, least: int, least_s: int) -> str:
    if found.net * least_s < least * found.units:
        return f"its fees would have left {found.net} minor units of {found.earned}: too little"
    return ""


def _of_each(fee: Fee, own: int) -> int:
    """What a fee takes of one unit, if it goes by units at all."""
    match fee:
        case ReadingFee():
            return fee.minor_units
        case EarnedFee():
            return -(-own * fee.bps // WHOLE_BPS)
        case _:
            return 0


def _by_time(fee: Fee, price: object) -> bool:
    """Whether what a fee takes is not in proportion to what is paid."""
    if isinstance(fee, ReadingFee):
        return not isinstance(price, PerReading)
    return isinstance(fee, OnceFee | PeriodFee)


def _with_fees(offer: Offer, fees: Sequence[Fee]) -> Offer:
    return Offer(
        version=offer.version,
        name=offer.name,
        open=offer.open,
        document=offer.document,
        sha256=offer.sha256,
        fees=tuple(fees),
        places=offer.places,
        lapses_s=offer.lapses_s,
    )


def _imagined(order: Order) -> History:
    readings = [
        Measured(quantity, at_s, _BEST_PROVENANCE)
        for quantity in sorted(order.quantities)
        for at_s in range(0, _DAY_S, _IMAGINED_EVERY_S)
    ]
    return History(readings, Window(0, _DAY_S), demo=False)
