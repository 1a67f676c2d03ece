"""A ledger elsewhere, asked over MQTT: silence, nonsense, and a watchtower over a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from brokers import MemoryBroker
from market import BUYER, LEDGER, OPERATOR, STRANGER, terms
from ordering import BRAND, ME, book, order

from agent import commands, topics
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.commands import Answer, Channel
from agent.orders import Counter
from agent.remote import Ledger, RemoteSettlement
from agent.remote import Limits as Patience
from ledger_client.channels import State, sign_voucher
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.settlement import AwayError, Claim, RefusedError


@asynccontextmanager
async def distant(
    broker: MemoryBroker, patience: Patience
) -> AsyncIterator[tuple[RemoteSettlement, asyncio.Task[None]]]:
    settlement = RemoteSettlement(BUYER, Ledger(ME, LEDGER, demo=True), patience)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(settlement.run(broker))
        yield settlement, task
        task.cancel()


async def test_a_ledger_that_does_not_answer_is_said_to_be_away() -> None:
    broker = MemoryBroker()

    async with distant(broker, Patience(0.01, 0.1)) as (settlement, _):
        with pytest.raises(AwayError, match="did not answer in 0 s"):
            await settlement.status(terms().channel)

    assert broker.published > 2, "it asked again"


async def test_without_anybody_who_listens_nothing_is_asked_any_more() -> None:
    async with distant(MemoryBroker(), Patience(0.05, 5)) as (settlement, task):
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_raises(settlement, AwayError))
            await asyncio.sleep(0.02)
            task.cancel()
        assert "any more" in asked.result()


async def test_too_many_open_questions_are_refused_here() -> None:
    async with (
        distant(MemoryBroker(), Patience(1, 60, waiting_max=1)) as (settlement, _),
        asyncio.TaskGroup() as tasks,
    ):
        first = tasks.create_task(settlement.status(terms().channel))
        await asyncio.sleep(0)
        assert "questions wait" in await _raises(settlement, AwayError)
        first.cancel()


async def _raises(settlement: RemoteSettlement, kind: type[RemoteError]) -> str:
    with pytest.raises(kind) as caught:
        await settlement.status(terms().channel)
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer("status", "", 200), EncodingError),
        (Answer("status", "", 403, "no\x1b[2J"), RefusedError),
        (Answer("status", "", 403), RefusedError),
        (
            Answer("status", "", 200, channel=Channel(terms(9).encoded, State.OPEN, 1, 0, None)),
            EncodingError,
        ),
    ],
)
async def test_a_ledger_that_answers_nonsense_is_not_believed(
    answer: Answer, kind: type[RemoteError]
) -> None:
    broker = MemoryBroker()

    async def lie() -> None:
        async with broker.subscribe(topics.said_to(ME, "cmd")) as messages:
            async for message in messages:
                _, name = commands.named(message.payload)
                topic = topics.result(BRAND, ME)
                await broker.publish(topic, b"no answer")
                await broker.publish(topic, commands.encode(Answer("status", "other", 200)))
                said = Answer("status", name, answer.status, answer.error, answer.channel)
                await broker.publish(topic, commands.encode(said))

    async with asyncio.TaskGroup() as tasks:
        liar = tasks.create_task(lie())
        async with distant(broker, Patience()) as (settlement, _):
            assert "\x1b" not in await _raises(settlement, kind)
        liar.cancel()


async def test_a_ledger_that_answers_about_other_claims_is_not_believed() -> None:
    broker = MemoryBroker()

    async def lie() -> None:
        async with broker.subscribe(topics.said_to(ME, "cmd")) as messages:
            async for message in messages:
                _, name = commands.named(message.payload)
                answer = Answer("claim", name, 200, claims=())
                await broker.publish(topics.result(BRAND, ME), commands.encode(answer))

    async with asyncio.TaskGroup() as tasks:
        liar = tasks.create_task(lie())
        async with distant(broker, Patience()) as (settlement, _):
            with pytest.raises(EncodingError, match="other claims"):
                await settlement.claim([Claim(terms(), sign_voucher(BUYER, terms().channel, 1))])
        liar.cancel()


async def test_a_buyer_elsewhere_opens_and_a_watchtower_claims_over_a_real_broker(
    tmp_path: Path,
) -> None:
    ledger = book()
    keys = {key.public.short_id: key for key in (OPERATOR, BUYER, STRANGER)}
    users = [User(name, f"secret-{name}", topics.component_rules(name)) for name in keys]
    server = EmbeddedBroker(tmp_path / "broker", users, random=Random(1))

    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(server.run())]
        await server.ready.wait()
        brokers = {
            name: MqttBroker(Endpoint(server.url, name, name, f"secret-{name}"), random=Random(2))
            for name in keys
        }
        where = Ledger(ME, LEDGER, demo=True)
        buyer, tower = (RemoteSettlement(key, where) for key in (BUYER, STRANGER))
        running += [tasks.create_task(broker.run()) for broker in brokers.values()]
        await brokers[BRAND].publish(topics.command(ME, BRAND), order(total=999), retain=True)
        running += [
            tasks.create_task(Counter(ledger, ME).run(brokers[ME])),
            tasks.create_task(buyer.run(brokers[BRAND])),
            tasks.create_task(tower.run(brokers[STRANGER.public.short_id])),
        ]
        opened = await buyer.open(terms(), 300)
        voucher = sign_voucher(BUYER, terms().channel, 120)
        (outcome,) = await tower.claim([Claim(terms(), voucher)])
        with pytest.raises(RefusedError, match="not for this party"):
            await tower.close(terms().channel)
        seen = await tower.status(terms().channel)
        for task in running:
            task.cancel()

    assert (opened.funded, outcome.claimed, outcome.refusal) == (300, 120, None)
    assert seen is not None
    assert (seen.state, seen.funded, seen.claimed) == (State.OPEN, 300, 120)
