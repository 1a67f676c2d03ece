"""Apps at a running gateway: let in and cut off as their grants say, sold to, and paid by them.

The folder of grants is looked at ten times a second. Who was taken back loses first its connection,
then its certificate, then its channels: what it promised is claimed, the rest goes back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path

from agent import apps, disclosed
from agent.apps import Granted
from agent.broker import BrokerError
from agent.desks import Goods
from agent.home import HomeError
from agent.running import Connection
from agent.status import printable
from agent.stores import Stores
from agent.tally import Seller
from agent.till import Sale
from agent.topics import Rules
from ledger_client import batches, certificates, statements, trust
from ledger_client.errors import RemoteError
from ledger_client.settlement.embedded import Book

LOOK_EVERY_S = 0.1
OFFER_EVERY_S = 0.5
CLAIM_EVERY_S = 600.0  # each time is an entry on the log; the vouchers in hand are safe till then
BATCHES_AT_ONCE_MAX = 32  # looked at in one transaction of the till, on the event loop

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Apps:
    """The deal of all apps of one gateway.

    With a broker that is not ours (`live` is false) its operator lets them in and out: then grants
    count from the next start on, and what was taken back at once.
    """

    stores: Stores
    book: Book
    seller: Seller
    now_s: Callable[[], int]
    live: bool
    claim_every_s: float = CLAIM_EVERY_S
    _granted: dict[str, Granted] = field(default_factory=dict)
    _admitted: Mapping[str, Rules] = field(default_factory=dict)
    _seen: object = None
    _done: dict[bytes, int] = field(default_factory=dict)

    def rules(self) -> Mapping[str, Rules]:
        """Who may use our broker from the start on, and for what, by short id."""
        self._granted = self._read(_seen(self._folder))
        self._admitted = self._rules()
        return self._admitted

    async def run(self, connection: Connection) -> None:
        """Let in, sell and cut off until cancelled."""
        while not self._granted:
            await self._step(connection)
            await asyncio.sleep(LOOK_EVERY_S)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.seller.run(connection.broker))
            tasks.create_task(self._sell())
            tasks.create_task(self._claim())
            while True:
                await self._step(connection)
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """Claim what was promised; the channels stay, for the app comes again."""
        with suppress(RemoteError):
            await self.seller.settle()

    @property
    def _folder(self) -> Path:
        return self.stores.home.path / apps.FOLDER

    async def _step(self, connection: Connection) -> None:
        """Do what the files ask for, whenever one is another; and every minute, for time passes."""
        files, now_s = _seen(self._folder), self.now_s()
        if (files, now_s // 60) == self._seen:
            return
        found = self._read(files)
        if not self.live:
            found = {did: each for did, each in found.items() if did in self._granted}
        self._granted = found
        try:
            await self._admit(connection)
        except BrokerError as error:
            _log.warning("%s", error)  # and it is tried again
            return
        self._seen = files, now_s // 60
        for each in found.values():
            try:
                self._publish(each, now_s)
            except RemoteError as error:
                _log.warning("app %s: %s", each.name, printable(str(error), 300))
        await self._end(now_s)

    def _read(self, files: Iterable[tuple[str, int, int, int]]) -> dict[str, Granted]:
        """The grants in these files that are good, by did."""
        found: dict[str, Granted] = {}
        for name, *_ in islice(files, apps.APPS_MAX):
            try:
                each = apps.read(self._folder / name)
            except (HomeError, RemoteError) as error:
                _log.warning("%s", printable(str(error), 300))
            else:
                found[each.did] = each
        return found

    def _rules(self) -> dict[str, Rules]:
        now_s = self.now_s()
        active = [each for each in self._granted.values() if each.active(now_s)]
        return {each.key.short_id: each.rules for each in active}

    async def _admit(self, connection: Connection) -> None:
        rules = self._rules()
        if rules != self._admitted:
            await connection.admit(rules)
            self._admitted = rules

    def _publish(self, granted: Granted, now_s: int) -> None:
        """Put what is new onto the log, and money where it is due."""
        log, signer = self.stores.log, self.stores.signer
        identity = sha256(granted.revocation or granted.tokens).digest()
        if log.find(identity) is None:
            statement = granted.revocation or trust.certify(
                signer, certificates.decode_tokens(granted.tokens), now_s
            )
            log.append([(identity, statement)], now_s)
            _log.info("app %s: %s", granted.name, "off" if granted.revocation else "on")
        if granted.active(now_s):
            self.book.refill(granted.key)

    async def _end(self, now_s: int) -> None:
        """Claim and end the channels of those that may pay no more."""
        for sale in self.seller.channels():
            granted = self._granted.get(sale.terms.payer.did)
            if granted is None or not granted.active(now_s):
                with suppress(RemoteError):
                    await self.seller.close_now(sale.terms.channel)

    async def _claim(self) -> None:
        while True:
            await asyncio.sleep(self.claim_every_s)
            with suppress(RemoteError):
                await self.seller.settle()

    async def _sell(self) -> None:
        while True:
            for sale in self.seller.channels():
                granted = self._granted.get(sale.terms.payer.did)
                if granted is not None and granted.active(self.now_s()):
                    self.seller.sell(sale.terms.channel, self._goods(sale, granted))
            await asyncio.sleep(OFFER_EVERY_S)

    def _goods(self, sale: Sale, granted: Granted) -> Iterator[Goods]:
        """What was proved since the grant and no agreement governs, of the granted quantities."""
        stores, buyer = self.stores, sale.terms.payer.raw
        done = self._done.get(buyer, 0)
        for batch in stores.journal.receipted(done, BATCHES_AT_ONCE_MAX):
            sealed = stores.journal.leaves_of(batch.batch)
            if batch.log_index is not None and sealed is not None:
                statement = stores.log.statement(batch.log_index)
                said = batches.decode(statements.verify(statement).payload)
                if said.agreement is None and (said.last_minute + 1) * 60 > granted.granted_s:
                    yield from disclosed.goods(
                        statement,
                        stores.log.receipt(batch.log_index),
                        stores.vault.open_leaves(batch.subject, batch.batch, sealed),
                        frozenset(granted.quantities),
                        granted.price_minor_units,
                        demo=sale.terms.simulated,
                    )
            self._done[buyer] = batch.number  # not reached when there was no room: tried again


def _seen(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """The grants' files by name, with what changes when one is written anew."""
    found: list[tuple[str, int, int, int]] = []
    for path in _files(folder):
        with suppress(FileNotFoundError):
            about = path.stat()
            found.append((path.name, about.st_ino, about.st_mtime_ns, about.st_size))
    return tuple(sorted(found))


def _files(folder: Path) -> Iterable[Path]:
    return folder.glob("*.json") if folder.is_dir() else ()
