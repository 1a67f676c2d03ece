"""Software that is not ours reads what we make: scitt-cose 0.5.0 verifies statement and receipt."""

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from ledger_client import cbor, cose, statements
from ledger_client.keys import PublicKey

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

merkle = pytest.importorskip("scitt_cose.merkle")
receipt_of = pytest.importorskip("scitt_cose.receipt")
statement_of = pytest.importorskip("scitt_cose.statement")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")


def pem(key: PublicKey) -> bytes:
    public = ed25519.Ed25519PublicKey.from_public_bytes(key.raw)
    packed: bytes = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return packed


def judge(ledger: "Ledger", index: int, receipt: bytes) -> Any:  # noqa: ANN401  # a stranger's class
    leaf = hashlib.sha256(ledger.log.statement(index)).hexdigest()
    return receipt_of.verify_receipt(
        receipt, leaf_entry_hex=leaf, log_public_key_pem=pem(ledger.receipt_key.public)
    )


def test_scitt_cose_verifies_our_statements(ledger: "Ledger") -> None:
    _, data = ledger.issue()

    found = statement_of.parse_signed_statement(data, public_key_pem=pem(ledger.gateway.public))

    assert found["signature_verified"] is True
    assert found["issuer"] == ledger.gateway.public.did
    assert found["subject"] == ledger.subject
    assert found["content_type"] == "application/vnd.milepost.batch+cbor"


def test_scitt_cose_verifies_each_of_our_receipts_and_no_changed_one(ledger: "Ledger") -> None:
    root = ledger.grow(6).root.hex()

    for index in range(7):
        found = judge(ledger, index, ledger.log.receipt(index))
        assert found.ok, found.errors
        assert (found.tree_size, found.leaf_index, found.root) == (7, index, root)
        assert found.issuer == ledger.log.name
        other = judge(ledger, (index + 1) % 7, ledger.log.receipt(index))
        assert not other.ok


def test_scitt_cose_finds_the_receipt_in_our_transparent_statement(ledger: "Ledger") -> None:
    ledger.grow(2)
    receipt = ledger.log.receipt(1)

    transparent = statements.attach(ledger.log.statement(1), [receipt])

    assert statement_of.extract_receipts(transparent) == [receipt]


def test_scitt_cose_computes_our_roots_and_consistency_proofs(ledger: "Ledger") -> None:
    ledger.grow(8)
    leaves = [hashlib.sha256(entry.statement).hexdigest() for entry in ledger.log.entries()]

    assert merkle.merkle_root(leaves) == ledger.log.head.root.hex()
    for old in range(1, 9):
        message = cose.parse_sign1(ledger.log.consistency(old))
        proofs = message.unprotected[cose.VDP]
        assert isinstance(proofs, dict)
        sizes_and_path = cbor.decode(proofs[-2][0])
        assert isinstance(sizes_and_path, list)
        path = [digest.hex() for digest in sizes_and_path[2]]
        assert merkle.consistency_proof(leaves, old, 9) == path
