"""Offers over a broker: which are there, how one is accepted, and what is answered to that.

An offer stays under its publisher's own topic. It is accepted by a command in JSON to whoever
offers, {"id", "command": "accept", "offer": name, "deed": base64}: the filled agreement with the
acceptor's signature. The result is {"command", "id", "status"} with the "deed" that everybody
signed (200), or an "error" (403). Who speaks does not matter there: the signatures do.
"""

import asyncio
import base64
import binascii
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from agent import topics
from agent.broker import Broker, Message
from agent.status import printable
from ledger_client import consents, deeds, offers
from ledger_client.deeds import Deed
from ledger_client.errors import RemoteError
from ledger_client.offers import Signed

OFFERS_MAX = 1_000
OFFERS_OF_ONE_MAX = 16
QUIET_S = 0.7
READ_MAX_S = 10.0
COMMAND_BYTES_MAX = 128 << 10
REFUSALS_MAX = 32
DONE, REFUSED = 200, 403
REASON_CHARACTERS_MAX = 100


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of whoever offers: `accept` a deed, or know more about it (`tell`).

    Its own user may also `withdraw` the offer.
    """

    id: str
    command: str
    offer: str
    deed: str = ""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command: the whole deed, or why not. Statuses are those of HTTP."""

    command: str
    id: str
    status: int
    deed: str = ""
    error: str = ""


class Offered:
    """The offers that were heard, by topic: verified, in time, and not too many of one issuer."""

    def __init__(self) -> None:
        self._held: dict[str, Signed] = {}
        self.refused: Counter[str] = Counter()
        """How many were refused, by reason; cut to printable text."""

    def take(self, message: Message) -> bool:
        """Put an offer there, or take it away when its topic is cleared; whether one is there."""
        before = self._held.pop(message.topic, None)
        if not message.payload:
            return False
        try:
            self._held[message.topic] = self._judge(message, before)
        except RemoteError as error:
            reason = printable(str(error), REASON_CHARACTERS_MAX)
            if len(self.refused) >= REFUSALS_MAX and reason not in self.refused:
                reason = "other reasons"
            self.refused[reason] += 1
            return False
        return True

    def _judge(self, message: Message, before: Signed | None) -> Signed:
        signed = offers.from_json(message.payload)
        if message.topic != topics.offer(signed.issuer.short_id, signed.offer.name):
            raise RemoteError("an offer under the topic of somebody else")
        if before is not None and before.issued_s > signed.issued_s:
            return before  # a replay: the newer one stays
        issuers = Counter(each.issuer for each in self._held.values())
        if len(self._held) >= OFFERS_MAX or issuers[signed.issuer] >= OFFERS_OF_ONE_MAX:
            raise RemoteError(f"more than {OFFERS_OF_ONE_MAX} of one, or {OFFERS_MAX} in all")
        return signed

    def standing(self, now_s: int) -> list[Signed]:
        """Those that may be accepted now, by their references; what lapsed is ignored."""
        return sorted(
            (each for each in self._held.values() if not each.lapsed(now_s)),
            key=lambda each: each.reference,
        )

    def lapsed(self, now_s: int) -> int:
        """How many are there that nobody may accept any more."""
        return sum(each.lapsed(now_s) for each in self._held.values())


async def read(broker: Broker) -> Offered:
    """What is offered on this broker: everything retained, until none came for a moment."""
    found = Offered()
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_MAX_S), broker.subscribe(topics.offers_of_all()) as said:
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(QUIET_S):
                        found.take(await anext(said))
    return found


async def ask(broker: Broker, me: str, signed: Signed, deed: Deed, wait_max_s: float) -> Deed:
    """Have the deed, which we signed as `me` or one of ours, signed by whoever offers.

    Raises:
        RemoteError: it says no, or answers with something else than the whole deed.
        TimeoutError: no answer; asking again with the same deed gives the same answer.
    """
    issuer, number = signed.issuer.short_id, secrets.token_hex(8)
    command = Command(number, "accept", signed.offer.name, packed(deed))
    async with asyncio.timeout(wait_max_s), broker.subscribe(topics.result(me, issuer)) as results:
        await broker.publish(topics.command(issuer, me), msgspec.json.encode(command))
        async for message in results:
            result = _result(message)
            if result is not None and result.id == number:
                return _whole(deed, result)
    raise RemoteError("the broker ended before an answer came")


def _result(message: Message) -> Result | None:
    if message.retained or len(message.payload) > COMMAND_BYTES_MAX:
        return None
    try:
        return msgspec.json.decode(message.payload, type=Result)
    except (msgspec.DecodeError, RecursionError):
        return None


def _whole(deed: Deed, result: Result) -> Deed:
    """The deed that came back, if it is ours and nobody's signature is missing."""
    if not result.deed:
        raise RemoteError(f"it was refused: {printable(result.error, 4 * REASON_CHARACTERS_MAX)}")
    answer = unpacked(result.deed)
    if answer.digest != deed.digest:
        raise RemoteError("the answer is another agreement than was asked for")
    joined = deed.joined(each.signed for each in answer.acts)
    if missing := consents.standing(joined.agreement, joined.acts, 0).missing:
        raise RemoteError(f"the answer is not signed by {', '.join(missing)}")
    return joined


def packed(deed: Deed) -> str:
    """The deed in base64."""
    return base64.b64encode(deed.encode()).decode()


def unpacked(text: str) -> Deed:
    """The deed in base64; raises RemoteError."""
    try:
        return deeds.parse(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise RemoteError(f"expected a deed in base64: {error}") from error


def find(offered: Offered, wanted: str, now_s: int) -> Signed:
    """The offer called `wanted`: ISSUER/NAME, or a name or the start of an issuer that is clear.

    Raises:
        RemoteError: there is none, or more than one; says which there are.
    """
    known = offered.standing(now_s)
    chosen = [each for each in known if wanted in set(_names(each))] or [
        each for each in known if each.reference.startswith(wanted)
    ]
    if len(chosen) != 1:
        names = ", ".join(each.reference for each in known) or "none"
        what = "no such offer" if not chosen else "more than one offer is called that"
        raise RemoteError(f"{printable(wanted)}: {what}; on this broker: {names}")
    return chosen[0]


def _names(signed: Signed) -> Iterator[str]:
    yield signed.reference
    yield signed.offer.name


Now = Callable[[], int]
"""Unix seconds."""
