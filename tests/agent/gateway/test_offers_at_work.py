"""Two homes over a real broker: a brand's offer, a runner's gateway that accepts it and leaves it.

What is sold before and after belongs to one agreement each, and no reading is paid by both.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import dealing
import exchange
import msgspec
import offering
import pytest
from dealing import BRAND, PLATFORM, Customer, World, until, world
from exchange import Exchange

from agent import agreed, topics
from agent.accounting import Period, statement
from agent.config import Config, StandingOrder
from agent.gateway import ordering
from agent.licensed import Held, Judge
from agent.marks import Readings
from agent.running import Connection
from agent.till import Till
from ledger_client import batches, cbor, consents, deeds, disclosure, handover, leaves, shapes
from ledger_client import statements as signed_statements
from ledger_client.agreements import DataLicence
from ledger_client.channels import Terms
from ledger_client.consents import Standing
from ledger_client.database import open_database
from ledger_client.deeds import Deed
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.offers import Signed

ORDER = StandingOrder("runner", ("heart_rate",), 30, never=("location",))
EVERYTHING = topics.Rules(("milepost/#", "homeassistant/#"), ("milepost/#",))


def settings(tmp_path: Path, url: str) -> Config:
    """The gateway on a broker of somebody else, with a standing order."""
    shipped, change = dealing.config(tmp_path), msgspec.structs.replace
    password = tmp_path / "password"
    password.write_text("secret-gateway")
    broker = change(shipped.broker, url=url, user=exchange.GATEWAY, password_file=str(password))
    return change(shipped, broker=broker, standing_orders=(ORDER,))


def offered(place: World, key: SigningKey, minor_units: int) -> Signed:
    """A licence for the runner's heart rate, as a brand offers it now."""
    document = offering.template(
        brand=key,
        price={"per": "reading", "minor_units": minor_units},
        quantities=["heart_rate"],
        simulated=True,
        purpose=f"plans at {minor_units}",
        expires_s=place.now_s + dealing.DAY_S,
    )
    return offering.signed(document, key=key, lapses_s=place.now_s + 3_600)


def judged(place: World, deed: Deed) -> dealing.Judgement:
    def judge(terms: Terms, item: Item, standing: Standing) -> bytes | Readings:
        licence, stores = deed.agreement, place.stores
        assert isinstance(licence, DataLicence)
        held = Held(licence, standing)
        return Judge(held, stores.signer.public, stores.log_key).accept(terms, item)

    return judge


@asynccontextmanager
async def buying(
    site: Exchange, place: World, name: str, folder: Path, paid: dict[str, int]
) -> AsyncIterator[Customer]:
    """The brand buys under the deed that its own home keeps; what it `paid` is told at the end."""
    (path,) = folder.glob("*.cbor")  # noqa: ASYNC240  # nothing waits for it
    deed, me = deeds.parse(path.read_bytes()), place.keys[name].public.short_id
    with closing(open_database(folder / "till.db")) as connection:
        customer = Customer(place, name, deed, Till.open(connection), judged(place, deed))
        async with site.joined(me, f"{me}-till") as broker, asyncio.TaskGroup() as tasks:
            way = Connection(broker, lambda _: site.endpoint(), ())
            task = tasks.create_task(customer.run(way))
            yield customer
            task.cancel()
        paid[name] = customer.paid


def sold(customer: Customer) -> set[tuple[str, float, bytes]]:
    """Every reading that was disclosed: name, time and packet."""
    found: set[tuple[str, float, bytes]] = set()
    for item in customer.items:
        given: Any = disclosure.parse(shapes.array(cbor.decode(item.body), "body", 2)[1])
        every = given.chosen if isinstance(given, disclosure.Part) else given
        for each in every:
            leaf = leaves.parse(each if isinstance(each, bytes) else each.leaf)
            found.add((leaf.name, leaf.time_s, leaf.packet))
    return found


def named(place: World) -> list[bytes | None]:
    """The agreement in each of the runner's batches that are for somebody else, in order."""
    found = []
    urns = {each.urn for each in place.stores.streams.of("runner") if each.purpose}
    for entry in place.stores.log.entries():
        said = signed_statements.verify(entry.statement)
        if said.kind == "batch" and said.subject in urns:
            found.append(batches.decode(said.payload).agreement)
    return found


@pytest.mark.slow
async def test_a_gateway_accepts_sells_switches_and_sells_without_a_reading_paid_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "LOOK_EVERY_S", 0.3)
    monkeypatch.setattr(handover, "LEAD_MINUTES", 0)  # not to wait for two minutes
    paid: dict[str, int] = {}
    rules = {exchange.GATEWAY: EVERYTHING}
    async with (
        exchange.exchange(tmp_path / "broker", [BRAND, PLATFORM], rules) as site,
        world(settings(tmp_path, site.url)) as place,
    ):
        orders = place.board.orders
        homes = [tmp_path / "brand", tmp_path / "platform"]
        first = exchange.brand(
            homes[0], offered(place, BRAND, 50), key=BRAND, now_s=lambda: place.now_s
        )
        async with site.offering(first):
            await until(lambda: "is agreed as" in orders.get("runner", ""))
            async with buying(site, place, "brand", homes[0], paid) as brand:
                await until(lambda: brand.paid > 0)
                second = exchange.brand(
                    homes[1], offered(place, PLATFORM, 80), key=PLATFORM, now_s=lambda: place.now_s
                )
                async with site.offering(second):
                    await until(lambda: "1 ended for it" in orders["runner"])
                    async with buying(site, place, "platform", homes[1], paid) as platform:
                        await until(lambda: platform.paid > 0)
        kept = agreed.kept(place.stores.home)
        governed = named(place)

    standings = [consents.standing(each.agreement, each.acts, place.now_s) for each in kept]
    until_s = {each.until_s for each in standings}
    assert {each.from_s for each in standings} & until_s  # the one begins as the other ends
    assert sold(brand)
    assert sold(platform)
    assert sold(brand).isdisjoint(sold(platform))
    assert paid["brand"] == 50 * len(sold(brand))
    assert paid["platform"] == 80 * len(sold(platform))
    cut = governed.index(platform.deed.digest)
    assert set(governed[:cut]) <= {brand.deed.digest, None}  # in the minute that was cut short
    assert set(governed[cut:]) <= {platform.deed.digest, None}
    told = statement(tmp_path / "home", Period(), place.now_s)
    assert {each.agreement for each in told.accounts} == {each.digest.hex() for each in kept}
    assert sum(each.promised for each in told.accounts) == sum(paid.values())
