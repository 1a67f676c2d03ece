"""receipts: scitt-cose's vectors, golden bytes, and the trap of the unsigned index."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger_client import cbor, cose, merkle, receipts
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
SCITT = [json.loads(line) for line in (VECTORS / "scitt-receipts.jsonl").read_text().splitlines()]
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
KEY = SigningKey(bytes.fromhex(GOLDEN["keys"]["LOG"]["seed"]))
LEAVES = [bytes([number]) for number in range(9)]
HASHES = [merkle.leaf_hash(data) for data in LEAVES]
NODES = merkle.nodes_of(HASHES)
ROOT = merkle.root(HASHES)
HEAD = receipts.sign_head(KEY, "log", 9, ROOT, 77)
PATH = merkle.inclusion_proof(1, 9, NODES)


@dataclass(frozen=True)
class Golden:
    receipt: bytes
    facts: dict[str, Any]


def golden(name: str) -> Golden:
    return Golden(bytes.fromhex(GOLDEN[name]["hex"]), GOLDEN[name])


def entries() -> list[bytes]:
    return [bytes.fromhex(text) for text in json.loads(golden("entries.json").receipt)]


def with_proofs(*proofs: object, kind: int = -1) -> bytes:
    return cose.parse_sign1(HEAD).encode({396: {kind: [cbor.encode(proof) for proof in proofs]}})


@pytest.mark.parametrize("case", SCITT, ids=lambda case: case["id"])
def test_the_verdicts_of_scitt_cose_are_ours(case: dict[str, Any]) -> None:
    log_key = PublicKey(bytes.fromhex(case["log_key"]))
    receipt, leaf = bytes.fromhex(case["receipt"]), bytes.fromhex(case["leaf"])

    if not case["valid"]:
        with pytest.raises(RemoteError):
            receipts.verify_inclusion(log_key, receipt, leaf, size_signed=False)
        return
    found = receipts.verify_inclusion(log_key, receipt, leaf, size_signed=False)

    assert (found.root.hex(), found.index) == (case["root"], case["index"])
    assert found.issued_s == case["iat"]
    with pytest.raises(ProofError, match="signed None"):
        receipts.verify_inclusion(log_key, receipt, leaf)


@pytest.mark.parametrize(
    "case", [case for case in SCITT if "statement" in case], ids=lambda case: case["id"]
)
def test_the_statements_of_scitt_cose_verify_or_not_as_published(case: dict[str, Any]) -> None:
    message = cose.parse_sign1(bytes.fromhex(case["statement"]), deterministic=False)
    issuer = PublicKey(bytes.fromhex(case["issuer_key"]))

    if case["statement_valid"]:
        assert cose.verify_sign1(issuer, message)
    else:
        with pytest.raises(SignatureError):
            cose.verify_sign1(issuer, message)


def test_the_golden_receipt_comes_out_byte_for_byte() -> None:
    expected, log = golden("receipt.cose"), "https://gw1.example/log"
    nodes = merkle.nodes_of([merkle.leaf_hash(entry) for entry in entries()])

    head = receipts.sign_head(KEY, log, 9, bytes.fromhex(expected.facts["root"]), 1767225603)
    made = receipts.inclusion(head, 9, 1, merkle.inclusion_proof(1, 9, nodes))

    assert made == expected.receipt
    assert receipts.head_of(made) == head


@pytest.mark.parametrize("name", ["receipt.cose", "receipt_m19.cose"])
def test_golden_receipts_of_both_algorithms_verify(name: str) -> None:
    expected = golden(name)
    statement = bytes.fromhex(GOLDEN[name.replace("receipt", "statement")]["hex"])
    leaf = hashlib.sha256(statement).digest()

    found = receipts.verify_inclusion(KEY.public, expected.receipt, leaf)

    assert (found.tree_size, found.index, found.root.hex()) == (9, 1, expected.facts["root"])
    assert (found.log, found.issued_s) == ("https://gw1.example/log", 1767225603)


def test_the_golden_consistency_receipt_comes_out_byte_for_byte() -> None:
    expected = golden("consistency.cose")
    nodes = merkle.nodes_of([merkle.leaf_hash(entry) for entry in entries()])
    new_root, old_root = (bytes.fromhex(expected.facts[name]) for name in ("root", "root5"))

    head = receipts.sign_head(KEY, "https://gw1.example/log", 9, new_root, 1767225603)
    made = receipts.consistency(head, 5, 9, merkle.consistency_proof(5, 9, nodes))

    assert made == expected.receipt
    found = receipts.verify_consistency(KEY.public, made, old_root)
    assert (found.old_size, found.new_size, found.new_root) == (5, 9, new_root)


def test_a_receipt_with_another_size_is_refused_although_its_signature_holds() -> None:
    holding, taken = set(), set()
    for size in range(2, 40):
        for index in range(size):
            receipt = with_proofs([size, index, PATH])
            with suppress(RemoteError):
                root = merkle.root_from_inclusion(HASHES[1], index, size, PATH)
                cose.verify_sign1(KEY.public, cose.parse_sign1(receipt), root)
                holding.add(size)
                receipts.verify_inclusion(KEY.public, receipt, LEAVES[1])
                taken.add(size)

    assert holding > taken, "the trap is real: the signature alone holds for other sizes"
    assert taken == {9}


@pytest.mark.parametrize(
    "proofs",
    [
        (),
        ([9, 1, PATH], [0, 0, []]),
        ([9, 1, PATH], [9, 9, PATH]),
        ([9, 1, []],),
        ([9, 1, [b"short"]],),
        ([9, 1, [bytes(32)] * 65],),
        ([9, 1],),
        ([9, 1, PATH, 0],),
        ([9, "1", PATH],),
        ([9, True, PATH],),
        ([9, -1, PATH],),
        ([1 << 63, 1, PATH],),
        tuple([[9, 1, PATH]] * 17),
    ],
    ids=str,
)
def test_every_proof_must_be_well_formed(proofs: tuple[object, ...]) -> None:
    with pytest.raises(EncodingError):
        receipts.verify_inclusion(KEY.public, with_proofs(*proofs), LEAVES[1])


def test_one_proof_that_holds_is_enough_and_none_is_not() -> None:
    other = [9, 2, merkle.inclusion_proof(2, 9, NODES)]

    for proofs in ([[9, 1, PATH], other], [other, [9, 1, PATH]]):
        assert receipts.verify_inclusion(KEY.public, with_proofs(*proofs), LEAVES[1]).index == 1
    with pytest.raises(SignatureError):
        receipts.verify_inclusion(KEY.public, with_proofs(other), LEAVES[1])
    with pytest.raises(ProofError, match="too many"):
        receipts.verify_inclusion(KEY.public, with_proofs([2, 1, PATH]), LEAVES[1])


@pytest.mark.parametrize(
    "unprotected",
    [{}, {396: []}, {396: {}}, {396: {-2: [b""]}}, {396: {-1: b""}}, {396: {-1: [0]}}],
)
def test_a_receipt_without_its_proofs_is_refused(unprotected: dict[int, object]) -> None:
    with pytest.raises(EncodingError):
        receipts.verify_inclusion(KEY.public, cose.parse_sign1(HEAD).encode(unprotected), b"")


@pytest.mark.parametrize(
    "header", [{}, {395: 2}, {395: True}, {395: 1, 15: []}, {395: 1, 15: {1: 5}}]
)
def test_a_receipt_of_another_structure_is_refused(header: dict[int, object]) -> None:
    head = cose.sign1(KEY, header, ROOT, detached=True)
    receipt = cose.parse_sign1(head).encode({396: {-1: [cbor.encode([9, 1, PATH])]}})

    with pytest.raises(EncodingError):
        receipts.verify_inclusion(KEY.public, receipt, LEAVES[1])


def test_an_attached_payload_is_refused_even_if_it_is_the_root() -> None:
    message = cose.parse_sign1(cose.sign1(KEY, {395: 1}, ROOT))
    receipt = message.encode({396: {-1: [cbor.encode([9, 1, PATH])]}})

    with pytest.raises(EncodingError, match="attached"):
        receipts.verify_inclusion(KEY.public, receipt, LEAVES[1], size_signed=False)


def test_a_head_is_of_its_log_and_size() -> None:
    assert receipts.verify_head(KEY.public, HEAD, "log", 9, ROOT) == 77
    for log, size in (("other", 9), ("log", 8)):
        with pytest.raises(ProofError):
            receipts.verify_head(KEY.public, HEAD, log, size, ROOT)
    with pytest.raises(SignatureError):
        receipts.verify_head(KEY.public, HEAD, "log", 9, bytes(32))


def test_a_head_that_names_another_key_is_refused() -> None:
    claims = {cose.KID: b"another", 15: {1: "log", 2: "log", 6: 77, -70010: 9}, 395: 1}

    with pytest.raises(SignatureError, match="kid"):
        receipts.verify_head(
            KEY.public, cose.sign1(KEY, claims, ROOT, detached=True), "log", 9, ROOT
        )


def test_consistency_from_another_root_or_size_is_refused() -> None:
    path = merkle.consistency_proof(5, 9, NODES)
    old_root = merkle.root(HASHES[:5])
    good = receipts.consistency(HEAD, 5, 9, path)

    assert receipts.verify_consistency(KEY.public, good, old_root).new_root == ROOT
    with pytest.raises(ProofError, match="starts from"):
        receipts.verify_consistency(KEY.public, good, bytes(32))
    claims = {15: {1: "log", 2: "log", 6: 77, -70010: 10}, 395: 1}
    other = cose.sign1(KEY, claims, ROOT, detached=True)
    with pytest.raises(ProofError, match="signed 10"):
        receipts.verify_consistency(KEY.public, receipts.consistency(other, 5, 9, path), old_root)
