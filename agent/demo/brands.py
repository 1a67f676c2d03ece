"""A brand of the ecosystem at work over the broker: gives notes, takes those of others, and owes.

Messages are JSON, statements in them base64. What is asked goes to `cmd`, an answer to `res`.

    customer -> brand    {"ask": statement}  {"redeem": [note, redemption, who shows it]}
    brand -> customer    {"notes": [note...]}  {"taken": redemption}
    brand -> brand       {"clear": [note, redemption]}  {"owe": statement}
"""

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from agent import topics
from agent.broker import Broker, Message
from agent.export import write_whole
from agent.running import Connection
from ledger_client import agreements, statements, values
from ledger_client.agreements import Ecosystem
from ledger_client.errors import EncodingError, ProofError, RemoteError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.statements import Statement
from ledger_client.values import Ask, Note, Owed, Redemption, Shown

MESSAGE_BYTES_MAX = 16_384
STATEMENTS_MAX = 2_000
"""What a brand keeps; then it gives and takes no more."""

_log = logging.getLogger(__name__)


def text(signed: bytes) -> str:
    """A statement as it stands in a message."""
    return b64encode(signed).decode()


def read(payload: bytes) -> tuple[str, list[Statement]]:
    """The one word of a message and the statements behind it; raises RemoteError."""
    if len(payload) > MESSAGE_BYTES_MAX:
        raise EncodingError(f"expected a message of {MESSAGE_BYTES_MAX} bytes at most")
    try:
        ((word, given),) = json.loads(payload).items()
        listed = given if isinstance(given, list) else [given]
        raw = [b64decode(each, validate=True) for each in listed]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise EncodingError("expected a message of one word with statements") from error
    return str(word), [statements.verify(each) for each in raw]


