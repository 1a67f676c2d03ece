"""`milepost ecosystem`: a note from hand to hand, and the netting that everybody checks."""

import json
from pathlib import Path
from typing import Any

import contracts
import pytest
from contracts import KEYS, OTHER, signed
from typer.testing import CliRunner

from agent.cli.main import application
from agent.home import Home, HomeError
from ledger_client import agreements, values
from ledger_client.deeds import Deed
from ledger_client.errors import ProofError
from ledger_client.keys import SigningKey

ECOSYSTEM = contracts.ecosystem(debt_minor_units_max=1_000_000)
DIGEST = agreements.digest(ECOSYSTEM)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(application(), ["ecosystem", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


class Table:
    """A folder of files that go from hand to hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        Home(self.home).create()
        self.deed = self / "deed"
        self.deed.write_bytes(Deed(ECOSYSTEM).joined(a.signed for a in signed(ECOSYSTEM)).encode())

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def key(self, name: str, key: SigningKey | None = None) -> Path:
        path = self / f"{name}.key"
        path.write_bytes((key or KEYS[name]).file_bytes())
        path.chmod(0o600)
        return path

    def note(self, brand: str, amount: int = 100) -> Path:
        asked, notes = self / f"{brand}.ask", self / f"{brand}.notes"
        run("ask", self.deed, "--home", self.home, "--brand", brand, "--out", asked)
        key = ("--key", self.key(brand))
        run("earn", self.deed, *key, "--ask", asked, "--amount", amount, "--out", notes)
        return notes

    def redeem(self, notes: Path, at: str) -> Path:
        out = notes.with_suffix(f".{at}")
        run("redeem", self.deed, "--home", self.home, "--notes", notes, "--at", at, "--out", out)
        return out

    def owe(self, brand: str, *redeemed: Path) -> Path:
        out = self / f"{brand}.owed"
        run("owe", self.deed, *redeemed, "--key", self.key(brand), "--out", out)
        return out


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def parsed(file: Path) -> list[Any]:
    return [values.parse(each, DIGEST) for each in values.unpack(file.read_bytes())]


def test_notes_are_earned_redeemed_elsewhere_netted_and_checked(table: Table) -> None:
    first = table.redeem(table.note("brand"), "platform")
    second = table.redeem(table.note("platform", 30), "brand")
    owed = [table.owe("brand", first, second), table.owe("platform", first, second)]

    said = run("net", table.deed, *owed, "--out", table / "netting")
    plain = json.loads(run("check", table.deed, table / "netting", "--json"))

    assert "brand pays platform 0.000070 EUR" in said
    assert plain["positions"] == {"brand": -70, "platform": 70}
    assert plain["payments"] == [["brand", "platform", 70]]
    assert "every position is conserved" in run("check", table.deed, table / "netting")


def test_each_brand_knows_the_customer_by_a_name_of_its_own(table: Table) -> None:
    table.note("brand")
    table.note("platform")

    asks = [parsed(table / f"{brand}.ask")[0] for brand in ("brand", "platform")]

    assert asks[0].customer != asks[1].customer
    known = json.loads(run("names", table.deed, "--home", table.home, "--json"))
    assert known["brand"] == asks[0].customer.short_id
    assert f"brand knows this customer as {known['brand']}" in run(
        "names", table.deed, "--home", table.home
    )
    assert set(asks[0].holders).isdisjoint(asks[1].holders)


def test_only_a_brand_gives_notes_and_owes(table: Table) -> None:
    notes = table.note("brand")
    stranger = ("--key", table.key("stranger", OTHER))

    with pytest.raises(HomeError, match="key of a party"):
        run(
            *("earn", table.deed, *stranger, "--ask", table / "brand.ask"),
            *("--amount", 1, "--out", table / "x"),
        )
    with pytest.raises(HomeError, match="key of a party"):
        run("owe", table.deed, table.redeem(notes, "platform"), *stranger, "--out", table / "x")


def test_what_does_not_belong_is_refused(table: Table, tmp_path: Path) -> None:
    notes = table.note("brand")
    redeemed = table.redeem(notes, "platform")
    other = Table(tmp_path / "other")

    with pytest.raises(HomeError, match="never asked for that note"):
        other.redeem(notes, "platform")
    with pytest.raises(HomeError, match="expected notes"):
        table.redeem(redeemed, "platform")
    with pytest.raises(HomeError, match="notes with their redemptions"):
        table.owe("brand", notes)
    with pytest.raises(ProofError, match="twice"):
        table.owe("brand", redeemed, redeemed)
    with pytest.raises(HomeError, match="expected a file"):
        run("check", table.deed, table / "nothing")
    (table / "licence").write_bytes(Deed(contracts.licence()).encode())
    with pytest.raises(HomeError, match="expected an ecosystem"):
        run("check", table / "licence", redeemed)


def test_a_file_of_something_else_says_so(table: Table) -> None:
    ask = values.ask(OTHER, DIGEST, [OTHER.public], contracts.BEGINS_S)
    (table / "odd").write_bytes(values.pack([ask]))

    with pytest.raises(HomeError, match="expected notes"):
        table.redeem(table / "odd", "platform")
