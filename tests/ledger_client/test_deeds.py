"""Deeds: an agreement carried from party to party, every signature in it verified."""

import contracts
import pytest
from contracts import BRAND, KEYS, OTHER, WEARER, act, signed

from ledger_client import agreements, cbor, deeds, statements
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.errors import EncodingError, RemoteError

LICENCE = contracts.licence()
DEED = Deed(LICENCE).joined(each.signed for each in signed(LICENCE))


def test_each_party_adds_its_own_and_the_order_does_not_matter() -> None:
    one = Deed(LICENCE)
    for key in reversed(KEYS.values()):
        one = deeds.parse(one.joined([act(key, LICENCE).signed]).encode())

    assert one == DEED
    assert deeds.parse(DEED.encode()) == DEED
    assert deeds.is_one(DEED.encode()[:32])
    assert not deeds.is_one(agreements.encode(LICENCE)[:32])
    assert DEED.joined([act(WEARER, LICENCE).signed]) == DEED


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (act(OTHER, LICENCE).signed, "expected a party's"),
        (act(WEARER, contracts.licence(notice_s=0)).signed, "another agreement"),
        (statements.attach(act(WEARER, LICENCE).signed, [b"receipt"]), "no receipts"),
        (b"nothing", "CBOR|message|expected"),
    ],
)
def test_what_no_party_signed_about_it_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(RemoteError, match=words):
        Deed(LICENCE).joined([data])


def test_any_flipped_byte_is_refused() -> None:
    data = DEED.encode()

    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(RemoteError):
            deeds.parse(bytes(broken))


def test_another_order_or_kind_of_file_is_refused() -> None:
    parts = {1: deeds.MAGIC, 2: 1, 3: agreements.encode(LICENCE)}
    acts = [each.signed for each in DEED.acts]

    for broken in (
        {**parts, 4: acts[::-1]},
        {**parts, 4: [*acts, acts[0]]},
        {**parts, 1: "record", 4: acts},
    ):
        with pytest.raises(EncodingError, match="deed"):
            deeds.parse(cbor.encode(broken))


def test_acts_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deeds, "ACTS_MAX", 2)

    with pytest.raises(EncodingError, match="holds 2 acts, got 3"):
        Deed(LICENCE).joined(act(BRAND, LICENCE, Act.END, 60 * n).signed for n in range(3))
