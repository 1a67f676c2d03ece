"""Terms, vouchers, the table of a channel's life, and the arithmetic of both sides."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BUYER, STRANGER, terms

from ledger_client import cbor, cose
from ledger_client.channels import (
    TRANSITIONS,
    VOUCHER_TYPE,
    Buying,
    Event,
    Place,
    Selling,
    State,
    Voucher,
    advance,
    exponent,
    joined,
    parse_terms,
    sign_voucher,
)
from ledger_client.errors import EncodingError, LocalError, RemoteError, SignatureError
from ledger_client.messages import ITEM_TYPE

OPEN = Selling(State.OPEN, funded=100, claimed=0, n=0, due=0, best=0, window=30, reserve=5)
BUYING = Buying(State.OPEN, funded=100, n=2, due=20, signed=20)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_of_state_and_event_is_decided_by_the_table(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(RemoteError, match="not allowed"):
            advance(state, event)


def test_nothing_leads_out_of_closed_and_only_open_trades() -> None:
    assert {after for (state, _), after in TRANSITIONS.items() if state is State.CLOSED} == {
        State.CLOSED
    }
    assert [state for state, event in TRANSITIONS if event is Event.TRADE] == [State.OPEN]


@pytest.mark.parametrize(
    ("ours", "ledger", "result"),
    [
        (State.OPENING, State.OPEN, State.OPEN),
        (State.FROZEN, State.OPEN, State.FROZEN),
        (State.FROZEN, State.CLOSING, State.CLOSING),
        (State.OPEN, State.CLOSED, State.CLOSED),
        (State.CLOSED, State.OPEN, State.CLOSED),
    ],
)
def test_only_the_ledger_ends_a_channel_and_only_we_freeze_it(
    ours: State, ledger: State, result: State
) -> None:
    assert joined(ours, ledger) is result


def test_an_asset_names_its_decimals() -> None:
    assert exponent("EUR/6") == 6
    for bad in ("EUR", "eur/6", "EUR/19", "EUR/06", "EUR/6 "):
        with pytest.raises(EncodingError, match="an asset is"):
            exponent(bad)


def test_terms_come_back_and_any_change_is_another_channel() -> None:
    original = terms()

    again = parse_terms(original.encoded)

    assert again == original
    assert again.channel == original.channel
    assert len(original.channel) == 32
    others = (
        replace(original, ledger="example.org/log"),
        replace(original, signer=STRANGER.public),
        replace(original, asset="EUR/2"),
        replace(original, delay_s=61),
        replace(original, salt=b"\x01" * 16),
        replace(original, simulated=False),
        replace(original, agreement=b"\x01" * 32),
    )
    assert len({original.channel, *(other.channel for other in others)}) == 8
    assert parse_terms(others[-1].encoded) == others[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"ledger": ""},
        {"delay_s": -1},
        {"salt": b"short"},
        {"asset": "shells"},
        {"agreement": b"short"},
        {"payee": BUYER.public},
    ],
)
def test_terms_out_of_bounds_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(EncodingError):
        replace(terms(), **change)  # type: ignore[arg-type]  # what the test is about


@given(data=st.binary(max_size=64))
def test_no_bytes_become_terms_by_chance(data: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_terms(data)


def test_terms_with_another_label_or_a_weak_key_are_refused() -> None:
    fields = cbor.decode(terms().encoded)
    assert isinstance(fields, list)

    with pytest.raises(EncodingError, match="begin with"):
        parse_terms(cbor.encode(["telly", *fields[1:]]))
    with pytest.raises(SignatureError, match="small order"):
        parse_terms(cbor.encode([*fields[:2], bytes(32), *fields[3:]]))


def test_a_voucher_holds_for_its_channel_total_and_signer_only() -> None:
    channel = terms().channel
    voucher = sign_voucher(BUYER, channel, 70)

    voucher.verify(BUYER.public)

    for wrong in (replace(voucher, total=71), replace(voucher, channel=bytes(32))):
        with pytest.raises(SignatureError):
            wrong.verify(BUYER.public)
    with pytest.raises(SignatureError):
        voucher.verify(STRANGER.public)


def test_a_signature_over_the_same_words_for_another_purpose_is_no_voucher() -> None:
    channel = terms().channel
    payload = cbor.encode([channel, 70])
    other = cose.sign1(BUYER, {cose.CONTENT_TYPE: ITEM_TYPE}, payload, detached=True)
    loose = cose.sign1(
        BUYER, {cose.CONTENT_TYPE: VOUCHER_TYPE}, payload, unprotected={99: 1}, detached=True
    )

    for signature in (other, loose):
        with pytest.raises(SignatureError, match="expected a signature of type"):
            Voucher(channel, 70, signature).verify(BUYER.public)


def test_a_voucher_padded_with_headers_is_none_so_a_hundred_always_fit_one_entry() -> None:
    header = {cose.CONTENT_TYPE: VOUCHER_TYPE, 99: bytes(300)}
    padded = cose.sign1(BUYER, header, cbor.encode([terms().channel, 70]), detached=True)

    with pytest.raises(SignatureError, match="no headers but"):
        Voucher(terms().channel, 70, padded).verify(BUYER.public)


def test_room_ends_at_the_window_and_at_what_is_funded_less_the_reserve() -> None:
    assert OPEN.room() == 30
    assert replace(OPEN, due=80, best=80).room() == 15
    assert replace(OPEN, window=10, forgone=4).room() == 6
    assert replace(OPEN, window=10, forgone=14).room() == 0
    for state in set(State) - {State.OPEN}:
        assert replace(OPEN, state=state).room() == 0


@pytest.mark.parametrize(
    ("due", "best", "forgone", "room"),
    [
        (20, 20, 0, 0),
        (20, 29, 0, 0),
        (20, 30, 0, 10),
        (20, 30, 9, 10),
        (20, 30, 10, 0),
        (90, 95, 0, 5),
        (90, 94, 0, 0),
        (95, 100, 0, 0),
    ],
)
def test_prepaid_there_is_room_only_once_all_that_is_agreed_or_left_is_paid_ahead(
    due: int, best: int, forgone: int, room: int
) -> None:
    prepaid = replace(OPEN, window=-10, prepaid=10)

    assert replace(prepaid, due=due, best=best, forgone=forgone).room() == room


def test_prepaid_a_voucher_may_be_ahead_by_what_was_agreed_and_says_that_much_less() -> None:
    prepaid = replace(OPEN, window=-10, prepaid=10, due=20, n=2, best=20)

    assert prepaid.credit(30).state is State.OPEN
    assert prepaid.credit(30).acknowledged == 20
    assert prepaid.credit(31).state is State.FROZEN
    assert replace(prepaid, best=5).acknowledged == 0


def test_a_buyer_pays_ahead_as_far_as_is_funded_and_never_takes_it_back() -> None:
    assert BUYING.prepay(0) == BUYING
    assert BUYING.prepay(30).signed == 50
    assert BUYING.prepay(30).prepay(10).signed == 50
    assert BUYING.prepay(300).signed == 100
    assert BUYING.take(5, 25, 30).signed == 55
    with pytest.raises(RemoteError, match="frozen"):
        replace(BUYING, state=State.FROZEN).prepay(10)


@pytest.mark.parametrize("price", [0, -1, 31])
def test_selling_beyond_the_room_is_our_own_mistake(price: int) -> None:
    with pytest.raises(LocalError, match="does not fit"):
        OPEN.sell(price)


def test_a_lower_or_equal_voucher_changes_nothing_and_a_higher_one_is_kept() -> None:
    sold = OPEN.sell(30)

    credited = sold.credit(30)

    assert (credited.best, credited.room()) == (30, 30)
    assert credited.credit(30) is credited
    assert credited.credit(29) is credited
    with pytest.raises(RemoteError, match="funded with 100"):
        credited.credit(101)
    with pytest.raises(RemoteError, match="closed"):
        replace(credited, state=State.CLOSED).credit(31)


def test_items_are_taken_one_after_the_other() -> None:
    assert [BUYING.place(n) for n in (1, 2, 3, 4)] == [
        Place.REPEAT,
        Place.REPEAT,
        Place.NEXT,
        Place.GAP,
    ]

    taken = BUYING.take(5, 25)

    assert (taken.n, taken.due, taken.signed) == (3, 25, 25)


@pytest.mark.parametrize(("price", "due"), [(5, 24), (5, 26), (0, 20), (-5, 15), (81, 101)])
def test_a_wrong_invoice_is_not_taken(price: int, due: int) -> None:
    with pytest.raises(RemoteError, match="an invoice of"):
        BUYING.take(price, due)


def test_a_higher_total_of_our_own_freezes_the_buyer() -> None:
    frozen = BUYING.adopt(50)

    assert (frozen.state, frozen.signed) == (State.FROZEN, 50)
    assert BUYING.adopt(20) is BUYING
    with pytest.raises(RemoteError, match="frozen"):
        frozen.take(5, 25)


@given(
    steps=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 200)), max_size=40),
    window=st.integers(0, 60),
    funded=st.integers(1, 500),
)
def test_whatever_comes_exposure_stays_in_the_window_and_nothing_falls(
    steps: list[tuple[int, int]], window: int, funded: int
) -> None:
    side = replace(OPEN, window=window, funded=funded, reserve=0)

    for price, total in steps:
        before = side
        if price <= side.room():
            side = side.sell(price)
        if total <= funded:
            side = side.credit(total)

        assert side.due - side.best <= window
        assert side.due <= funded
        assert (side.n, side.due, side.best) >= (before.n, before.due, before.best)
