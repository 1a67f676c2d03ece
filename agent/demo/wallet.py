"""The customer of an ecosystem: one key for each brand, one for each note, none of them on the log.

It asks each brand for what it has coming, and redeems what it has at one brand after another.
"""

import asyncio
import json
from collections.abc import Callable

from agent import topics
from agent.broker import Broker
from agent.demo.brands import read, text
from agent.export import write_whole
from agent.home import Home
from agent.running import Connection
from ledger_client import agreements, consents, statements, values
from ledger_client.agreements import Ecosystem
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey, SigningKey, create_secret, read_secret
from ledger_client.statements import Statement
from ledger_client.values import Note, Redemption

LOOK_EVERY_S = 1.0
NOTES_MAX = 100
"""A wallet asks one brand for no more."""
REDEEMED_AT_ONCE_MAX = 8


def secret_of(home: Home) -> bytes:
    """The customer's 32 random bytes, made the first time."""
    path = home.path / "keys" / "customer.secret"
    if not path.exists():
        create_secret(path)
    return read_secret(path)


def pseudonyms(secret: bytes, ecosystem: Ecosystem) -> dict[PublicKey, SigningKey]:
    """The key by which each brand knows the customer, by the brand's own."""
    digest = agreements.digest(ecosystem)
    brands = values.names_of(ecosystem)
    return {brand: consents.pairwise_key(secret, digest, brand) for brand in brands}


class Wallet:
    """One customer's notes, as a deal over the gateway's own connection."""

    def __init__(self, home: Home, ecosystem: Ecosystem, now_s: Callable[[], int]) -> None:
        """What it has from earlier runs is in the home."""
        secret = secret_of(home)
        self._digest = agreements.digest(ecosystem)
        self._keys = pseudonyms(secret, ecosystem)
        self._brands = list(self._keys)
        self._now_s = now_s
        self._file = home.path / "wallet.value"
        self._holders: dict[PublicKey, list[SigningKey]] = {
            brand: [
                values.holder_key(secret, self._digest, place * NOTES_MAX + number)
                for number in range(NOTES_MAX)
            ]
            for place, brand in enumerate(self._brands)
        }
        self._signed: dict[bytes, bytes] = {}
        self.notes: dict[bytes, Note] = {}
        """Every note it ever had, by digest."""
        self._redemptions: dict[bytes, Statement] = {}
        self.taken: set[bytes] = set()
        """The notes of which a brand said in this run that it took them, by digest."""
        if self._file.exists():
            for each in values.unpack(self._file.read_bytes()):
                self._remember(each)

    @property
    def ids(self) -> tuple[str, ...]:
        """The short ids under which it speaks, one for each brand."""
        return tuple(key.public.short_id for key in self._keys.values())

    async def run(self, connection: Connection) -> None:
        """Collect and spend until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(connection.broker))
            while True:
                for brand in self._brands:
                    await self._ask(connection.broker, brand)
                waiting = [each for each in self.notes.values() if each.digest not in self.taken]
                for note in waiting[:REDEEMED_AT_ONCE_MAX]:
                    await self._redeem(connection.broker, note)
                await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """What brands owe each other is no business of the customer's."""

    async def _listen(self, broker: Broker) -> None:
        filters = [topics.said_to(each, "res") for each in self.ids]
        async with broker.subscribe(*filters) as arriving:
            async for message in arriving:
                try:
                    self._hear(message.payload)
                except RemoteError:
                    continue  # from no brand of ours, or not for us

    def _hear(self, payload: bytes) -> None:
        word, given = read(payload)
        for each in given:
            said = values.parse(each, self._digest)
            if word == "notes" and isinstance(said, Note) and self._place(said) is not None:
                self._keep(each)
            elif word == "taken" and isinstance(said, Redemption):
                self.taken.add(said.note)

    async def _ask(self, broker: Broker, brand: PublicKey) -> None:
        """Ask for one note more than it has of that brand."""
        number = sum(note.brand == brand for note in self.notes.values())
        if number < NOTES_MAX:
            holder = self._holders[brand][number].public
            asked = values.ask(self._keys[brand], self._digest, [holder], self._now_s())
            await self._say(broker, brand, {"ask": text(asked)})

    async def _redeem(self, broker: Broker, note: Note) -> None:
        """Give it to the next brand in turn, and again while nobody answers."""
        number = self._place(note)
        if number is None:
            return
        at = self._brands[(self._brands.index(note.brand) + 1 + number) % len(self._brands)]
        if note.digest not in self._redemptions:
            holder = self._holders[note.brand][number]
            signed = values.redeem(holder, self._digest, note.digest, at, self._now_s())
            self._keep(statements.verify(signed))
        redemption = self._redemptions[note.digest]
        shown = values.show(self._keys[at], self._digest, redemption.digest, self._now_s())
        parts = [text(self._signed[note.digest]), text(redemption.signed), text(shown)]
        await self._say(broker, at, {"redeem": parts})

    async def _say(self, broker: Broker, brand: PublicKey, message: dict[str, object]) -> None:
        topic = topics.command(brand.short_id, self._keys[brand].public.short_id)
        await broker.publish(topic, json.dumps(message, separators=(",", ":")).encode())

    def _place(self, note: Note) -> int | None:
        """The number of a note among those of its brand; None if it is not ours."""
        holders = [key.public for key in self._holders.get(note.brand, [])]
        return holders.index(note.holder) if note.holder in holders else None

    def _keep(self, statement: Statement) -> None:
        if statement.digest not in self._signed:
            self._remember(statement)
            write_whole(self._file, values.pack(self._signed.values()))

    def _remember(self, statement: Statement) -> None:
        said = values.parse(statement, self._digest)
        self._signed[statement.digest] = statement.signed
        if isinstance(said, Note):
            self.notes[said.digest] = said
        elif isinstance(said, Redemption):
            self._redemptions[said.note] = statement
