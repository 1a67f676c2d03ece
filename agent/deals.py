"""The two trades of a gateway: it sells what a subject's readings prove, and pays by the meter.

Shells around `agent.tally`: they find what there is to sell and hand it over once; what is owed,
sent again or settled is the tally's business.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from agent.desks import Goods
from agent.goods import SIMULATED, Tariff, readings_body, readings_source, sure
from agent.running import Connection
from agent.stores import Stores
from agent.tally import Buyer, Seller
from agent.till import Sale
from ledger_client import batches, statements
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.messages import BODY_BYTES_MAX

LOOK_EVERY_S = 0.5
OPEN_RETRY_S = 5.0
PAID_WAIT_MAX_S = 3.0
BATCHES_AT_ONCE_MAX = 64  # looked at in one transaction of the till, on the event loop

_log = logging.getLogger(__name__)


class _Selling:
    """Offers goods to every buyer that has a channel, until cancelled."""

    def __init__(self, seller: Seller) -> None:
        self._seller = seller

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._seller.run(connection.broker))
            while True:
                for sale in self._seller.channels():
                    self._offer(sale)
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """Wait until what was sold is paid, then claim it and end the channels."""
        try:
            async with asyncio.timeout(PAID_WAIT_MAX_S):
                await self._seller.wait_until_paid()
        except TimeoutError:
            _log.warning(
                "a buyer did not pay in %s s; what it promised is claimed", PAID_WAIT_MAX_S
            )
        finally:
            for sale in self._seller.channels():
                with suppress(RemoteError):
                    await self._seller.close_now(sale.terms.channel)

    def _offer(self, sale: Sale) -> None:
        goods = self._goods(sale)
        self._seller.sell(sale.terms.channel, goods)

    def _goods(self, sale: Sale) -> Iterator[Goods]:
        """What could be sold on this channel now, in order, from where the last call ended."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ReadingsOffer:
    """What one buyer may have, at `price` minor units for each reading.

    With an `agreement`, only what it governs.
    """

    price: int
    least_provenance: int = 0
    agreement: bytes | None = None


class ReadingsSale(_Selling):
    """Sells a subject's receipted batches: each once to each buyer, with its proof."""

    def __init__(
        self,
        seller: Seller,
        stores: Stores,
        subject: str,
        offers: Mapping[PublicKey, ReadingsOffer],
    ) -> None:
        """`offers` are what each payer may have; money alone buys nothing."""
        super().__init__(seller)
        self._stores = stores
        self._subject = subject
        self._offers = offers
        self._done: dict[bytes, int] = {}

    def _goods(self, sale: Sale) -> Iterator[Goods]:
        stores, buyer = self._stores, sale.terms.payer.raw
        offer = self._offers.get(sale.terms.payer)
        if offer is None:
            return
        done = self._done.get(buyer, 0)
        for batch in stores.journal.receipted(done, BATCHES_AT_ONCE_MAX):
            if (
                stores.streams.subject(batch.subject) == self._subject
                and batch.log_index is not None
            ):
                statement = stores.log.statement(batch.log_index)
                source = readings_source(statement)
                body = stores.journal.leaves_of(batch.batch)
                if (
                    body is not None
                    and _fits(offer, sale.terms, statement)
                    and not stores.till.sold(sale, source)
                ):
                    leaves = stores.vault.open_leaves(batch.subject, batch.batch, body)
                    yield from self._batch_goods(batch.log_index, offer.price, leaves)
            self._done[buyer] = batch.number  # not reached when there was no room: tried again

    def _batch_goods(self, index: int, price: int, leaves: list[bytes]) -> Iterator[Goods]:
        statement = self._stores.log.statement(index)
        body = readings_body(statement, self._stores.log.receipt(index), leaves)
        if len(body) > BODY_BYTES_MAX:
            _log.warning("entry %s: %s readings are too many for one item", index, len(leaves))
            return
        said = batches.decode(statements.verify(statement).payload)
        yield Goods(
            readings_source(statement),
            price * len(leaves),
            body,
            simulated=SIMULATED in said.provenance,
        )


def _fits(offer: ReadingsOffer, terms: Terms, statement: bytes) -> bool:
    said = batches.decode(statements.verify(statement).payload)
    provenance = said.provenance
    if offer.agreement not in {None, said.agreement}:
        return False
    if SIMULATED in provenance and not terms.simulated:
        return False
    return all(sure(each, offer.least_provenance) for each in provenance)


class UnitsSale(_Selling):
    """Sells the units that a meter passes; `meter_j` tells where it stands, in joules.

    Each is offered once, and again when the channel on which it was sold has ended: what was not
    paid there is sold on the next one.
    """

    def __init__(
        self, seller: Seller, tariff: Tariff, meter_j: Callable[[], float], *, sold_before: int
    ) -> None:
        """Units up to number `sold_before` were sold in earlier runs."""
        super().__init__(seller)
        self._tariff = tariff
        self._meter_j = meter_j
        self._sold = sold_before
        self._again: list[int] = []
        self._on: dict[bytes, list[int]] = {}

    def _offer(self, sale: Sale) -> None:
        live = {each.terms.channel for each in self._seller.channels()}
        for channel in self._on.keys() - live:
            self._again += self._on.pop(channel)
        done = self._seller.sell(sale.terms.channel, self._goods(sale))
        units = list(islice(self._units(), done))
        self._on.setdefault(sale.terms.channel, []).extend(units)
        del self._again[:done]
        self._sold = max(self._sold, *units, 0)

    def _units(self) -> Iterator[int]:
        passed = int(self._meter_j()) // self._tariff.unit_j
        yield from self._again
        yield from range(self._sold + 1, passed + 1)

    def _goods(self, sale: Sale) -> Iterator[Goods]:
        del sale  # every buyer of this meter is offered the same next units
        tariff = self._tariff
        for unit in self._units():
            yield Goods(
                tariff.source(unit), tariff.price, tariff.body(unit), simulated=tariff.simulated
            )


@dataclass(slots=True)
class Purchase:
    """Buys on one channel with `spendable` minor units in it, opened when there is none.

    Where the ledger is ours, `claims_for_seller` turns our promises into the seller's money when we
    end: anybody who holds terms and voucher may claim.
    """

    buyer: Buyer
    terms: Terms
    spendable: int
    claims_for_seller: bool = False

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.buyer.run(connection.broker))
            while True:
                with suppress(RemoteError):  # the ledger says no for now; the channel is kept
                    await self.buyer.keep(self.terms, self.spendable)
                    break
                await asyncio.sleep(OPEN_RETRY_S)

    async def settle(self) -> None:
        """Nothing unless we claim for the seller; what is left stays in the channel."""
        if self.claims_for_seller:
            await self.buyer.settle()
