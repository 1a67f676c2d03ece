"""Certificates: the published chain, every rule down a chain, and time."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, certificates, cose
from ledger_client.certificates import Grant, Limits
from ledger_client.errors import (
    EncodingError,
    LocalError,
    ProofError,
    RemoteError,
    SignatureError,
)
from ledger_client.keys import PublicKey, SigningKey

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "certificates.json").read_text())
OWNER, GATEWAY, COMPONENT, STRANGER = (SigningKey(bytes([n]) * 32) for n in (11, 12, 13, 14))
HANDLE = bytes(range(16))
TAG_61 = bytes.fromhex("d83d")
MONEY = Limits(2, 100_000, 86_400, "EUR/6")
ABOVE = Grant(GATEWAY.public, 1_000, 2_000, ("log", "pay", "stream"), MONEY)
BELOW = Grant(COMPONENT.public, 1_200, 1_900, ("stream",), Limits(1, 500, 86_400, "EUR/6"))
SMALL_ORDER = "did:key:z6MkeTG3bFFSLYVU7VqhgZxqr6YzpaGrQtFMh1uvqGy1vDnP"


def token(
    key: SigningKey = GATEWAY, header: dict[int, object] | None = None, **changes: object
) -> bytes:
    """A token with some claims replaced (or, with None, left out), signed by `key`."""
    good = certificates.issue(GATEWAY, BELOW, HANDLE, 1_000)
    message = cose.parse_sign1(good[2:])
    labels = {"iss": 1, "sub": 2, "exp": 4, "nbf": 5, "iat": 6, "cti": 7, "cnf": 8, "scope": 9}
    claims = cbor.decode(message.payload or b"")
    assert isinstance(claims, dict)
    for name, value in changes.items():
        claims[labels.get(name, -70001)] = value
    claims = {label: value for label, value in claims.items() if value is not None}
    protected = {4: key.public.thumbprint, 16: 61, **(header or {})}
    return TAG_61 + cose.sign1(key, protected, cbor.encode(claims))


def test_the_golden_chain_holds() -> None:
    tokens = [TAG_61 + bytes.fromhex(VECTORS[n]) for n in ("owner_gateway", "gateway_component")]

    chain = certificates.verify_chain(tokens)

    assert [each.grant.scope for each in chain] == [("pay", "stream", "pair"), ("stream",)]
    assert [each.grant.limits for each in chain] == [Limits(2, 100_000), Limits(1, 500)]
    assert [each.handle for each in chain] == [b"\x01" * 16, b"\x02" * 16]
    assert chain[0].holder == chain[1].issuer


def test_what_we_issue_has_the_bytes_of_the_golden_chain() -> None:
    golden = certificates.parse(TAG_61 + bytes.fromhex(VECTORS["owner_gateway"]))
    owner = SigningKey(OWNER.file_bytes()[-32:])  # any key: the header and claims are compared

    ours = certificates.issue(owner, golden.grant, golden.handle, golden.issued_s)

    theirs = cose.parse_sign1(golden.token[2:])
    message = cose.parse_sign1(ours[2:])
    assert {**message.protected, 4: b""} == {**theirs.protected, 4: b""}
    assert cbor.decode(message.payload or b"") == {
        **dict(cbor.decode(theirs.payload or b"").items()),  # type: ignore[attr-defined]  # a map
        1: owner.public.did,
    }


@pytest.mark.parametrize(
    "name", ["other_profile", *(name for name in VECTORS if name.startswith("rfc8392"))]
)
def test_a_token_of_another_profile_is_refused(name: str) -> None:
    with pytest.raises(RemoteError):
        certificates.parse(bytes.fromhex(VECTORS[name]))


def test_a_token_without_its_tag_is_refused() -> None:
    with pytest.raises(EncodingError, match="tag 61"):
        certificates.parse(bytes.fromhex(VECTORS["owner_gateway"]))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": STRANGER.public.did}, SignatureError),
        ({"iss": SMALL_ORDER}, SignatureError),
        ({"sub": STRANGER.public.did}, SignatureError),
        ({"cnf": {1: STRANGER.public.cose_key()}}, SignatureError),
        ({"cnf": None}, EncodingError),
        ({"exp": 1_200}, EncodingError),
        ({"exp": -1}, EncodingError),
        ({"nbf": 1.5}, EncodingError),
        ({"iat": "now"}, EncodingError),
        ({"cti": bytes(15)}, EncodingError),
        ({"scope": ""}, EncodingError),
        ({"scope": "stream stream"}, EncodingError),
        ({"scope": "stream  pay"}, EncodingError),
        ({"scope": "Stream"}, EncodingError),
        ({"limits": {}}, EncodingError),
        ({"limits": {2: 8}}, EncodingError),
        ({"limits": {2: 1, 3: 60}}, EncodingError),
        ({"limits": {1: 0, 2: 1}}, EncodingError),
        ({"limits": {1: 5, 2: 1, 4: "x" * 65}}, EncodingError),
        ({"limits": {2: 1, 5: 1}}, EncodingError),
        ({"header": {4: STRANGER.public.thumbprint}}, SignatureError),
        ({"header": {16: 60}}, EncodingError),
        ({"header": {3: "application/cwt"}}, EncodingError),
        ({"key": STRANGER}, SignatureError),
        ({"key": STRANGER, "header": {4: GATEWAY.public.thumbprint}}, SignatureError),
    ],
)
def test_a_token_that_is_wrong_in_one_place_is_refused(
    changes: dict[str, object], error: type[RemoteError]
) -> None:
    certificates.parse(token())

    with pytest.raises(error):
        certificates.parse(token(**changes))  # type: ignore[arg-type]  # named as the claims are


def test_a_token_with_an_unprotected_header_is_refused() -> None:
    message = cose.parse_sign1(token()[2:])

    with pytest.raises(EncodingError, match="unprotected"):
        certificates.parse(TAG_61 + message.encode({1000: 1}))


def test_a_small_order_key_is_never_certified() -> None:
    grant = replace(BELOW, holder=PublicKey(bytes(31) + b"\x80"))

    with pytest.raises(LocalError, match="nobody would take"):
        certificates.issue(GATEWAY, grant, HANDLE, 1_000)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"not_before_s": 999}, "time"),
        ({"expires_s": 2_001}, "time"),
        ({"scope": ("stream", "pair")}, "scope"),
        ({"limits": Limits(2)}, "depth"),
        ({"limits": Limits(3)}, "depth"),
        ({"limits": Limits(1, 100_001, 86_400, "EUR/6")}, "spend 100001"),
        ({"limits": Limits(1, 500, 86_399, "EUR/6")}, "more often"),
        ({"limits": Limits(1, 500, 86_400, "USD/6")}, "another asset"),
        ({"limits": Limits(1, 500, 86_400)}, "another asset"),
    ],
)
def test_a_certificate_never_grants_more_than_its_issuer_has(
    changes: dict[str, object], problem: str
) -> None:
    root = certificates.issue(OWNER, ABOVE, HANDLE, 1_000)
    below = replace(BELOW, **changes)  # type: ignore[arg-type]  # fields of a grant

    with pytest.raises(ProofError, match=problem):
        certificates.verify_chain([root, certificates.issue(GATEWAY, below, HANDLE, 1_000)])


def test_an_amount_for_life_does_not_become_one_for_each_period() -> None:
    for_life = replace(ABOVE, limits=Limits(2, 500))
    daily = replace(BELOW, limits=Limits(1, 500, 86_400))
    tokens = [
        certificates.issue(OWNER, for_life, HANDLE, 1_000),
        certificates.issue(GATEWAY, daily, HANDLE, 1_000),
    ]

    with pytest.raises(ProofError, match="more often"):
        certificates.verify_chain(tokens)


@given(
    st.builds(
        Limits,
        st.integers(0, 3),
        st.integers(0, 5),
        st.one_of(st.none(), st.integers(1, 5)),
        st.one_of(st.none(), st.sampled_from(["A", "B"])),
    ),
    st.integers(0, 3),
)
def test_less_of_everything_is_never_wider(above: Limits, less: int) -> None:
    below = replace(
        above,
        depth=max(above.depth - 1, 0),
        minor_units_max=max(above.minor_units_max - less, 0),
    )

    problem = below.wider_than(above)

    assert (not problem) == (above.depth > 0)


def test_a_tree_gives_the_chain_of_each_certificate() -> None:
    tokens = [
        certificates.issue(OWNER, ABOVE, HANDLE, 1_000),
        certificates.issue(GATEWAY, BELOW, HANDLE, 1_000),
        certificates.issue(GATEWAY, replace(BELOW, holder=STRANGER.public), HANDLE, 1_000),
    ]

    chains = certificates.verify_tree(
        certificates.decode_tokens(certificates.encode_tokens(tokens))
    )

    assert [[each.token for each in chain] for chain in chains] == [
        tokens[:1],
        tokens[:2],
        [tokens[0], tokens[2]],
    ]
    with pytest.raises(ProofError, match="branches"):
        certificates.verify_chain(tokens)


def test_a_tree_is_of_1_to_100_certificates_that_hang_together() -> None:
    root = certificates.issue(OWNER, ABOVE, HANDLE, 1_000)
    elsewhere = certificates.issue(STRANGER, BELOW, HANDLE, 1_000)

    with pytest.raises(EncodingError, match="1 to 100"):
        certificates.verify_tree([])
    with pytest.raises(EncodingError, match="1 to 100"):
        certificates.verify_tree([root] * 101)
    with pytest.raises(EncodingError, match="twice"):
        certificates.verify_tree([root, root])
    with pytest.raises(ProofError, match="nobody certifies"):
        certificates.verify_tree([root, elsewhere])


def test_nobody_certifies_the_one_above_himself() -> None:
    root = certificates.issue(OWNER, ABOVE, HANDLE, 1_000)
    back = certificates.issue(GATEWAY, replace(BELOW, holder=OWNER.public), HANDLE, 1_000)

    with pytest.raises(EncodingError, match="twice"):
        certificates.verify_tree([root, back])


@pytest.mark.parametrize(
    ("now_s", "floor_s", "current"),
    [
        (1_199, 0, False),
        (1_200, 0, True),
        (1_899, 0, True),
        (1_900, 0, False),
        (None, 0, True),
        (None, 1_899, True),
        (None, 1_900, False),
        (1_500, 1_900, False),
        (5, 1_500, True),
    ],
)
def test_time_is_judged_by_the_clock_if_it_is_set_and_by_the_newest_checkpoint(
    now_s: int | None, floor_s: int, current: bool
) -> None:
    certificate = certificates.parse(token())

    assert certificate.current(now_s, floor_s) is current


def test_every_flipped_bit_of_a_token_is_refused() -> None:
    data = token()

    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(RemoteError):
            certificates.parse(bytes(flipped))


@given(st.binary(max_size=64))
def test_any_bytes_are_refused_with_one_kind_of_error(data: bytes) -> None:
    for parser in (certificates.parse, certificates.decode_tokens):
        with pytest.raises(RemoteError):
            parser(data)
