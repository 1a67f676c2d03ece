"""keys: RFC 8032 by way of wycheproof and CCTV, names, files, HKDF."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor
from ledger_client.errors import LocalError, SignatureError
from ledger_client.keys import (
    PublicKey,
    SigningKey,
    create_key,
    create_secret,
    hkdf_sha256,
    read_key,
    read_secret,
)

VECTORS = Path(__file__).parents[1] / "vectors"
SHARED = Path(__file__).parents[2].parent / "shared" / "vectors"
GOLDEN = json.loads((VECTORS / "golden.json").read_text())["keys"]
WYCHEPROOF = [
    json.loads(line) for line in (VECTORS / "wycheproof-ed25519.jsonl").read_text().splitlines()
]
# libsodium's rule set, as flags of CCTV: no small order, nothing non-canonical, no cofactor.
CCTV_REFUSED = {
    "low_order_A",
    "low_order_R",
    "low_order_residue",
    "non_canonical_A",
    "non_canonical_R",
}
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
]


def accepts(key: str, message: bytes, signature: str) -> bool:
    try:
        PublicKey(bytes.fromhex(key)).verify(message, bytes.fromhex(signature))
    except SignatureError:
        return False
    return True


@pytest.mark.parametrize("case", WYCHEPROOF, ids=lambda case: case["id"])
def test_wycheproof_agrees(case: dict[str, str]) -> None:
    message = bytes.fromhex(case["msg"])

    assert accepts(case["key"], message, case["sig"]) == (case["result"] == "valid")


def test_cctv_gets_the_fixed_verdict_of_libsodium() -> None:
    source = SHARED / "CCTV" / "ed25519" / "ed25519vectors.json"
    if not source.is_file():
        pytest.skip("the CCTV vectors lie beside the repository, not in it")

    verdicts = [
        (accepts(case["key"], case["msg"].encode(), case["sig"]), set(case["flags"] or ()))
        for case in json.loads(source.read_text())
    ]

    assert len(verdicts) == 914
    assert sum(accepted for accepted, _ in verdicts) == 43
    assert all(accepted != bool(flags & CCTV_REFUSED) for accepted, flags in verdicts)


@pytest.mark.parametrize("name", GOLDEN)
def test_names_of_the_published_keys(name: str) -> None:
    golden = GOLDEN[name]

    key = SigningKey(bytes.fromhex(golden["seed"])).public

    assert key.raw.hex() == golden["pub"]
    assert key.thumbprint.hex() == golden["thumbprint"]
    assert key.did == golden["did"]
    assert cbor.encode(key.cose_key()).hex() == golden["cose_key"]
    assert PublicKey.from_did(golden["did"]) == key
    assert len(key.short_id) == 16


@given(raw=st.binary(min_size=32, max_size=32))
def test_a_did_leads_back_to_its_key(raw: bytes) -> None:
    assert PublicKey.from_did(PublicKey(raw).did).raw == raw


@given(did=st.text(max_size=70) | st.text(alphabet="z6Mkabc1", max_size=60).map("did:key:".__add__))
def test_no_other_text_is_a_did_of_a_key(did: str) -> None:
    with pytest.raises(SignatureError):
        PublicKey.from_did(did)


@pytest.mark.parametrize("did", [GOLDEN["GW"]["did"] + "1", "did:key:z1" + "1" * 50, "did:key:z"])
def test_a_second_spelling_of_a_did_is_refused(did: str) -> None:
    with pytest.raises(SignatureError):
        PublicKey.from_did(did)


@pytest.mark.parametrize("raw", SMALL_ORDER)
def test_small_order_keys_are_not_enrolled(raw: str) -> None:
    with pytest.raises(SignatureError, match="small order"):
        PublicKey.enrol(bytes.fromhex(raw))


def test_a_good_key_is_enrolled() -> None:
    key = SigningKey.generate().public

    assert PublicKey.enrol(key.raw) == key


def test_keys_signatures_and_seeds_have_one_size() -> None:
    with pytest.raises(SignatureError, match="32 bytes"):
        PublicKey(b"short")
    with pytest.raises(SignatureError, match="64 bytes"):
        SigningKey.generate().public.verify(b"", b"short")
    with pytest.raises(LocalError, match="32 bytes"):
        SigningKey(b"short")


def test_a_private_key_shows_nothing_of_itself() -> None:
    key = SigningKey(bytes(32))

    assert repr(key) == str(key) == f"{key}" == "***"


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway.key"

    key = create_key(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path).public == key.public
    assert [entry.name for entry in tmp_path.iterdir()] == ["gateway.key"]
    with pytest.raises(LocalError, match="already"):
        create_key(path)
    assert read_key(path).public == key.public


def test_what_a_crash_left_half_way_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".gateway.key.new").write_bytes(b"half")

    create_key(tmp_path / "gateway.key")

    assert [entry.name for entry in tmp_path.iterdir()] == ["gateway.key"]


def test_a_key_file_that_others_may_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "gateway.key"
    create_key(path)
    path.chmod(0o640)

    with pytest.raises(LocalError, match="chmod 600"):
        read_key(path)


def test_missing_damaged_and_unwritable_key_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "gateway.key"
    with pytest.raises(LocalError, match="cannot read"):
        read_key(path)
    with pytest.raises(LocalError, match="cannot write"):
        create_key(tmp_path / "absent" / "gateway.key")
    key = create_key(path)
    for damaged in (b"", key.file_bytes()[:-1], key.file_bytes()[:-1] + b"?"):
        path.write_bytes(damaged)
        with pytest.raises(LocalError, match="restore"):
            read_key(path)


def test_a_secret_file_is_kept_like_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "subject.key"

    secret = create_secret(path)

    assert len(secret) == 32
    assert read_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LocalError, match="already"):
        create_secret(path)
    path.write_bytes(b"damaged")
    with pytest.raises(LocalError, match="restore"):
        read_secret(path)


def test_hkdf_gives_the_outputs_of_rfc_5869() -> None:
    key = bytes.fromhex("0b" * 22)
    salt = bytes(range(13))
    info = bytes(range(0xF0, 0xFA))

    assert hkdf_sha256(key, info, 42, salt).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hkdf_sha256(key, b"", 42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
    for length in (0, 8161):
        with pytest.raises(LocalError, match="8160"):
            hkdf_sha256(key, b"", length)


def test_the_running_user_owns_what_is_made(tmp_path: Path) -> None:
    create_key(tmp_path / "a.key")

    assert (tmp_path / "a.key").stat().st_uid == os.getuid()
