"""Our log before others: what they remember of it, and their cosignatures on its heads.

At a start nothing is signed until the broker's retained note and every witness were asked for the
newest head they hold, or `RECALL_MAX_S` have passed: a home that was restored as a whole from an
old copy looks right from inside. A head that our key signed and our log does not have stops us for
good, whenever it turns up. A witness that merely says so, without such a head, is logged.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent import inquiry, topics
from agent.broker import Broker
from agent.home import HomeError
from agent.inquiry import Command, Result
from agent.running import Connection
from agent.status import printable
from ledger_client import checkpoints, merkle, witnessing
from ledger_client.checkpoints import Verifier
from ledger_client.errors import RemoteError
from ledger_client.log import Head, Log
from ledger_client.watermark import Watermark
from ledger_client.witness import origin_hash
from ledger_client.witnessing import Offer

RECALL_MAX_S = 10.0
RETAINED_GRACE_S = 0.5
ASK_MAX_S = 8.0
EVERY_S = 1.0
BACKOFF_MAX_S = 300.0
ANSWER_BYTES_MAX = 65_536
_NEWLINE = "\n"
_OK, _CONFLICT, _UNPROVEN = 200, 409, 422

_log = logging.getLogger(__name__)


class UnreachableError(Exception):
    """A witness does not answer now."""


class Way(Protocol):
    """How a witness is asked: status and body, as in tlog-witness."""

    async def add(self, body: bytes) -> tuple[int, str]:
        """What it says to an offer; raises UnreachableError."""

    async def latest(self, origin: str) -> tuple[int, str]:
        """The newest head that it cosigned; raises UnreachableError."""


@dataclass(frozen=True, slots=True)
class Known:
    """A witness that we chose: its cosignature key, and "mqtt" or the prefix of its HTTP paths."""

    verifier: Verifier
    url: str


class Cosigner:
    """Asks at the start, offers every head, keeps the newest cosignatures. A deal of the gateway.

    `me` is our short id; `cleared` is set once signing may begin.
    """

    def __init__(
        self,
        log: Log,
        mark: Watermark,
        me: str,
        witnesses: Sequence[Known],
        keep: Callable[[str, tuple[str, ...]], None] | None = None,
    ) -> None:
        """`keep` is given each head that was cosigned: its note, and whose lines are on it."""
        self.cleared = asyncio.Event()
        self._log = log
        self._mark = mark
        self._me = me
        self._witnesses = tuple(witnesses)
        self._keep = keep
        self._lines: dict[Verifier, tuple[int, str]] = {}
        self._asked: dict[str, asyncio.Future[Result]] = {}
        self._listening = asyncio.Event()

    def note(self) -> str:
        """The newest head, with the cosignatures that there are on it."""
        return self._cosigned(self._log.head)[0]

    def _cosigned(self, head: Head) -> tuple[str, tuple[str, ...]]:
        found = {key: line for key, (size, line) in self._lines.items() if size == head.size}
        return head.note + "".join(found.values()), tuple(key.vkey for key in found)

    async def run(self, connection: Connection) -> None:
        """Until cancelled. Raises StoreError, in a group, when our log turns out to be an old copy.

        The watermark remembers it: the next start says so too.
        """
        broker = connection.broker
        ways = {each: self._way(broker, each) for each in self._witnesses}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(broker))
            await self._recall(broker, ways.values())
            self.cleared.set()
            tasks.create_task(self._remind(broker))
            for each, way in ways.items():
                tasks.create_task(self._accompany(broker, each, way))

    async def settle(self) -> None:
        """Nothing is left to do: whoever lacks the last head gets it after the next start."""

    def _way(self, broker: Broker, witness: Known) -> Way:
        if witness.url == "mqtt":
            return _Mqtt(self, broker, witness.verifier.public.short_id)
        return _Http(witness.url.rstrip("/"))

    # -- what others remember

    async def _recall(self, broker: Broker, ways: Iterable[Way]) -> None:
        try:
            async with asyncio.timeout(RECALL_MAX_S), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._own_note(broker))
                for way in ways:
                    tasks.create_task(self._look(way))
        except TimeoutError:
            _log.warning("the broker or a witness did not answer: signing without asking them")

    async def _own_note(self, broker: Broker) -> None:
        """Return when the retained note to ourselves, if there is one, has come."""
        await broker.connected.wait()
        await self._listening.wait()
        ping = secrets.token_hex(8)
        answer = self._asked[ping] = asyncio.get_running_loop().create_future()
        await self._note_to_self(broker, "ping", ping, "", retain=False)
        await answer
        await asyncio.sleep(RETAINED_GRACE_S)

    async def _look(self, way: Way) -> None:
        """Compare the newest head that a witness cosigned with our log."""
        try:
            status, note = await way.latest(self._log.name)
        except UnreachableError as error:
            _log.info("a witness is away: %s", error)
            return
        if status == _OK:
            self._shown(note)

    def _shown(self, note: str) -> None:
        try:
            self._mark.show(note, self._log.root_at)
        except RemoteError as error:
            _log.warning("this is no head of ours: %s", printable(str(error)))

    async def _listen(self, broker: Broker) -> None:
        """Results to our questions, and notes to ourselves."""
        own = topics.result(self._me, self._me)
        async with broker.subscribe(topics.said_to(self._me, "res")) as messages:
            self._listening.set()
            async for message in messages:
                try:
                    result = inquiry.parse_result(message.payload)
                except ValueError:
                    continue
                if message.topic == own and result.command == "head":
                    self._shown(result.body)
                elif (waiting := self._asked.pop(result.id, None)) and not waiting.done():
                    waiting.set_result(result)

    async def _remind(self, broker: Broker) -> None:
        """Leave the newest head with the broker, out of reach of a restored copy of our home."""
        reminded = 0
        while True:
            head = self._log.head
            if head.size != reminded:
                await self._note_to_self(broker, "head", "", head.note, retain=True)
                reminded = head.size
            await asyncio.sleep(EVERY_S)

    async def _note_to_self(
        self, broker: Broker, command: str, identity: str, body: str, *, retain: bool
    ) -> None:
        note = Result(command, identity, _OK, body)  # type: ignore[arg-type]  # two of its words
        await broker.publish(topics.result(self._me, self._me), inquiry.encode(note), retain=retain)

    # -- what they sign

    async def _accompany(self, broker: Broker, witness: Known, way: Way) -> None:
        """Offer each new head to one witness; later when it is away or has something against us."""
        known, rest_s = 0, EVERY_S
        while True:
            head = self._log.head
            if head.size == known and witness.verifier in self._lines:
                await asyncio.sleep(EVERY_S)
                continue
            try:
                known = await self._offer(witness, way, head, known)
                rest_s = EVERY_S
            except (UnreachableError, RemoteError, HomeError) as error:
                _log.info("witness %s: %s", witness.verifier.name, printable(str(error)))
                rest_s = min(2 * rest_s, BACKOFF_MAX_S)
                await asyncio.sleep(rest_s)
                continue
            if known == head.size == self._log.head.size:
                topic = topics.checkpoint(self._me)
                await broker.publish(topic, self.note().encode(), retain=True)

    async def _offer(self, witness: Known, way: Way, head: Head, known: int) -> int:
        """The size that the witness holds after this offer.

        Raises:
            RemoteError: it does not cosign, and shows nothing that speaks against our log.
        """
        path = merkle.consistency_proof(known, head.size, self._log.nodes) if known else []
        status, body = await way.add(Offer(known, tuple(path), head.note).body)
        if status == _OK:
            self._lines[witness.verifier] = (head.size, _signed_by(witness, head, body))
            if self._keep is not None:
                self._keep(*self._cosigned(head))
            return head.size
        if status in {_CONFLICT, _UNPROVEN}:
            held = witnessing.parse_size(body.rstrip("\n")) if body[:1].isdigit() else known
            if held != known and (held == 0 or self._log.root_at(held)):
                return held
            await self._look(way)
        raise RemoteError(f"it refused our head of {head.size} entries with {status}: {body[:200]}")

    async def ask(self, broker: Broker, to: str, command: Command) -> tuple[int, str]:
        """Put a command to another milepost over the broker; raises UnreachableError."""
        answer = asyncio.get_running_loop().create_future()
        self._asked[command.id] = answer
        try:
            async with asyncio.timeout(ASK_MAX_S):
                await self._listening.wait()
                await broker.publish(topics.command(to, self._me), inquiry.encode(command))
                result = await answer
        except TimeoutError as error:
            raise UnreachableError(f"{to} did not answer over the broker") from error
        finally:
            self._asked.pop(command.id, None)
        return result.status, result.body


def _signed_by(witness: Known, head: Head, body: str) -> str:
    """The first line of an answer, which the witness's key signed; raises RemoteError."""
    line = f"{body.partition(_NEWLINE)[0]}{_NEWLINE}"
    checkpoints.open_note(head.note + line, [witness.verifier])
    return line


