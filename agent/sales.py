"""What is to be sold on one channel under an agreement: found in the journal or at the meter."""

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent import licensed
from agent.desks import Goods
from agent.goods import SIMULATED, readings_body
from agent.journal import Batch
from agent.licensed import Chosen, Held
from agent.stores import Stores
from agent.till import Sale
from ledger_client import batches, disclosure, dues, statements
from ledger_client.agreements import DataLicence, PerReading
from ledger_client.batches import Batch as Said
from ledger_client.messages import BODY_BYTES_MAX

BATCHES_AT_ONCE_MAX = 64  # looked at in one transaction of the till, on the event loop
WINDOWS_MAX = 64  # that wait for room; no further batch is looked at before

_log = logging.getLogger(__name__)


class _Placed(NamedTuple):
    """A leaf that waits in its window: which batch, which entry of the log, which place."""

    batch: Batch
    entry: int
    chosen: Chosen


class LicenceGoods:
    """The goods of one licence, in order, from where the last call ended.

    A window is packed `linger_s` seconds after its end, when its last batch is receipted; what is
    proved later than that earns nothing.
    """

    def __init__(self, stores: Stores, *, linger_s: float) -> None:
        self._stores = stores
        self._linger_s = linger_s
        self._done = 0
        self._windows: dict[int, dict[object, _Placed]] = {}

    def goods(self, held: Held, sale: Sale, now_s: float) -> Iterator[Goods]:
        """What can be sold now; a thing that is not taken is offered again by the next call."""
        windows, length_s = self._windows, dues.window_s(held.licence)
        if len(windows) < WINDOWS_MAX:
            for batch in self._stores.journal.receipted(self._done, BATCHES_AT_ONCE_MAX):
                yield from self._batch(held, sale, batch)
                self._done = batch.number  # not reached when there was no room: tried again
        for number in sorted(windows):
            if held.licence.begins_s + (number + 1) * length_s + self._linger_s > now_s:
                break
            goods = self._window(held.licence, number, list(windows[number].values()))
            if goods is not None:
                yield goods
            del windows[number]

    def _batch(self, held: Held, sale: Sale, batch: Batch) -> Iterator[Goods]:
        stores, demo = self._stores, sale.terms.simulated
        if batch.log_index is None or stores.subjects.get(batch.subject) != held.licence.subject:
            return
        statement = stores.log.statement(batch.log_index)
        said = batches.decode(statements.verify(statement).payload)
        if not _may_earn(held, said, demo=demo):
            return
        every = self._leaves(batch)
        found = licensed.chosen(held, every, demo=demo)
        if dues.window_s(held.licence):
            self._wait(held, sale, [_Placed(batch, batch.log_index, each) for each in found])
            return
        for number in sorted({each.window for each in found}):
            places = [each.index for each in found if each.window == number]
            yield Goods(
                licensed.piece_source(statement, number),
                held.licence.price.minor_units * len(places),
                readings_body(
                    statement,
                    stores.log.receipt(batch.log_index),
                    disclosure.choose(every, places) or (),
                ),
                simulated=SIMULATED in said.provenance,
            )

    def _wait(self, held: Held, sale: Sale, placed: list[_Placed]) -> None:
        """Put these into their windows, the first of each slot, unless the window was sold."""
        for each in placed:
            number, slot = each.chosen.window, each.chosen.slot
            if not self._stores.till.sold(sale, licensed.window_source(held.licence, number)):
                window = self._windows.setdefault(number, {})
                window.setdefault(slot or (each.entry, each.chosen.index), each)

    def _window(self, licence: DataLicence, number: int, placed: list[_Placed]) -> Goods | None:
        """All of a window that is sold by the reading; by the period as many as fit, spread out.

        None for one that cannot be sold: too large, or released since to make room.
        """
        by_reading = isinstance(licence.price, PerReading)
        if not by_reading:
            placed = placed[:: -(-len(placed) // (2 * dues.WINDOW_READINGS_MAX))]
        packed, body = self._pack(placed)
        while not by_reading and len(body) > BODY_BYTES_MAX and packed > 1:
            placed = placed[::2]
            packed, body = self._pack(placed)
        if len(body) > BODY_BYTES_MAX:
            _log.warning("a window of %s readings does not fit into one item", packed)
            return None
        if not packed:
            return None
        return Goods(
            licensed.window_source(licence, number),
            licence.price.minor_units * (packed if by_reading else 1),
            body,
            simulated=licence.simulated,
        )

    def _pack(self, placed: Iterable[_Placed]) -> tuple[int, bytes]:
        """How many of these are still here, and the body that discloses them."""
        log, packed, parts = self._stores.log, 0, []
        by_entry: dict[int, list[_Placed]] = {}
        for each in placed:
            by_entry.setdefault(each.entry, []).append(each)
        for entry, some in sorted(by_entry.items()):
            every = self._leaves(some[0].batch)
            wanted = {each.chosen.index for each in some} if every else set()
            disclosed = disclosure.choose(every, wanted)
            if disclosed is not None:
                packed += len(some)
                parts.append((log.statement(entry), log.receipt(entry), disclosed))
        return packed, licensed.window_body(parts)

    def _leaves(self, batch: Batch) -> list[bytes]:
        """The leaves of a batch; none when its readings were released to make room."""
        body = self._stores.journal.leaves_of(batch.batch)
        if body is None:
            return []
        return self._stores.vault.open_leaves(batch.subject, batch.batch, body)


def _may_earn(held: Held, said: Said, *, demo: bool) -> bool:
    """Whether a batch is governed by this licence and holds anything that is good enough."""
    pays = (held.licence.pays_for(each, demo=demo) for each in said.provenance)
    return said.agreement == held.digest and any(pays)
