"""A ledger's counter: what it answers to the honest, the hasty and the hostile."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BUYER, LEDGER, SELLER, STRANGER, terms
from ordering import BRAND, ME, book, order

from agent import commands, topics
from agent.broker import Message
from agent.commands import About, Answer, Balance, Channel, Claims, Promise, Status
from agent.orders import Counter, Limits
from ledger_client.channels import State, sign_voucher
from ledger_client.settlement import Claim


def said(payload: bytes, speaker: str = BRAND, *, retained: bool = False) -> Message:
    return Message(topics.command(ME, speaker), payload, retained)


def test_an_order_is_done_once_however_often_it_comes_and_its_id_comes_back() -> None:
    ledger = book()
    counter = Counter(ledger, ME)

    answers = [counter.answer(said(order(name=name)), 0) for name in ("a", "a", "b")]

    assert [answer and (answer.id, answer.status) for answer in answers] == [
        ("a", 200),
        ("a", 200),
        ("b", 200),
    ]
    assert answers[0] == answers[1]
    assert ledger.balance(BUYER.public.thumbprint) == 700


def test_who_speaks_decides_nothing_only_who_signed() -> None:
    ledger = book()
    counter = Counter(ledger, ME)

    forged = counter.answer(said(order(by=STRANGER)), 0)
    carried = counter.answer(said(order(), speaker=STRANGER.public.short_id), 0)

    assert forged is not None
    assert carried is not None
    assert (forged.status, carried.status) == (403, 200)
    assert "sign" in forged.error
    assert forged.channel is None


def test_a_retained_command_a_cleared_one_and_one_of_nobody_are_dropped() -> None:
    ledger = book()
    counter = Counter(ledger, ME)

    nobody = Message(f"{topics.command(ME, BRAND)} ?", order(), False)
    sent = [said(order(), retained=True), said(b""), nobody]

    assert [counter.answer(each, 0) for each in sent] == [None, None, None]
    assert counter.dropped == 3
    assert ledger.balance(BUYER.public.thumbprint) == 1_000


def test_a_command_for_a_witness_is_left_to_the_witness() -> None:
    counter = Counter(book(), ME)

    assert counter.answer(said(b'{"command": "checkpoint", "id": "1", "body": "x"}'), 0) is None


@pytest.mark.parametrize(
    ("payload", "name", "complaint"),
    [
        (b"\xff\x00", "", "malformed"),
        (b"[1]", "", "Expected"),
        (b'{"command": "pay", "id": "7"}', "7", "Invalid value"),
        (b'{"command": "status", "id": "7", "channel": "AAAA"}', "7", "length"),
        (b'{"command": "status", "id": "7"}', "7", "channel"),
        (b'{"command": "ledger", "id": "7", "extra": 1}', "7", "extra"),
        (b'{"command": "claim", "id": "7", "claims": []}', "7", "length"),
        (b'{"command": "ledger", "id": "' + b"x" * 65 + b'"}', "", "length"),
        (b"{" + b" " * commands.BYTES_MAX + b"}", "", "at most"),
        (b'{"x": ' + b"[" * 40_000, "", "too deeply"),
    ],
)
def test_what_is_no_command_is_told_why(payload: bytes, name: str, complaint: str) -> None:
    answer = Counter(book(), ME).answer(said(payload), 0)

    assert answer is not None
    assert (answer.status, answer.id) == (400, name)
    assert complaint in answer.error


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["command", "id", "order", "party", "claims", "channel", "holder"]),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_nothing_that_anybody_sends_stops_the_counter(payload: bytes) -> None:
    answer = Counter(book(), ME).answer(said(payload), 0)

    assert answer is None or answer.status in {200, 400, 403, 404}
    assert answer is None or len(commands.encode(answer)) < 4_096


def test_a_refused_order_says_why_and_changes_nothing() -> None:
    ledger = book()
    counter = Counter(ledger, ME)

    answer = counter.answer(said(order(total=1_001)), 0)
    other = counter.answer(
        said(commands.encode(commands.Order("2", "did:key:zoo", b"no order"))), 0
    )

    assert answer == Answer("order", "1", 403, "1001 minor units are not covered")
    assert other is not None
    assert other.status == 403


def test_questions_are_answered_and_what_is_not_there_is_said_so() -> None:
    counter = Counter(book(), ME)
    counter.answer(said(order()), 0)

    def ask(command: commands.Asked) -> Answer:
        answer = counter.answer(said(commands.encode(command)), 0)
        assert answer is not None
        return answer

    status = ask(Status("1", terms().channel))
    balance = ask(Balance("2", BUYER.public.did))
    about = ask(About("3"))
    absent = ask(Status("4", bytes(32)))

    assert status.channel == Channel(terms().encoded, State.OPEN, 300, 0, None)
    assert balance.balance == 700
    assert about.ledger == commands.Ledger(LEDGER, "EUR/6", demo=True)
    assert (absent.status, absent.channel) == (404, None)


def test_good_claims_are_paid_whoever_brings_them_and_bad_ones_say_why() -> None:
    ledger = book()
    counter = Counter(ledger, ME)
    counter.answer(said(order()), 0)
    claims = [Claim(terms(), sign_voucher(key, terms().channel, 120)) for key in (STRANGER, BUYER)]
    forged, good = map(commands.promise_of, claims)
    promises = forged, Promise(b"no terms", 1, b""), good

    answer = counter.answer(
        said(commands.encode(Claims("1", promises)), speaker=STRANGER.public.short_id), 0
    )

    assert answer is not None
    assert [(each.claimed, each.refusal is None) for each in answer.claims or ()] == [
        (0, False),
        (0, False),
        (120, True),
    ]
    assert ledger.balance(SELLER.public.thumbprint) == 120


def test_one_who_floods_is_told_once_a_second_and_does_not_stop_another() -> None:
    ledger = book()
    counter = Counter(ledger, ME, Limits(all_per_s_max=1_000, each_per_s_max=5, speakers_max=2))

    flood = [counter.answer(said(order(), speaker="mallory"), 1) for _ in range(50)]
    honest = counter.answer(said(order()), 1)
    later = counter.answer(said(order(), speaker="mallory"), 3)

    statuses = [answer.status for answer in flood if answer is not None]
    assert statuses == [200] * 5 + [429]
    assert honest is not None
    assert later is not None
    assert (honest.status, later.status) == (200, 200)
    assert counter.dropped == 44


def test_what_moves_money_is_an_entry_for_ever_and_so_many_come_in_an_hour() -> None:
    ledger = book()
    counter = Counter(ledger, ME, Limits(moves_per_h_max=3))

    moves = [counter.answer(said(order(total=n)), 10 * n) for n in range(1, 6)]
    asked = counter.answer(said(commands.encode(About("1"))), 51)
    later = counter.answer(said(order(total=6)), 51 + 1_200)

    assert [move and move.status for move in moves] == [200, 200, 200, 429, 429]
    assert moves[3] is not None
    assert "ask again in 1170.0 s" in moves[3].error
    assert asked is not None
    assert later is not None
    assert (asked.status, later.status) == (200, 200)


def test_many_names_cannot_fill_the_memory_nor_get_round_the_limit_for_all() -> None:
    counter = Counter(book(), ME, Limits(all_per_s_max=10, each_per_s_max=5, speakers_max=4))

    answers = [counter.answer(said(order(), speaker=f"name-{n}"), 1) for n in range(100)]

    assert sum(answer is not None and answer.status == 200 for answer in answers) == 10
    assert len(counter._each) == 4
