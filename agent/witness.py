"""A witness at work: answers offers over MQTT and HTTP, and raises the alarm when a log forks.

Over HTTP: POST /add-checkpoint and GET /{SHA-256 of an origin}/checkpoint (C2SP tlog-witness). Over
MQTT the same bodies in commands (inquiry.py). Where the broker lets it, it also reads the
checkpoints that logs show to everybody, so that a log cannot show others another head.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from agent import inquiry, topics
from agent.broker import Broker, Message
from agent.inquiry import Command, Result
from agent.rate import Bucket
from agent.status import printable
from ledger_client import witnessing
from ledger_client.errors import RemoteError
from ledger_client.witness import Evidence, Refused, Witness, origin_hash

if TYPE_CHECKING:
    from aiohttp import web

SIZE_TYPE = "text/x.tlog.size"
COMMANDS_PER_S_MAX = 20
ALERT_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class Desk:
    """Answers for one witness. `now_s` is Unix time."""

    def __init__(self, witness: Witness, now_s: Callable[[], int]) -> None:
        self._witness = witness
        self._now_s = now_s
        self._alarmed: set[tuple[str, int, bool]] = set()

    def add(self, body: bytes) -> tuple[int, str]:
        """Status and body for an add-checkpoint request."""
        try:
            return 200, self._witness.add(body, self._now_s())
        except Refused as refused:
            self._alarm()
            size = refused.size
            return refused.status, f"{refused}\n" if size is None else f"{size}\n"

    def latest(self, origin: str) -> tuple[int, str]:
        """Status and body for a question after the newest head that was cosigned."""
        note = self._witness.latest(origin)
        return (200, note) if note else (404, "no head of that log was cosigned here\n")

    def routes(self) -> "list[web.RouteDef]":
        """For a Door."""
        from aiohttp import web  # noqa: PLC0415  # only where HTTP is on

        hashes = {origin_hash(origin): origin for origin in self._witness.logs}

        async def add(request: web.Request) -> web.Response:
            status, body = self.add(await request.read())
            sized = status == 409 and body[:1].isdigit()  # noqa: PLR2004  # Conflict
            return web.Response(
                status=status, text=body, content_type=SIZE_TYPE if sized else "text/plain"
            )

        async def latest(request: web.Request) -> web.Response:
            status, body = self.latest(hashes.get(request.match_info["log"], ""))
            return web.Response(status=status, text=body)

        return [web.post("/add-checkpoint", add), web.get("/{log:[0-9a-f]{64}}/checkpoint", latest)]

    async def run(self, broker: Broker, me: str, *, watch: bool) -> None:
        """Answer, alert and, with `watch`, read what logs show to all; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._answer(broker, me))
            tasks.create_task(self._tell(broker, me))
            if watch:
                tasks.create_task(self._watch(broker))

    async def _answer(self, broker: Broker, me: str) -> None:
        bucket, clock = Bucket(COMMANDS_PER_S_MAX), asyncio.get_running_loop().time
        async with broker.subscribe(topics.said_to(me, "cmd")) as messages:
            async for message in messages:
                if message.retained or bucket.take(clock()):
                    continue
                try:
                    speaker = topics.parse_inbox(message.topic).speaker
                except ValueError:
                    continue  # of a broker without rules: nobody who could be answered
                if (reply := self._reply(message)) is not None:
                    await broker.publish(topics.result(speaker, me), inquiry.encode(reply))

    def _reply(self, message: Message) -> Result | None:
        try:
            command = inquiry.parse_command(message.payload)
        except ValueError:
            return None  # a command for somebody else in this milepost, or none
        status, body = self._do(command)
        return Result(command.command, command.id, status, body)

    def _do(self, command: Command) -> tuple[int, str]:
        match command.command:
            case "add-checkpoint":
                return self.add(command.body.encode())
            case "checkpoint":
                return self.latest(command.body)

    async def _watch(self, broker: Broker) -> None:
        async with broker.subscribe(topics.checkpoint_of_all()) as messages:
            async for message in messages:
                try:
                    self._witness.look(message.payload.decode(), self._now_s())
                except (UnicodeDecodeError, RemoteError) as error:
                    _log.debug("%s: %s", printable(message.topic), printable(str(error)))
                self._alarm()

    async def _tell(self, broker: Broker, me: str) -> None:
        """Keep the retained alerts as they should be; after an outage all of them again."""
        told: dict[str, bytes] = {}
        while True:
            if not broker.connected.is_set():
                told.clear()
                await broker.connected.wait()
            for topic, payload in alerts(me, self._witness.evidence(), self._witness.logs).items():
                if told.get(topic) != payload:
                    await broker.publish(topic, payload, retain=True)
                    told[topic] = payload
            await asyncio.sleep(ALERT_EVERY_S)

    def _alarm(self) -> None:
        """Log what is new; a doubt may be anybody's doing, so it is no warning."""
        now = {(each.origin, each.size, each.forked): each for each in self._witness.evidence()}
        for identity in now.keys() - self._alarmed:
            each = now[identity]
            _log.log(logging.WARNING if each.forked else logging.INFO, "%s", printable(_why(each)))
        self._alarmed = set(now)


def alerts(me: str, evidence: Sequence[Evidence], logs: Iterable[str]) -> dict[str, bytes]:
    """What each alert topic of the witness should hold; empty where nothing is wrong."""
    found = {
        topics.alert(me, f"{code}-{origin_hash(origin)[:16]}"): b""
        for origin in logs
        for code in ("fork", "unproven")
    }
    for each in evidence:
        code = "fork" if each.forked else "unproven"
        topic = topics.alert(me, f"{code}-{origin_hash(each.origin)[:16]}")
        if not found.get(topic):
            found[topic] = json.dumps(
                {
                    "code": code,
                    "log": each.origin,
                    "since": each.seen_s,
                    "why": _why(each),
                    "pinned": each.pinned,
                    "shown": witnessing.parse(each.offer).note,
                    "mend": "ask the owner of that log; believe no head of it that is not cosigned",
                },
                separators=(",", ":"),
            ).encode()
    return found


def _why(each: Evidence) -> str:
    if each.forked:
        return f"{each.origin} signed two heads that disagree; the newer has {each.size} entries"
    return (
        f"{each.origin} showed a head of {each.size} entries, and nobody proved that it continues"
        " the one that was cosigned"
    )
