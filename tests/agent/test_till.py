"""What the till keeps, what it refuses whoever asks, and what its check finds."""

import sqlite3
from dataclasses import replace

import pytest
from market import BUYER, SELLER, STRANGER, accept, goods, introduce, memory, terms

from agent.desks import BuyingDesk, SellingDesk
from agent.till import Till
from ledger_client.channels import State, sign_voucher
from ledger_client.errors import LocalError, StoreError
from ledger_client.settlement import View

VIEW = View(terms(), State.OPEN, 500, 0, None)
CHANNEL = terms().channel


def stocked() -> tuple[sqlite3.Connection, Till]:
    """One till of both parties, with five items sold, bought and paid, and one on its way."""
    connection = memory()
    till = Till.open(connection)
    selling = SellingDesk(SELLER, till, credit=100)
    buying = BuyingDesk(BUYER, till, accept=accept)
    buying.prepare(terms())
    selling.observe(VIEW)
    buying.observe(VIEW)
    introduce(selling, buying)
    selling.sell(CHANNEL, [goods(n) for n in range(1, 6)])
    for send in selling.outbox(CHANNEL, after=0, items_max=5):
        for answer in buying.receive(SELLER.public.short_id, send.message):
            selling.receive(BUYER.public.short_id, answer.message)  # type: ignore[union-attr]  # vouchers
    selling.sell(CHANNEL, [goods(6)])
    return connection, till


def test_a_till_that_is_opened_again_has_everything() -> None:
    connection, till = stocked()

    again = Till.open(connection)

    assert again.sales() == till.sales()
    assert again.purchases() == till.purchases()
    assert again.check() == (2, 11)


def test_bodies_go_when_they_are_paid_or_used_and_lines_stay() -> None:
    _, till = stocked()
    sale, purchase = till.sales()[0], till.purchases()[0]

    before = till.received(purchase, after=1, items_max=2)
    till.drop_bodies(purchase, 4)

    assert [item.invoice.n for item in before] == [2, 3]
    assert [item.invoice.n for item in till.outbox(sale)] == [6]
    assert [item.body for item in till.received(purchase)] == [goods(5).body]
    assert till.invoice(purchase, 1) is not None
    assert till.invoice(purchase, 7) is None


def test_channels_are_listed_for_the_party_that_asks() -> None:
    _, till = stocked()

    assert len(till.sales(SELLER.public)) == len(till.purchases(BUYER.public)) == 1
    assert till.sales(STRANGER.public) == []
    assert till.purchases(STRANGER.public) == []
    assert till.sale(bytes(32)) is None
    assert till.purchase(bytes(32)) is None


def test_a_channel_is_added_once() -> None:
    _, till = stocked()

    with pytest.raises(LocalError, match="already"):
        till.add_purchase(terms())


def test_the_ledgers_numbers_only_rise() -> None:
    _, till = stocked()

    till.observe(till.sales()[0], replace(VIEW, funded=700, claimed=50))
    till.observe(till.sales()[0], replace(VIEW, funded=600, claimed=40))

    side = till.sales()[0].side
    assert (side.funded, side.claimed) == (700, 50)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE till_channels SET n = 4, due = 40 WHERE role = 'seller'",
        "UPDATE till_channels SET credit = 5 WHERE role = 'seller'",
        "DELETE FROM till_items WHERE n = 5",
        "UPDATE till_channels SET n = n - 1",
        "UPDATE till_channels SET due = due - 1",
        "UPDATE till_channels SET total = total - 1",
        "UPDATE till_channels SET funded = 1",
        "UPDATE till_channels SET terms = x'00'",
        "DELETE FROM till_channels",
        "DELETE FROM till_items",
        "UPDATE till_items SET price = price + 1",
        "UPDATE till_items SET source = x'0011223344556677'",
    ],
)
def test_nothing_goes_backwards_or_away(statement: str) -> None:
    connection, _ = stocked()

    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


@pytest.mark.parametrize(
    ("tampering", "complaint"),
    [
        ("UPDATE till_items SET price = 11 WHERE n = 2", "item 2"),
        ("DELETE FROM till_items WHERE n = 3", "item 4"),
        ("DELETE FROM till_items WHERE n > 4", "says"),
        ("UPDATE till_channels SET due = 1000", "says"),
        ("UPDATE till_channels SET total = total + 1", "does not verify"),
        ("UPDATE till_channels SET total = 501", "a promise of 501"),
        ("UPDATE till_channels SET signature = NULL", "a promise"),
    ],
)
def test_the_check_names_the_first_thing_wrong(tampering: str, complaint: str) -> None:
    connection, till = stocked()
    connection.execute("PRAGMA foreign_keys = OFF")
    for trigger in ("channels_rise", "channels_stay", "items_stay", "items_fixed"):
        connection.execute(f"DROP TRIGGER till_{trigger}")

    connection.execute(tampering)

    with pytest.raises(StoreError, match=complaint):
        till.check()


def test_only_a_seller_takes_back_what_was_not_paid_as_long_as_the_channel_is_open() -> None:
    connection, till = stocked()
    sale = till.sales()[0]

    till.rewind(sale, 5, 50)
    source = till.withdraw(sale, 6)

    assert source == goods(6).source
    assert till.check() == (2, 10)
    for n in (5, 4):
        with pytest.raises(sqlite3.IntegrityError):
            till.withdraw(sale, n)
    selling = SellingDesk(SELLER, till, credit=100)
    selling._heard.add(CHANNEL)
    selling.sell(CHANNEL, [goods(6)])
    till.freeze(till.sales()[0])
    with pytest.raises(sqlite3.IntegrityError):
        till.withdraw(sale, 6)
    assert connection.execute("SELECT count(*) FROM till_bodies").fetchone() == (6,)


def test_what_a_buyer_has_from_elsewhere_is_remembered_for_its_pair_and_day() -> None:
    _, till = stocked()
    sale = till.sales()[0]
    source = b"some source"

    before = till.known(sale, source), till.sold(sale, source)
    till.write_known(sale, source, frozenset({3, 1}), (7, 20))
    some = till.known(sale, source), till.sold(sale, source)
    till.write_known(sale, source, frozenset({2}), (7, 5))
    more = till.known(sale, source)
    till.write_known(sale, source, frozenset(), (8, 30))

    assert before == (None, False)
    assert some == (frozenset({1, 3}), False)
    assert more == frozenset({1, 2, 3})
    assert till.sold(sale, source)
    assert [till.forgone(sale, day) for day in (6, 7, 8, 9)] == [30, 30, 30, 0]
    till.write_known(sale, source, frozenset(), (7, 1))  # the clock was set back
    assert till.forgone(sale, 8) == 31


def test_a_voucher_frees_the_bodies_that_it_pays_for_and_no_other() -> None:
    connection = memory()
    till = Till.open(connection)
    selling = SellingDesk(SELLER, till, credit=1_000)
    selling.observe(VIEW)
    selling._heard.add(CHANNEL)
    selling.sell(CHANNEL, [goods(n) for n in range(1, 9)])

    left = []
    for total in (9, 10, 35, 80):
        selling.receive(BUYER.public.short_id, sign_voucher(BUYER, CHANNEL, total))
        left.append([item.invoice.n for item in till.outbox(till.sales()[0], items_max=9)])

    assert left == [[1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6, 7, 8], [4, 5, 6, 7, 8], []]
