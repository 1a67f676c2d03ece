"""A brand's desk, message by message: what it gives and takes once, and what it refuses."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import contracts
import pytest
from contracts import BRAND, OTHER, PLATFORM

from agent import topics
from agent.broker import Message
from agent.demo.brands import MESSAGE_BYTES_MAX, BrandDesk, read, text
from agent.running import Connection
from ledger_client import agreements, statements, values
from ledger_client.errors import EncodingError
from ledger_client.keys import SigningKey
from ledger_client.values import Owed, Redemption

ECOSYSTEM = contracts.ecosystem()
DIGEST = agreements.digest(ECOSYSTEM)
NOW_S = contracts.BEGINS_S
CUSTOMER, SHOPPER = (SigningKey(bytes([n]) * 32) for n in (41, 42))
HOLDERS = [SigningKey(bytes([n]) * 32) for n in range(50, 60)]
Word = tuple[str, list[bytes]]


class Hand:
    """A broker that brings what it was given and keeps what is said."""

    def __init__(self, *brought: tuple[str, bytes]) -> None:
        self.brought = brought
        self.said: list[tuple[str, bytes]] = []
        self.connected = asyncio.Event()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        assert not retain
        self.said.append((topic, payload))

    @asynccontextmanager
    async def subscribe(self, *_filters: str) -> AsyncIterator[AsyncIterator[Message]]:
        async def arriving() -> AsyncIterator[Message]:
            for topic, payload in self.brought:
                yield Message(topic, payload, retained=False)

        yield arriving()


def desk(folder: Path, key: SigningKey = BRAND, worth: int = 2) -> BrandDesk:
    return BrandDesk(
        key, ECOSYSTEM, 100, lambda: worth, lambda: NOW_S, folder / key.public.short_id
    )


def say(one: BrandDesk, speaker: SigningKey, *words: Word, kind: str = "cmd") -> list[Any]:
    """What a desk answers: to whom, how, the word, and what the statements say."""
    topic: Callable[[str, str], str] = topics.command if kind == "cmd" else topics.result
    me = one.key.public.short_id
    hand = Hand(
        *(
            (
                topic(me, speaker.public.short_id),
                json.dumps({word: [text(each) for each in given]}).encode(),
            )
            for word, given in words
        )
    )
    asyncio.run(one.run(Connection(hand, lambda _: None, ())))  # type: ignore[arg-type,return-value]  # nobody else connects
    answers = []
    for where, payload in hand.said:
        inbox = topics.parse_inbox(where)
        word, given = read(payload)
        answers.append((inbox.to, inbox.kind, word, [values.parse(g, DIGEST) for g in given]))
    return answers


def ask(*holders: SigningKey, customer: SigningKey = CUSTOMER) -> Word:
    return "ask", [values.ask(customer, DIGEST, [each.public for each in holders], NOW_S)]


def pair(
    holder: SigningKey = HOLDERS[0], by: SigningKey = BRAND, at: SigningKey = PLATFORM
) -> list[bytes]:
    note = values.earn(by, DIGEST, 100, holder.public, NOW_S)
    digest = statements.verify(note).digest
    return [note, values.redeem(holder, DIGEST, digest, at.public, NOW_S)]


def shown(given: list[bytes], customer: SigningKey = SHOPPER) -> Word:
    digest = statements.verify(given[1]).digest
    return "redeem", [*given, values.show(customer, DIGEST, digest, NOW_S)]


def test_a_customer_has_what_is_coming_to_it_and_not_more(tmp_path: Path) -> None:
    brand = desk(tmp_path)

    first, again = say(brand, CUSTOMER, ask(*HOLDERS[:3]), ask(HOLDERS[0]))

    assert first[:3] == (CUSTOMER.public.short_id, "res", "notes")
    assert [note.holder for note in first[3]] == [each.public for each in HOLDERS[:2]]
    assert again[3] == first[3][:1]
    assert say(desk(tmp_path), CUSTOMER, ask(HOLDERS[3]))[0][3] == []  # it remembers


def test_a_note_of_another_is_cleared_there_before_it_is_taken(tmp_path: Path) -> None:
    brand, platform = desk(tmp_path), desk(tmp_path, PLATFORM)
    given = pair()

    (asked,) = say(platform, SHOPPER, shown(given))
    (owes, twice) = say(brand, PLATFORM, ("clear", given), ("clear", given))
    promised = values.owe(BRAND, DIGEST, PLATFORM.public, 100, NOW_S)
    (taken,) = say(platform, BRAND, ("owe", [promised]), ("owe", [promised]), kind="res")
    (later,) = say(platform, SHOPPER, shown(given))

    assert asked[:3] == (BRAND.public.short_id, "cmd", "clear")
    assert owes[3] == twice[3] == [Owed(BRAND.public, PLATFORM.public, 100)]
    assert taken[:3] == later[:3] == (SHOPPER.public.short_id, "res", "taken")
    assert isinstance(taken[3][0], Redemption)
    assert platform.owed == {BRAND.public: (100, promised)}
    assert desk(tmp_path).owing == {PLATFORM.public: 100}
    again = desk(tmp_path, PLATFORM)
    assert (again.owed, again.taken) == (platform.owed, platform.taken)
    assert say(again, SHOPPER, shown(given)) == [later]


def test_a_note_of_its_own_is_taken_at_once(tmp_path: Path) -> None:
    (taken,) = say(desk(tmp_path), SHOPPER, shown(pair(at=BRAND)))

    assert taken[:3] == (SHOPPER.public.short_id, "res", "taken")


def elsewhere() -> list[bytes]:
    """The same note as `pair`, redeemed at another brand."""
    note, _ = pair()
    digest = statements.verify(note).digest
    return [note, values.redeem(HOLDERS[0], DIGEST, digest, BRAND.public, NOW_S)]


@pytest.mark.parametrize(
    ("speaker", "words"),
    [
        (SHOPPER, [ask(HOLDERS[0])]),  # another customer's
        (CUSTOMER, [("ask", [pair()[0]])]),
        (SHOPPER, [shown(pair())]),  # at another brand
        (CUSTOMER, [shown(pair(at=BRAND))]),  # another's
        (SHOPPER, [("redeem", [*pair(at=BRAND), pair()[0]])]),
        (OTHER, [("clear", pair())]),
        (PLATFORM, [("clear", pair(by=PLATFORM))]),
        (PLATFORM, [("owe", [values.owe(PLATFORM, DIGEST, OTHER.public, 1, NOW_S)])]),
        (PLATFORM, [("give", [])]),
    ],
)
def test_what_is_not_in_order_has_no_answer(
    tmp_path: Path, speaker: SigningKey, words: list[Word]
) -> None:
    brand = desk(tmp_path)

    assert say(brand, speaker, *words) == []
    assert (brand.owing, brand.owed, brand.taken) == ({}, {}, set())


def test_a_note_is_honoured_once(tmp_path: Path) -> None:
    brand = desk(tmp_path)

    say(brand, PLATFORM, ("clear", pair()))

    assert say(brand, SHOPPER, shown(elsewhere())) == []
    assert brand.owing == {PLATFORM.public: 100}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"ask": 1}',
        b'{"ask": "x", "owe": "y"}',
        b'{"ask": "!"}',
        b"[" * 20_000,
        json.dumps({"ask": "A" * MESSAGE_BYTES_MAX}).encode(),
        json.dumps({"ask": b64encode(b"no statement").decode()}).encode(),
    ],
)
def test_a_message_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(EncodingError):
        read(payload)
