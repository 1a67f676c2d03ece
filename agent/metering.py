"""Units of a metered service: what each side measures, and how a customer judges what it is billed.

J and m are those of a counter that both hear: `energy`, or `odometer` (else `distance`) of the
component that the agreement calls its meter. Seconds are those in which the agreement holds, a use
is one agreement. A unit is named by its number on the counter, so both sides mean the same one and
each is paid once. Its item's body is CBOR [agreement, unit, number, Unix seconds when it passed].
Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from ledger_client import agreements, cbor, shapes
from ledger_client.agreements import MeteredService, UnitPrice
from ledger_client.channels import Terms
from ledger_client.consents import Standing
from ledger_client.errors import RemoteError
from ledger_client.messages import Item

QUANTITIES: Mapping[str, tuple[str, ...]] = {"J": ("energy",), "m": ("odometer", "distance")}
"""What is heard for a unit, the best first; the others need no hearing."""
AHEAD_S_MAX = 120
_NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class Heard:
    """A counter's newest value in J or m, and the provenance with which it was heard."""

    value: float
    provenance: int


Base = Callable[[bytes, str, float], float]
"""Where a counter stood when its service began here, by agreement and unit: the first value that
was given for them.
"""


@dataclass(frozen=True, slots=True)
class Metered:
    """A service in our hands: what was agreed, until when it holds, what is measured by now.

    `spans` are, for each unit, where its counter stood at the beginning and where it stands;
    `simulated` if any was heard of something that is.
    """

    service: MeteredService
    standing: Standing
    spans: Mapping[str, tuple[float, float]]
    simulated: bool

    @property
    def digest(self) -> bytes:
        """The agreement's name."""
        return agreements.digest(self.service)

    def fits(self, terms: Terms) -> bool:
        """Whether a channel is the one on which this service is paid."""
        service = self.service
        return (
            terms.agreement == self.digest
            and terms.payer == service.key_of(service.payer)
            and terms.payee == service.key_of(service.collector)
            and (terms.ledger, terms.asset) == (service.ledger, service.asset)
        )

    def passed(self) -> Iterator[tuple[UnitPrice, int]]:
        """Every unit that has passed since the beginning: its price and its number."""
        for price in self.service.prices:
            base, value = self.spans.get(price.unit, (0.0, 0.0))
            first = int(base // price.per)
            for number in range(first + 1, first + 1 + int((value - base) // price.per)):
                yield price, number

    def ended(self, last: "Metered") -> "Metered":
        """What was used in all, once it is over: as it was `last` heard in time."""
        return replace(self, spans={**last.spans, **_of_time(self.spans)}, simulated=last.simulated)

    def source(self, unit: str, number: int) -> bytes:
        """The content identity of a unit."""
        return unit_source(self.digest, unit, number)

    def body(self, unit: str, number: int, at_s: int) -> bytes:
        """A unit as goods."""
        return cbor.encode([self.digest, unit, number, at_s])

    def accept(self, terms: Terms, item: Item, now_s: int) -> bytes:
        """The identity of a unit that passed, as far as we can hear: hearsay is not paid for.

        Raises:
            RemoteError: another price, service or time, or a counter that did not get there.
        """
        if not self.fits(terms):
            raise RemoteError("a unit on a channel that is not the service's own")
        digest, unit, number, at_s = shapes.array(cbor.decode(item.body), "unit", 4)
        if shapes.octets(digest, "agreement", 32) != self.digest:
            raise RemoteError("a unit of another agreement")
        prices = {str(price.unit): price for price in self.service.prices}
        price = prices.get(shapes.text(unit, "unit", 8))
        if price is None:
            raise RemoteError(f"a unit of {unit!a}, which has no price")
        count = shapes.integer(number, "number", 1)
        passed_s = shapes.integer(at_s, "time")
        if not self.standing.covers(passed_s) or passed_s > now_s + AHEAD_S_MAX:
            raise RemoteError(f"a unit of Unix second {passed_s}, when the service did not run")
        if item.invoice.price != price.minor_units:
            raise RemoteError(f"{item.invoice.price} for a unit at {price.minor_units}")
        base, value = self.spans.get(price.unit, (0.0, 0.0))
        if not base - price.per < count * price.per <= value + price.per:
            raise RemoteError(
                f"unit {count} of {price.per} {price.unit} was invoiced,"
                f" heard was {base:.0f} to {value:.0f}"
            )
        return self.source(price.unit, count)


def unit_source(digest: bytes, unit: str, number: int) -> bytes:
    """The content identity of a unit: which agreement, which of its units, which number."""
    return sha256(digest + unit.encode()).digest()[:_NAME_BYTES] + number.to_bytes(8, "big")


def _of_time(found: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The spans that need no hearing: they end with the agreement by themselves."""
    return {unit: span for unit, span in found.items() if unit not in QUANTITIES}


def spans(
    service: MeteredService,
    standing: Standing,
    heard: Mapping[str, Heard],
    base: Base,
    *,
    now_s: int,
    demo: bool,
) -> dict[str, tuple[float, float]]:
    """Where each counter of a service stood and stands; none that is not good enough to be paid.

    `heard` is by unit, for those that are heard at all.
    """
    digest = agreements.digest(service)
    found: dict[str, tuple[float, float]] = {}
    for price in service.prices:
        newest = heard.get(price.unit)
        if newest is not None and service.pays_for(newest.provenance, demo=demo):
            found[price.unit] = (base(digest, price.unit, newest.value), newest.value)
        elif price.unit == "s" and standing.from_s is not None:
            found["s"] = 0.0, float(max(0, min(now_s, standing.until_s) - standing.from_s))
        elif price.unit == "use" and standing.covers(now_s):
            found["use"] = 0.0, 1.0
    return found
