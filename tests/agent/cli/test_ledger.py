"""`milepost ledger replay`: what it prints of a record, and that it refuses what does not hold."""

import json
from pathlib import Path

import pytest
from market import BUYER, LEDGER, SELLER, STRANGER, memory, open_book, terms
from typer.testing import CliRunner

from agent.cli.main import application
from agent.home import HomeError
from ledger_client import record
from ledger_client.channels import sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.log import LogReader
from ledger_client.settlement import Claim
from ledger_client.settlement.movements import Order, sign_order


def run(*arguments: object) -> str:
    result = CliRunner().invoke(application(), ["ledger", "replay", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    connection = memory()
    book = open_book(connection)
    book.issue(BUYER.public, 3_000_000)
    book.issue(STRANGER.public, 7)
    opened = Order("open", LEDGER, terms().channel, 1_000_000, terms())
    book.order(BUYER.public, sign_order(BUYER, opened))
    book.claim([Claim(terms(), sign_voucher(BUYER, terms().channel, 250_000))])
    path = tmp_path / "record.cbor"
    path.write_bytes(record.build(LogReader(connection), lambda _: None))
    return path


def test_anybody_recomputes_all_balances(file: Path) -> None:
    said = run(file)

    assert f"0.250000 EUR  {SELLER.public.did}" in said
    assert f"2.000000 EUR  {BUYER.public.did}" in said
    assert "-3.000007 EUR  issued by the operator" in said
    assert f"0.000007 EUR  account {STRANGER.public.thumbprint.hex()[:16]}" in said
    assert "0.750000 EUR  in channel" in said
    assert "4 movements, each follows from what its parties signed; balances sum to 0" in said


def test_as_json_it_is_exact(file: Path) -> None:
    found = json.loads(run(file, "--json"))

    assert (found["asset"], found["sum"], found["movements"]) == ("EUR/6", 0, 4)
    assert sum(each["minor_units"] for each in found["balances"]) == 0
    assert found["channels"][0]["claimed"] == 250_000


def test_what_is_no_record_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RemoteError):
        run(file)
    with pytest.raises(HomeError, match="expected a record"):
        run(file.with_name("nothing"))
