"""A whole demo with somebody listening everywhere: what a brand can know of another's customer."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent import gateway
from agent.cli.demo import demo_config
from agent.demo.brokercheats import connected
from agent.demo.guests import DASHBOARD
from agent.demo.loyalty import NOTE_MINOR_UNITS
from agent.demo.market import Market
from agent.demo.parties import Parties
from agent.demo.street import street
from agent.demo.wallet import pseudonyms, secret_of
from agent.running import Connection
from agent.status import Board
from agent.topics import ROOT
from ledger_client import netting, record, statements, values
from ledger_client.bookkeeping import Books, replay_record
from ledger_client.keys import PublicKey
from ledger_client.statements import Statement
from ledger_client.values import Note, Redemption

pytestmark = pytest.mark.slow

SECONDS = 9.0


class Ear:
    """Everything that one user may hear, topic and payload, live and retained."""

    def __init__(self, user: str, *filters: str) -> None:
        self._user = user
        self._filters = filters
        self.heard: list[tuple[str, bytes]] = []

    async def run(self, connection: Connection) -> None:
        async with (
            connected(connection, self._user, "ear") as broker,
            broker.subscribe(*self._filters) as arriving,
        ):
            async for message in arriving:
                self.heard.append((message.topic, message.payload))

    async def settle(self) -> None:
        """It only listens."""


def value_statements(payload: bytes) -> Iterator[Statement]:
    """The statements of value in a message between customer and brands."""
    with suppress(ValueError):
        for given in json.loads(payload).values():
            for each in given if isinstance(given, list) else [given]:
                yield statements.verify(b64decode(each, validate=True))


@dataclass
class Scene:
    """What everybody heard, by the brands' names; `seen` is what an observer of all has."""

    log: bytes
    onlooker: Ear
    inboxes: dict[str, Ear]
    brands: dict[str, PublicKey]
    customers: dict[str, PublicKey]
    netted: netting.Netting
    books: Books
    agreement: bytes
    views: dict[str, bytes] = field(default_factory=dict)

    def said_to(self, brand: str) -> list[Statement]:
        """The statements in one brand's inbox."""
        return [
            statement
            for topic, payload in self.inboxes[brand].heard
            if "/pay/" not in topic
            for statement in value_statements(payload)
        ]

    def public(self) -> bytes:
        """Every byte of the log and of what everybody may hear."""
        return self.log + b"".join(t.encode() + p for t, p in self.onlooker.heard)

    def view(self, brand: str) -> bytes:
        """Every byte that one brand can have seen, what is wrapped in base64 also unwrapped."""
        inbox = b"".join(t.encode() + p for t, p in self.inboxes[brand].heard)
        return self.public() + inbox + b"".join(each.signed for each in self.said_to(brand))


def spellings(key: PublicKey) -> list[bytes]:
    """Every way in which we ever write a key."""
    names = [key.raw.hex(), key.thumbprint.hex(), key.did, key.did.rpartition(":")[2], key.short_id]
    return [key.raw, key.thumbprint, *(name.encode() for name in names)]


def holds(view: bytes, key: PublicKey) -> bool:
    return any(spelling in view for spelling in spellings(key))


async def perform(home: Path) -> Scene:
    """An honest demo, with an ear at every door."""
    config, stop = demo_config(home), asyncio.Event()
    async with street(gateway.clock, 1, config.radio.connections_max, 0.0) as scene:
        stores = gateway.open_home(config, scene.ears.components)
        try:
            board = Board()
            market = Market(Parties(stores, gateway.clock), board, scene.neighbourhood)
            names = values.names_of(market.deeds.brands)
            brands = {name: key for key, name in names.items()}
            inboxes = {
                name: Ear(key.short_id, f"{ROOT}/in/{key.short_id}/#", f"{ROOT}/c/+/offer/#")
                for name, key in brands.items()
            }
            onlooker = Ear(DASHBOARD, f"{ROOT}/c/#", "homeassistant/#")
            honest = market.trade()
            trade = replace(honest, deals=(*honest.deals, onlooker, *inboxes.values()))
            running = gateway.compose(config, stores, scene.ears, board, trade)
            asyncio.get_running_loop().call_later(SECONDS, stop.set)
            await running.run(stop, lambda: None)
            kept = record.build(stores.log, lambda _: None)
            assert market.loyalty.netted is not None
            known = pseudonyms(secret_of(stores.home), market.deeds.brands)
            return Scene(
                kept,
                onlooker,
                inboxes,
                brands,
                {names[brand]: key.public for brand, key in known.items()},
                market.loyalty.netted,
                replay_record(kept),
                market.deeds.ecosystem.digest,
            )
        finally:
            stores.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return asyncio.run(perform(tmp_path_factory.mktemp("brands") / "home"))


BRANDS = ("brand", "charger", "insurer")
OTHERS = [(a, b) for a in BRANDS for b in BRANDS if a != b]


@pytest.mark.parametrize("brand", BRANDS)
def test_a_brand_knows_its_own_customer(scene: Scene, brand: str) -> None:
    assert holds(scene.view(brand), scene.customers[brand])


@pytest.mark.parametrize(("brand", "other"), OTHERS)
def test_no_brand_ever_sees_a_name_of_anothers_customer(
    scene: Scene, brand: str, other: str
) -> None:
    assert not holds(scene.view(brand), scene.customers[other])


def test_neither_the_log_nor_an_onlooker_sees_any_of_it(scene: Scene) -> None:
    public = scene.public()
    everything = [each for brand in BRANDS for each in scene.said_to(brand)]
    notes = [
        said for each in everything if isinstance(said := values.parse(each, scene.agreement), Note)
    ]

    assert notes
    assert scene.onlooker.heard
    assert not any(holds(public, key) for key in scene.customers.values())
    assert not any(holds(public, note.holder) for note in notes)
    assert not any(
        each.digest in public or each.digest.hex().encode() in public for each in everything
    )


@pytest.mark.parametrize(("brand", "other"), OTHERS)
def test_what_two_brands_hold_of_a_customer_has_no_key_in_common_but_a_redeemed_notes(
    scene: Scene, brand: str, other: str
) -> None:
    """Honest about the limit: who pools what both hold can follow a note, but not before."""
    mine = {each.issuer for each in scene.said_to(brand)} - set(scene.brands.values())
    theirs = {each.issuer for each in scene.said_to(other)} - set(scene.brands.values())
    redeeming = {
        each.issuer
        for each in (*scene.said_to(brand), *scene.said_to(other))
        if isinstance(values.parse(each, scene.agreement), Redemption)
    }

    assert (mine & theirs) <= redeeming


def test_amounts_and_times_tell_nobody_apart(scene: Scene) -> None:
    said = [
        (each, values.parse(each, scene.agreement))
        for brand in BRANDS
        for each in scene.said_to(brand)
    ]

    assert {what.amount for _, what in said if isinstance(what, Note)} == {NOTE_MINOR_UNITS}
    assert all(each.issued_s % 60 == 0 for each, _ in said)


def test_what_was_redeemed_is_netted_and_paid_between_the_brands(scene: Scene) -> None:
    names = {key: name for name, key in scene.brands.items()}
    paid = {
        (names[held.terms.payer], names[held.terms.payee]): held.claimed
        for held in scene.books.channels.values()
        if held.terms.agreement == scene.agreement
    }

    assert len(scene.netted.debts) >= 2
    assert sum(scene.netted.positions.values()) == 0
    assert paid == {(p.debtor, p.creditor): p.amount for p in scene.netted.payments}
