"""A payer on several ledgers: each channel on its own, and one that is away holds up no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from brokers import MemoryBroker
from market import BUYER, LEDGER, OPERATOR, SELLER, memory, open_book, terms

from agent import commands, ledgers, topics
from agent.ledgers import Ledgers
from agent.orders import Counter
from agent.remote import Limits
from ledger_client.channels import State, Terms, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keepers import Keeper
from ledger_client.log import Log
from ledger_client.settlement import AwayError, Claim, RefusedError
from ledger_client.settlement.embedded import Book, EmbeddedSettlement

OWN = "brand.example/log"
THERE = replace(terms(), agreement=b"a" * 32)
HERE = replace(terms(1), ledger=OWN, agreement=b"b" * 32)
LOST = replace(terms(2), ledger="nobody.example/log", agreement=b"c" * 32)
QUICK = Limits(retry_first_s=0.01, answer_max_s=0.2)
KEEPER = Keeper(
    THERE.agreement, LEDGER, "EUR/6", demo=True, gateway=OPERATOR.public, log_key=OPERATOR.public
)


class Place:
    """Two books with money for the buyer, of which one is behind a broker."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.there = open_book(memory())
        db = memory()
        log = Log.open(db, name=OWN, receipt_key=BUYER, note_key=SELLER, demo=True, now_s=1)
        self.here = Book.open(db, log, BUYER, now_s=lambda: 1_000)
        for book in (self.here, self.there):
            book.issue(BUYER.public, 1_000)
        self.known: dict[bytes, Terms] = {each.channel: each for each in (THERE, HERE, LOST)}
        own = EmbeddedSettlement(self.here, BUYER)
        self.ledgers = Ledgers(BUYER, own, self.known.get, QUICK)
        self.counter = Counter(self.there, OPERATOR.public.short_id)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    one = Place()
    async with asyncio.TaskGroup() as tasks:
        work = [
            tasks.create_task(one.ledgers.run(one.broker)),
            tasks.create_task(one.counter.run(one.broker)),
        ]
        yield one
        for task in work:
            task.cancel()


def claims(*on: Terms, total: int = 100) -> Sequence[Claim]:
    return [Claim(each, sign_voucher(BUYER, each.channel, total)) for each in on]


async def test_each_channel_is_opened_claimed_and_ended_on_its_own_ledger(place: Place) -> None:
    place.ledgers.know(KEEPER)

    for each in (THERE, HERE):
        await place.ledgers.open(each, 300)
    outcomes = await place.ledgers.claim(claims(HERE, THERE))
    views = [await place.ledgers.close(each.channel) for each in (THERE, HERE)]

    assert [outcome.claimed for outcome in outcomes] == [100, 100]
    assert [view.state for view in views] == [State.CLOSING, State.CLOSING]
    assert [view.claimed for view in views] == [100, 100]
    assert place.there.balance(BUYER.public.thumbprint) == 700
    assert place.here.balance(SELLER.public.thumbprint) == 100
    assert await place.ledgers.balance(BUYER.public) == 700
    assert (place.ledgers.ledger, place.ledgers.demo) == (OWN, True)
    with pytest.raises(RefusedError):
        await place.ledgers.finish(THERE.channel)
    with pytest.raises(RefusedError):
        await place.ledgers.close_now(THERE.channel)


async def test_a_channel_of_which_nothing_is_known_is_looked_for_everywhere(place: Place) -> None:
    place.ledgers.know(KEEPER)
    await place.ledgers.open(THERE, 300)
    place.known.clear()

    found = await place.ledgers.status(THERE.channel)

    assert found is not None
    assert found.funded == 300
    assert await place.ledgers.status(bytes(32)) is None
    with pytest.raises(RemoteError, match="no channel"):
        await place.ledgers.close(THERE.channel)


async def test_before_anybody_said_who_keeps_it_a_ledger_is_away(place: Place) -> None:
    await place.ledgers.open(HERE, 300)

    with pytest.raises(AwayError, match="nobody said"):
        await place.ledgers.open(THERE, 300)
    outcomes = await place.ledgers.claim(claims(THERE, HERE, LOST))

    assert [outcome.claimed for outcome in outcomes] == [0, 100, 0]
    assert [outcome.refusal is None for outcome in outcomes] == [False, True, False]


async def test_a_ledger_that_does_not_answer_is_left_alone_for_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs its patience once; meanwhile the others go on."""
    place.ledgers.know(replace(KEEPER, gateway=SELLER.public))
    clock = asyncio.get_running_loop().time

    with pytest.raises(AwayError, match="in 0 s"):
        await place.ledgers.open(THERE, 300)
    before = place.broker.published
    with pytest.raises(AwayError, match="just now"):
        await place.ledgers.status(THERE.channel)
    assert place.broker.published == before
    assert (await place.ledgers.open(HERE, 300)).funded == 300
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock() + ledgers.REST_S)
    place.ledgers.know(KEEPER)
    assert (await place.ledgers.open(THERE, 300)).funded == 300


async def test_a_ledger_that_answers_nonsense_or_refuses_a_question_counts_as_away(
    place: Place,
) -> None:
    """What another gateway says must not stop ours."""
    place.ledgers.know(KEEPER)
    await place.ledgers.open(THERE, 300)
    place.counter.answer = lambda *_: None  # type: ignore[method-assign]  # it says nothing itself

    async def say(status: int) -> None:
        me, gateway = BUYER.public.short_id, OPERATOR.public.short_id
        async with place.broker.subscribe(topics.said_to(gateway, "cmd")) as asked:
            message = await anext(asked)
            name = commands.named(message.payload)[1]
            answer = commands.Answer("status", name, status, error="no")
            await place.broker.publish(topics.result(me, gateway), commands.encode(answer))

    for status in (commands.REFUSED, commands.DONE):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(say(status))
            with pytest.raises(AwayError):
                await place.ledgers.status(THERE.channel)


async def test_so_many_ledgers_and_no_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "LEDGERS_MAX", 1)
    place.ledgers.know(KEEPER)
    place.ledgers.know(KEEPER)

    with pytest.raises(RemoteError, match="more than 1"):
        place.ledgers.know(replace(KEEPER, gateway=SELLER.public))
