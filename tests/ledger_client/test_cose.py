"""cose: cose-wg examples, golden bytes, and what must be refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, cose
from ledger_client.errors import EncodingError, LocalError, RemoteError, SignatureError
from ledger_client.keys import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
EDDSA = json.loads((VECTORS / "eddsa-sig-01.json").read_text())
OTHERS = [json.loads(line) for line in (VECTORS / "cose-sign1.jsonl").read_text().splitlines()]
KEY = SigningKey(bytes.fromhex(GOLDEN["keys"]["GW"]["seed"]))
GOOD = cose.sign1(KEY, {cose.KID: b"kid"}, b"payload")


def tagged(*parts: object, tag: int = 18) -> bytes:
    return cbor.encode(cbor.Tag(tag, list(parts)))


def golden(name: str) -> bytes:
    return bytes.fromhex(GOLDEN[name]["hex"])


def test_cose_wg_eddsa_sig_01_comes_out_byte_for_byte() -> None:
    key = SigningKey(bytes.fromhex(EDDSA["input"]["sign0"]["key"]["d_hex"]))
    plaintext = EDDSA["input"]["plaintext"].encode()
    expected = bytes.fromhex(EDDSA["output"]["cbor"])

    made = cose.sign1(key, {cose.CONTENT_TYPE: 0}, plaintext, unprotected={cose.KID: b"11"})

    assert made == expected
    assert cose.verify_sign1(key.public, cose.parse_sign1(expected)) == plaintext


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case["id"])
def test_cose_wg_messages_of_other_algorithms_or_shapes_are_refused(case: dict[str, str]) -> None:
    external = bytes.fromhex(case["external"])

    with pytest.raises(RemoteError):
        cose.verify_sign1(
            KEY.public,
            cose.parse_sign1(bytes.fromhex(case["cbor"]), deterministic=False),
            external=external,
        )


@pytest.mark.parametrize(("name", "algorithm"), [("", -8), ("_m19", -19)])
def test_golden_messages_come_out_byte_for_byte_in_both_algorithms(
    name: str, algorithm: int
) -> None:
    for kind, key in (("statement", "GW"), ("raw_senml", "COMP"), ("component", "GW")):
        suffix = "sign1" if kind == "component" else "cose"
        expected = golden(f"{kind}{name}.{suffix}")
        signer = SigningKey(bytes.fromhex(GOLDEN["keys"][key]["seed"]))
        message = cose.parse_sign1(expected)
        header = cbor.decode(message.protected_bytes)
        assert isinstance(header, dict)

        payload = cose.verify_sign1(signer.public, message)

        assert header.pop(cose.ALG) == algorithm
        assert cose.sign1(signer, {cose.ALG: algorithm, **header}, payload) == expected


def test_golden_encrypt0_opens_and_comes_out_the_same() -> None:
    sealed, key = golden("enc0.cose"), bytes.fromhex(GOLDEN["enc0.cose"]["key"])
    nonce = bytes(11) + b"\x01"

    plaintext = cose.decrypt0(key, sealed)

    assert plaintext == b"hello senml"
    assert cose.encrypt0(key, nonce, plaintext) == sealed


def test_minus_8_is_emitted() -> None:
    assert cose.parse_sign1(GOOD).protected[cose.ALG] == cose.ALGORITHM == -8


def test_a_detached_payload_is_given_by_hand() -> None:
    message = cose.parse_sign1(cose.sign1(KEY, {}, b"root", detached=True, external=b"aad"))

    assert cose.verify_sign1(KEY.public, message, b"root", external=b"aad") == b"root"
    for payload, external in ((b"other", b"aad"), (b"root", b"")):
        with pytest.raises(SignatureError):
            cose.verify_sign1(KEY.public, message, payload, external)
    with pytest.raises(SignatureError, match="has none"):
        cose.verify_sign1(KEY.public, message)
    with pytest.raises(SignatureError, match="carries one"):
        cose.verify_sign1(KEY.public, cose.parse_sign1(GOOD), b"payload")


def test_an_unprotected_header_can_change_and_the_signature_holds() -> None:
    changed = cose.parse_sign1(GOOD).encode({cose.RECEIPTS: [b"receipt"]})

    message = cose.parse_sign1(changed)

    assert cose.verify_sign1(KEY.public, message) == b"payload"
    assert message.encode() == GOOD


@pytest.mark.parametrize(
    "header",
    [{1: -7}, {1: True}, {1: "EdDSA"}, {1: -19.0}],
    ids=["ES256", "true", "text", "float"],
)
def test_only_ed25519_is_an_algorithm(header: dict[int, object]) -> None:
    message = cose.parse_sign1(cose.sign1(KEY, header, b""))

    with pytest.raises(SignatureError, match="alg"):
        cose.verify_sign1(KEY.public, message)


EMPTY: dict[object, object] = {}
SIGNATURE = bytes(64)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (cbor.encode([b"", EMPTY, b"", SIGNATURE]), "untagged"),
        (tagged(b"", EMPTY, b"", SIGNATURE, tag=98), "tag 98"),
        (tagged(b"", EMPTY, b""), "array of 4"),
        (tagged({}, EMPTY, b"", SIGNATURE), "protected header"),
        (tagged(cbor.encode([]), EMPTY, b"", SIGNATURE), "protected header"),
        (tagged(cbor.encode({}), EMPTY, b"", SIGNATURE), "empty byte string"),
        (tagged(b"", [], b"", SIGNATURE), "unprotected header"),
        (tagged(b"", EMPTY, "text", SIGNATURE), "payload"),
        (tagged(b"", EMPTY, b"", b"short"), "signature"),
        (tagged(cbor.encode({1: -8}), {1: -8}, b"", SIGNATURE), "a label is in"),
        (tagged(b"", {b"label": 1}, b"", SIGNATURE), "label is an integer or text"),
        (tagged(b"", {2: [1]}, b"", SIGNATURE), "crit"),
        (tagged(cbor.encode({1: -8, 2: []}), EMPTY, b"", SIGNATURE), "crit"),
        (tagged(cbor.encode({1: -8, 2: [99], 99: 0}), EMPTY, b"", SIGNATURE), "crit"),
        (tagged(cbor.encode({1: -8, 2: [3]}), EMPTY, b"", SIGNATURE), "crit"),
        (tagged(cbor.encode({1: -8, 2: 1}), EMPTY, b"", SIGNATURE), "crit"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_message_that_breaks_the_rules_of_rfc_9052_is_refused(
    message: bytes, reason: str
) -> None:
    with pytest.raises(EncodingError, match=reason):
        cose.parse_sign1(message)


def test_a_critical_label_that_is_understood_is_taken() -> None:
    message = cose.parse_sign1(cose.sign1(KEY, {2: [15], 15: {1: "me"}}, b"payload"))

    assert cose.verify_sign1(KEY.public, message) == b"payload"


def test_every_flipped_bit_is_refused() -> None:
    for position in range(len(GOOD) * 8):
        changed = bytearray(GOOD)
        changed[position // 8] ^= 1 << position % 8

        with pytest.raises(RemoteError):
            cose.verify_sign1(KEY.public, cose.parse_sign1(bytes(changed)))


@given(plaintext=st.binary(max_size=200), external=st.binary(max_size=20))
def test_what_is_sealed_opens_with_its_key_and_context_alone(
    plaintext: bytes, external: bytes
) -> None:
    sealed = cose.encrypt0(b"k" * 32, b"n" * 12, plaintext, external)

    assert cose.decrypt0(b"k" * 32, sealed, external) == plaintext
    for key, context in ((b"K" * 32, external), (b"k" * 32, external + b"!")):
        with pytest.raises(SignatureError, match="ciphertext"):
            cose.decrypt0(key, sealed, context)


@pytest.mark.parametrize(
    "message",
    [
        cbor.encode([b"", EMPTY, b""]),
        tagged(cbor.encode({1: 3}), {5: bytes(12)}, b"", tag=16),
        tagged(cbor.encode({1: 24}), EMPTY, b"", tag=16),
        tagged(cbor.encode({1: 24}), {5: bytes(11)}, b"", tag=16),
    ],
)
def test_what_we_could_not_have_sealed_is_refused(message: bytes) -> None:
    with pytest.raises(EncodingError):
        cose.decrypt0(b"k" * 32, message)


def test_a_nonce_has_12_bytes() -> None:
    with pytest.raises(LocalError, match="nonce"):
        cose.encrypt0(b"k" * 32, b"short", b"")
