"""Agreements drive a real gateway: a recording on the air, a real broker, buyers with own tills."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from dealing import (
    CONFIGS,
    DRIVER,
    FUNDED,
    PLATFORM,
    Customer,
    Judgement,
    World,
    books,
    car_recording,
    config,
    shopping,
    until,
    world,
)

from agent import gateway
from agent.audit import verify_home
from agent.config import read
from agent.demo.guests import Guest
from agent.desks import Goods, SellingDesk
from agent.gateway.listening import listening
from agent.gateway.trading import trading
from agent.licensed import Held, Judge
from agent.marks import Readings
from agent.metering import Heard, Metered, spans
from agent.remote import Ledger, RemoteSettlement
from agent.running import Connection
from agent.status import Board
from agent.tally import Seller
from agent.till import Till
from ledger_client import cbor, consents, disclosure, dues, leaves, shapes
from ledger_client.agreements import DataLicence, MeteredService
from ledger_client.channels import State, Terms
from ledger_client.consents import Act, Standing
from ledger_client.database import open_database
from ledger_client.deeds import Deed
from ledger_client.messages import Item


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    with closing(open_database(tmp_path / "customer.db")) as connection:
        yield Till.open(connection)


def licensee(place: World, deed: Deed) -> Judgement:
    """A brand judges by the licence and the two keys of the gateway."""
    licence, stores = deed.agreement, place.stores
    assert isinstance(licence, DataLicence)

    def judge(terms: Terms, item: Item, standing: Standing) -> bytes | Readings:
        held = Held(licence, standing)
        return Judge(held, stores.signer.public, stores.log_key).accept(terms, item)

    return judge


def disclosed(customer: Customer) -> list[leaves.Leaf]:
    """What it was given, in all."""
    found = []
    for item in customer.items:
        parts = shapes.array(cbor.decode(item.body), "body")
        for part in [parts] if isinstance(parts[0], bytes) else parts:
            given = disclosure.parse(shapes.array(part, "part")[1])
            every = given.chosen if isinstance(given, disclosure.Part) else given or ()
            found += [each if isinstance(each, bytes) else each.leaf for each in every]
    return [leaves.parse(leaf) for leaf in found]


async def test_a_licence_signed_while_the_gateway_runs_sells_until_the_consent_is_withdrawn(
    tmp_path: Path, till: Till
) -> None:
    async with world(config(tmp_path)) as place:
        deed = place.keep(place.deed(place.licence()))
        brand = Customer(place, "brand", deed, till, licensee(place, deed))
        async with shopping(place, brand):
            await until(lambda: bool(till.purchases()) and brand.bought.side.n >= 2)
            place.act(deed, "runner", Act.WITHDRAW)
            await until(lambda: place.state(brand.bought) is State.CLOSED)
        runner = place.keys["runner"].public

    assert {each.name for each in disclosed(brand)} == {"heart-strap/heart_rate"}
    assert brand.paid == 50 * len(disclosed(brand)) > 0
    assert sum(verify_home(tmp_path / "home").balances.values()) == 0
    balances = books(tmp_path / "home").balances
    assert balances[PLATFORM.public.thumbprint] == brand.paid * 3 // 10
    assert balances[runner.thumbprint] == brand.paid - brand.paid * 3 // 10
    assert balances[brand.key.public.thumbprint] == FUNDED - brand.paid


async def test_a_licence_by_the_slot_pays_one_reading_in_each_and_discloses_no_more(
    tmp_path: Path, till: Till
) -> None:
    async with world(config(tmp_path)) as place:
        price = {"per": "period", "minor_units": 700, "period_s": 60}
        begins_s = place.now_s - 54  # so that a period is over in a few seconds
        document = place.licence(
            price=price, resolution_s=2, quantities=["heart_rate", "speed"], begins_s=begins_s
        )
        deed = place.keep(place.deed(document, at_s=begins_s))
        brand = Customer(place, "brand", deed, till, licensee(place, deed))
        async with shopping(place, brand):
            await until(lambda: bool(till.purchases()) and brand.bought.side.n >= 1)

    slots = [
        (each.name.partition("/")[2], (each.time_s - begins_s) // 2) for each in disclosed(brand)
    ]
    assert brand.paid == 700
    assert {quantity for quantity, _ in slots} == {"heart_rate", "speed"}
    assert len(set(slots)) == len(slots)


async def test_a_shared_car_is_billed_by_km_minute_and_use_out_of_its_deposit(
    tmp_path: Path, till: Till
) -> None:
    """The final bill comes when the agreement expires; what is left of the deposit goes back."""
    settings = config(tmp_path, car_recording(tmp_path / "car.jsonl"))
    async with world(settings, ("car",)) as place:
        begins_s = place.now_s - 600
        document = place.service("car", "driver", begins_s=begins_s, expires_s=place.now_s + 9)
        deed = place.keep(place.deed(document, at_s=begins_s + 60))
        service = deed.agreement
        assert isinstance(service, MeteredService)
        base: list[float] = []
        used: dict[str, int] = {}

        def judge(terms: Terms, item: Item, standing: Standing) -> bytes:
            heard = place.board.newest("obd", "odometer")
            assert heard is not None

            def first(_: bytes, __: str, value: float) -> float:
                base.append(value)
                return base[0]

            found = spans(
                service, standing, {"m": Heard(*heard)}, first, now_s=place.now_s, demo=True
            )
            return Metered(service, standing, found, simulated=True).accept(
                terms, item, place.now_s
            )

        driver = Customer(place, "driver", deed, till, judge)
        async with shopping(place, driver):
            await until(
                lambda: bool(till.purchases()) and place.state(driver.bought) is State.CLOSED
            )

    for item in driver.items:
        unit = shapes.text(shapes.array(cbor.decode(item.body), "unit", 4)[1], "unit")
        used[unit] = used.get(unit, 0) + {"m": 1_000, "s": 60, "use": 1}[unit]
    bill = dues.bill(service, used)
    assert used["m"] >= 3_000
    assert (used["use"], used["s"] // 60) in {(1, 8), (1, 9), (1, 10)}
    assert driver.paid == bill.total
    balances = books(tmp_path / "home").balances
    assert balances[DRIVER.public.thumbprint] == FUNDED - bill.total
    assert balances[place.keys["car"].public.thumbprint] == bill.total
    assert bill.to_refund == max(0, 400_000 - bill.total)


async def test_both_sides_of_a_service_in_one_home_pay_and_are_paid(tmp_path: Path) -> None:
    settings = config(tmp_path, car_recording(tmp_path / "car.jsonl"))
    async with world(settings, ("car", "fleet")) as place:
        prices = [{"unit": "m", "per": 1_000, "minor_units": 30_000}]
        deed = place.keep(place.deed(place.service("fleet", "car", prices=prices)))
        stores = place.stores
        await until(
            lambda: any(
                sale.side.best >= 60_000 and sale.terms.agreement == deed.digest
                for sale in stores.till.sales()
            )
        )
        keys = place.keys

    balances = books(tmp_path / "home").balances
    paid = balances[keys["fleet"].public.thumbprint]
    assert paid >= 60_000
    assert paid % 30_000 == 0
    assert sum(verify_home(tmp_path / "home").balances.values()) == 0


class Provider:
    """A provider of its own, which bills what the meter passes and never ends a channel."""

    def __init__(self, place: World, deed: Deed, till: Till) -> None:
        self._place, self._deed, self._base = place, deed, 0.0
        ledger = Ledger(place.stores.signer.public.short_id, place.stores.log.name, demo=True)
        self._settlement = RemoteSettlement(PLATFORM, ledger)
        desk = SellingDesk(PLATFORM, till, credit=200_000)
        self.seller = Seller(desk, till, self._settlement, blame=lambda *_: None)

    async def run(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settlement.run(connection.broker))
            tasks.create_task(self.seller.run(connection.broker))
            while True:
                for sale in self.seller.channels():
                    self.seller.sell(sale.terms.channel, self._units())
                await asyncio.sleep(0.3)

    async def settle(self) -> None:
        pass

    def _units(self) -> Iterator[Goods]:
        service, now_s = self._deed.agreement, self._place.now_s
        heard = self._place.board.newest("obd", "odometer")
        assert isinstance(service, MeteredService)
        standing = consents.standing(service, self._deed.acts, now_s)
        if heard is None:
            return
        self._base = self._base or heard[0]  # where the counter stood when the channel was there
        found = {"m": (self._base, heard[0])}
        metered = Metered(service, standing, found, simulated=True)
        for price, number in metered.passed():
            body = metered.body(price.unit, number, now_s)
            source = metered.source(price.unit, number)
            yield Goods(source, price.minor_units, body, simulated=True)


async def test_our_car_pays_a_provider_elsewhere_and_ends_what_the_provider_does_not(
    tmp_path: Path, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.paying.GRACE_S", 0.5)
    settings = config(tmp_path, car_recording(tmp_path / "car.jsonl"))
    async with world(settings, ("car",)) as place:
        prices = [{"unit": "m", "per": 1_000, "minor_units": 30_000}]
        document = place.service(
            "platform", "car", prices=prices, expires_s=place.now_s + 9, meter="F0:00:00:00:02:05"
        )
        deed = place.keep(place.deed(document))
        provider = Provider(place, deed, till)
        await until(lambda: PLATFORM.public.short_id in place.users())
        guest = Guest(PLATFORM.public.short_id, provider)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(guest.run(await place.door.enter()))
            bought = place.stores.till.purchases
            await until(lambda: bool(bought()) and bought()[-1].side.n >= 2)
            await until(lambda: place.state(bought()[-1]) is State.CLOSING)
            task.cancel()
        paid = bought()[-1].side.signed

    assert paid % 30_000 == 0
    balances = books(tmp_path / "home").balances
    assert balances[PLATFORM.public.thumbprint] == paid >= 60_000
    assert balances[bought_channel(tmp_path)] == FUNDED - paid


def bought_channel(tmp_path: Path) -> bytes:
    """The one channel of the ledger."""
    (channel,) = books(tmp_path / "home").channels
    return channel


async def test_on_a_demo_street_its_strangers_trade(tmp_path: Path) -> None:
    settings = read(CONFIGS / "demo.toml")
    home = msgspec.structs.replace(settings.gateway, home=str(tmp_path / "home"))
    settings = msgspec.structs.replace(settings, gateway=home)

    async with listening(settings) as scene:
        stores = gateway.open_home(settings, scene.ears.components)
        dealing = trading(settings, stores, Board(), scene)
        stores.close()

    assert "dashboard" in dealing.trade.guests
