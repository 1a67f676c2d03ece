"""A payer learns whose ledger it is from who is paid, and believes it once and for all."""

import asyncio
from dataclasses import replace
from pathlib import Path

import contracts
import pytest
from box import Box
from brokers import MemoryBroker
from contracts import BRAND, OTHER, PLATFORM, WEARER

from agent import agreed, commands, keeping, topics
from agent.bases import open_bases
from agent.broker import Message
from agent.export import write_whole
from agent.home import Home, HomeError
from agent.keeping import Telling
from agent.partners import Office
from agent.remote import Limits
from agent.status import Board
from ledger_client import consents, keepers
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.errors import ProofError, RemoteError
from ledger_client.keepers import Keeper
from ledger_client.settlement import AwayError
from ledger_client.settlement.embedded import Book

AGREEMENT = contracts.licence()
DEED = Deed(AGREEMENT).joined(each.signed for each in contracts.signed(AGREEMENT))
NOW_S = contracts.BEGINS_S + 60
KEEPER = Keeper(DEED.digest, AGREEMENT.ledger, "EUR/6", True, OTHER.public, PLATFORM.public)


@pytest.fixture
def office(box: Box) -> Office:
    """The home of the wearer, with the agreement in it."""
    stores = box.open()
    path = agreed.path_of(stores.home, DEED.digest)
    path.parent.mkdir()
    write_whole(path, DEED.encode())
    stores.shelf.open(NOW_S)
    return Office(
        stores=stores,
        till=stores.till,
        shelf=stores.shelf,
        book=Book.open(stores.connection, stores.log, stores.signer, now_s=lambda: NOW_S),
        board=Board(),
        base=open_bases(stores.connection),
        now_s=lambda: NOW_S,
        linger_s=1,
    )


@pytest.fixture
def payer(tmp_path: Path) -> Home:
    """The brand's home."""
    home = Home(tmp_path / "brand")
    (home.path / agreed.FOLDER).mkdir(parents=True)
    return home


def question(speaker: str, digest: bytes = DEED.digest, *, retained: bool = False) -> Message:
    payload = commands.encode(commands.Keeper("1", digest))
    return Message(topics.command(WEARER.public.short_id, speaker), payload, retained)


def test_a_payer_is_told_by_the_payee_and_pins_it(office: Office, payer: Home) -> None:
    answer = Telling(WEARER, office).answer(question(BRAND.public.short_id), 0)

    assert answer is not None
    assert answer.kept is not None
    said = keeping.learn(payer, AGREEMENT, DEED.digest, answer.kept.statement)
    stores = office.stores
    assert (said.keeper.gateway, said.keeper.log_key) == (stores.signer.public, stores.log_key)
    assert keeping.pinned(payer, AGREEMENT, DEED.digest) == said
    assert keeping.ended(DEED, answer.kept.endings) is None


def test_strangers_and_retained_questions_and_other_agreements_get_no_answer(
    office: Office,
) -> None:
    telling, brand = Telling(WEARER, office), BRAND.public.short_id
    huge = Message(question(brand).topic, b" " * (commands.BYTES_MAX + 1), retained=False)
    other = Message(question(brand).topic, b'{"command":"accept","id":"1"}', retained=False)

    assert telling.answer(question(OTHER.public.short_id), 0) is None
    assert telling.answer(question(brand, retained=True), 0) is None
    assert telling.answer(question(brand, bytes(32)), 0) is None
    assert telling.answer(huge, 0) is None
    assert telling.answer(other, 0) is None
    assert Telling(PLATFORM, office).answer(question(brand), 0) is None


def test_one_who_asks_too_often_is_not_answered_and_others_are(office: Office) -> None:
    telling = Telling(WEARER, office)
    brand, platform = BRAND.public.short_id, PLATFORM.public.short_id

    answers = [telling.answer(question(brand), 0) for _ in range(10)]

    assert sum(answer is not None for answer in answers) == keeping.QUESTIONS_PER_S_MAX
    assert telling.answer(question(platform), 0) is not None


def test_what_the_payee_knows_of_an_end_comes_with_the_answer(office: Office) -> None:
    act = consents.sign_act(WEARER, DEED.digest, Act.WITHDRAW, NOW_S)
    write_whole(agreed.path_of(office.stores.home, DEED.digest), DEED.joined([act]).encode())
    office.shelf.look(NOW_S + 1)

    answer = Telling(WEARER, office).answer(question(BRAND.public.short_id), 0)

    assert answer is not None
    assert answer.kept is not None
    fuller = keeping.ended(DEED, answer.kept.endings)
    assert fuller is not None
    assert {each.signed for each in fuller.acts} - {each.signed for each in DEED.acts} == {act}


def test_an_end_that_no_party_signed_is_refused() -> None:
    forged = consents.sign_act(OTHER, DEED.digest, Act.END, NOW_S)

    with pytest.raises(ProofError, match="party"):
        keeping.ended(DEED, (forged,))


def test_another_log_or_an_older_word_is_never_believed_again(payer: Home) -> None:
    keeping.learn(payer, AGREEMENT, DEED.digest, keepers.sign(WEARER, KEEPER, 100))
    moved = replace(KEEPER, gateway=WEARER.public)
    wrong = [
        keepers.sign(WEARER, replace(KEEPER, log_key=BRAND.public), 200),
        keepers.sign(WEARER, moved, 100),
        keepers.sign(BRAND, moved, 200),
        keepers.sign(WEARER, replace(moved, ledger="another/log"), 200),
        keepers.sign(WEARER, replace(moved, agreement=bytes(32)), 200),
    ]

    for statement in wrong:
        with pytest.raises(RemoteError):
            keeping.learn(payer, AGREEMENT, DEED.digest, statement)
    again = keeping.learn(payer, AGREEMENT, DEED.digest, keepers.sign(WEARER, KEEPER, 300))
    newer = keeping.learn(payer, AGREEMENT, DEED.digest, keepers.sign(WEARER, moved, 200))

    assert (again.keeper, again.issued_s) == (KEEPER, 100)
    assert keeping.pinned(payer, AGREEMENT, DEED.digest) == newer
    assert newer.keeper == moved


def test_a_pin_that_cannot_be_read_or_written_says_so(payer: Home) -> None:
    path = keeping.path_of(payer, DEED.digest)
    path.mkdir()

    with pytest.raises(HomeError, match="expected who keeps"):
        keeping.pinned(payer, AGREEMENT, DEED.digest)
    path.rmdir()
    path.parent.rmdir()
    with pytest.raises(HomeError, match="cannot be written"):
        keeping.learn(payer, AGREEMENT, DEED.digest, keepers.sign(WEARER, KEEPER, 100))


async def test_asking_gets_the_answer_through_a_lossy_broker_and_says_when_there_is_none(
    office: Office,
) -> None:
    broker, quick = MemoryBroker(lose=3), Limits(retry_first_s=0.01, answer_max_s=0.3)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Telling(WEARER, office).run(broker))
        kept = await keeping.ask(broker, BRAND.public, WEARER.public, DEED.digest, quick)
        with pytest.raises(AwayError, match="does not say"):
            await keeping.ask(broker, BRAND.public, OTHER.public, DEED.digest, quick)
        task.cancel()

    assert keepers.verify(kept.statement, WEARER.public).keeper.agreement == DEED.digest
