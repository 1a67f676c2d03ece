"""The embedded ledger: entries on the log, replay, what it refuses, what tampering shows."""

import random
import sqlite3
from dataclasses import replace

import pytest
from market import BUYER, LEDGER, NOTARY, OPERATOR, SELLER, STRANGER, memory, open_book, terms

from ledger_client import statements, trust
from ledger_client.channels import State, sign_voucher
from ledger_client.errors import EncodingError, RemoteError, SignatureError, StoreError
from ledger_client.log import Log, LogReader
from ledger_client.settlement import Claim, RefusedError, View
from ledger_client.settlement.accounts import KIND, check
from ledger_client.settlement.embedded import Book, EmbeddedSettlement
from ledger_client.settlement.movements import ISSUANCE, Order, replay, sign_order


def traded() -> tuple[sqlite3.Connection, Book]:
    connection = memory()
    book = open_book(connection)
    book.issue(BUYER.public, 1_000)
    book.order(BUYER.public, order("open", total=300))
    book.claim([Claim(terms(), sign_voucher(BUYER, terms().channel, 120))])
    book.order(BUYER.public, order("close"))
    return connection, book


def order(verb: str, total: int = 0) -> bytes:
    what = terms() if verb == "open" else None
    return sign_order(BUYER, Order(verb, LEDGER, terms().channel, total, what))


def test_every_movement_is_an_entry_and_the_entries_give_the_balances() -> None:
    connection, book = traded()
    reader = LogReader(connection)

    logged = [statements.verify(entry.statement) for entry in reader.entries()]
    moved = [entry for entry in logged if entry.kind == KIND]
    balances = replay(entry.payload for entry in moved)

    assert len(moved) == 4
    assert {entry.issuer for entry in moved} == {OPERATOR.public}
    assert balances == check(connection, reader)
    assert balances == {
        ISSUANCE: -1_000,
        BUYER.public.thumbprint: 700,
        SELLER.public.thumbprint: 120,
        terms().channel: 180,
    }
    assert book.balance(ISSUANCE) == -1_000


def test_issuing_is_an_all_time_total() -> None:
    book = open_book(memory())

    for total in (50, 50, 20, 80):
        book.issue(BUYER.public, total)

    assert book.balance(BUYER.public.thumbprint) == 80


async def test_simulated_readings_settle_on_a_demo_ledger_only() -> None:
    book = open_book(memory(), demo=False)
    book.issue(BUYER.public, 1_000)
    buyer = EmbeddedSettlement(book, BUYER)

    with pytest.raises(RefusedError, match="demo ledger only"):
        await buyer.open(terms(simulated=True), 10)
    real = await buyer.open(terms(simulated=False), 10)

    assert real.funded == 10
    assert buyer.demo is False
    assert buyer.ledger == LEDGER


def test_orders_for_another_ledger_asset_party_or_verb_are_refused() -> None:
    book = open_book(memory())
    book.issue(BUYER.public, 1_000)
    open_order = Order("open", LEDGER, terms().channel, 10, terms())
    abroad = replace(terms(), ledger="example.org/log")
    dollars = replace(terms(), asset="USD/6")

    for wrong in (
        replace(open_order, ledger="example.org/log"),
        replace(open_order, terms=abroad, channel=abroad.channel),
        replace(open_order, terms=dollars, channel=dollars.channel),
        replace(open_order, terms=None),
        replace(open_order, channel=bytes(32)),
    ):
        with pytest.raises(RefusedError):
            book.order(BUYER.public, sign_order(BUYER, wrong))
    with pytest.raises(SignatureError):
        book.order(STRANGER.public, sign_order(BUYER, open_order))
    book.order(BUYER.public, sign_order(BUYER, open_order))
    with pytest.raises(RefusedError, match="no such order"):
        book.order(BUYER.public, order("issue"))


def test_an_asset_that_is_none_is_refused() -> None:
    connection = memory()
    open_book(connection)

    with pytest.raises(EncodingError):
        Book.open(
            connection,
            Log(connection, LEDGER, OPERATOR, NOTARY),
            OPERATOR,
            now_s=lambda: 1,
            asset="shells",
        )


