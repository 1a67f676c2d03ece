"""What a certified party may spend on the embedded ledger, whatever it orders."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market import BUYER, LEDGER, NOTARY, OPERATOR, SELLER, STRANGER, memory, terms

from ledger_client import certificates, trust
from ledger_client.certificates import Grant, Limits
from ledger_client.channels import Terms, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.keys import SigningKey
from ledger_client.log import Log, LogReader
from ledger_client.settlement import Claim, RefusedError, View
from ledger_client.settlement.accounts import check
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import Order, sign_order

DAY_S = 86_400
START_S = 600_000


@dataclass
class Ledger:
    """A book whose operator certifies and takes back; `now_s` is its clock."""

    now_s: int = START_S
    log: Log = field(init=False)
    book: Book = field(init=False)

    def __post_init__(self) -> None:
        self.connection = memory()
        self.log = Log.open(
            self.connection,
            name=LEDGER,
            receipt_key=OPERATOR,
            note_key=NOTARY,
            demo=True,
            now_s=1,
        )
        self.book = Book.open(self.connection, self.log, OPERATOR, now_s=lambda: self.now_s)

    def certify(
        self,
        most: int = 100,
        period_s: int | None = DAY_S,
        *,
        by: SigningKey = OPERATOR,
        scope: tuple[str, ...] = ("read", "pay"),
        asset: str = "EUR/6",
    ) -> bytes:
        limits = Limits(0, most, period_s, asset) if most else Limits(0)
        grant = Grant(BUYER.public, START_S, START_S + 10 * DAY_S, scope, limits)
        token = certificates.issue(by, grant, self.now_s.to_bytes(16, "big"), self.now_s)
        self.say(trust.certify(by, [token], self.now_s))
        return token

    def say(self, statement: bytes) -> None:
        self.log.append([(sha256(statement).digest(), statement)], self.now_s)

    def revoke(self, token: bytes) -> None:
        self.say(trust.revoke(OPERATOR, [token], "retired", self.now_s))

    def order(
        self, verb: str, total: int = 0, on: Terms | None = None, key: SigningKey = BUYER
    ) -> View:
        on = on or terms()
        what = on if verb == "open" else None
        signed = sign_order(key, Order(verb, LEDGER, on.channel, total, what))
        return self.book.order(key.public, signed, outside=True)


def test_a_certified_payer_puts_in_what_its_certificate_allows_and_no_unit_more() -> None:
    ledger = Ledger()
    ledger.certify(most=100)
    ledger.book.issue(BUYER.public, 1_000)

    ledger.order("open", 60)
    again = ledger.order("open", 60)
    with pytest.raises(RefusedError, match=r"41 more are beyond .* 100 in 86400 s, of which 60"):
        ledger.order("open", 101)
    with pytest.raises(RefusedError, match="beyond"):
        ledger.order("open", 41, terms(1))
    full = ledger.order("open", 100)

    assert (again.funded, full.funded) == (60, 100)
    assert ledger.book.balance(BUYER.public.thumbprint) == 900


def test_what_was_spent_counts_for_one_period_and_what_came_back_counts_no_more() -> None:
    ledger = Ledger()
    ledger.certify(most=100)
    ledger.book.issue(BUYER.public, 1_000)

    ledger.order("open", 100)
    ledger.book.claim([Claim(terms(), sign_voucher(BUYER, terms().channel, 30))])
    ledger.order("close_now", key=SELLER)
    with pytest.raises(RefusedError, match="of which 30 are spent"):
        ledger.order("open", 71, terms(1))
    ledger.order("open", 70, terms(1))
    ledger.now_s += DAY_S
    ledger.order("open", 100, terms(2))

    assert ledger.book.balance(BUYER.public.thumbprint) == 1_000 - 30 - 70 - 100


def test_without_a_period_the_amount_is_for_the_life_of_the_certificate() -> None:
    ledger = Ledger()
    ledger.certify(most=100, period_s=None)
    ledger.book.issue(BUYER.public, 1_000)

    ledger.order("open", 100)
    ledger.now_s += 5 * DAY_S

    with pytest.raises(RefusedError, match="100 in all, of which 100 are spent"):
        ledger.order("open", 1, terms(1))


def test_after_it_was_taken_back_its_channels_can_only_be_claimed_and_ended_by_the_payee() -> None:
    ledger = Ledger()
    token = ledger.certify()
    ledger.book.issue(BUYER.public, 1_000)
    ledger.order("open", 50)

    ledger.revoke(token)

    for verb, total in (("open", 60), ("close", 0)):
        with pytest.raises(RefusedError, match="taken back"):
            ledger.order(verb, total)
    (outcome,) = ledger.book.claim([Claim(terms(), sign_voucher(BUYER, terms().channel, 20))])
    ended = ledger.order("close_now", key=SELLER)
    assert (outcome.refusal, ended.claimed) == (None, 20)
    with pytest.raises(RefusedError, match="taken back"):
        ledger.book.refill(BUYER.public)


@pytest.mark.parametrize(
    ("certify", "later_s", "complaint"),
    [
        (lambda ledger: ledger.certify(scope=("read",)), 0, "not for paying"),
        (lambda ledger: ledger.certify(most=0), 0, "not for paying"),
        (lambda ledger: ledger.certify(asset="USD/6"), 0, "another asset"),
        (lambda ledger: ledger.certify(), 10 * DAY_S, "does not hold at this time"),
        (lambda ledger: ledger.certify(), -1, "does not hold at this time"),
    ],
)
def test_a_certificate_that_is_not_for_this_pays_nothing(
    certify: Callable[[Ledger], bytes], later_s: int, complaint: str
) -> None:
    ledger = Ledger()
    certify(ledger)
    ledger.book.issue(BUYER.public, 1_000)
    ledger.now_s += later_s

    with pytest.raises(RefusedError, match=complaint):
        ledger.order("open", 1)


def test_who_was_never_certified_or_by_a_stranger_only_has_the_money_that_it_has() -> None:
    ledger = Ledger()
    ledger.certify(most=1, by=STRANGER)
    ledger.book.issue(BUYER.public, 1_000)

    assert ledger.order("open", 1_000).funded == 1_000
    with pytest.raises(RefusedError, match="nobody certified"):
        ledger.book.refill(BUYER.public)


def test_a_newer_certificate_takes_the_place_of_an_older_one_also_after_a_new_operator_key() -> (
    None
):
    ledger = Ledger()
    ledger.revoke(ledger.certify(most=10))
    ledger.now_s += 60
    ledger.certify(most=200)
    ledger.say(trust.rotate(OPERATOR, STRANGER, 0, bytes(32), ledger.now_s))
    ledger.book = Book.open(ledger.connection, ledger.log, STRANGER, now_s=lambda: ledger.now_s)
    ledger.book.issue(BUYER.public, 1_000)

    assert ledger.order("open", 200).funded == 200
    with pytest.raises(RefusedError, match="beyond"):
        ledger.order("open", 201)


def test_a_party_of_this_process_is_held_to_its_certificate_by_its_own_desk() -> None:
    ledger = Ledger()
    ledger.revoke(ledger.certify(most=10))
    ledger.book.issue(BUYER.public, 1_000)
    on = terms()

    for verb, total in (("open", 200), ("close", 0)):
        what = on if verb == "open" else None
        signed = sign_order(BUYER, Order(verb, LEDGER, on.channel, total, what))
        ledger.book.order(BUYER.public, signed)

    assert ledger.book.balance(on.channel) == 200


def test_a_refill_brings_what_may_still_be_spent_and_the_same_twice_is_once() -> None:
    ledger = Ledger()
    ledger.certify(most=100)
    held = []

    for step in (lambda: None, lambda: ledger.order("open", 60), lambda: None):
        ledger.book.refill(BUYER.public)
        step()
        held.append(ledger.book.balance(BUYER.public.thumbprint))
    ledger.now_s += DAY_S
    ledger.book.refill(BUYER.public)

    assert held == [100, 40, 40]
    assert ledger.book.balance(BUYER.public.thumbprint) == 100


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "claim", "close", "close_now", "finish", "wait"]),
        st.integers(0, 3),
        st.integers(0, 150),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_is_ordered_no_more_is_at_stake_in_a_period_than_the_certificate_says(
    steps: list[tuple[str, int, int]],
) -> None:
    ledger = Ledger()
    ledger.certify(most=100)
    ledger.book.issue(BUYER.public, 10_000)
    put_in: list[tuple[int, int]] = []

    for verb, salt, amount in steps:
        on = replace(terms(salt), delay_s=0)
        before = ledger.book.balance(BUYER.public.thumbprint)
        if verb == "wait":
            ledger.now_s += amount * 1_000
            continue
        if verb == "claim":
            ledger.book.claim([Claim(on, sign_voucher(BUYER, on.channel, amount))])
            continue
        try:
            ledger.order(verb, amount, on, SELLER if verb == "close_now" else BUYER)
        except RemoteError:
            continue
        put_in.append((ledger.now_s, before - ledger.book.balance(BUYER.public.thumbprint)))
        recent = sum(units for at_s, units in put_in if at_s > ledger.now_s - DAY_S)
        assert recent <= 100

    assert sum(check(ledger.connection, LogReader(ledger.connection)).values()) == 0
