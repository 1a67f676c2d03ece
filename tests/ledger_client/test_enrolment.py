"""Requests for certificates, and the text in which they fit a QR code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, enrolment, statements
from ledger_client.certificates import Limits
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import SigningKey

KEY, OTHER = (SigningKey(bytes([n]) * 32) for n in (51, 52))


def test_a_request_says_who_asks_for_what() -> None:
    data = enrolment.ask(KEY, "my car", ("log", "stream"), Limits(1), 0)

    request = enrolment.asked(statements.verify(data))

    assert (request.holder, request.name) == (KEY.public, "my car")
    assert (request.scope, request.limits) == (("log", "stream"), Limits(1))


@pytest.mark.parametrize(
    ("kind", "subject", "payload"),
    [
        ("batch", KEY.public.did, {1: 1, 2: "stream", 3: {2: 1}, 4: "x"}),
        ("request", OTHER.public.did, {1: 1, 2: "stream", 3: {2: 1}, 4: "x"}),
        ("request", KEY.public.did, {1: 2, 2: "stream", 3: {2: 1}, 4: "x"}),
        ("request", KEY.public.did, {1: 1, 2: "", 3: {2: 1}, 4: "x"}),
        ("request", KEY.public.did, {1: 1, 2: "stream", 3: {}, 4: "x"}),
        ("request", KEY.public.did, {1: 1, 2: "stream", 3: {2: 1}, 4: "x" * 65}),
        ("request", KEY.public.did, {1: 1, 2: "stream", 3: {2: 1}, 4: "\x1b[2J"}),
        ("request", KEY.public.did, {1: 1, 2: "stream", 3: {2: 1}}),
    ],
)
def test_what_is_no_request_is_refused(kind: str, subject: str, payload: object) -> None:
    data = statements.sign(KEY, kind, subject, cbor.encode(payload), 0)

    with pytest.raises(RemoteError):
        enrolment.asked(statements.verify(data))


@given(st.binary(max_size=200))
def test_text_comes_back_as_it_went_wherever_it_was_wrapped(data: bytes) -> None:
    text = enrolment.to_text(data)

    assert enrolment.from_text("\n ".join(text)) == data


@pytest.mark.parametrize("text", ["", "MFRGG", "MILEPOST:mfrgg", "MILEPOST:MF1", "MILEPOST:MFRGH"])
def test_text_of_another_kind_or_torn_is_refused(text: str) -> None:
    with pytest.raises(EncodingError, match="text:"):
        enrolment.from_text(text)
