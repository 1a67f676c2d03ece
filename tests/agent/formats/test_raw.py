"""Each artefact as a file: what other people's tools find there, scitt-cose among them."""

import hashlib
from pathlib import Path

import pytest
from box import Box

from agent.export import export_home, import_into, write_folder
from agent.formats import raw
from agent.home import HomeError
from ledger_client import cbor, disclosure, record, statements
from ledger_client.keys import PublicKey
from ledger_client.receipts import verify_inclusion

receipt_of = pytest.importorskip("scitt_cose.receipt")
statement_of = pytest.importorskip("scitt_cose.statement")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")


def fill(box: Box, batches: int = 3) -> bytes:
    stores = box.open()
    for _ in range(batches):
        box.hear(stores, 3)
        box.prove(stores)
    box.close()
    return export_home(box.path)


def keys_in(data: bytes) -> dict[bytes, PublicKey]:
    """The Ed25519 keys of a COSE_KeySet, by kid."""
    key_set = cbor.decode(data)
    assert isinstance(key_set, list)
    assert all((key[1], key[3], key[-1]) == (1, -8, 6) for key in key_set)
    return {key[2]: PublicKey(key[-2]) for key in key_set}


def pem(key: PublicKey) -> bytes:
    public = ed25519.Ed25519PublicKey.from_public_bytes(key.raw)
    packed: bytes = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return packed


def test_scitt_cose_verifies_each_statement_with_the_receipt_attached_to_it(box: Box) -> None:
    files = dict(raw.files(fill(box)))
    keys = keys_in(files["keys.cbor"])
    log_key = statements.verify(files["genesis.cose"]).issuer

    for index in range(4):
        transparent = files[f"statement-{index}.cose"]
        ours = statements.verify(transparent)
        assert ours.issuer == keys[ours.issuer.thumbprint]
        found = statement_of.parse_signed_statement(transparent, public_key_pem=pem(ours.issuer))
        assert found["signature_verified"] is True
        (receipt,) = statement_of.extract_receipts(transparent)
        assert receipt == files[f"receipt-{index}.cose"]
        judged = receipt_of.verify_receipt(
            receipt, leaf_entry_hex=ours.digest.hex(), log_public_key_pem=pem(log_key)
        )
        assert judged.ok, judged.errors
        assert (judged.tree_size, judged.leaf_index) == (4, index)


def test_every_part_of_the_record_is_a_file_and_nothing_else_is(box: Box) -> None:
    data = fill(box, 1)
    parts = record.parse(data)

    files = dict(raw.files(data))

    assert sorted(files) == [
        "checkpoint.txt",
        "genesis.cose",
        "keys.cbor",
        "leaves-1.cbor",
        "log.vkey",
        "receipt-0.cose",
        "receipt-1.cose",
        "statement-0.cose",
        "statement-1.cose",
    ]
    assert files["checkpoint.txt"].decode() == parts.note
    assert files["log.vkey"].decode() == f"{parts.vkey}\n"
    assert files["genesis.cose"] == parts.lines[0].statement
    assert disclosure.parse(cbor.decode(files["leaves-1.cbor"])) == parts.lines[1].disclosure
    assert len(keys_in(files["keys.cbor"])) == 3
    leaf = hashlib.sha256(parts.lines[1].statement).digest()
    log_key = statements.verify(files["genesis.cose"]).issuer
    assert verify_inclusion(log_key, files["receipt-1.cose"], leaf).index == 1


def test_a_log_of_one_entry_has_no_receipts_to_write(box: Box) -> None:
    files = dict(raw.files(fill(box, 0)))

    assert sorted(files) == [
        "checkpoint.txt",
        "genesis.cose",
        "keys.cbor",
        "log.vkey",
        "statement-0.cose",
    ]
    assert files["statement-0.cose"] == files["genesis.cose"]


def test_the_folder_appears_whole_for_its_owner_alone_with_what_was_imported(
    box: Box, tmp_path: Path
) -> None:
    other = fill(Box(tmp_path / "other"), 1)
    own = fill(box)
    evidence = import_into(box.path, other)
    target = tmp_path / "raw"

    count = write_folder(target, [("", own), (evidence.name, evidence.data)])

    files = [each for each in target.rglob("*") if each.is_file()]
    assert len(files) == count == len(list(raw.files(own))) + len(list(raw.files(other)))
    assert {each.stat().st_mode & 0o077 for each in target.rglob("*")} == {0}
    beside = target / f"imported-{evidence.name}"
    assert {each.name: each.read_bytes() for each in beside.iterdir()} == dict(raw.files(other))
    assert not list(tmp_path.glob(".raw*"))


def test_a_folder_with_something_in_it_is_left_alone(box: Box, tmp_path: Path) -> None:
    data = fill(box, 0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(HomeError, match="expected a new folder or an empty one"):
        write_folder(tmp_path / "full", [("", data)])
    with pytest.raises(HomeError, match="cannot be written"):
        write_folder(tmp_path / "nowhere" / "raw", [("", data)])

    assert write_folder(tmp_path / "empty", [("", data)]) == 5
    assert sorted(each.name for each in (tmp_path / "full").iterdir()) == ["mine"]
