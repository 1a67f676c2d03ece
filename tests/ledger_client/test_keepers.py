"""Who keeps a ledger counts when the payee says so, about this agreement, in the one encoding."""

from dataclasses import replace

import pytest
from contracts import BRAND, OTHER, PLATFORM, WEARER
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, keepers, statements
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.keepers import Keeper
from ledger_client.keys import PublicKey

KEEPER = Keeper(
    bytes(32), "box.example/log", "EUR/6", demo=True, gateway=BRAND.public, log_key=PLATFORM.public
)
FIELDS = {
    1: 1,
    2: bytes(32),
    3: "box.example/log",
    4: "EUR/6",
    5: True,
    6: BRAND.public.did,
    7: PLATFORM.public.did,
}
SUBJECT = "urn:milepost:agreement:" + "00" * 32


def test_what_the_payee_signed_is_read_as_it_was_said() -> None:
    said = keepers.verify(keepers.sign(WEARER, KEEPER, 1_000), WEARER.public)

    assert (said.keeper, said.issued_s) == (KEEPER, 1_000)
    assert keepers.verify(said.signed, WEARER.public) == said


def test_nobody_else_says_it_for_the_payee() -> None:
    with pytest.raises(ProofError, match="says who keeps the ledger"):
        keepers.verify(keepers.sign(OTHER, KEEPER, 1_000), WEARER.public)


@pytest.mark.parametrize(
    ("changes", "subject", "kind"),
    [
        ({1: 2}, SUBJECT, "keeper"),
        ({2: bytes(31)}, SUBJECT, "keeper"),
        ({3: 7}, SUBJECT, "keeper"),
        ({5: 1}, SUBJECT, "keeper"),
        ({6: "did:key:zoo"}, SUBJECT, "keeper"),
        ({7: PublicKey(b"\x01" + bytes(31)).did}, SUBJECT, "keeper"),
        ({8: 0}, SUBJECT, "keeper"),
        ({}, SUBJECT[:-2] + "01", "keeper"),
        ({}, SUBJECT, "batch"),
    ],
)
def test_another_shape_is_refused(changes: dict[int, object], subject: str, kind: str) -> None:
    payload = cbor.encode(FIELDS | changes)
    signed = statements.sign(WEARER, kind, subject, payload, 1_000)

    with pytest.raises((EncodingError, SignatureError)):
        keepers.verify(signed, WEARER.public)


def test_with_receipts_it_is_another_thing() -> None:
    signed = statements.attach(keepers.sign(WEARER, KEEPER, 1_000), [b"receipt"])

    with pytest.raises(EncodingError, match="who keeps"):
        keepers.verify(signed, WEARER.public)


def test_only_the_key_of_the_gateway_may_become_another() -> None:
    other = OTHER.public

    assert replace(KEEPER, gateway=other).follows(KEEPER)
    assert not replace(KEEPER, log_key=other).follows(KEEPER)
    assert not replace(KEEPER, ledger="another").follows(KEEPER)
    assert not replace(KEEPER, demo=False).follows(KEEPER)


@given(st.integers(0, 2**300 - 1), st.integers(0, 400))
def test_no_flipped_byte_is_believed(noise: int, place: int) -> None:
    signed = bytearray(keepers.sign(WEARER, KEEPER, 1_000))
    signed[place % len(signed)] ^= 1 + noise % 255

    with pytest.raises(RemoteError):
        keepers.verify(bytes(signed), WEARER.public)
