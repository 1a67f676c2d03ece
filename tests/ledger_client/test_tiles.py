"""Tiles and tlog-proofs: golden bytes, the examples of the specifications, and every size."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import checkpoints, merkle, proofs, tiles
from ledger_client.checkpoints import COSIGNATURE, Verifier
from ledger_client.errors import EncodingError, LedgerError, ProofError, SignatureError
from ledger_client.keys import SigningKey
from ledger_client.tiles import Tile

GOLDEN = Path(__file__).parents[3] / "shared" / "vectors" / "golden"
LOG, WITNESS = SigningKey(bytes([21]) * 32), SigningKey(bytes([22]) * 32)
NAME = "log.example/one"
LEAVES = [hashlib.sha256(b"%d" % n).digest() for n in range(600)]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]


def note(size: int) -> str:
    root = merkle.root(HASHES[:size])
    return checkpoints.sign(LOG, checkpoints.Checkpoint(NAME, size, root))


def proof(index: int, size: int) -> str:
    path = merkle.inclusion_proof(index, size, merkle.nodes_of(HASHES[:size]))
    return proofs.write(index, path, note(size))


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the shared golden vectors are not here")
def test_tiles_and_proofs_are_the_golden_bytes() -> None:
    text = (GOLDEN / "statement.tlog-proof").read_text(encoding="utf-8")
    bundle = (GOLDEN / "tile_entries_000.p9").read_bytes()
    entries = [bundle[at + 2 : at + 34] for at in range(0, len(bundle), 34)]
    nodes = merkle.nodes_of([merkle.leaf_hash(entry) for entry in entries])

    assert tiles.bundle(entries) == bundle
    assert tiles.hashes(Tile(0, 0, 9), nodes) == (GOLDEN / "tile_0_000.p9").read_bytes()
    assert proofs.write(1, merkle.inclusion_proof(1, 9, nodes), text.partition("\n\n")[2]) == text


def test_a_tree_of_70_000_has_the_tiles_of_the_specification() -> None:
    found = list(tiles.tiles(70_000))

    assert sum(each.level == 0 and each.width == 256 for each in found) == 273
    assert Tile(0, 273, 112) in found
    assert [each for each in found if each.level == 1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert [each for each in found if each.level == 2] == [Tile(2, 0, 1)]
    assert sum(each.level is None for each in found) == 274


def test_a_tree_of_256_has_a_full_tile_and_one_hash_above_it() -> None:
    assert [each.path for each in tiles.tiles(256)] == [
        "tile/entries/000",
        "tile/0/000",
        "tile/1/000.p/1",
    ]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(3, 5, 255), "tile/3/005.p/255"),
        (Tile(None, 1_000), "tile/entries/x001/000"),
    ],
)
def test_a_tile_has_one_path(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tiles.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/x000/001",
        "tile/8/000",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/01",
        "tile/0/000/",
        "tile/entries/../../etc",
        "tile/0/\u0661\u0661\u0661",
        "checkpoint",
    ],
)
def test_another_spelling_is_no_tile(path: str) -> None:
    with pytest.raises(EncodingError):
        tiles.parse(path)


@given(size=st.integers(1, 600))
def test_the_tiles_of_a_tree_give_its_root(size: int) -> None:
    nodes = merkle.nodes_of(HASHES[:size])

    found = {each.path: tiles.hashes(each, nodes) for each in tiles.tiles(size) if each.level == 0}

    flat = b"".join(found.values())
    assert merkle.root([flat[at : at + 32] for at in range(0, len(flat), 32)]) == merkle.root(
        HASHES[:size]
    )
    assert all(tiles.fits(each, size) for each in tiles.tiles(size))
    assert not tiles.fits(Tile(0, size // 256, size % 256 + 1), size)


def test_an_upper_tile_holds_the_roots_of_full_tiles() -> None:
    nodes = merkle.nodes_of(HASHES)

    found = tiles.hashes(Tile(1, 0, 2), nodes)

    assert found == merkle.root(HASHES[:256]) + merkle.root(HASHES[256:512])


def test_a_proof_holds_for_its_entry_and_no_other() -> None:
    verifier = Verifier(NAME, LOG.public)

    for index in range(7):
        found = proofs.verify(proof(index, 7), verifier, LEAVES[index])
        assert (found.index, found.checkpoint.size, found.witnesses) == (index, 7, ())
        with pytest.raises(ProofError):
            proofs.verify(proof(index, 7), verifier, LEAVES[index + 1])


def test_a_proof_asks_for_as_many_witnesses_as_its_reader_wants() -> None:
    verifier, witness = Verifier(NAME, LOG.public), Verifier("w", WITNESS.public, COSIGNATURE)
    cosigned = checkpoints.cosign(WITNESS, "w", proof(3, 7), 5)
    text = proof(3, 7).partition("\n\n")
    cosigned = text[0] + "\n\n" + checkpoints.cosign(WITNESS, "w", text[2], 5)

    assert proofs.verify(cosigned, verifier, LEAVES[3], [witness], 1).witnesses == ("w",)
    with pytest.raises(ProofError):
        proofs.verify(proof(3, 7), verifier, LEAVES[3], [witness], 1)


@pytest.mark.parametrize(
    "change",
    [
        ("c2sp.org/tlog-proof@v1\n", ""),
        ("index 3", "index 03"),
        ("index 3", "extra AAAA\nindex 3"),
        ("index 3", "index 9"),
        ("index 3\n", ""),
        ("\n\n", "\n"),
        ("=\n", "\n"),
    ],
)
def test_a_changed_proof_is_refused(change: tuple[str, str]) -> None:
    with pytest.raises(LedgerError):
        proofs.verify(proof(3, 7).replace(*change, 1), Verifier(NAME, LOG.public), LEAVES[3])


def test_a_proof_by_another_log_is_refused() -> None:
    with pytest.raises(SignatureError):
        proofs.verify(proof(3, 7), Verifier(NAME, WITNESS.public), LEAVES[3])
