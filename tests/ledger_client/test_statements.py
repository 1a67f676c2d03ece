"""statements: their one encoding, and everything that is not one."""

from typing import TYPE_CHECKING, Any

import pytest

from ledger_client import cbor, cose, statements
from ledger_client.errors import EncodingError, LocalError, RemoteError, SignatureError
from ledger_client.keys import SigningKey

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

KEY = SigningKey(b"\x07" * 32)
HEADER: dict[int, Any] = {
    3: "application/vnd.milepost.note+cbor",
    4: KEY.public.thumbprint,
    15: {1: KEY.public.did, 2: "urn:uuid:0", 6: 1},
}


def test_a_statement_says_who_what_when_and_about_whom(ledger: "Ledger") -> None:
    data = ledger.statement(b"payload", "batch")

    statement = statements.verify(data)

    assert statement.kind == "batch"
    assert statement.issuer == ledger.gateway.public
    assert statement.subject == ledger.subject
    assert statement.issued_s == ledger.now_s + 60
    assert statement.payload == b"payload"
    assert statement.signed == data
    assert statement.receipts == ()


def test_receipts_are_attached_and_change_neither_signature_nor_digest(ledger: "Ledger") -> None:
    data = ledger.statement(b"payload")

    statement = statements.verify(statements.attach(data, [b"receipt"]))

    assert statement.receipts == (b"receipt",)
    assert statement.signed == data
    assert statement.digest == statements.verify(data).digest


def test_every_flipped_byte_is_refused(ledger: "Ledger") -> None:
    data = ledger.statement(b"payload")

    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= flip
            with pytest.raises(RemoteError):
                statements.verify(bytes(changed))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({3: "application/vnd.example.note+cbor"}, EncodingError),
        ({3: "application/vnd.milepost.Note+cbor"}, EncodingError),
        ({3: 60}, EncodingError),
        ({4: b"another kid"}, SignatureError),
        ({5: 0}, EncodingError),
        ({15: {1: KEY.public.did, 2: "urn:uuid:0"}}, EncodingError),
        ({15: {1: KEY.public.did, 2: "urn:uuid:0", 6: 1, 7: b"cti"}}, EncodingError),
        ({15: {1: KEY.public.did, 2: "urn:\x1b[31m", 6: 1}}, EncodingError),
        ({15: {1: KEY.public.did, 2: "urn:uuid:0", 6: -1}}, EncodingError),
        ({15: {1: KEY.public.did, 2: "urn:uuid:0", 6: 1.5}}, EncodingError),
        ({15: {1: "https://issuer.example", 2: "urn:uuid:0", 6: 1}}, SignatureError),
        ({15: {1: SigningKey(b"\x08" * 32).public.did, 2: "u", 6: 1}}, SignatureError),
    ],
)
def test_a_header_of_another_shape_is_refused(
    changes: dict[int, object], error: type[RemoteError]
) -> None:
    with pytest.raises(error):
        statements.verify(cose.sign1(KEY, {**HEADER, **changes}, b""))


@pytest.mark.parametrize(
    "unprotected", [{99: 1}, {394: []}, {394: [b""] * 9}, {394: ["text"]}, {394: b"receipt"}]
)
def test_nothing_but_some_receipts_may_be_unprotected(unprotected: dict[int, object]) -> None:
    with pytest.raises(EncodingError):
        statements.verify(cose.sign1(KEY, HEADER, b"", unprotected=unprotected))


def test_the_encoding_must_be_the_deterministic_one() -> None:
    message = cose.parse_sign1(cose.sign1(KEY, HEADER, b""))
    protected = b"\xb8" + bytes([len(message.protected)]) + message.protected_bytes[1:]
    signature = KEY.sign(cbor.encode(["Signature1", protected, b"", b""]))

    with pytest.raises(EncodingError, match="shortest"):
        statements.verify(cbor.encode(cbor.Tag(18, [protected, {}, b"", signature])))


@pytest.mark.parametrize("kind", ["", "Batch", "a b", "9", "x" * 33])
def test_a_kind_is_a_short_lower_case_word(kind: str) -> None:
    with pytest.raises(LocalError, match="kind"):
        statements.sign(KEY, kind, "urn:uuid:0", b"", 0)