class BrandDesk:
    """One brand. `worth` is how many notes its customer has coming to it by now, in all."""

    def __init__(
        self,
        key: SigningKey,
        ecosystem: Ecosystem,
        amount: int,
        worth: Callable[[], int],
        now_s: Callable[[], int],
        kept: Path,
    ) -> None:
        """`amount` is what each note is good for; `kept` the file of what it signed and took."""
        self.key = key
        self._ecosystem = ecosystem
        self._digest = agreements.digest(ecosystem)
        self._names = values.names_of(ecosystem)
        self._amount = amount
        self._worth = worth
        self._now_s = now_s
        self._file = kept
        self._statements: list[bytes] = []
        self.given: dict[bytes, bytes] = {}
        """The notes it gave, by the key of their holder."""
        self.taken: set[bytes] = set()
        """The notes of others that it took, by digest."""
        self.owing: dict[PublicKey, int] = {}
        """What it owes each of the others, all time."""
        self.owed: dict[PublicKey, tuple[int, bytes]] = {}
        """What each of the others owes it, as that one signed it last."""
        self._spent: dict[bytes, bytes] = {}
        self._asking: dict[bytes, tuple[str, Note, bytes]] = {}
        if kept.exists():
            for each in values.unpack(kept.read_bytes()):
                self._recall(each)

    async def run(self, connection: Connection) -> None:
        """Serve until cancelled."""
        me, broker = self.key.public.short_id, connection.broker
        async with broker.subscribe(
            topics.said_to(me, "cmd"), topics.said_to(me, "res")
        ) as arriving:
            async for message in arriving:
                await self._answer(broker, message)

    async def settle(self) -> None:
        """What is owed is netted by all of them together."""

    async def _answer(self, broker: Broker, message: Message) -> None:
        inbox = topics.parse_inbox(message.topic)
        try:
            word, given = read(message.payload)
            for to, kind, reply in list(self._replies(inbox.speaker, word, given)):
                topic = topics.command if kind == "cmd" else topics.result
                payload = json.dumps(reply, separators=(",", ":")).encode()
                await broker.publish(topic(to, self.key.public.short_id), payload)
        except RemoteError as error:
            _log.info("%s: %s", inbox.speaker, error)

    def _replies(
        self, speaker: str, word: str, given: list[Statement]
    ) -> Iterator[tuple[str, str, dict[str, object]]]:
        match word, given:
            case "ask", [asked]:
                yield speaker, "res", {"notes": self._give(speaker, asked)}
            case "redeem", [note, redemption, shown]:
                yield from self._take(speaker, (note, redemption), shown)
            case "clear", [note, redemption]:
                yield speaker, "res", {"owe": self._owe(speaker, (note, redemption))}
            case "owe", [owed]:
                yield from self._believe(owed)
            case _:
                raise EncodingError(f"{word!a}: expected ask, redeem, clear or owe")

    def _give(self, customer: str, asked: Statement) -> list[str]:
        said = values.parse(asked, self._digest)
        if not isinstance(said, Ask) or said.customer.short_id != customer:
            raise ProofError("a note is asked for by the customer itself")
        notes = []
        for holder in said.holders:
            if holder.raw not in self.given and len(self.given) < self._worth():
                note = values.earn(self.key, self._digest, self._amount, holder, self._now_s())
                self._keep(note)
                self.given[holder.raw] = note
            if holder.raw in self.given:
                notes.append(text(self.given[holder.raw]))
        return notes

    def _pair(self, pair: tuple[Statement, Statement]) -> tuple[Note, Redemption]:
        return values.redeemed(self._ecosystem, self._digest, [pair])[0]

    def _take(
        self, customer: str, pair: tuple[Statement, Statement], shown: Statement
    ) -> Iterator[tuple[str, str, dict[str, object]]]:
        note, redemption = self._pair(pair)
        said = values.parse(shown, self._digest)
        if not isinstance(said, Shown) or said.redemption != redemption.digest:
            raise ProofError("expected who redeems it to say so")
        if said.customer.short_id != customer or redemption.at != self.key.public:
            raise ProofError("a note that is redeemed by somebody else, or elsewhere")
        taken: dict[str, object] = {"taken": text(pair[1].signed)}
        if note.brand == self.key.public:
            self._spend(note, redemption, pair)
            yield customer, "res", taken
        elif note.digest in self.taken:
            yield customer, "res", taken  # it was lost on the way
        else:
            self._asking[note.digest] = customer, note, pair[1].signed
            clear: dict[str, object] = {"clear": [text(each.signed) for each in pair]}
            yield note.brand.short_id, "cmd", clear

    def _owe(self, brand: str, pair: tuple[Statement, Statement]) -> str:
        note, redemption = self._pair(pair)
        if note.brand != self.key.public or redemption.at.short_id != brand:
            raise ProofError("a note of somebody else, or redeemed elsewhere")
        if self._spend(note, redemption, pair):
            self.owing[redemption.at] = self.owing.get(redemption.at, 0) + note.amount
        total = self.owing[redemption.at]
        return text(values.owe(self.key, self._digest, redemption.at, total, self._now_s()))

    def _spend(self, note: Note, redemption: Redemption, pair: tuple[Statement, Statement]) -> bool:
        """Mark a note of ours as redeemed; False if that is this very redemption again."""
        known = self._spent.setdefault(note.digest, redemption.digest)
        if known != redemption.digest:
            raise ProofError("a note that was redeemed before")
        if pair[1].signed in self._statements:
            return False
        self._keep(pair[1].signed)
        return True

    def _believe(self, owed: Statement) -> Iterator[tuple[str, str, dict[str, object]]]:
        said = values.parse(owed, self._digest)
        if not isinstance(said, Owed) or said.creditor != self.key.public:
            raise ProofError("what is owed to somebody else")
        covered, _ = self.owed.get(said.debtor, (0, b""))
        if said.total <= covered:
            return
        self._keep(owed.signed)
        self.owed[said.debtor] = said.total, owed.signed
        for digest, (customer, note, redemption) in list(self._asking.items()):
            if note.brand == said.debtor and covered + note.amount <= said.total:
                covered += note.amount
                del self._asking[digest]
                self._keep(redemption)
                self.taken.add(digest)
                yield customer, "res", {"taken": text(redemption)}

    def _keep(self, signed: bytes) -> None:
        if len(self._statements) >= STATEMENTS_MAX:
            raise ProofError(f"this brand keeps {STATEMENTS_MAX} statements, no more fit")
        self._statements.append(signed)
        write_whole(self._file, values.pack(self._statements))

    def _recall(self, statement: Statement) -> None:
        """One statement of an earlier run."""
        self._statements.append(statement.signed)
        match values.parse(statement, self._digest):
            case Note(holder=holder):
                self.given[holder.raw] = statement.signed
            case Redemption(note=note, at=at, digest=digest):
                self._spent[note] = digest
                if at == self.key.public:
                    self.taken.add(note)
                else:
                    self.owing[at] = self.owing.get(at, 0) + self._amount
            case Owed(debtor=debtor, total=total):
                self.owed[debtor] = total, statement.signed
