"""Items, vouchers and states as bytes: they come back, and nothing else does."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BUYER, SELLER, terms

from ledger_client import cbor, messages
from ledger_client.channels import MONEY_MAX, sign_voucher
from ledger_client.errors import EncodingError, LocalError, RemoteError, SignatureError
from ledger_client.messages import (
    BODY_BYTES_MAX,
    KNOWN_MAX,
    Message,
    Refusal,
    Standing,
    sign_item,
)

CHANNEL = terms().channel
ITEM = sign_item(SELLER, CHANNEL, (3, 5, 25), b"body")
VOUCHER = sign_voucher(BUYER, CHANNEL, 25)
REFUSAL = Refusal(4, ITEM.invoice.name, (0, 2, 65_535))
STANDING = Standing(terms(), 100, 5, 25, 3, VOUCHER, ITEM.invoice, b"this run", REFUSAL, -7)
EMPTY = Standing(terms(), 100, 0, 0, 0, None, None)


@pytest.mark.parametrize("message", [ITEM, VOUCHER, STANDING, EMPTY])
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    data = messages.encode(message)

    assert messages.parse(data) == message
    assert messages.encode(messages.parse(data)) == data


def test_the_field_names_are_those_of_the_contract() -> None:
    assert cbor.decode(messages.encode(VOUCHER)) == {
        "voucher": {"ch": CHANNEL, "total": 25, "sig": VOUCHER.signature}
    }
    item = cbor.decode(messages.encode(ITEM))
    assert isinstance(item, dict)
    assert set(item["item"]) == {"ch", "n", "body", "price", "due", "sig"}


def test_an_invoice_binds_number_price_due_and_body() -> None:
    ITEM.invoice.verify(SELLER.public)

    for wrong in (
        replace(ITEM.invoice, n=4),
        replace(ITEM.invoice, price=6),
        replace(ITEM.invoice, due=26),
        replace(ITEM.invoice, channel=bytes(32)),
        replace(ITEM.invoice, digest=sha256(b"other").digest()),
    ):
        assert wrong.name != ITEM.invoice.name
        with pytest.raises(SignatureError):
            wrong.verify(SELLER.public)


def test_a_body_has_a_limit_and_the_largest_one_comes_through() -> None:
    largest = sign_item(SELLER, CHANNEL, (MONEY_MAX, MONEY_MAX, MONEY_MAX), bytes(BODY_BYTES_MAX))

    assert messages.parse(messages.encode(largest)) == largest
    with pytest.raises(LocalError, match="at most"):
        sign_item(SELLER, CHANNEL, (1, 1, 1), bytes(BODY_BYTES_MAX + 1))


@given(data=st.binary(max_size=200))
def test_no_bytes_become_a_message_by_chance(data: bytes) -> None:
    with pytest.raises(RemoteError):
        messages.parse(data)


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_changed_byte_gives_an_error_or_another_message(at: int, flip: int) -> None:
    data = bytearray(messages.encode(STANDING))
    data[at % len(data)] ^= flip

    try:
        changed = messages.parse(bytes(data))
    except RemoteError:
        return

    assert changed != STANDING


def _fields(message: Message) -> dict[str, object]:
    (fields,) = cbor.decode(messages.encode(message)).values()  # type: ignore[attr-defined]  # a map
    return dict(fields)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"item": {}, "voucher": {}},
        {"gift": {}},
        {"voucher": []},
        {"voucher": _fields(VOUCHER) | {"more": 1}},
        {"voucher": _fields(VOUCHER) | {"total": 0}},
        {"voucher": _fields(VOUCHER) | {"total": -1}},
        {"voucher": _fields(VOUCHER) | {"total": MONEY_MAX + 1}},
        {"voucher": _fields(VOUCHER) | {"total": True}},
        {"voucher": _fields(VOUCHER) | {"ch": bytes(31)}},
        {"voucher": _fields(VOUCHER) | {"sig": bytes(513)}},
        {"item": _fields(ITEM) | {"n": 0}},
        {"item": _fields(ITEM) | {"price": 0}},
        {"item": _fields(ITEM) | {"body": "text"}},
        {"state": _fields(STANDING) | {"ch": bytes(32)}},
        {"state": _fields(STANDING) | {"sig": None}},
        {"state": _fields(STANDING) | {"total": 0}},
        {"state": _fields(STANDING) | {"last": [1, 2]}},
        {"state": _fields(STANDING) | {"last": [0, bytes(32), b""]}},
        {"state": _fields(STANDING) | {"run": bytes(7)}},
        {"state": _fields(STANDING) | {"run": bytes(9)}},
        {"state": _fields(STANDING) | {"refused": 0}},
        {"state": _fields(STANDING) | {"refused": [4, bytes(32)]}},
        {"state": _fields(STANDING) | {"refused": [0, bytes(32), []]}},
        {"state": _fields(STANDING) | {"refused": [4, bytes(31), []]}},
        {"state": _fields(STANDING) | {"refused": [4, bytes(32), [2, 2]]}},
        {"state": _fields(STANDING) | {"refused": [4, bytes(32), [2, 1]]}},
        {"state": _fields(STANDING) | {"refused": [4, bytes(32), [65_536]]}},
        {"state": _fields(STANDING) | {"refused": [4, bytes(32), list(range(KNOWN_MAX + 1))]}},
        {"state": _fields(STANDING) | {"window": -MONEY_MAX - 1}},
    ],
)
def test_a_message_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(EncodingError):
        messages.parse(cbor.encode(value))
