"""What parties of a home need to work under its agreements, and who is which party."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from agent.agreed import Holding, Shelf
from agent.goods import SIMULATED
from agent.licensed import PIECE_LEAVES, Held
from agent.metering import QUANTITIES, Base, Heard, Metered, spans
from agent.status import Board, printable
from agent.stores import Stores
from agent.till import Till
from ledger_client.agreements import DataLicence, Document, MeteredService, PerReading
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.sharing import ShareOrder

Paid = DataLicence | MeteredService
"""The kinds by which somebody pays somebody else."""

_log = logging.getLogger(__name__)


def noted(speaker: str, error: RemoteError) -> None:
    """Note in the log what was refused of whom."""
    _log.info("%s: %s", printable(speaker), printable(str(error)))


@dataclass(frozen=True, slots=True)
class Office:
    """`linger_s` after a window of time its batches are receipted; `now_s` is Unix time.

    `till` is that of the parties that work here, `stores` are those of the gateway whose readings
    are sold. `blame` is told what was refused of whom.
    """

    stores: Stores
    till: Till
    shelf: Shelf
    book: Book
    board: Board
    base: Base
    now_s: Callable[[], int]
    linger_s: float
    blame: Callable[[str, RemoteError], None] = noted

    def paid(self) -> Iterator[tuple[Holding, Paid]]:
        """Every agreement here by which money moves on this ledger, over ones too."""
        for holding in self.shelf.holdings():
            agreement = holding.agreement
            if isinstance(agreement, Paid) and (
                (agreement.ledger, agreement.asset) == (self.book.name, self.book.asset)
            ):
                yield holding, agreement

    def elsewhere(self) -> Iterator[tuple[Holding, Paid]]:
        """Every agreement here by which money moves on another gateway's ledger, over ones too."""
        for holding in self.shelf.holdings():
            agreement = holding.agreement
            if isinstance(agreement, Paid) and agreement.ledger != self.book.name:
                yield holding, agreement

    def held(self, holding: Holding, *, demo: bool | None = None) -> Held | Metered | None:
        """A licence or service as it is sold and judged now; None for other kinds.

        `demo` is whether its ledger is play, our own if that is not said.
        """
        play = self.book.demo if demo is None else demo
        match holding.agreement:
            case DataLicence() as licence:
                return Held(licence, holding.standing)
            case MeteredService() as service:
                return self._metered(service, holding, demo=play)
            case _:
                return None

    def _metered(self, service: MeteredService, holding: Holding, *, demo: bool) -> Metered:
        heard = dict[str, Heard]()
        for price in service.prices:
            newest = self._newest(service.meter, QUANTITIES.get(price.unit, ()))
            if newest is not None:
                heard[price.unit] = newest
        found = spans(service, holding.standing, heard, self.base, now_s=self.now_s(), demo=demo)
        simulated = any(each.provenance == SIMULATED for each in heard.values())
        return Metered(service, holding.standing, found, simulated)

    def _newest(self, meter: str, quantities: tuple[str, ...]) -> Heard | None:
        own = _short_id(meter)
        for alias, each in self.stores.components.items():
            if meter in {alias, each.address} or own == each.id:
                for quantity in quantities:
                    newest = self.board.newest(alias, quantity)
                    if newest is not None:
                        return Heard(*newest)
        return None


@lru_cache(maxsize=256)
def _short_id(meter: str) -> str:
    """Of the key that a meter is named by; empty if it is named otherwise."""
    try:
        return PublicKey.from_did(meter).short_id
    except RemoteError:
        return ""


def payer_of(agreement: Paid) -> PublicKey:
    """Who pays."""
    return agreement.key_of(agreement.payer)


def collector_of(agreement: Paid) -> PublicKey:
    """Who is paid."""
    return agreement.key_of(agreement.collector)


def item_price_max(agreement: Paid) -> int:
    """The most that one item under this agreement can cost, in minor units."""
    match agreement:
        case MeteredService():
            return max(price.minor_units for price in agreement.prices)
        case DataLicence(price=PerReading()):
            return agreement.price.minor_units * PIECE_LEAVES
        case _:
            return agreement.price.minor_units


def share_order(agreement: Paid, digest: bytes) -> ShareOrder:
    """The order by which the collector's money is divided as it was agreed."""
    return ShareOrder(agreement.ledger, digest, collector_of(agreement), _parts(agreement))


def _parts(agreement: Document) -> tuple[tuple[bytes, int], ...]:
    return tuple(
        (PublicKey.from_did(party.did).thumbprint, party.share_bps) for party in agreement.parties
    )
