"""Two gateways, each with a home, log and ledger of its own, over one broker that keeps the rules.

Who pays does so on the ledger of who is paid; what each home says of it agrees.
"""

from pathlib import Path

import dealing
import exchange
import msgspec
import offering
import pytest
from dealing import BRAND, World, books, car_recording, until, world
from typer.testing import CliRunner

from agent import agreed, keeping, topics
from agent.accounting import Account, Period, statement
from agent.audit import verify_home
from agent.cli.main import application
from agent.config import Config, StandingOrder
from agent.gateway import ordering
from agent.home import Home
from agent.keyring import GATEWAY
from agent.till import Purchase
from ledger_client import consents, handover
from ledger_client.agreements import DataLicence
from ledger_client.channels import State
from ledger_client.consents import Act
from ledger_client.keys import SigningKey, read_key
from ledger_client.offers import Signed

OURS, THEIRS = "milepost.local/log", "brand.example/log"


def gateway_on(site: exchange.Exchange, settings: Config, user: str, ledger: str) -> Config:
    """The gateway on a broker of somebody else, as one of its users."""
    change, folder = msgspec.structs.replace, Path(settings.gateway.home).parent
    password = folder / f"{user}.password"
    password.write_text(f"secret-{user}")
    return change(
        settings,
        broker=change(settings.broker, url=site.url, user=user, password_file=str(password)),
        ledger=change(settings.ledger, name=ledger),
    )


def made(settings: Config, party: str) -> topics.Rules:
    """A home with its keys, and what its gateway may do on a broker: speak for its own."""
    home = Home(Path(settings.gateway.home))
    home.create()
    names = [f"party-{party}", *(f"component-{each.alias}" for each in settings.components)]
    ids = [home.key(name).public.short_id for name in names]
    return topics.gateway_rules(home.key(GATEWAY).public.short_id, ids)


def deaf(settings: Config, home: Path) -> Config:
    """The same without ears: a home that only buys."""
    change = msgspec.structs.replace
    return change(
        settings,
        gateway=change(settings.gateway, home=str(home)),
        radio=change(settings.radio, kind="none", replay_file=""),
        components=(),
    )


def bought(place: World) -> list[Purchase]:
    return place.stores.till.purchases()


def both(first: Path, second: Path, now_s: int) -> tuple[Account, Account]:
    """The one account of each, which are two ends of one channel."""
    (earned,), (spent,) = (statement(home, Period(), now_s).accounts for home in (first, second))
    assert earned.channel == spent.channel
    assert (earned.elsewhere, spent.elsewhere) == (None, OURS)
    return earned, spent


def offered(place: World, key: SigningKey) -> Signed:
    """A licence for the runner's heart rate, with two tenths for the brand."""
    document = offering.template(
        brand=key,
        price={"per": "reading", "minor_units": 50},
        quantities=["heart_rate"],
        simulated=True,
        expires_s=place.now_s + dealing.DAY_S,
    )
    return offering.signed(document, key=key, lapses_s=place.now_s + 3_600)


def expect_told(home: Path) -> None:
    """The statement says whose word it is."""
    arguments = ["statement", "--home", str(home), "--lines"]
    told = CliRunner().invoke(application(), arguments).stdout
    assert "another gateway's ledger, milepost.local/log" in told
    assert "readings of another gateway" in told
    assert "Till and ledger agree" not in told


def withdrawn(place: World) -> bool:
    """Whether this home knows of it."""
    held = place.stores.shelf.holdings()
    return any(each.standing.state is consents.State.WITHDRAWN for each in held)


