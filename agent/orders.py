"""A ledger's counter on MQTT: signed orders, claims and questions in, one answer to each.

Whoever may write to our inbox may ask. Who speaks decides nothing: an order counts for the party
that signed it, a voucher for whoever it pays. All-time totals make a repeat harmless.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from agent import commands, inquiry, topics
from agent.broker import Broker, Message
from agent.commands import About, Answer, Balance, Claims, Order, Paid, Promise, Status
from agent.rate import Bucket
from agent.status import printable
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey
from ledger_client.settlement.embedded import Book

if TYPE_CHECKING:
    from ledger_client.settlement import Claim

ERROR_CHARACTERS_MAX = 300
COMPLAINTS_PER_S_MAX = 1
HOUR_S = 3_600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked; of the speakers the `speakers_max` latest are told apart.

    What moves money, orders and claims, is an entry on the log for ever: `moves_per_h_max` of each.
    """

    all_per_s_max: int = 100
    each_per_s_max: int = 20
    moves_per_h_max: int = 240
    speakers_max: int = 256


class _Speaker:
    """What is left of the limits for one speaker."""

    def __init__(self, limits: Limits) -> None:
        self.commands = Bucket(limits.each_per_s_max)
        self.moves = Bucket(limits.moves_per_h_max)  # its time is in hours
        self.complaints = Bucket(COMPLAINTS_PER_S_MAX)


class Counter:
    """Answers for one book, as the gateway with the short id `me`."""

    def __init__(self, book: Book, me: str, limits: Limits | None = None) -> None:
        self._book = book
        self._me = me
        self._limits = limits or Limits()
        self._all = Bucket(self._limits.all_per_s_max)
        self._each: OrderedDict[str, _Speaker] = OrderedDict()
        self.dropped = 0
        """Commands that were not even answered: retained, or far too many."""

    async def run(self, broker: Broker) -> None:
        """Answer until cancelled."""
        clock = asyncio.get_running_loop().time
        async with broker.subscribe(topics.said_to(self._me, "cmd")) as messages:
            async for message in messages:
                answer = self.answer(message, clock())
                if answer is not None:
                    speaker = topics.parse_inbox(message.topic).speaker
                    topic = topics.result(speaker, self._me)
                    await broker.publish(topic, commands.encode(answer))

    def answer(self, message: Message, now_s: float) -> Answer | None:
        """What to say to a command; None for one to be dropped. `now_s` of any one clock."""
        try:
            speaker = topics.parse_inbox(message.topic).speaker
        except ValueError:  # of a broker without rules: nobody who could be answered
            self.dropped += 1
            return None
        if message.retained or not message.payload:
            self.dropped += 1
            return None
        command, name = commands.named(message.payload)
        if command in inquiry.COMMANDS:
            return None  # for a witness
        left = self._left(speaker)
        if wait_s := left.commands.take(now_s) or self._all.take(now_s):
            return self._complaint(left, now_s, Answer(command, name, commands.TOO_MANY), wait_s)
        try:
            asked = commands.parse(message.payload)
        except ValueError as error:
            return _error(Answer(command, name, commands.MALFORMED), str(error))
        return self._answer(left, asked, Answer(command, name, commands.DONE), now_s)

    def _answer(
        self, left: _Speaker, asked: commands.Asked, done: Answer, now_s: float
    ) -> Answer | None:
        moves = isinstance(asked, Order | Claims)
        if moves and (wait_h := left.moves.take(now_s / HOUR_S)):
            too_many = Answer(done.command, done.id, commands.TOO_MANY)
            return self._complaint(left, now_s, too_many, wait_h * HOUR_S)
        try:
            return self._do(asked, done)
        except RemoteError as error:
            _log.info("%s: %s", done.command, printable(str(error)))
            return _error(Answer(done.command, done.id, commands.REFUSED), str(error))

    def _do(self, asked: commands.Asked, done: Answer) -> Answer:
        book = self._book
        match asked:
            case Order(party=party, order=order):
                view = book.order(PublicKey.from_did(party), order, outside=True)
                return _with(done, channel=commands.channel_of(view))
            case Claims(claims=promises):
                return _with(done, claims=self._claim(promises))
            case Status(channel=channel):
                found = book.view(channel)
                if found is None:
                    absent = Answer(done.command, done.id, commands.ABSENT)
                    return _error(absent, "no such channel on this ledger")
                return _with(done, channel=commands.channel_of(found))
            case Balance(holder=holder):
                return _with(done, balance=book.balance(PublicKey.from_did(holder).thumbprint))
            case About():
                return _with(done, ledger=commands.Ledger(book.name, book.asset, book.demo))

    def _claim(self, promises: Sequence[Promise]) -> tuple[Paid, ...]:
        """What became of each, in order; those with terms that are none get no further."""
        claims: list[Claim] = []
        paid: list[Paid | None] = []
        for promise in promises:
            try:
                claims.append(commands.claim_of(promise))
                paid.append(None)
            except RemoteError as error:
                refusal = printable(str(error), ERROR_CHARACTERS_MAX)
                paid.append(Paid(sha256(promise.terms).digest(), 0, refusal))
        outcomes = iter(self._book.claim(claims))
        return tuple(each or commands.paid_of(next(outcomes)) for each in paid)

    def _left(self, speaker: str) -> _Speaker:
        if speaker not in self._each:
            self._each[speaker] = _Speaker(self._limits)
            if len(self._each) > self._limits.speakers_max:
                self._each.popitem(last=False)
        self._each.move_to_end(speaker)
        return self._each[speaker]

    def _complaint(
        self, left: _Speaker, now_s: float, answer: Answer, wait_s: float
    ) -> Answer | None:
        if left.complaints.take(now_s):
            self.dropped += 1
            return None
        return _error(answer, f"too many commands: ask again in {wait_s:.1f} s or later")


def _with(done: Answer, **fields: object) -> Answer:
    return Answer(done.command, done.id, done.status, **fields)  # type: ignore[arg-type]  # by name


def _error(answer: Answer, text: str) -> Answer:
    error = printable(text, ERROR_CHARACTERS_MAX)
    return Answer(answer.command, answer.id, answer.status, error)
