"""`milepost statement`: every line of money down to the readings and the receipt behind it."""

import csv
import json
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from box import WALL_MS, Box
from market import BUYER, SELLER, STRANGER
from typer.testing import CliRunner

from agent.cli.main import application
from agent.cli.statement import AMOUNTS
from agent.goods import readings_source
from agent.home import Home, HomeError
from agent.till import Till
from ledger_client.channels import Terms, sign_voucher
from ledger_client.database import open_database
from ledger_client.errors import LedgerError, ProofError
from ledger_client.messages import Invoice, Item
from ledger_client.settlement import Claim
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import Order, sign_order


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(application(), ["statement", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def item(terms: Terms, n: int, price: int, due: int) -> Item:
    body = b"%d" % n
    return Item(Invoice(terms.channel, n, price, due, sha256(body).digest(), b"signed"), body)


@pytest.fixture
def home(box: Box) -> Path:
    """Two batches sold and one unit bought; the first batch and the unit are paid."""
    stores = box.open(demo=True)
    book = Book.open(
        stores.connection, stores.log, stores.signer, now_s=lambda: WALL_MS // 1000 + 60
    )
    till = Till.open(stores.connection)
    for payer, payee in ((BUYER, SELLER), (STRANGER, BUYER)):
        terms = Terms(
            book.name, payer.public, payer.public, payee.public, "EUR/6", 60, bytes(16), True
        )
        book.issue(payer.public, 5_000)
        opened = Order("open", book.name, terms.channel, 1_000, terms)
        view = book.order(payer.public, sign_order(payer, opened))
        if payer is BUYER:
            sale = till.add_sale(view, 1_000, 0)
            for n, due in ((1, 100), (2, 200)):
                box.hear(stores, 2)
                (proved,) = box.prove(stores)
                source = readings_source(stores.log.statement(proved.log_index))
                sale = till.write_item(sale, sale.side.sell(100), item(terms, n, 100, due), source)
            voucher = sign_voucher(payer, terms.channel, 100)
            sale = till.write_credit(sale, sale.side.credit(100), voucher)
            book.claim([Claim(terms, voucher)])
            seen = book.view(terms.channel)
            assert seen is not None
            till.observe(sale, seen)
        else:
            purchase = till.add_purchase(terms)
            till.observe(purchase, view)
            (purchase,) = till.purchases()
            side = purchase.side.take(40, 40)
            voucher = sign_voucher(payer, terms.channel, 40)
            till.write_purchase(purchase, side, item(terms, 1, 40, 40), bytes(16), voucher)
    box.close()
    return box.path


def test_each_counterparty_has_its_sums_and_they_agree_with_the_ledger(home: Path) -> None:
    earned, spent = json.loads(run("--home", home, "--format", "json"))["accounts"]

    assert (earned["counterparty"], earned["direction"]) == (BUYER.public.did, "earned")
    assert [earned[name] for name in AMOUNTS] == [200, 100, 100, 100, 100, 0]
    assert (spent["counterparty"], spent["direction"]) == (BUYER.public.did, "spent")
    assert (spent["amount"], spent["owed"], spent["settled"]) == (40, 0, 0)


def test_a_line_opens_to_the_readings_and_their_place_on_the_log(home: Path) -> None:
    earned, spent = json.loads(run("--home", home, "--format", "json"))["accounts"]

    assert [line["paid"] for line in earned["lines"]] == [True, False]
    assert [line["readings"] for line in earned["lines"]] == [2, 2]
    assert all(
        len(line["entries"]) == 1 and len(line["statements"][0]) == 64 for line in earned["lines"]
    )
    assert spent["lines"][0]["entries"] == []
    said = run("--home", home, "--lines")
    assert "1 01-01 00:01:00    0.000100 paid   batch" in said
    assert "2 readings, log entry 3, receipt verified" in said
    assert "log entry" not in run("--home", home)
    assert max(map(len, said.splitlines())) <= 80
    assert f"{BUYER.public.short_id} earned   0.000200   0.000100   0.000100   0.000100" in said
    assert "in all" in said
    assert "Till and ledger agree" in said


def test_an_item_opens_to_its_receipt_and_every_reading(home: Path) -> None:
    earned, spent = json.loads(run("--home", home, "--format", "json"))["accounts"]

    said = run("--home", home, "--open", f"{earned['channel'][:12]}:2")

    assert "item 2: batch" in said
    assert "entry 4 of the log, 2 readings; its receipt holds" in said
    assert f"statement {earned['lines'][1]['statements'][0]}" in said
    assert "strap/heart_rate 61 beat/min at 1767225702" in said
    assert said.count("strap/heart_rate") == 2
    assert "goods of no deed in this home" in run("--home", home, "--open", spent["channel"])
    with pytest.raises(HomeError, match="expected the start of one channel"):
        run("--home", home, "--open", "zz")
    with pytest.raises(HomeError, match="expected an item"):
        run("--home", home, "--open", f"{spent['channel']}:9")


def test_a_till_that_says_more_than_the_ledger_is_no_statement(home: Path) -> None:
    with closing(open_database(Home(home).ledger_db)) as connection:
        connection.execute("UPDATE till_channels SET claimed = claimed + 1 WHERE role = 'seller'")

    with pytest.raises(ProofError, match="the till says 101 claimed of 1000, the ledger's entries"):
        run("--home", home)


def test_tables_that_say_more_than_the_entries_are_no_statement(home: Path) -> None:
    with closing(open_database(Home(home).ledger_db)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS settlement_accounts_guard")
        connection.execute("UPDATE settlement_accounts SET balance = balance + 1 WHERE balance > 0")

    with pytest.raises(LedgerError):
        run("--home", home)


def test_csv_has_a_row_for_each_item(home: Path) -> None:
    rows = list(csv.DictReader(run("--home", home, "--format", "csv").splitlines()))

    assert [row["item_price"] for row in rows] == ["100", "100", "40"]
    assert {row["settled"] for row in rows} == {"100", "0"}


@pytest.mark.parametrize(
    ("period", "amount", "settled", "undated"),
    [
        ("2026", 200, 100, 1),
        ("2026-01", 200, 100, 1),
        ("2026-01-01", 200, 100, 1),
        ("2025-12", 0, 0, 1),
        ("2025-12-31..2026-01-01", 200, 100, 1),
        ("2026-12", 0, 0, 1),
    ],
)
def test_a_period_has_what_happened_in_it(
    home: Path, period: str, amount: int, settled: int, undated: int
) -> None:
    found = json.loads(run("--home", home, "--format", "json", "--period", period))["accounts"]

    assert (found[0]["amount"], found[0]["settled"]) == (amount, settled)
    assert (found[0]["undated"], found[1]["undated"]) == (0, undated)
    assert "1 items have no time" in run("--home", home, "--period", period)
    assert run("--home", home, "--period", period, "--format", "csv").count("\n") >= 3


@pytest.mark.parametrize("period", ["now", "2026-13", "2026-02-30", "26", "2026..", "2026-01..x"])
def test_a_period_that_is_none_is_misuse(home: Path, period: str) -> None:
    run("--home", home, "--period", period, code=2)


def test_a_home_without_trade_says_so(box: Box, tmp_path: Path) -> None:
    box.open()
    box.close()

    assert "nothing was bought or sold here" in run("--home", box.path)
    with pytest.raises(HomeError, match="home folder"):
        run("--home", tmp_path / "nothing")
