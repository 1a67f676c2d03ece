"""Offers over a real broker: published, read, accepted, switched, withdrawn, lapsed."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contracts
import exchange
import msgspec
import offering
import pytest
from box import Box
from exchange import GATEWAY

from agent import agreed, offers, parties, taking, topics
from agent.broker import Message
from agent.broker.mqtt import MqttBroker
from agent.home import Home, HomeError
from agent.offering import Offering
from agent.offers import Command, Offered, Result
from agent.parties import Party
from ledger_client import agreements, consents, deeds
from ledger_client import offers as documents
from ledger_client.agreements import DataLicence
from ledger_client.consents import Act, State
from ledger_client.deeds import Deed
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.estimates import Window
from ledger_client.offers import Acceptor, Signed

NOW_S = offering.NOW_S
KEYS = (contracts.BRAND, contracts.PLATFORM)
BRAND = contracts.BRAND.public.short_id


def now_s() -> int:
    return NOW_S


def paying(minor_units: int, **changes: Any) -> Signed:  # noqa: ANN401  # a form's own
    key = changes.pop("key", contracts.BRAND)
    price = {"per": "reading", "minor_units": minor_units}
    return offering.signed(offering.template(price=price, brand=key, **changes), key=key)


@pytest.fixture
def runner(box: Box) -> Party:
    return parties.of_stores(box.open(), "runner")


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  # files tell nobody
            await asyncio.sleep(0.05)


async def until_gone(broker: MqttBroker) -> None:
    async with asyncio.timeout(10):
        while (await offers.read(broker)).standing(NOW_S):
            pass


def message(signed: Signed, topic: str = "") -> Message:
    topic = topic or topics.offer(signed.issuer.short_id, signed.offer.name)
    return Message(topic, documents.to_json(signed), retained=True)


def test_what_is_on_the_shelf_was_signed_by_whom_its_topic_names() -> None:
    known, signed = Offered(), offering.signed()

    assert known.take(message(signed))
    assert not known.take(message(signed, topics.offer("mallory", "shoes")))
    assert not known.take(Message("milepost/v1/c/x/offer/y", b"\x1b[2J", retained=True))

    assert known.standing(NOW_S) == [signed]
    assert known.refused.total() == 2
    assert "an offer under the topic of somebody else" in known.refused
    assert all(reason.isprintable() for reason in known.refused)
    assert (known.standing(NOW_S + 86_400), known.lapsed(NOW_S + 86_400)) == ([], 1)


def test_an_older_offer_does_not_replace_a_newer_and_a_cleared_one_is_gone() -> None:
    known = Offered()
    offer = offering.signed().offer
    old, new = (
        documents.verify(documents.sign(contracts.BRAND, offer, at_s))
        for at_s in (NOW_S, NOW_S + 1)
    )

    for signed in (old, new, old):
        known.take(message(signed))
    assert known.standing(NOW_S) == [new]
    known.take(message(new)._replace(payload=b""))

    assert known.standing(NOW_S) == []


def test_one_issuer_cannot_fill_the_shelf_nor_its_list_of_complaints() -> None:
    known = Offered()
    for number in range(offers.OFFERS_OF_ONE_MAX + 3):
        known.take(message(offering.signed(name=f"n{number}")))
    for number in range(2 * offers.REFUSALS_MAX):
        known.take(Message(f"{number}", b"{" + b'"a' * number, retained=True))

    assert len(known.standing(NOW_S)) == offers.OFFERS_OF_ONE_MAX
    assert sum("more than 16 of one" in reason for reason in known.refused) == 1
    assert len(known.refused) <= offers.REFUSALS_MAX + 1


def test_an_offer_is_found_by_name_reference_or_a_clear_start() -> None:
    known = Offered()
    for key in KEYS:
        known.take(message(paying(50, key=key)))
    reference = f"{BRAND}/shoes"

    assert offers.find(known, reference, NOW_S).reference == reference
    assert offers.find(known, BRAND[:6], NOW_S).reference == reference
    with pytest.raises(RemoteError, match="more than one offer is called that"):
        offers.find(known, "shoes", NOW_S)
    with pytest.raises(RemoteError, match=f"no such offer; on this broker: .*{reference}"):
        offers.find(known, "tyres\x1b", NOW_S)


async def test_accepting_gives_both_sides_the_whole_deed(runner: Party, tmp_path: Path) -> None:
    said: list[str] = []
    offered = exchange.brand(tmp_path / "brand", said=said)
    async with (
        exchange.exchange(tmp_path / "broker", KEYS) as site,
        site.offering(offered),
        site.joined() as broker,
    ):
        known = await offers.read(broker)
        signed = offers.find(known, "shoes", NOW_S)

        taken = await taking.take(broker, GATEWAY, signed, runner, now_s, switch=False)
        with pytest.raises(HomeError, match="milepost switch"):
            await taking.take(broker, GATEWAY, signed, runner, now_s, switch=False)

    assert taken.held.standing.state is State.IN_FORCE
    (mine,) = agreed.kept(runner.home)
    (theirs,) = (deeds.parse(path.read_bytes()) for path in (tmp_path / "brand").iterdir())
    assert mine == theirs == taken.deed
    agreement = mine.agreement
    assert isinstance(agreement, DataLicence)
    assert agreement.subject in runner.urns()
    assert (agreement.ledger, agreement.key_of("wearer")) == ("box.example/log", runner.key.public)
    (kept,) = taking.present(runner, NOW_S)
    assert kept.signed == signed
    assert [line.partition(" ")[0] for line in said] == [mine.digest.hex()]


async def test_switching_ends_the_one_and_begins_the_other_in_the_same_minute(
    runner: Party, tmp_path: Path
) -> None:
    first, second = paying(50, notice_s=3_600), paying(60, key=contracts.PLATFORM)
    sides = [
        exchange.brand(tmp_path / "brand", first),
        exchange.brand(tmp_path / "platform", second, key=contracts.PLATFORM),
    ]
    async with (
        exchange.exchange(tmp_path / "broker", KEYS) as site,
        site.offering(sides[0]),
        site.offering(sides[1]),
        site.joined() as broker,
    ):
        old = await taking.take(broker, GATEWAY, first, runner, now_s, switch=False)
        new = await taking.take(broker, GATEWAY, second, runner, now_s, switch=True)
        ended = tmp_path / "brand" / f"{old.deed.digest.hex()}.cbor"
        await until(lambda: len(deeds.parse(ended.read_bytes()).acts) == 3)

    cut_s = NOW_S + 120 + 3_600
    assert [each.digest for each in new.ended] == [old.deed.digest]
    held = [
        consents.standing(each.agreement, each.acts, NOW_S) for each in agreed.kept(runner.home)
    ]
    assert sorted((each.from_s, each.until_s) for each in held) == [
        (NOW_S, cut_s),
        (cut_s, contracts.EXPIRES_S),
    ]
    assert new.held.standing.from_s == cut_s
    assert (await _again(runner, second, tmp_path, sides[1])).deed.digest == new.deed.digest


async def _again(runner: Party, signed: Signed, tmp_path: Path, side: Offering) -> taking.Taken:
    """The same switch once more, as after a crash before the old one was ended."""
    (new,) = (each for each in taking.present(runner, NOW_S) if each.signed == signed)
    lost = [act.signed for act in new.deed.acts if act.issuer == runner.key.public]
    path = agreed.path_of(runner.home, new.deed.digest)
    path.write_bytes(Deed(new.deed.agreement).joined(lost).encode())
    async with (
        exchange.exchange(tmp_path / "again", KEYS) as site,
        site.offering(side),
        site.joined() as broker,
    ):
        return await taking.take(broker, GATEWAY, signed, runner, now_s, switch=True)


async def test_what_got_no_answer_is_asked_again_with_the_same_deed(
    runner: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = offering.signed()
    async with exchange.exchange(tmp_path / "broker", KEYS) as site, site.joined() as broker:
        with monkeypatch.context() as patched:
            patched.setattr(taking, "ANSWER_MAX_S", 0.2)
            with pytest.raises(TimeoutError):
                await taking.take(broker, GATEWAY, signed, runner, now_s, switch=False)
        (proposed,) = taking.present(runner, NOW_S)
        async with site.offering(exchange.brand(tmp_path / "brand", signed)):
            taken = await taking.take(broker, GATEWAY, signed, runner, now_s, switch=False)

    assert proposed.held.standing.state is State.PROPOSED
    assert taken.deed.digest == proposed.deed.digest
    assert len(agreed.kept(runner.home)) == 1


async def _heard(broker: MqttBroker, topic: str) -> bool:
    """Whether anything comes there within ten seconds."""
    async with asyncio.timeout(10), broker.subscribe(topic) as messages:
        return bool((await anext(messages)).payload)


@pytest.mark.parametrize("how", ["leaves", "lapses", "withdraws"])
async def test_an_offer_goes_with_its_publisher_its_time_or_its_word(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.offering.LAPSE_LOOK_S", 0.1)
    time_s, said = [NOW_S], list[str]()
    offered = exchange.brand(tmp_path / "brand", now_s=lambda: time_s[0], said=said)
    command = Command("1", "withdraw", "shoes")
    async with (
        exchange.exchange(tmp_path / "broker", KEYS) as site,
        site.joined() as broker,
        site.offering(offered) as leave,
        site.joined(contracts.PLATFORM.public.short_id) as stranger,
    ):
        assert await _heard(broker, offered.topic)
        strange = topics.command(BRAND, contracts.PLATFORM.public.short_id)
        await stranger.publish(strange, msgspec.json.encode(command))
        match how:
            case "leaves":
                leave()
            case "lapses":
                time_s[0] += 86_400
            case _:
                async with site.joined(BRAND, "another") as own:
                    await own.publish(topics.command(BRAND, BRAND), msgspec.json.encode(command))
        await until_gone(broker)

    assert said == {"leaves": [], "lapses": ["shoes lapsed"]}.get(how, ["shoes was withdrawn"])


def filled(signed: Signed, **changes: Any) -> Deed:  # noqa: ANN401  # an agreement's own fields
    acceptor = Acceptor(contracts.WEARER.public.did, "box.example/log", contracts.SUBJECT)
    plain = agreements.to_plain(documents.filled(signed.offer, acceptor, NOW_S))
    deed = Deed(agreements.from_plain(plain | changes))
    return deed.joined([consents.sign_act(contracts.WEARER, deed.digest, Act.SIGN, NOW_S)])


def test_only_what_was_offered_is_countersigned(tmp_path: Path) -> None:
    time_s = [NOW_S]
    signed = offering.signed(places=1)
    offered = exchange.brand(tmp_path, signed, now_s=lambda: time_s[0])
    deed = filled(signed)

    def refused(other: Deed, why: str) -> None:
        with pytest.raises(RemoteError, match=why):
            offered.countersign(other)

    refused(filled(signed, notice_s=60), "not the terms of the offer")
    refused(Deed(deed.agreement), "expected the signature of wearer")
    whole = offered.countersign(deed)
    assert offered.countersign(deed) == whole
    assert consents.standing(whole.agreement, whole.acts, NOW_S).missing == ()
    refused(filled(signed, begins_s=NOW_S + 60), "all 1 places")
    refused(filled(signed, begins_s=NOW_S + 60), "all 1 places")
    again = exchange.brand(tmp_path, signed, now_s=lambda: time_s[0])
    with pytest.raises(RemoteError, match="all 1 places"):
        again.countersign(filled(signed, begins_s=NOW_S + 60))
    time_s[0] += 86_400
    refused(filled(signed, begins_s=NOW_S + 120), "lapsed")
    assert offered.countersign(deed) == whole


def test_whoever_offers_must_be_able_to_sign_for_all_others(tmp_path: Path) -> None:
    document = offering.template()
    document["parties"][1]["share_bps"] = 1_000
    platform = {"name": "platform", "did": contracts.PLATFORM.public.did, "share_bps": 1_000}
    document["parties"].append(platform)

    with pytest.raises(EncodingError, match="expected the key of platform"):
        exchange.brand(tmp_path, offering.signed(document))


async def test_a_refusal_or_another_deed_for_an_answer_is_an_error(
    runner: Party, tmp_path: Path
) -> None:
    signed = offering.signed(places=1)
    offered = exchange.brand(tmp_path / "brand", signed)
    offered.countersign(filled(signed))
    async with (
        exchange.exchange(tmp_path / "broker", KEYS) as site,
        site.offering(offered),
        site.joined() as broker,
    ):
        with pytest.raises(RemoteError, match="it was refused: all 1 places"):
            await taking.take(broker, GATEWAY, signed, runner, now_s, switch=False)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("another", "another agreement"),
        ("unsigned", "not signed by brand"),
        ("nonsense", "expected a deed in base64"),
    ],
)
async def test_answers_are_judged(answer: str, why: str, runner: Party, tmp_path: Path) -> None:
    signed = offering.signed()

    async def mallory(broker: MqttBroker) -> None:
        async with broker.subscribe(topics.said_to(BRAND, "cmd")) as commands:
            said = await anext(commands)
        command = json.loads(said.payload)
        reply = topics.result(GATEWAY, BRAND)
        text = {
            "another": offers.packed(filled(signed)),
            "unsigned": command["deed"],
            "nonsense": "%",
        }[answer]
        await broker.publish(reply, b"\xff")
        await broker.publish(reply, msgspec.json.encode(Result("accept", "0", 200, text)))
        await broker.publish(reply, msgspec.json.encode(Result("accept", command["id"], 200, text)))

    async with (
        exchange.exchange(tmp_path / "broker", KEYS) as site,
        site.joined(BRAND) as broker,
        site.joined() as ours,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(mallory(broker))
        await asyncio.sleep(0.3)
        with pytest.raises(RemoteError, match=why):
            await taking.take(ours, GATEWAY, signed, runner, now_s, switch=False)


async def test_an_offer_for_another_ledger_is_not_signed(runner: Party, tmp_path: Path) -> None:
    async with exchange.exchange(tmp_path / "broker", KEYS) as site, site.joined() as broker:
        with pytest.raises(HomeError, match="for the ledger 'other/log'"):
            await taking.take(
                broker, GATEWAY, paying(50, ledger="other/log"), runner, now_s, switch=False
            )

    assert agreed.kept(runner.home) == []


def test_the_past_of_a_subject_is_what_its_log_proves(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 3)
    box.prove(stores)
    box.second += 600
    box.hear(stores, 2)
    box.hear(stores, 2, "car")
    box.prove(stores)
    start_s = NOW_S + 100

    def count(window: Window, readings_max: int = 1_000) -> int:
        with parties.of_home(Home(box.path), "runner") as party:
            return len(parties.past(party, window, readings_max).readings)

    assert count(Window(start_s, start_s + 10_000)) == 5
    assert count(Window(start_s, start_s + 60)) == 3
    assert count(Window(start_s + 500, start_s + 10_000)) == 2
    assert count(Window(start_s, start_s + 10_000), 1) == 1
    with pytest.raises(HomeError, match="one of car, runner"), parties.of_home(Home(box.path), ""):
        pass
    with pytest.raises(HomeError, match="no ledger"), parties.of_home(Home(box.path / "x"), ""):
        pass
