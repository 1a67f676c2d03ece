"""The offering side: an offer stays on the broker while its publisher does, and is countersigned.

The offer is the first word of each connection and its clearing the last will, so it goes when the
publisher goes. A deed that was countersigned is on disk before it is answered; asking again gives
the same answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent import topics
from agent.broker import Broker, Message
from agent.export import write_whole
from agent.offers import COMMAND_BYTES_MAX, DONE, REFUSED, Command, Now, Result, packed, unpacked
from agent.status import printable
from ledger_client import consents, deeds, offers
from ledger_client.consents import Act, State
from ledger_client.deeds import Deed
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import SigningKey
from ledger_client.offers import Signed

LAPSE_LOOK_S = 5.0
_OVER = frozenset({State.EXPIRED, State.ENDED, State.WITHDRAWN, State.VOID})


class Offering:
    """One offer at work. `keys` sign for every party but the open one; deeds go into `folder`."""

    def __init__(
        self,
        signed: Signed,
        keys: Sequence[SigningKey],
        folder: Path,
        now_s: Now,
        say: Callable[[str], None],
    ) -> None:
        """`say` is told of each acceptance and refusal.

        Raises:
            EncodingError: the key of a party is not there.
        """
        self.signed = signed
        self.me = signed.issuer.short_id
        self._keys = {key.public.did: key for key in keys}
        self._folder = folder
        self._now_s = now_s
        self._say = say
        self._taken: set[bytes] | None = None
        offer = signed.offer
        for party in signed.sample().parties:
            if party.name != offer.open and party.did not in self._keys:
                raise EncodingError(
                    f"offer {offer.name}: expected the key of {party.name}, too: whoever accepts"
                    " must have every signature at once"
                )

    @property
    def topic(self) -> str:
        """Where it is published."""
        return topics.offer(self.me, self.signed.offer.name)

    @property
    def hello(self) -> tuple[str, bytes]:
        """The retained message that publishes it."""
        return self.topic, offers.to_json(self.signed)

    @property
    def will(self) -> tuple[str, bytes]:
        """The retained message that takes it away."""
        return self.topic, b""

    async def run(self, broker: Broker) -> None:
        """Countersign until it lapses or is withdrawn, and clear it; when cancelled the will does.

        Raises what the broker raises.
        """
        async with broker.subscribe(topics.said_to(self.me, "cmd")) as commands:
            while not self.signed.lapsed(self._now_s()):
                try:
                    async with asyncio.timeout(LAPSE_LOOK_S):
                        message = await anext(commands)
                except TimeoutError:
                    continue
                if not await self._hear(broker, message):
                    break
            else:
                self._say(f"{self.signed.offer.name} lapsed")
        await broker.publish(*self.will, retain=True)

    async def _hear(self, broker: Broker, message: Message) -> bool:
        """Answer one command; False when it was that of withdrawing."""
        if message.retained or len(message.payload) > COMMAND_BYTES_MAX:
            return True
        try:
            speaker = topics.parse_inbox(message.topic).speaker
            command = msgspec.json.decode(message.payload, type=Command)
        except (msgspec.DecodeError, RecursionError, ValueError):
            return True  # not for us: others speak to the same inbox
        if command.offer != self.signed.offer.name:
            return True
        if command.command == "withdraw" and speaker == self.me:
            self._say(f"{self.signed.offer.name} was withdrawn")
            return False
        if command.command == "tell":
            self._learn(command)
        if command.command == "accept":
            result = self._result(command, speaker)
            await broker.publish(topics.result(speaker, self.me), msgspec.json.encode(result))
        return True

    def _learn(self, command: Command) -> None:
        """Keep what else was signed about a deed that we have."""
        try:
            deed = unpacked(command.deed)
            if (path := self._path(deed)).exists():
                known = deeds.parse(path.read_bytes())
                write_whole(path, known.joined(each.signed for each in deed.acts).encode())
                self._say(f"{deed.digest.hex()} has other signatures now")
        except RemoteError as error:
            self._say(f"not kept: {printable(str(error))}")

    def _path(self, deed: Deed) -> Path:
        return self._folder / f"{deed.digest.hex()}.cbor"

    def _result(self, command: Command, speaker: str) -> Result:
        number = command.id[:64]
        try:
            deed = self.countersign(unpacked(command.deed))
        except RemoteError as error:
            self._say(f"refused to {printable(speaker)}: {printable(str(error))}")
            return Result("accept", number, REFUSED, error=str(error))
        self._say(f"{deed.digest.hex()} is agreed with {printable(speaker)}")
        return Result("accept", number, DONE, packed(deed))

    def countersign(self, deed: Deed) -> Deed:
        """The deed with our signatures, on disk.

        Raises:
            RemoteError: other terms, no signature of the acceptor, lapsed, or no place is left.
        """
        now_s = self._now_s()
        path = self._path(deed)
        if path.exists():
            deed = deed.joined(each.signed for each in deeds.parse(path.read_bytes()).acts)
        else:
            self._check(deed, now_s)
        standing = consents.standing(deed.agreement, deed.acts, now_s)
        if standing.missing:
            signatures = [
                consents.sign_act(self._keys[party.did], deed.digest, Act.SIGN, now_s)
                for party in deed.agreement.parties
                if party.name in standing.missing
            ]
            deed = deed.joined(signatures)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, deed.encode())
        self._places().add(deed.digest)
        return deed

    def _check(self, deed: Deed, now_s: int) -> None:
        offer = self.signed.offer
        if self.signed.lapsed(now_s):
            raise RemoteError(f"the offer {offer.name} lapsed")
        if not offers.accepts(offer, deed.agreement):
            raise RemoteError(f"these are not the terms of the offer {offer.name}")
        standing = consents.standing(deed.agreement, deed.acts, now_s)
        if offer.open not in standing.signed or standing.state in _OVER:
            raise RemoteError(f"expected the signature of {offer.open}, and nothing ended")
        if len(self._places()) >= offer.places:
            raise RemoteError(f"all {offer.places} places of the offer {offer.name} are taken")

    def _places(self) -> set[bytes]:
        """The agreements that were made of it and had not ended when this publisher started."""
        if self._taken is None:
            held = [deeds.parse(path.read_bytes()) for path in self._folder.glob("*.cbor")]
            now_s = self._now_s()
            self._taken = {
                deed.digest
                for deed in held
                if offers.accepts(self.signed.offer, deed.agreement)
                and consents.standing(deed.agreement, deed.acts, now_s).state not in _OVER
            }
        return self._taken
