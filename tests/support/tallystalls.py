"""Who sells in a simulated market, what there is to hear in it, and what a seller makes of that."""

from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from market import SELLER, terms
from tallytruth import Truth

from agent.desks import Goods
from agent.marks import ISSUER_BYTES, Mark, Readings
from ledger_client import cbor, disclosure, shapes
from ledger_client.channels import Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item

RIVAL = SigningKey(bytes([6]) * 32)
"""Sells what it heard of the same packets as SELLER."""
READINGS_MAX = 4


@dataclass
class World:
    """What is said on the air, in order; each packet is heard by this or that gateway."""

    random: Random
    heard: dict[SigningKey, list[int]]
    said: int = 0

    def say(self) -> None:
        """One more packet; somebody hears it."""
        self.said += 1
        ears = [key for key in self.heard if self.random.random() < 0.7]
        for key in ears or [next(iter(self.heard))]:
            self.heard[key].append(self.said)

    def goods(self, key: SigningKey) -> Goods:
        """A batch of what this gateway heard and has not sold yet, at 1 or 2 for each reading."""
        heard = self.heard[key]
        size = self.random.randint(1, READINGS_MAX)
        while len(heard) < size:
            self.say()
        batch = [b"packet %d" % number for number in heard[:size]]
        del heard[:size]
        name = b"batch of %b with %b" % (key.public.raw[:4], batch[0])
        body = cbor.encode([name, disclosure.encode(batch)])
        price = size * self.random.choice((1, 2))
        return Goods(sha256(name).digest(), price, body, simulated=True)


def held(body: bytes) -> dict[int, bytes]:
    """The packets in an item's body, by their place in the batch."""
    _, value = shapes.array(cbor.decode(body), "readings", 2)
    given = disclosure.parse(value)
    if given is None:
        raise RemoteError("an item without readings")
    if isinstance(given, disclosure.Part):
        return {each.index: each.leaf for each in given.chosen}
    return dict(enumerate(given))


def accept(on: Terms, item: Item) -> Readings:
    """A buyer's judgement: it believes whatever is said, but not twice."""
    name, _ = shapes.array(cbor.decode(item.body), "readings", 2)
    marks = tuple(
        Mark(index, 0, sha256(packet).digest()[:12]) for index, packet in held(item.body).items()
    )
    source = sha256(shapes.octets(name, "name")).digest()
    return Readings(source, on.payee.thumbprint[:ISSUER_BYTES], marks)


@dataclass
class Stall:
    """One seller and its channel: what it has for sale, and what is true about it."""

    key: SigningKey
    terms: Terms
    truth: Truth = field(default_factory=Truth)
    stock: list[Goods] = field(default_factory=list)
    done: int = 0

    @property
    def channel(self) -> bytes:
        """Its id."""
        return self.terms.channel


def stall(key: SigningKey, salt: int) -> Stall:
    """A stall of this seller, with a channel of its own."""
    on = terms(salt=salt)
    if key is not SELLER:
        on = Terms(
            on.ledger,
            on.payer,
            on.signer,
            key.public,
            on.asset,
            on.delay_s,
            on.salt,
            simulated=True,
        )
    return Stall(key, on)
