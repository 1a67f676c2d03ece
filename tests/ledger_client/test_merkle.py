"""merkle: all transparency-dev vectors, the roots of RFC 6962, each proof of each small tree."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor, merkle
from ledger_client.errors import ProofError

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = [json.loads(line) for line in (VECTORS / "merkle.jsonl").read_text().splitlines()]
ROOTS = json.loads((VECTORS / "rfc6962_roots.json").read_text())
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
HASHES = [merkle.leaf_hash(bytes([number])) for number in range(70)]


def unpack(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def judge(case: dict[str, Any]) -> None:
    path = [unpack(entry) for entry in case["proof"] or ()]
    if case["kind"] == "inclusion":
        leaf, root = unpack(case["leafHash"]), unpack(case["root"])
        merkle.verify_inclusion(leaf, case["leafIdx"], case["treeSize"], path, root)
    else:
        old_root, new_root = unpack(case["root1"]), unpack(case["root2"])
        merkle.verify_consistency(case["size1"], case["size2"], old_root, new_root, path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_case_of_transparency_dev_agrees(case: dict[str, Any]) -> None:
    if case["wantErr"]:
        with pytest.raises(ProofError):
            judge(case)
    else:
        judge(case)


def test_roots_of_rfc_6962() -> None:
    leaves = [merkle.leaf_hash(bytes.fromhex(data)) for data in ROOTS["leaf_inputs"]]

    for size, expected in enumerate(ROOTS["roots_by_size"]):
        assert merkle.root(leaves[:size]).hex() == expected


def test_the_golden_disclosure_of_one_reading_leads_to_its_root() -> None:
    golden = GOLDEN["disclosure0.cbor"]
    disclosed = cbor.decode(bytes.fromhex(golden["hex"]))
    assert isinstance(disclosed, list)
    leaf, size, index, path = disclosed

    merkle.verify_inclusion(
        merkle.leaf_hash(leaf), index, size, path, bytes.fromhex(golden["root"])
    )

    assert leaf.hex() == golden["leaf"]


def test_the_golden_tile_holds_the_leaf_hashes_of_the_golden_entries() -> None:
    entries = [
        bytes.fromhex(text) for text in json.loads(bytes.fromhex(GOLDEN["entries.json"]["hex"]))
    ]

    hashes = [merkle.leaf_hash(entry) for entry in entries]

    assert b"".join(hashes) == bytes.fromhex(GOLDEN["tile_0_000.p9"]["hex"])
    assert merkle.root(hashes).hex() == GOLDEN["receipt.cose"]["root"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 64, 70])
def test_each_leaf_and_each_older_tree_is_proved(size: int) -> None:
    hashes = HASHES[:size]
    nodes = merkle.nodes_of(hashes)
    root = merkle.root(hashes)

    assert merkle.root_of(size, nodes) == root
    for index in range(size):
        path = merkle.inclusion_proof(index, size, nodes)
        merkle.verify_inclusion(hashes[index], index, size, path, root)
    for old in range(1, size + 1):
        path = merkle.consistency_proof(old, size, nodes)
        merkle.verify_consistency(old, size, merkle.root(hashes[:old]), root, path)


def test_a_stored_tree_grows_leaf_by_leaf_to_the_same_roots() -> None:
    stored: dict[tuple[int, int], bytes] = {}

    def nodes(level: int, position: int) -> bytes:
        return stored[level, position]

    for size, leaf in enumerate(HASHES, start=1):
        for level, position, digest in merkle.completed(size - 1, leaf, nodes):
            assert (level, position) not in stored
            stored[level, position] = digest

        assert merkle.root_of(size, nodes) == merkle.root(HASHES[:size])


@given(data=st.data(), size=st.integers(2, 70))
def test_a_changed_proof_leads_elsewhere(data: st.DataObject, size: int) -> None:
    nodes = merkle.nodes_of(HASHES[:size])
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_proof(index, size, nodes)
    place = data.draw(st.integers(0, len(path) - 1))
    path[place] = bytes(32)

    with pytest.raises(ProofError, match="leads to"):
        merkle.verify_inclusion(HASHES[index], index, size, path, merkle.root(HASHES[:size]))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 2), (5, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ProofError, match="no leaf"):
        merkle.inclusion_proof(index, size, merkle.nodes_of(HASHES))


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 1)])
def test_there_is_no_consistency_with_nothing_or_the_future(old: int, new: int) -> None:
    with pytest.raises(ProofError, match="no consistency"):
        merkle.consistency_proof(old, new, merkle.nodes_of(HASHES))
