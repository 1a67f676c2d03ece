"""From the configuration to deals: what is sold, what is paid for by the meter, on our own ledger.

The embedded ledger is this gateway's book: `funded_minor_units` is what its operator vouches for.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent import gateway, topics
from agent.accounts import Account, BuyerAccount, SellerAccount
from agent.clock import minute_s
from agent.config import Config, Sale, Service
from agent.deals import Purchase, ReadingsOffer, ReadingsSale
from agent.desks import BuyingDesk, SellingDesk
from agent.goods import Tariff
from agent.running import Deal, Trade
from agent.status import Board, printable
from agent.stores import Stores
from agent.tally import Buyer, Seller
from ledger_client.channels import SALT_BYTES, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

if TYPE_CHECKING:
    from agent.gateway.listening import Scene

CLOSING_DELAY_S = 86_400

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trading:
    """The deals, and how each is shown."""

    trade: Trade = field(default_factory=Trade)
    accounts: Sequence[Account] = ()


def trading(config: Config, stores: Stores, board: Board, scene: "Scene") -> Trading:
    """Every deal of the configuration; on a demo street also those of its strangers."""
    if scene.hood is not None and config.gateway.demo:
        from agent.demo.market import Market  # noqa: PLC0415  # heavy: bumble
        from agent.demo.parties import Parties  # noqa: PLC0415  # same

        market = Market(Parties(stores, gateway.clock), board, scene.hood)
        return Trading(market.trade(), market.accounts)
    if not (config.sales or config.services):
        return Trading()
    return _Desk(config, stores, board).trading()


class _Desk:
    """Makes the parties and their deals; money comes from the book of this gateway."""

    def __init__(self, config: Config, stores: Stores, board: Board) -> None:
        self._config = config
        self._stores = stores
        self._board = board
        self._book = Book.open(
            stores.connection,
            stores.log,
            stores.signer,
            now_s=lambda: minute_s(gateway.clock().wall_ms),
            asset=config.ledger.asset,
        )
        self._accounts: list[Account] = []
        self._relayed: list[str] = []
        self._peers: set[PublicKey] = set()

    def trading(self) -> Trading:
        """All of it."""
        config = self._config
        subjects = dict.fromkeys(sale.subject for sale in config.sales)
        deals: list[Deal] = [
            self._sells(subject, [sale for sale in config.sales if sale.subject == subject])
            for subject in subjects
        ]
        deals += [self._pays(service) for service in config.services]
        guests = {key.short_id: topics.component_rules(key.short_id) for key in self._peers}
        return Trading(Trade(deals, self._relayed, guests), self._accounts)

    def _sells(self, subject: str, sales: Sequence[Sale]) -> Deal:
        """One subject's readings to the buyers that are named, each at its price."""
        stores, key = self._stores, self._party(f"party-{subject}")
        offers = {}
        for sale in sales:
            buyer = PublicKey.from_did(sale.buyer)
            offers[buyer] = ReadingsOffer(sale.price_minor_units, sale.least_provenance)
            self._peers.add(buyer)
            self._book.issue(buyer, sale.funded_minor_units)
            self._accounts.append(
                SellerAccount(
                    "readings", buyer.short_id[:8], subject, stores.till, key.public, buyer
                )
            )
        desk = SellingDesk(key, stores.till, credit=min(sale.window_minor_units for sale in sales))
        seller = Seller(desk, stores.till, EmbeddedSettlement(self._book, key), blame=_blame)
        return ReadingsSale(seller, stores, subject, offers)

    def _pays(self, service: Service) -> Deal:
        """Units of a meter that we hear ourselves, to its seller, within the budget."""
        till, board = self._stores.till, self._board
        key = self._party(f"payer-{service.meter}")
        seller = PublicKey.from_did(service.seller)
        self._peers.add(seller)
        self._book.issue(key.public, service.funded_minor_units)
        tariff = Tariff(
            seller.did, service.unit_j, service.price_minor_units, simulated=self._book.demo
        )

        def accept(terms: Terms, item: Item) -> bytes:
            if terms.payee != seller:
                raise RemoteError(f"{terms.payee.short_id} is not whom this meter pays")
            return tariff.accept(item, board.number(service.meter, "energy"))

        desk = BuyingDesk(key, till, accept=accept)
        buyer = Buyer(desk, till, EmbeddedSettlement(self._book, key), blame=_blame)
        spent = sum(purchase.side.due for purchase in till.purchases(key.public))
        left = service.funded_minor_units - spent
        if left <= 0:
            _log.warning(
                "the budget of the service at %s is spent; raise its funded_minor_units",
                service.meter,
            )
        self._accounts.append(
            BuyerAccount(
                f"{service.unit_j} J",
                service.meter,
                seller.short_id[:8],
                till,
                key.public,
                seller,
            )
        )
        return Purchase(buyer, self._terms(key, seller), max(left, 0), claims_for_seller=True)

    def _party(self, name: str) -> SigningKey:
        key = self._stores.home.key(name)
        self._relayed.append(key.public.short_id)
        return key

    def _terms(self, payer: SigningKey, payee: PublicKey) -> Terms:
        return Terms(
            ledger=self._book.name,
            payer=payer.public,
            signer=payer.public,
            payee=payee,
            asset=self._book.asset,
            delay_s=CLOSING_DELAY_S,
            salt=os.urandom(SALT_BYTES),
            simulated=self._book.demo,
        )


def _blame(speaker: str, error: RemoteError) -> None:
    _log.info("%s: %s", printable(speaker), printable(str(error)))
