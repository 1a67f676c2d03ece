"""A watchtower: whoever has voucher and terms claims, over any account, with no secret."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from box import Box
from market import BUYER, LEDGER, OPERATOR, SELLER, STRANGER, memory, open_book, terms
from typer.testing import CliRunner

from agent import topics, tower
from agent.broker.embedded import EmbeddedBroker, User
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.cli.main import application
from agent.desks import SellingDesk
from agent.home import HomeError
from agent.orders import Counter
from ledger_client.channels import sign_voucher
from ledger_client.errors import EncodingError, SignatureError
from ledger_client.keys import SigningKey
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import Order, evidence, sign_order

ME, TOWER = OPERATOR.public.short_id, STRANGER.public.short_id


def book() -> Book:
    opened = open_book(memory())
    opened.issue(BUYER.public, 1_000)
    what = Order("open", LEDGER, terms().channel, 300, terms())
    opened.order(BUYER.public, sign_order(BUYER, what))
    return opened


def paper(folder: Path, total: int = 120, key: SigningKey = BUYER) -> Path:
    path = folder / f"{total}.voucher"
    path.write_bytes(evidence(terms(), sign_voucher(key, terms().channel, total)))
    return path


async def claim(ledger: Book, folder: Path, *papers: Path) -> tuple[int, str]:
    """What `milepost ledger claim` says and how it ends, at a gateway with this ledger."""
    users = [User(name, f"secret-{name}", topics.component_rules(name)) for name in (ME, TOWER)]
    server = EmbeddedBroker(folder / "broker", users, random=Random(1))
    password = folder / "password"
    password.write_text(f"secret-{TOWER}")

    def command() -> tuple[int, str]:
        words = ["ledger", "claim", *map(str, papers), "--gateway", ME, "--broker", server.url]
        words += ["--user", TOWER, "--password-file", str(password)]
        done = CliRunner().invoke(application("ledger"), words)
        return done.exit_code, done.stdout

    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(server.run())]
        await server.ready.wait()
        broker = MqttBroker(Endpoint(server.url, ME, ME, f"secret-{ME}"), random=Random(2))
        running += [
            tasks.create_task(broker.run()),
            tasks.create_task(Counter(ledger, ME).run(broker)),
        ]
        await broker.connected.wait()
        said = await asyncio.to_thread(command)
        for task in running:
            task.cancel()
    return said


async def test_a_stranger_with_the_papers_pays_the_seller_and_a_bad_paper_costs_nothing(
    tmp_path: Path,
) -> None:
    ledger = book()

    code, said = await claim(ledger, tmp_path, paper(tmp_path, 120), paper(tmp_path, 301))

    lines = said.splitlines()
    assert code == 1
    assert lines[0].endswith(f"{SELLER.public.short_id} has 0.000120 EUR in all")
    assert "a voucher over 301, funded with 300" in lines[1]
    assert ledger.balance(SELLER.public.thumbprint) == 120
    assert ledger.balance(STRANGER.public.thumbprint) == 0


def test_papers_that_are_none_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"\x00")

    for path, kind in (
        (rubbish, EncodingError),
        (paper(tmp_path, 7, STRANGER), SignatureError),
        (tmp_path / "nowhere", HomeError),
    ):
        with pytest.raises(kind):
            tower.read([path])
    with pytest.raises(HomeError, match="at most 1000"):
        tower.read([rubbish] * 1_001)


def test_a_home_writes_papers_for_what_it_was_promised_and_did_not_claim(box: Box) -> None:
    stores = box.open()
    ledger = book()
    desk = SellingDesk(SELLER, stores.till, credit=300)
    view = ledger.view(terms().channel)
    assert view is not None
    desk.observe(view)
    sale = stores.till.sale(terms().channel)
    assert sale is not None
    stores.till.write_credit(sale, sale.side.credit(0), sign_voucher(BUYER, terms().channel, 120))
    box.close()
    folder = box.path.parent / "papers"

    said = CliRunner().invoke(
        application("ledger"), ["ledger", "vouchers", "--home", str(box.path), "--out", str(folder)]
    )

    assert "1 vouchers" in said.stdout
    (written,) = folder.iterdir()
    (found,) = tower.read([written])
    assert (found.terms, found.voucher.total) == (terms(), 120)
    assert written.stat().st_mode & 0o777 == 0o600


def test_a_home_that_is_none_has_no_papers(tmp_path: Path) -> None:
    words = ["ledger", "vouchers", "--home", str(tmp_path), "--out", str(tmp_path / "papers")]

    assert isinstance(CliRunner().invoke(application("ledger"), words).exception, HomeError)
