"""Shares on the ledger: divided once, whatever the history, and recomputed from the record."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market import BUYER, LEDGER, SELLER, STRANGER, memory, open_book, terms

from ledger_client import cbor, cose, shares, statements
from ledger_client.bookkeeping import Books, replay
from ledger_client.channels import Terms, sign_voucher
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.keys import SigningKey
from ledger_client.log import LogReader
from ledger_client.settlement import Claim, RefusedError
from ledger_client.settlement.accounts import check
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import EVIDENCE_BYTES_MAX, Order, sign_order
from ledger_client.settlement.sharing import SHARE_TYPE, ShareOrder, sign, verify

AGREEMENT = bytes(range(32))
PLATFORM = STRANGER.public
ORDER = ShareOrder(
    LEDGER,
    AGREEMENT,
    SELLER.public,
    ((SELLER.public.thumbprint, 7_000), (PLATFORM.thumbprint, 3_000)),
)


def channel(salt: int = 0, agreement: bytes = AGREEMENT) -> Terms:
    return replace(terms(salt), agreement=agreement)


def opened(salts: Sequence[int] = (0,), funded: int = 10_000) -> tuple[sqlite3.Connection, Book]:
    connection = memory()
    book = open_book(connection)
    book.issue(BUYER.public, 10 * funded)
    for salt in salts:
        held = channel(salt)
        book.order(
            BUYER.public, sign_order(BUYER, Order("open", LEDGER, held.channel, funded, held))
        )
    return connection, book


def claim(book: Book, held: Terms, total: int) -> None:
    book.claim([Claim(held, sign_voucher(BUYER, held.channel, total))])


def replayed(connection: sqlite3.Connection) -> Books:
    entries = LogReader(connection).entries()
    return replay(LEDGER, [(each.index, statements.verify(each.statement)) for each in entries])


def test_what_a_collector_earned_is_divided_once_and_the_record_gives_the_same() -> None:
    connection, book = opened()
    claim(book, channel(), 101)

    moved = [book.share(sign(SELLER, ORDER)) for _ in range(2)]

    assert moved == [30, 0]
    assert book.balance(SELLER.public.thumbprint) == 71
    assert book.balance(PLATFORM.thumbprint) == 30
    books = replayed(connection)
    assert books.balances == check(connection, LogReader(connection))
    assert books.shared[AGREEMENT].credited == (71, 30)


@settings(deadline=None, max_examples=40)
@given(
    bps=st.lists(st.integers(0, 10_000), min_size=1, max_size=4),
    steps=st.lists(
        st.tuples(st.sampled_from([0, 1]), st.integers(1, 400), st.booleans()), max_size=12
    ),
)
def test_any_history_of_claims_and_divisions_conserves_every_unit(
    bps: list[int], steps: list[tuple[int, int, bool]]
) -> None:
    connection, book = opened((0, 1))
    whole = [each * shares.WHOLE_BPS // max(1, sum(bps)) for each in bps]
    whole[0] += shares.WHOLE_BPS - sum(whole)
    others = [SigningKey(bytes([40 + number]) * 32).public for number in range(len(bps) - 1)]
    accounts = [SELLER.public.thumbprint, *(other.thumbprint for other in others)]
    order = replace(ORDER, parts=tuple(zip(accounts, whole, strict=True)))
    totals = {0: 0, 1: 0}
    for salt, amount, divide in steps:
        totals[salt] += amount
        claim(book, channel(salt), totals[salt])
        if divide:
            book.share(sign(SELLER, order))
    book.share(sign(SELLER, order))

    balances = [book.balance(account) for account in accounts]
    earned = sum(totals.values())
    assert sum(balances) == earned
    for held, part in zip(balances[1:], shares.split(earned, whole)[1:], strict=True):
        assert part - 1 <= held <= part
    assert replayed(connection).balances == check(connection, LogReader(connection))
    assert book.share(sign(SELLER, order)) == 0


def test_only_channels_of_the_agreement_are_divided() -> None:
    _, book = opened()
    plain = channel(7, b"")
    book.order(BUYER.public, sign_order(BUYER, Order("open", LEDGER, plain.channel, 500, plain)))
    claim(book, plain, 500)

    assert book.share(sign(SELLER, ORDER)) == 0


def test_money_that_the_collector_spent_is_not_divided_until_it_is_there() -> None:
    _, book = opened()
    claim(book, channel(), 1_000)
    away = replace(terms(3), payer=SELLER.public, signer=SELLER.public, payee=BUYER.public)
    book.order(SELLER.public, sign_order(SELLER, Order("open", LEDGER, away.channel, 900, away)))

    with pytest.raises(RefusedError, match="300 minor units are not covered"):
        book.share(sign(SELLER, ORDER))
    claim(book, channel(), 2_000)

    assert book.share(sign(SELLER, ORDER)) == 600


@pytest.mark.parametrize(
    ("order", "key", "error"),
    [
        (replace(ORDER, ledger="example.org/log"), SELLER, "this is"),
        (ORDER, STRANGER, "signature"),
        (replace(ORDER, parts=ORDER.parts[:1]), SELLER, "shares of 10000"),
        (replace(ORDER, parts=(*ORDER.parts, ORDER.parts[0])), SELLER, "each party once"),
        (replace(ORDER, parts=((PLATFORM.thumbprint, 10_000),)), SELLER, "the collector among"),
    ],
)
def test_orders_that_no_collector_may_give_are_refused(
    order: ShareOrder, key: SigningKey, error: str
) -> None:
    _, book = opened()

    with pytest.raises(RemoteError, match=error):
        book.share(sign(key, order))


def test_the_first_division_fixes_the_shares() -> None:
    _, book = opened()
    claim(book, channel(), 100)
    book.share(sign(SELLER, ORDER))
    greedy = replace(ORDER, parts=((ORDER.parts[0][0], 9_000), (ORDER.parts[1][0], 1_000)))

    with pytest.raises(RefusedError, match="others before"):
        book.share(sign(SELLER, greedy))


def test_what_is_no_share_order_is_refused() -> None:
    def signed(words: object, kind: str = SHARE_TYPE) -> bytes:
        return cose.sign1(SELLER, {cose.CONTENT_TYPE: kind}, cbor.encode(words))

    with pytest.raises(SignatureError, match="of type"):
        verify(signed([], "application/cbor"))
    with pytest.raises(EncodingError, match="begin with 'share'"):
        verify(signed(["open", LEDGER, AGREEMENT, SELLER.public.raw, []]))


def test_the_order_of_as_many_parties_as_there_may_be_fits_a_movement() -> None:
    others = [SigningKey(bytes([60 + number]) * 32).public for number in range(31)]
    accounts = [key.thumbprint for key in (SELLER.public, *others)]
    order = replace(ORDER, ledger="l" * 128, parts=tuple((each, 312) for each in accounts))
    order = replace(order, parts=((accounts[0], 328), *order.parts[1:]))

    data = sign(SELLER, order)

    assert len(data) <= EVIDENCE_BYTES_MAX
    assert verify(data) == order


def test_a_movement_that_divides_otherwise_is_found_by_the_replay() -> None:
    connection, book = opened()
    claim(book, channel(), 100)
    more = ((SELLER.public.thumbprint, -40), (PLATFORM.thumbprint, 40))
    with book._accounts.transaction():
        book._accounts.move("share", more, (sign(SELLER, ORDER),), 1_000)

    with pytest.raises(ProofError, match="not what its evidence asks for"):
        replayed(connection)


def test_a_replay_refuses_an_order_with_other_shares_than_the_first() -> None:
    connection, book = opened()
    claim(book, channel(), 100)
    book.share(sign(SELLER, ORDER))
    greedy = replace(ORDER, parts=((ORDER.parts[0][0], 5_000), (ORDER.parts[1][0], 5_000)))
    more = ((SELLER.public.thumbprint, -20), (PLATFORM.thumbprint, 20))
    with book._accounts.transaction():
        book._accounts.move("share", more, (sign(SELLER, greedy),), 1_000)

    with pytest.raises(ProofError, match="other shares than before"):
        replayed(connection)