def test_a_refused_order_leaves_nothing_behind() -> None:
    connection, book = traded()
    before = LogReader(connection).head.size

    with pytest.raises(RemoteError):
        book.order(BUYER.public, order("close_now"))

    assert LogReader(connection).head.size == before
    check(connection, LogReader(connection))


def test_many_claims_make_one_entry_for_each_hundred() -> None:
    connection = memory()
    book = open_book(connection)
    book.issue(BUYER.public, 1_000)
    many = [terms(salt) for salt in range(101)]
    for each in many:
        book.order(BUYER.public, sign_order(BUYER, Order("open", LEDGER, each.channel, 5, each)))
    before = LogReader(connection).head.size

    outcomes = book.claim([Claim(t, sign_voucher(BUYER, t.channel, 5)) for t in many])

    assert {outcome.refusal for outcome in outcomes} == {None}
    assert LogReader(connection).head.size == before + 2
    assert book.balance(SELLER.public.thumbprint) == 505


@pytest.mark.parametrize(
    ("tampering", "complaint"),
    [
        ("UPDATE settlement_accounts SET balance = balance + 1", "balances"),
        ("DELETE FROM settlement_accounts", "balances"),
        ("UPDATE settlement_channels SET claimed = claimed + 1", "hold"),
        ("DELETE FROM settlement_entries WHERE sequence = 4", "the log has 4"),
        ("DELETE FROM settlement_entries WHERE sequence = 2", "replay"),
        ("UPDATE settlement_entries SET position = 99 WHERE sequence = 4", "replay"),
        ("UPDATE settlement_entries SET digest = zeroblob(32) WHERE sequence = 4", "names other"),
    ],
)
def test_a_table_that_disagrees_with_the_log_is_found(tampering: str, complaint: str) -> None:
    connection, _ = traded()
    connection.execute("PRAGMA foreign_keys = OFF")

    connection.execute(tampering)

    with pytest.raises(StoreError, match=complaint):
        check(connection, LogReader(connection))


def test_a_channel_never_goes_backwards_or_away() -> None:
    connection, _ = traded()

    for statement in (
        "UPDATE settlement_channels SET claimed = 0",
        "UPDATE settlement_channels SET funded = 0",
        "DELETE FROM settlement_channels",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


def test_money_is_conserved_whatever_is_asked_for() -> None:
    dice = random.Random(7)
    connection = memory()
    book = open_book(connection)
    book.issue(BUYER.public, 500)
    channels = [terms(salt, delay_s=0) for salt in range(4)]

    for _ in range(200):
        at = dice.choice(channels)
        verb = dice.choice(["open", "open", "claim", "claim", "claim", "close", "finish", "now"])
        amount = dice.randint(0, 200)
        key = SELLER if verb == "now" else BUYER
        name = "close_now" if verb == "now" else verb
        if verb == "claim":
            book.claim([Claim(at, sign_voucher(BUYER, at.channel, amount))])
        else:
            wanted = Order(name, LEDGER, at.channel, amount, at if verb == "open" else None)
            try:
                book.order(key.public, sign_order(key, wanted))
            except RemoteError:
                continue

        accounts = (ISSUANCE, BUYER.public.thumbprint, SELLER.public.thumbprint)
        held = [book.balance(account) for account in accounts]
        held += [book.balance(each.channel) for each in channels]
        assert sum(held) == 0
        assert all(amount >= 0 for amount in held[1:])

    assert sum(check(connection, LogReader(connection)).values()) == 0


def test_the_operators_next_key_carries_on_the_book_and_nobody_elses_does() -> None:
    connection, book = traded()
    log = Log.open(
        connection, name=LEDGER, receipt_key=OPERATOR, note_key=NOTARY, demo=True, now_s=1
    )
    log.append([(bytes(32), trust.rotate(OPERATOR, STRANGER, 0, bytes(32), 1))], 1)

    Book.open(connection, log, STRANGER, now_s=lambda: 1_000).issue(BUYER.public, 2_000)

    assert check(connection, log)[ISSUANCE] == -2_000
    book.issue(BUYER.public, 3_000)
    with pytest.raises(StoreError, match="keys that do not follow"):
        check(connection, log)


def test_no_ledger_says_that_more_was_claimed_than_was_put_in() -> None:
    with pytest.raises(EncodingError, match="a channel of 5 that paid 6"):
        View(terms(), State.OPEN, 5, 6, None)
