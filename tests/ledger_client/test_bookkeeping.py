"""A record replayed: each movement must follow from what its parties signed."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BUYER, LEDGER, OPERATOR, SELLER, STRANGER, memory, open_book, terms

from ledger_client import record, statements, trust
from ledger_client.bookkeeping import KIND, Books, replay, replay_record
from ledger_client.channels import State, sign_voucher
from ledger_client.errors import ProofError, RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader
from ledger_client.settlement import Claim
from ledger_client.settlement.accounts import check
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import (
    ISSUANCE,
    Movement,
    Order,
    Posting,
    evidence,
    parse_movement,
    sign_order,
)
from ledger_client.statements import Statement

CHANNEL = terms().channel
PAYER, PAYEE = BUYER.public.thumbprint, SELLER.public.thumbprint


def order(
    verb: str, total: int = 0, key: SigningKey = BUYER, ledger: str = LEDGER, salt: int = 0
) -> bytes:
    what = terms(salt) if verb == "open" else None
    about = PAYER if verb == "issue" else terms(salt).channel
    return sign_order(key, Order(verb, ledger, about, total, what))


def voucher(total: int, key: SigningKey = BUYER) -> bytes:
    return evidence(terms(), sign_voucher(key, CHANNEL, total))


def ledger() -> Iterator[tuple[sqlite3.Connection, Book]]:
    clock = iter(range(1_000, 9_000, 10))
    connection = memory()
    yield connection, open_book(connection, now_s=lambda: next(clock))


def traded() -> tuple[sqlite3.Connection, Book]:
    ((connection, book),) = ledger()
    book.issue(BUYER.public, 1_000)
    for total in (200, 300):
        book.order(BUYER.public, order("open", total))
    for total in (70, 120):
        book.claim([Claim(terms(), sign_voucher(BUYER, CHANNEL, total))])
    return connection, book


def entries(connection: sqlite3.Connection) -> list[tuple[int, Statement]]:
    return [(e.index, statements.verify(e.statement)) for e in LogReader(connection).entries()]


def test_a_record_alone_gives_every_balance_and_channel() -> None:
    connection, book = traded()
    data = record.build(LogReader(connection), lambda _: None)

    books = replay_record(data)

    assert books.balances == check(connection, LogReader(connection))
    assert sum(books.balances.values()) == 0
    assert books.balances[PAYEE] == book.balance(PAYEE) == 120
    assert books.issued == {PAYER: 1_000}
    assert books.holders[PAYEE] == SELLER.public
    assert [(each.amount, each.index) for each in books.claims] == [(70, 4), (50, 5)]
    channel = books.channels[CHANNEL]
    assert (channel.funded, channel.claimed, channel.state) == (300, 120, State.OPEN)


def test_an_excerpt_proves_no_balance() -> None:
    connection, _ = traded()

    with pytest.raises(ProofError, match="whole record"):
        replay_record(record.excerpt(LogReader(connection), {1: None}))


@pytest.mark.parametrize(
    ("verbs", "left"),
    [
        ((("close", BUYER), ("finish", STRANGER)), 880),
        ((("close_now", SELLER),), 880),
        ((("close", BUYER),), 700),
    ],
)
def test_every_way_to_end_is_replayed(verbs: tuple[tuple[str, SigningKey], ...], left: int) -> None:
    connection, book = traded()
    for verb, key in verbs:
        for _ in range(7):  # the delay of a minute passes
            book._now_s()
        book.order(key.public, order(verb, key=key))

    books = replay(LEDGER, entries(connection))

    assert books.balances[PAYER] == left
    assert books.channels[CHANNEL].state is book.view(CHANNEL).state  # type: ignore[union-attr]  # it is there


def test_what_is_fully_claimed_ends_without_a_posting() -> None:
    connection, book = traded()
    book.claim([Claim(terms(), sign_voucher(BUYER, CHANNEL, 300))])
    book.order(SELLER.public, order("close_now", key=SELLER))

    assert CHANNEL not in {
        key for key, held in replay(LEDGER, entries(connection)).balances.items() if held
    }


def test_a_rotated_operator_carries_on() -> None:
    connection, _ = traded()
    said = entries(connection)
    rotation, other = (
        statements.verify(trust.rotate(old, new, 0, bytes(32), 1))
        for old, new in ((OPERATOR, STRANGER), (BUYER, SELLER))
    )
    asked = order("issue", 1_005, STRANGER)
    more = movement(said[-1][1], "issue", ((ISSUANCE, -5), (PAYER, 5)), asked)

    books = replay(LEDGER, [*said, (6, rotation), (7, other), (8, signed_by(STRANGER, more))])

    assert books.issued[PAYER] == 1_005
    with pytest.raises(ProofError, match="not the operator"):
        replay(LEDGER, [*said, (6, signed_by(STRANGER, more))])


def movement(
    before: Statement, verb: str, postings: tuple[Posting, ...], *proofs: bytes
) -> Movement:
    last = parse_movement(before.payload)
    digest = sha256(before.payload).digest()
    return Movement(last.sequence + 1, digest, verb, "EUR/6", postings, proofs)


def signed_by(key: SigningKey, what: Movement, at_s: int = 2_000) -> Statement:
    return statements.verify(statements.sign(key, KIND, LEDGER, what.encoded(), at_s))


TO_SELLER = ((CHANNEL, -10), (PAYEE, 10))
OPENED = ((PAYER, -50), (CHANNEL, 50))


@pytest.mark.parametrize(
    ("verb", "postings", "proofs", "words"),
    [
        ("claim", TO_SELLER, [voucher(131)], "not what its evidence"),
        ("claim", ((CHANNEL, -10), (PAYER, 10)), [voucher(130)], "not what its evidence"),
        ("claim", TO_SELLER, [voucher(130, SELLER)], "signature"),
        ("claim", TO_SELLER, [voucher(120)], "a claim of 120 after 120"),
        ("claim", ((CHANNEL, -181), (PAYEE, 181)), [voucher(301)], "a claim of 301"),
        ("claim", TO_SELLER, [], "not what its evidence"),
        ("issue", ((ISSUANCE, -5), (PAYER, 5)), [order("issue", 1_005)], "signature"),
        ("issue", (), [order("issue", 1_000, OPERATOR)], "no more than there was"),
        ("issue", ((ISSUANCE, -6), (PAYER, 6)), [order("issue", 1_005, OPERATOR)], "not what"),
        ("open", OPENED, [order("open", 350, SELLER)], "signature"),
        ("open", OPENED, [order("open", 350, ledger="other")], "another ledger"),
        ("open", OPENED, [order("open", 300)], "no more than there was"),
        ("open", OPENED, [order("open", 350)] * 2, "one signed order"),
        ("open", OPENED, [order("close")], "the order is another"),
        ("close", (), [order("close", key=SELLER)], "signature"),
        ("close", (), [order("close", salt=7)], "was opened"),
        ("close_now", ((CHANNEL, -180), (PAYER, 180)), [order("close_now")], "signature"),
        ("finish", ((CHANNEL, -180), (PAYER, 180)), [order("finish")], "finish is not allowed"),
    ],
)
def test_a_movement_that_nobody_asked_for_is_refused(
    verb: str, postings: tuple[Posting, ...], proofs: list[bytes], words: str
) -> None:
    connection, _ = traded()
    said = entries(connection)
    forged = signed_by(OPERATOR, movement(said[-1][1], verb, postings, *proofs))

    with pytest.raises(RemoteError, match=words):
        replay(LEDGER, [*said, (6, forged)])


def test_a_finish_before_the_delay_is_over_is_refused() -> None:
    connection, book = traded()
    book.order(BUYER.public, order("close"))
    said = entries(connection)
    closed_s = said[-1][1].issued_s
    early = movement(said[-1][1], "finish", ((CHANNEL, -180), (PAYER, 180)), order("finish"))

    books = replay(LEDGER, [*said, (7, signed_by(OPERATOR, early, closed_s + 60))])
    assert books.channels[CHANNEL].state is State.CLOSED
    with pytest.raises(ProofError, match="1 s too early"):
        replay(LEDGER, [*said, (7, signed_by(OPERATOR, early, closed_s + 59))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda moved: replace(moved, sequence=moved.sequence + 1), "does not follow"),
        (lambda moved: replace(moved, previous=bytes(32)), "does not follow"),
        (lambda moved: replace(moved, asset="USD/2"), "this ledger is in EUR/6"),
    ],
)
def test_a_chain_with_a_hole_or_of_another_asset_is_refused(
    change: Callable[[Movement], Movement], words: str
) -> None:
    connection, _ = traded()
    said = entries(connection)
    good = movement(said[-1][1], "claim", TO_SELLER, voucher(130))

    assert replay(LEDGER, [*said, (6, signed_by(OPERATOR, good))]).claims[-1].amount == 10
    with pytest.raises(ProofError, match=words):
        replay(LEDGER, [*said, (6, signed_by(OPERATOR, change(good)))])


def test_terms_of_another_channel_are_refused() -> None:
    connection, _ = traded()
    said = entries(connection)
    from_nowhere = sign_order(BUYER, Order("open", LEDGER, bytes(32), 50, terms()))
    forged = movement(said[-1][1], "open", ((PAYER, -50), (bytes(32), 50)), from_nowhere)

    with pytest.raises(ProofError, match="another channel"):
        replay(LEDGER, [*said, (6, signed_by(OPERATOR, forged))])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 400)), max_size=12))
def test_any_history_replays_to_the_ledgers_own_balances(steps: list[tuple[int, int]]) -> None:
    ((connection, book),) = ledger()
    book.issue(BUYER.public, 500)
    for salt, total in steps:
        one = terms(salt)
        try:
            book.order(BUYER.public, order("open", total, salt=salt))
        except RemoteError:
            continue  # not covered
        book.claim([Claim(one, sign_voucher(BUYER, one.channel, total // 2))])

    books: Books = replay(LEDGER, entries(connection))

    assert books.balances == check(connection, LogReader(connection))


def test_the_closing_delay_runs_from_the_entry_also_when_the_minute_passes_meanwhile() -> None:
    connection, times = memory(), [1_000]

    def passing() -> int:
        times.append(times[-1] + 60)
        return times[-1]

    book = open_book(connection, now_s=passing)
    book.issue(BUYER.public, 500)
    book.order(BUYER.public, order("open", 300))
    closing = book.order(BUYER.public, order("close"))
    assert closing.closes_at_s is not None
    times[:] = [closing.closes_at_s - 60]

    book.order(BUYER.public, order("finish"))

    assert replay(LEDGER, entries(connection)).balances[PAYER] == 500
