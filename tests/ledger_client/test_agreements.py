"""Agreements: four kinds, one encoding each, and nothing that contradicts itself."""

import json
from importlib.resources import files
from typing import Any

import contracts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import agreements, cbor, wording
from ledger_client.agreements import KINDS
from ledger_client.errors import EncodingError

every_kind = pytest.mark.parametrize("kind", KINDS)


FURTHER = contracts.OWN["activation-grant"]["further"]


jsonschema = pytest.importorskip("jsonschema")


def schema_of(kind: str) -> dict[str, Any]:
    text = files("ledger_client").joinpath("schemas", f"{kind}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


@every_kind
def test_an_agreement_has_one_encoding_and_is_named_by_it(kind: str) -> None:
    agreement = agreements.from_plain(contracts.plain(kind))
    data = agreements.encode(agreement)

    assert agreements.parse(data) == agreement
    assert agreements.to_plain(agreement) == cbor.decode(data)
    assert agreements.digest(agreement) == agreements.digest(agreements.parse(data))
    with pytest.raises(EncodingError):
        agreements.parse(data + b"\x00")


@every_kind
def test_the_shipped_schema_is_the_one_of_the_code_and_takes_the_document(kind: str) -> None:
    schema = schema_of(kind)

    assert schema == agreements.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(contracts.plain(kind), schema)


@every_kind
@given(data=st.data())
def test_schema_and_code_refuse_the_same_broken_fields(kind: str, data: st.DataObject) -> None:
    document = contracts.plain(kind)
    field = data.draw(st.sampled_from(sorted(document)))
    junk = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.integers(-9, 9))
    document[field] = data.draw(junk.filter(lambda value: value != contracts.plain(kind)[field]))
    valid = jsonschema.Draft202012Validator(schema_of(kind)).is_valid(document)

    try:
        agreements.from_plain(document)
    except EncodingError:
        taken = False
    else:
        taken = True

    assert not taken or valid  # the code also refuses what contradicts itself


@every_kind
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version"),
        ({"unknown": 1}, "unknown"),
        ({"begins_s": contracts.EXPIRES_S}, "begin before it expires"),
        ({"begins_s": True}, "int"),
        ({"ledger": "log\u202e"}, "printable"),
        ({"asset": "euro"}, "asset"),
        ({"least_provenance": 9}, "least_provenance"),
        ({"parties": contracts.plain()["parties"][:1]}, "parties"),
        ({"parties": contracts.plain()["parties"][:2]}, "10000 in all, got 9000"),
        ({"parties": contracts.plain()["parties"][:1] * 2}, "different names"),
    ],
)
def test_what_contradicts_itself_is_refused(kind: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EncodingError, match=words):
        agreements.from_plain(contracts.plain(kind, **changes))


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("data-licence", {"payer": "nobody"}, "the name of a party"),
        ("data-licence", {"quantities": ["cadence", "cadence"]}, "named twice"),
        ("metered-service", {"prices": contracts.OWN["metered-service"]["prices"][:1] * 2}, "two"),
        ("metered-service", {"provider": "wearer"}, "a provider that is not the customer"),
        ("activation-grant", {"cliff_s": 864_001}, "cliff"),
        ("activation-grant", {"further": FURTHER[:1] * 2}, "twice"),
    ],
)  # fmt: skip
def test_each_kind_has_rules_of_its_own(kind: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EncodingError, match=words):
        agreements.from_plain(contracts.plain(kind, **changes))


def test_the_first_party_collects_what_a_payer_pays_and_a_provider_its_bill() -> None:
    first = contracts.licence(payer="wearer")

    assert (contracts.licence().collector, first.collector) == ("wearer", "brand")
    assert (contracts.service().collector, contracts.service().payer) == ("platform", "wearer")


def test_a_key_that_is_none_is_refused() -> None:
    parties = contracts.plain()["parties"]
    low_order = "did:key:z6MkeTG3bFFSLYVU7VqhgZxqr6YzpaGrQtFMh1uvqGy1vDnP"

    for did, words in ((low_order, "small order"), (low_order[:-1] + "1", "expected the did:key")):
        broken = [{**parties[0], "did": did}, *parties[1:]]
        with pytest.raises(EncodingError, match=words):
            agreements.from_plain(contracts.plain(parties=broken))


def test_a_number_that_is_not_whole_in_its_encoding_is_refused() -> None:
    document = contracts.plain()
    data = cbor.encode({**document, "notice_s": 3600.0})

    with pytest.raises(EncodingError, match="notice_s"):
        agreements.parse(data)


@pytest.mark.parametrize(
    ("least", "simulated", "demo", "paid"),
    [
        (0, False, False, {0, 1, 2, 3}),
        (2, False, True, {2, 3}),
        (2, True, True, {2, 3, 9}),
        (3, True, False, {3}),
    ],
)
def test_only_readings_of_enough_provenance_are_paid(
    least: int, simulated: bool, demo: bool, paid: set[int]
) -> None:
    agreement = contracts.licence(least_provenance=least, simulated=simulated)

    assert {each for each in (0, 1, 2, 3, 9) if agreement.pays_for(each, demo=demo)} == paid


@every_kind
def test_the_text_says_what_the_document_says(kind: str) -> None:
    agreement = agreements.from_plain(contracts.plain(kind))

    text = wording.text(agreement)

    assert agreements.digest(agreement).hex() in text
    for party in agreement.parties:
        assert f"{party.name}  {party.share_bps / 100:g} %  {party.did}" in text
    assert "2026-01-01 00:00:00 UTC until before 2027-01-01 00:00:00 UTC" in text
    assert "takes effect 1 hour later" in text


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("data-licence", {}, "brand pays 0.000050 EUR for each reading."),
        ("data-licence", {"resolution_s": 60}, "at most one of a quantity in 1 minute"),
        (
            "data-licence",
            {"price": {"per": "period", "minor_units": 5, "period_s": 172_800}, "asset": "EUR/0"},
            "brand pays 5 EUR for each 2 days with a reading.",
        ),
        ("data-licence", {"notice_s": 0, "simulated": True}, "takes effect at once"),
        ("data-licence", {"simulated": True}, "simulated ones count on a demo ledger"),
        ("data-licence", {"expires_s": 1 << 40}, "Unix second 1099511627776"),
        ("metered-service", {}, "0.490000 EUR for each kWh"),
        (
            "metered-service",
            {"prices": [{"unit": "m", "per": 7, "minor_units": 1}]},
            "for each 7 m",
        ),
        ("activation-grant", {}, "They are not securities."),
        ("activation-grant", {"cliff_s": 0}, "none before 0 s"),
        ("ecosystem", {}, "none may owe more than 0.001000 EUR"),
    ],
)  # fmt: skip
def test_the_text_is_exact(kind: str, changes: dict[str, Any], words: str) -> None:
    assert words in wording.text(agreements.from_plain(contracts.plain(kind, **changes)))


@every_kind
def test_any_other_field_makes_another_text(kind: str) -> None:
    document = contracts.plain(kind)
    first = wording.text(agreements.from_plain(document)).splitlines()[1:]

    for field, value in document.items():
        if type(value) is int and field != "version":
            other = agreements.from_plain({**document, field: value + 1})
            assert wording.text(other).splitlines()[1:] != first, field
