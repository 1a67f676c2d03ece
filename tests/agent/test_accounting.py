"""A statement under agreements: pieces, windows, units, shares, nettings and fees are explained."""

import re
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import contracts
import offering
import pytest
from box import WALL_MS, Box
from typer.testing import CliRunner

from agent import accounting, licensed, metering, opening, taking
from agent.accounting import Period
from agent.agreed import Governing
from agent.cli.main import application
from agent.stores import Stores
from agent.till import Sale
from ledger_client import consents, offers
from ledger_client.channels import Terms, sign_voucher
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.errors import ProofError
from ledger_client.keys import SigningKey
from ledger_client.messages import Invoice, Item
from ledger_client.offers import Acceptor
from ledger_client.settlement import Claim, sharing
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import Order, sign_order
from ledger_client.settlement.sharing import ShareOrder

NOW_S = WALL_MS // 1000
WEARER, BRAND = contracts.WEARER, contracts.BRAND
FEES = [
    {"name": "payment", "per": "reading", "minor_units": 1},
    {"name": "joining", "per": "once", "minor_units": 7},
    {"name": "membership", "per": "period", "minor_units": 3, "period_s": 3_600},
]


def kept(stores: Stores, signed: offers.Signed) -> Deed:
    """The offer accepted by the wearer, in the home."""
    urn = stores.stream_for("runner", "training plans").urn
    acceptor = Acceptor(WEARER.public.did, "box.example/log", urn)
    deed = Deed(offers.filled(signed.offer, acceptor, NOW_S))
    deed = deed.joined(
        consents.sign_act(key, deed.digest, Act.SIGN, NOW_S) for key in (WEARER, BRAND)
    )
    return taking.keep(stores.home, deed, signed)


