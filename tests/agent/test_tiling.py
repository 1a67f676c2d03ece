"""`milepost log`: tiles and proofs as files, and their check."""

from pathlib import Path

import pytest
from box import Box
from typer.testing import CliRunner

from agent.cli.log import app
from agent.home import HomeError
from agent.stores import Stores
from agent.tiling import prove, reading, verifier, write_tiles
from ledger_client import checkpoints, merkle, tiles
from ledger_client.checkpoints import COSIGNATURE, Verifier
from ledger_client.errors import LedgerError, ProofError
from ledger_client.keys import SigningKey

WITNESS = SigningKey(bytes([51]) * 32)


def grown(box: Box, times: int) -> Stores:
    stores = box.open()
    for _ in range(times):
        box.hear(stores)
        box.prove(stores)
    return stores


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_tiles_in_a_folder_give_the_root_of_its_checkpoint(box: Box, tmp_path: Path) -> None:
    stores = grown(box, 4)

    said = run("tiles", "--home", stores.home.path, "--out", tmp_path / "site")

    assert "5 entries, 2 tiles written" in said
    note = (tmp_path / "site/checkpoint").read_text(encoding="utf-8")
    key = run("key", "--home", stores.home.path).strip()
    head = checkpoints.open_checkpoint(note, checkpoints.parse_vkey(key))
    hashes = (tmp_path / "site/tile/0/000.p/5").read_bytes()
    assert head.root == merkle.root([hashes[at : at + 32] for at in range(0, 160, 32)])


def test_a_folder_is_brought_forward_and_old_tiles_stay(box: Box, tmp_path: Path) -> None:
    stores = grown(box, 2)
    with reading(stores.home.path) as log:
        assert write_tiles(log, tmp_path / "site") == 2
        assert write_tiles(log, tmp_path / "site") == 0
    box.hear(stores)
    box.prove(stores)

    with reading(stores.home.path) as log:
        assert write_tiles(log, tmp_path / "site") == 2

    assert (tmp_path / "site" / tiles.Tile(0, 0, 3).path).exists()


def test_a_proof_is_written_and_holds(box: Box, tmp_path: Path) -> None:
    stores = grown(box, 3)
    key = run("key", "--home", stores.home.path).strip()
    out = tmp_path / "two.tlog-proof"

    run("proof", "--home", stores.home.path, "2", "--out", out)

    said = run("check", out, "--statement", tmp_path / "two.cose", "--key", key)
    assert "entry 2 of 4 on box.example/log" in said
    with pytest.raises(LedgerError):
        run("check", out, "--statement", tmp_path / "two.cose", "--key", key, "--witness", key)


def test_a_proof_under_a_cosigned_head_shows_its_witness(box: Box, tmp_path: Path) -> None:
    stores = grown(box, 3)
    key = run("key", "--home", stores.home.path).strip()
    note = checkpoints.cosign(WITNESS, "w", stores.log.head.note, 5)
    (tmp_path / "note").write_text(note, encoding="utf-8")
    box.hear(stores)
    box.prove(stores)
    out, witness = tmp_path / "p.tlog-proof", Verifier("w", WITNESS.public, COSIGNATURE).vkey

    run("proof", "--home", stores.home.path, "1", "--out", out, "--checkpoint", tmp_path / "note")

    checking = ("check", out, "--statement", tmp_path / "p.cose", "--key", key)
    assert "cosigned by w" in run(*checking, "--witness", witness)


def test_a_head_that_this_log_never_signed_proves_nothing(box: Box) -> None:
    stores = grown(box, 1)
    forged = checkpoints.sign(
        stores.home.key("note"), checkpoints.Checkpoint(stores.log.name, 2, bytes(32))
    )

    with pytest.raises(ProofError, match="no such head"):
        prove(stores.log, 1, forged)
    assert verifier(stores.log).name == stores.log.name


def test_a_place_that_is_no_home_or_cannot_be_written_is_said(box: Box, tmp_path: Path) -> None:
    stores = grown(box, 1)
    (tmp_path / "file").touch()

    with pytest.raises(HomeError):
        run("key", "--home", tmp_path)
    with pytest.raises(HomeError):
        run("tiles", "--home", stores.home.path, "--out", tmp_path / "file" / "site")
    with pytest.raises(HomeError):
        run("check", tmp_path / "none", "--statement", tmp_path / "none", "--key", "x")