@pytest.mark.slow
async def test_a_brand_buys_what_its_offer_got_it_on_the_ledger_of_the_runners_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "LOOK_EVERY_S", 0.3)
    monkeypatch.setattr(handover, "LEAD_MINUTES", 0)  # not to wait for two minutes
    monkeypatch.setattr("agent.paying.OPEN_RETRY_S", 1.0)
    monkeypatch.setattr("agent.paying.ASK_EVERY_S", 1.0)
    shipped = dealing.config(tmp_path)
    silent = deaf(shipped, tmp_path / "shop")
    rules = {"runnerbox": made(shipped, "runner"), "brandbox": made(silent, "brand")}
    key = read_key(Home(tmp_path / "shop").key_path("party-brand"))
    order = StandingOrder("runner", ("heart_rate",), 30)
    async with exchange.exchange(tmp_path / "broker", [key], rules) as site:
        selling = gateway_on(site, shipped, "runnerbox", OURS)
        selling = msgspec.structs.replace(selling, standing_orders=(order,))
        buying = gateway_on(site, silent, "brandbox", THEIRS)
        async with world(selling) as place, world(buying, ("brand",)) as shop:
            brand = exchange.brand(
                tmp_path / "shop" / agreed.FOLDER,
                offered(place, key),
                key=key,
                now_s=lambda: place.now_s,
            )
            async with site.offering(brand):
                await until(lambda: bool(bought(shop)) and bought(shop)[-1].side.n >= 2)
            (deed,) = agreed.kept(place.stores.home)
            place.keys["wearer"] = place.keys["runner"]
            place.act(deed, "wearer", Act.WITHDRAW)
            await until(lambda: place.state(bought(shop)[-1]) is State.CLOSED)
            await until(lambda: withdrawn(shop))
            assert isinstance(deed.agreement, DataLicence)
            said = keeping.pinned(shop.stores.home, deed.agreement, deed.digest)
            stores, now_s = place.stores, place.now_s
        paid = both(tmp_path / "home", tmp_path / "shop", now_s)[0].promised

    assert said is not None
    assert (said.keeper.gateway, said.keeper.log_key) == (stores.signer.public, stores.log_key)
    assert paid > 0
    expect_told(tmp_path / "shop")
    for account in both(tmp_path / "home", tmp_path / "shop", now_s):
        assert (account.amount, account.promised, account.settled) == (paid, paid, paid)
        assert account.owed == 0
        assert {line.agreement for line in account.lines} == {deed.digest.hex()}
        assert sum(line.readings or 0 for line in account.lines) * 50 == paid
    balances = books(tmp_path / "home").balances
    assert sum(balances.values()) == 0
    assert balances[place.keys["runner"].public.thumbprint] == paid - paid * 2 // 10
    assert balances[key.public.thumbprint] == dealing.FUNDED - paid + paid * 2 // 10
    for home in ("home", "shop"):
        assert sum(verify_home(tmp_path / home).balances.values()) == 0


@pytest.mark.slow
async def test_a_customer_of_a_metered_service_pays_by_its_own_ears_on_the_providers_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.paying.OPEN_RETRY_S", 1.0)
    monkeypatch.setattr("agent.paying.ASK_EVERY_S", 1.0)
    change = msgspec.structs.replace
    shipped = dealing.config(tmp_path, car_recording(tmp_path / "car.jsonl"))
    moved = change(shipped, gateway=change(shipped.gateway, home=str(tmp_path / "car")))
    rules = {"fleetbox": made(shipped, "fleet"), "carbox": made(moved, "car")}
    async with exchange.exchange(tmp_path / "broker", [BRAND], rules) as site:
        provider = gateway_on(site, shipped, "fleetbox", OURS)
        customer = gateway_on(site, moved, "carbox", THEIRS)
        async with world(provider, ("fleet",)) as place, world(customer, ("car",)) as rider:
            place.keys["car"] = rider.keys["car"]
            prices = [{"unit": "m", "per": 1_000, "minor_units": 30_000}]
            document = place.service("fleet", "car", prices=prices)
            deed = place.deed(document)
            rider.keep(place.keep(deed))
            await until(lambda: bool(bought(rider)) and bought(rider)[-1].side.n >= 3)
            place.act(deed, "fleet", Act.END)
            await until(lambda: place.state(bought(rider)[-1]) is State.CLOSED)
            now_s = place.now_s
            parties = place.keys["fleet"].public, place.keys["car"].public

    earned, spent = both(tmp_path / "home", tmp_path / "car", now_s)
    paid = earned.promised
    assert earned.settled == spent.promised == spent.settled == paid >= 90_000
    balances = books(tmp_path / "home").balances
    assert sum(balances.values()) == 0
    assert [balances[party.thumbprint] for party in parties] == [paid, dealing.FUNDED - paid]
