"""Journal and log -> MQTT: telemetry, receipts, checkpoint and who is there.

A message leaves the journal's list only when the broker acknowledged it, so an outage or a crash
repeats it and never loses it; each carries its identity ("pk", batch, sequence) for those who must
not count it twice. Telemetry about a person's body is not told unless the configuration says so.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from agent import topics
from agent.broker import Broker
from agent.claims import senml, unpack
from agent.home import Vault
from agent.journal import Batch, Journal
from firmware_bridge.readings import QUANTITIES
from ledger_client import batches, statements
from ledger_client.log import LogReader

PACKS_AT_ONCE = 32
RECEIPTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Names:
    """Who speaks: short ids by component alias, urns by subject alias."""

    gateway: str
    components: Mapping[str, str]
    subjects: Mapping[str, str]


class Publisher:
    """One step tells what the broker has not heard; `published` counts acknowledged messages."""

    def __init__(
        self,
        *,
        journal: Journal,
        log: LogReader,
        vault: Vault,
        broker: Broker,
        names: Names,
        personal: bool,
    ) -> None:
        """`personal` tells heart rates and the like too."""
        self._journal = journal
        self._log = log
        self._vault = vault
        self._broker = broker
        self._names = names
        self._personal = personal
        self._told_size = 0
        self.published = 0

    async def step(self) -> bool:
        """Tell some of what waits; True when there may be more."""
        packs = await self._tell_packs()
        receipts = await self._tell_receipts()
        await self._tell_checkpoint()
        return packs or receipts

    async def run(self, every_s: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Step until cancelled, with a rest of `every_s` whenever nothing waits."""
        while True:
            if not await self.step():
                await sleep(every_s)

    async def _publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await self._broker.publish(topic, payload, retain=retain)
        self.published += 1

    async def _tell_packs(self) -> bool:
        rows = await asyncio.to_thread(self._journal.untold_packs, PACKS_AT_ONCE)
        messages: list[tuple[str, bytes]] = []
        for pack, subject, boot, body in rows:
            kept = unpack(self._vault.open_pack(subject, body))
            identity = f"{boot.hex()}-{pack}"
            for (alias, quantity), payload in senml(
                kept, self._names.subjects[subject], identity
            ).items():
                if alias in self._names.components and self._may_tell(quantity):
                    topic = topics.tele(self._names.components[alias], quantity)
                    messages.append((topic, payload))
        async with asyncio.TaskGroup() as tasks:
            for topic, payload in messages:
                tasks.create_task(self._publish(topic, payload))
        if rows:
            await asyncio.to_thread(self._journal.packs_told, [row[0] for row in rows])
        return len(rows) == PACKS_AT_ONCE

    def _may_tell(self, quantity: str) -> bool:
        return self._personal or not QUANTITIES[quantity].personal

    async def _tell_receipts(self) -> bool:
        waiting = self._journal.untold_batches(RECEIPTS_AT_ONCE)
        for batch in waiting:
            await self._publish(topics.receipt(self._names.gateway), self._receipt(batch))
        if waiting:
            await asyncio.to_thread(self._journal.batches_told, [batch.batch for batch in waiting])
        return len(waiting) == RECEIPTS_AT_ONCE

    def _receipt(self, batch: Batch) -> bytes:
        """The receipt topic's JSON (FORMATS section 8)."""
        index = batch.log_index or 0
        said = batches.decode(statements.verify(self._log.statement(index)).payload)
        head = self._log.head
        return json.dumps(
            {
                "batch": batch.batch.hex(),
                "sequence": said.sequence,
                "n": said.leaf_count,
                "root": said.root.hex(),
                "log": self._names.gateway,
                "index": index,
                "size": head.size,
                "provenance": {str(key): count for key, count in said.provenance.items()},
                "losses": {
                    "dropped": said.losses.dropped,
                    "rejected": said.losses.rejected,
                    "gap": said.losses.gap,
                },
            },
            separators=(",", ":"),
        ).encode()

    async def _tell_checkpoint(self) -> None:
        head = self._log.head
        if head.size != self._told_size:
            topic = topics.checkpoint(self._names.gateway)
            await self._publish(topic, head.note.encode(), retain=True)
            self._told_size = head.size
