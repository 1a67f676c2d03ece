"""Offers: signed templates of agreements, read from strangers and filled by whoever accepts."""

import base64
import json
from hashlib import sha256
from typing import Any

import contracts
import msgspec
import offering
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import agreements, cbor, offers, statements, wording
from ledger_client.agreements import DataLicence, MeteredService
from ledger_client.errors import EncodingError, RemoteError, SignatureError
from ledger_client.offers import Acceptor

WEARER = Acceptor(contracts.WEARER.public.did, "box.example/log", contracts.SUBJECT)
BEGINS_S = offering.NOW_S + 60


def test_a_published_offer_is_read_back_as_it_was_signed() -> None:
    signed = offering.signed(fees=[{"name": "membership", "per": "once", "minor_units": 5}])

    again = offers.from_json(offers.to_json(signed))

    assert again == signed
    assert again.reference == f"{contracts.BRAND.public.short_id}/shoes"
    assert again.digest == signed.digest
    assert not again.lapsed(offering.NOW_S)
    assert again.lapsed(offering.NOW_S + 86_400)


def test_whoever_accepts_fills_what_is_open_and_nothing_else() -> None:
    offer = offering.signed().offer

    agreement = offers.filled(offer, WEARER, BEGINS_S)

    assert isinstance(agreement, DataLicence)
    assert agreement.key_of("wearer") == contracts.WEARER.public
    assert (agreement.subject, agreement.ledger) == (contracts.SUBJECT, "box.example/log")
    assert agreement.begins_s == BEGINS_S
    assert offers.accepts(offer, agreement)


@pytest.mark.parametrize(
    "changes",
    [
        {"price": {"per": "reading", "minor_units": 51}},
        {"notice_s": 60},
        {"quantities": ["cadence"]},
        {"purpose": "anything"},
    ],
)
def test_an_agreement_with_other_terms_is_not_the_one_offered(changes: dict[str, Any]) -> None:
    offer = offering.signed().offer
    plain = agreements.to_plain(offers.filled(offer, WEARER, BEGINS_S))

    assert not offers.accepts(offer, agreements.from_plain(plain | changes))
    assert not offers.accepts(offer, contracts.service())


def test_an_offer_may_be_addressed_to_one_key_and_to_a_fixed_ledger_and_time() -> None:
    document = offering.template(ledger="box.example/log", begins_s=BEGINS_S + 600)
    document["parties"][0]["did"] = contracts.WEARER.public.did
    signed = offering.signed(document)

    agreement = offers.filled(signed.offer, WEARER, BEGINS_S)

    assert agreement.begins_s == BEGINS_S + 600
    assert signed.sample().key_of("wearer") == contracts.WEARER.public
    plain: dict[str, Any] = agreements.to_plain(agreement)
    plain["parties"][0]["did"] = contracts.OTHER.public.did
    assert not offers.accepts(signed.offer, agreements.from_plain(plain))
    with pytest.raises(EncodingError, match="addressed to somebody else"):
        offers.filled(signed.offer, Acceptor(contracts.OTHER.public.did, "x"), BEGINS_S)


def test_a_service_can_be_offered_too() -> None:
    signed = offering.signed(offering.template("metered-service", provider="brand"))

    agreement = offers.filled(signed.offer, WEARER, BEGINS_S)

    assert isinstance(agreement, MeteredService)
    assert offers.accepts(signed.offer, agreement)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": "Shoes!"}, "name"),
        ({"places": 0}, "places"),
        ({"open": "brand"}, "did"),
        ({"open": "nobody"}, "did|parties"),
        ({"lapses_s": contracts.EXPIRES_S + 1}, "lapse before"),
        ({"lapses_s": -1}, "lapses_s"),
        ({"fees": [{"name": "\x1b[2J", "per": "once", "minor_units": 1}]}, "printable"),
        ({"fees": [{"name": "half", "per": "earned", "bps": 10_001}]}, "bps"),
        ({"fees": [{"name": "odd", "per": "moon", "minor_units": 1}]}, "per"),
        ({"document": {}}, "parties"),
        ({"document": {"parties": [1]}}, "party"),
        ({"document": {"parties": []}}, "begins_s"),
        ({"document": offering.template(begins_s=contracts.EXPIRES_S)}, "begin before"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_form_that_is_no_offer_is_refused(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(EncodingError, match=wrong):
        offering.signed(**changes)


def test_a_statement_that_says_something_else_is_refused() -> None:
    offer = offering.signed().offer
    plain = msgspec.to_builtins(offer)
    key, subject = contracts.BRAND, f"urn:milepost:offer:{offer.sha256}"

    def refused(kind: str, about: str, value: object) -> None:
        with pytest.raises(RemoteError):
            offers.verify(statements.sign(key, kind, about, cbor.encode(value), 1))

    refused("batch", subject, plain)
    refused("offer", "urn:milepost:offer:another", plain)
    refused("offer", subject, plain | {"sha256": "0" * 64})
    refused("offer", subject, plain | {"places": "many"})
    refused("offer", subject, [plain])
    with pytest.raises(EncodingError, match="none of the parties"):
        offers.sign(contracts.OTHER, offer, 1)


def test_an_offer_that_leaves_no_party_open_is_refused() -> None:
    document = offering.template()
    document["parties"][0]["did"] = contracts.WEARER.public.did

    with pytest.raises(EncodingError, match="open party"):
        offering.signed(document, open="nobody")


@pytest.mark.parametrize("did", [[], {}, None, 1])
def test_an_offer_addressed_to_something_that_is_no_key_is_refused(did: object) -> None:
    document = offering.template()
    document["parties"][0]["did"] = did
    digest = sha256(cbor.encode(document)).hexdigest()
    plain = msgspec.to_builtins(offering.signed().offer) | {"document": document, "sha256": digest}
    payload = cbor.encode(plain)

    with pytest.raises(EncodingError):
        offers.verify(
            statements.sign(contracts.BRAND, "offer", f"urn:milepost:offer:{digest}", payload, 1)
        )


def test_what_can_be_read_must_be_what_was_signed() -> None:
    payload = json.loads(offers.to_json(offering.signed()))
    payload["offer"]["document"]["price"]["minor_units"] = 5_000

    with pytest.raises(SignatureError, match="not what was signed"):
        offers.from_json(json.dumps(payload).encode())


def test_a_sample_shows_dots_where_it_is_open() -> None:
    text = wording.text(offering.signed().sample(offering.NOW_S))

    dotted = offers.dotted(text)

    assert "on the ledger ..., in EUR/6" in dotted
    assert "wearer  80 %  ..." in dotted
    assert "cadence, heart_rate of ...." in dotted
    assert "holds from 2026-01-01" in dotted


@given(st.one_of(st.binary(max_size=64), st.builds(base64.b64encode, st.binary(max_size=64))))
def test_bytes_from_strangers_are_offers_or_refused(data: bytes) -> None:
    envelope = b'{"offer": {}, "statement": "%s"}' % base64.b64encode(data)
    for payload in (data, envelope, b"[" * 50_000, b" " * 100_000):
        with pytest.raises(RemoteError):
            offers.from_json(payload)


@given(st.integers(min_value=0))
def test_any_bit_that_flips_makes_it_another_offer_or_none(position: int) -> None:
    signed = offering.signed()
    data = bytearray(signed.statement)
    data[position // 8 % len(data)] ^= 1 << position % 8

    with pytest.raises(RemoteError):
        offers.verify(bytes(data))