class _Mqtt:
    """A witness on our broker."""

    def __init__(self, cosigner: Cosigner, broker: Broker, to: str) -> None:
        self._cosigner = cosigner
        self._broker = broker
        self._to = to

    async def add(self, body: bytes) -> tuple[int, str]:
        command = Command("add-checkpoint", secrets.token_hex(8), body.decode())
        return await self._cosigner.ask(self._broker, self._to, command)

    async def latest(self, origin: str) -> tuple[int, str]:
        command = Command("checkpoint", secrets.token_hex(8), origin)
        return await self._cosigner.ask(self._broker, self._to, command)


class _Http:
    """A witness behind HTTP; aiohttp is imported when the first is asked."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def add(self, body: bytes) -> tuple[int, str]:
        return await self._ask("POST", "/add-checkpoint", body)

    async def latest(self, origin: str) -> tuple[int, str]:
        return await self._ask("GET", f"/{origin_hash(origin)}/checkpoint", None)

    async def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, str]:
        import aiohttp  # noqa: PLC0415  # only where a witness is asked over HTTP

        limit = aiohttp.ClientTimeout(total=ASK_MAX_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.request(
                    method, self._prefix + path, data=body, allow_redirects=False
                ) as answer,
            ):
                data = await answer.content.read(ANSWER_BYTES_MAX)
                return answer.status, data.decode()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{self._prefix} did not answer: {why}") from error