class Street:
    """The box's ledger with channels on which the brand pays the wearer, under its agreements."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.book = Book.open(
            stores.connection, stores.log, stores.signer, now_s=lambda: NOW_S + 900
        )
        self.book.issue(BRAND.public, 90_000)

    def channel(self, agreement: bytes, payee: SigningKey = WEARER) -> Sale:
        terms = Terms(
            self.book.name,
            BRAND.public,
            BRAND.public,
            payee.public,
            "EUR/6",
            60,
            agreement[:16],
            True,
            agreement,
        )
        order = Order("open", self.book.name, terms.channel, 10_000, terms)
        view = self.book.order(BRAND.public, sign_order(BRAND, order))
        return self.stores.till.add_sale(view, 10_000, 0)

    def sell(self, sale: Sale, source: bytes, price: int, at_s: int = 0) -> Sale:
        side = sale.side.sell(price)
        invoice = Invoice(
            sale.terms.channel, side.n, price, side.due, sha256(b"x").digest(), b"signed"
        )
        return self.stores.till.write_item(sale, side, Item(invoice, b"x"), source, at_s)

    def pay(self, sale: Sale, total: int) -> None:
        voucher = sign_voucher(BRAND, sale.terms.channel, total)
        sale = self.stores.till.write_credit(sale, sale.side.credit(total), voucher)
        self.book.claim([Claim(sale.terms, voucher)])


def naming(agreement: bytes) -> Governing:
    return lambda _urn, _now_s: agreement


def prove(box: Box, stores: Stores, agreement: bytes, count: int) -> int:
    """A batch of so many readings under that agreement; its entry."""
    box.hear(stores, count)
    uplink = box.uplink(stores, governing=naming(agreement))
    (proved,) = uplink.step(box.now(stores), drain=True)
    return proved.log_index


def test_lines_under_a_licence_are_pieces_and_windows_with_their_fees(box: Box) -> None:
    stores = box.open()
    street = Street(stores)
    each = kept(stores, offering.signed(offering.template(simulated=True), fees=FEES))
    spaced = kept(
        stores, offering.signed(offering.template(simulated=True, resolution_s=30), name="spaced")
    )
    entry = prove(box, stores, each.digest, 70)
    late = prove(box, stores, spaced.digest, 3)
    piece = licensed.piece_source(stores.log.statement(entry), 1)
    sale = street.sell(street.channel(each.digest), piece, 300)
    number = (NOW_S + 102 - NOW_S) // 60
    licence = spaced.agreement
    window = licensed.window_source(licence, number)  # type: ignore[arg-type]  # a licence
    street.sell(street.channel(spaced.digest), window, 50)
    street.pay(sale, 300)

    found = accounting.statement(box.path, Period(), NOW_S + 7_200)
    first, second = found.accounts
    opened = opening.opened(box.path, f"{first.channel}:1")
    other = opening.opened(box.path, second.channel)

    assert first.agreement == each.digest.hex()
    assert [(line.what, line.readings, line.entries) for line in first.lines] == [
        ("piece 2 of a batch", 6, (entry,))
    ]
    assert [(line.what, line.readings, line.entries) for line in second.lines] == [
        ("window 1 of 60 s", 1, (late,))
    ]
    assert second.lines[0].at_s == NOW_S + 60
    assert (first.amount, first.settled, second.owed) == (300, 300, 50)
    assert first.fee_lines == (("payment", 6), ("joining", 7), ("membership", 6))
    assert (first.fees, second.fees) == (19, 0)
    assert len(opened[0].batches[0].readings or ()) == 6
    assert len(other[0].batches[0].readings or ()) == 1
    none = accounting.statement(box.path, Period(0, NOW_S - 1), NOW_S + 7_200)
    assert none.accounts[0].lines == ()
    assert none.accounts[0].fees == 0


def test_units_have_the_time_of_the_till_and_shares_their_entry(box: Box) -> None:
    stores = box.open()
    street = Street(stores)
    agreement = contracts.service(
        ledger="box.example/log", begins_s=NOW_S - 60, provider="wearer", customer="brand"
    )
    deed = taking.keep(stores.home, Deed(agreement))
    source = metering.unit_source(deed.digest, "J", 12)
    sale = street.sell(street.channel(deed.digest), source, 100, NOW_S + 300)
    street.pay(sale, 100)
    accounts = (WEARER.public.thumbprint, contracts.PLATFORM.public.thumbprint)
    shared = ShareOrder(
        "box.example/log", deed.digest, WEARER.public, ((accounts[0], 7_500), (accounts[1], 2_500))
    )
    street.book.share(sharing.sign(WEARER, shared))

    found = accounting.statement(box.path, Period(NOW_S, NOW_S + 600), NOW_S + 600)
    later = accounting.statement(box.path, Period(NOW_S + 1_800, NOW_S + 2_000), NOW_S + 2_000)

    (account,) = found.accounts
    (line,) = account.lines
    assert (line.what, line.at_s) == ("unit 12 in 3600000 J", NOW_S + 300)
    assert line.agreement == deed.digest.hex()
    assert later.accounts[0].lines == ()
    (share,) = accounting.statement(box.path, Period(), NOW_S).shares
    assert (share.amount, share.agreement) == (25, deed.digest.hex())
    assert share.holder == accounts[1].hex()
    said = _run("--home", str(box.path), "--lines")
    assert "unit 12 in 3600000 J" in said
    assert f"share 0.000025 to {accounts[1].hex()[:16]} under" in said


def test_what_brands_net_and_what_was_taken_back_is_told(box: Box) -> None:
    stores = box.open()
    street = Street(stores)
    deed = taking.keep(stores.home, Deed(contracts.ecosystem(ledger="box.example/log")))
    sale = street.channel(deed.digest, contracts.PLATFORM)
    sale = street.sell(sale, bytes(16), 40)
    street.pay(sale, 40)
    sale = stores.till.sales()[0]
    street.sell(sale, b"\1" * 16, 5)
    stores.connection.execute("UPDATE till_items SET source = NULL WHERE n = 2")

    found = accounting.statement(box.path, Period(), NOW_S)

    (netted,) = found.netted
    assert (netted.payer, netted.payee) == (BRAND.public.did, contracts.PLATFORM.public.did)
    assert netted.amount == 40
    assert [line.what for line in found.accounts[0].lines] == [
        "goods of no deed in this home",
        "taken back unpaid",
    ]
    said = _run("--home", str(box.path), "--period", "2026", "--format", "table")
    assert "items have no time" in said
    assert re.search("netted 0.000040 from .* to .*\n  under", _run("--home", str(box.path)))
    assert all(len(line) <= 80 for line in said.splitlines())


def test_a_till_that_contradicts_itself_is_no_statement(box: Box) -> None:
    stores = box.open()
    street = Street(stores)
    sale = street.sell(street.channel(bytes(32)), b"\2" * 16, 40)
    street.pay(sale, 40)
    stores.connection.execute("DROP TRIGGER till_channels_rise")
    stores.connection.execute("UPDATE till_channels SET due = 41")
    with pytest.raises(ProofError, match="its lines come to 40, due are 41"):
        accounting.statement(box.path, Period(), NOW_S)
    stores.connection.execute("UPDATE till_channels SET due = 40, total = 0, signature = NULL")
    with pytest.raises(ProofError, match="the ledger paid 40, the till knows of vouchers over 0"):
        accounting.statement(box.path, Period(), NOW_S)


def test_readings_that_are_no_longer_here_are_named_so(box: Box) -> None:
    stores = box.open()
    street = Street(stores)
    entry = prove(box, stores, bytes(32), 2)
    source = sha256(stores.log.statement(entry)).digest()[:16]
    sale = street.sell(street.channel(bytes(32)), source, 40)
    path = Path(box.path)
    with_them = "\n".join(opening.told(opening.opened(path, sale.terms.channel.hex())[0]))
    with closing(sqlite3.connect(stores.home.journal_db, isolation_level=None)) as journal:
        journal.execute("UPDATE batch SET state = 'released', body = NULL")

    said = "\n".join(opening.told(opening.opened(path, sale.terms.channel.hex())[0]))

    assert with_them.count("heart_rate") == 2
    assert "released, erased, or are another's" in said


def _run(*words: str) -> str:
    result = CliRunner().invoke(application(), ["statement", *words])
    assert result.exit_code == 0, result.output
    return result.output
