"""Atheris targets: any bytes to every parser of ledger_client that reads what strangers wrote.

Run it where atheris is installed: `fuzz_ledger.py --all --seconds 60`, or name one target.
Anything but a value or a `RemoteError` is a finding, and so is a value of a signed format that does
not print back as the bytes it came from.
"""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import running

with running.atheris.instrument_imports(include=["ledger_client"]):
    from ledger_client import (
        artefacts,
        batches,
        cbor,
        certificates,
        checkpoints,
        cose,
        enrolment,
        genesis,
        leaves,
        log,
        merkle,
        messages,
        pins,
        proofs,
        receipts,
        record,
        statements,
        tiles,
        trust,
        verify,
        witnessing,
    )
    from ledger_client.channels import Terms, parse_terms, sign_voucher
    from ledger_client.errors import RemoteError
    from ledger_client.keys import PublicKey, SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
BYTES_MAX = 4_096
NOW_S = 1_767_225_600
SUBJECT = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"
RECEIPT_KEY, NOTE_KEY, GATEWAY = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3))
VERIFIER = checkpoints.Verifier("milepost.example/gw", NOTE_KEY.public)


def loose(data: bytes) -> None:
    """CBOR of other makers: any encoding, but the same limits."""
    cbor.decode(data, deterministic=False, tags=frozenset({18, 61}))


def strict(data: bytes) -> None:
    """Our CBOR has one encoding."""
    value = cbor.decode(data, tags=frozenset({18, 61}))
    assert cbor.encode(value) == data


def sign1(data: bytes) -> None:
    """A COSE_Sign1, its own encoding kept."""
    message = cose.parse_sign1(data)
    assert message.encode({**message.unprotected}) == data  # type: ignore[dict-item]  # as it came


def statement(data: bytes) -> None:
    """A statement, and what each kind makes of its payload."""
    for each in (statements.verify(data), _signed("note", data)):
        for read in (
            genesis.verify,
            trust.certified,
            trust.revoked,
            trust.rotated,
            enrolment.asked,
        ):
            try:
                read(each)
            except RemoteError:
                continue


def payload(data: bytes) -> None:
    """A payload that a known issuer signed: what stands behind a good signature."""
    readers = {
        genesis.KIND: genesis.verify,
        trust.CERTIFICATE: trust.certified,
        trust.REVOCATION: trust.revoked,
        trust.ROTATION: trust.rotated,
        enrolment.KIND: enrolment.asked,
    }
    for kind, read in readers.items():
        try:
            read(_signed(kind, data))
        except RemoteError:
            continue


def batch(data: bytes) -> None:
    """The payload of a batch."""
    assert batches.decode(data).encode() == data


def receipt(data: bytes) -> None:
    """A receipt of inclusion and one of consistency."""
    key = RECEIPT_KEY.public
    for read in (
        receipts.place_of,
        partial(receipts.verify_inclusion, key, leaf=bytes(32)),
        partial(receipts.verify_consistency, key, old_root=bytes(32)),
    ):
        try:
            read(data)
        except RemoteError:
            continue


def path(data: bytes) -> None:
    """Any path at any place of any tree."""
    size, index = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big")
    hashes = [data[at : at + 32] for at in range(16, len(data), 32)]
    merkle.root_from_inclusion(bytes(32), index, size, hashes)
    merkle.roots_from_consistency(index, size, bytes(32), hashes)


def message(data: bytes) -> None:
    """A message of a payment channel."""
    assert messages.encode(messages.parse(data)) == data


def terms(data: bytes) -> None:
    """The terms of a channel."""
    assert parse_terms(data).encoded == data


def text(read: Callable[[str], object]) -> running.Target:
    """What takes bytes for a parser of text."""
    return lambda data: _read(read, data.decode("utf-8", "replace"))


def vkey(line: str) -> None:
    """A verifier key."""
    assert checkpoints.parse_vkey(line).vkey == line


def note(words: str) -> None:
    """A signed note, and the body of one as if it were signed."""
    for read in (
        checkpoints.parse,
        partial(checkpoints.open_note, verifiers=[VERIFIER]),
        partial(checkpoints.open_checkpoint, verifier=VERIFIER),
    ):
        _read(read, words)


def proof(words: str) -> None:
    """A proof of an entry as text."""
    proofs.verify(words, VERIFIER, bytes(32))


def quiet(target: Callable[[bytes], object]) -> running.Target:
    """Someone else's bytes may be refused, in the one way that says so."""
    return lambda data: _read(target, data)


def _read(read: Callable[[Any], object], given: bytes | str) -> None:
    try:
        read(given)
    except RemoteError:
        return


def _signed(kind: str, data: bytes) -> statements.Statement:
    return statements.Statement(kind, GATEWAY.public, GATEWAY.public.did, NOW_S, data, data)


def artefact(data: bytes) -> None:
    """An artefact by itself, and one that others are judged by."""
    for read in (partial(artefacts.examine, against=artefacts.Beside()), _beside):
        _read(read, data)


def _beside(data: bytes) -> artefacts.Beside:
    return artefacts.beside([data])


READERS: dict[str, Callable[[bytes], object]] = {
    "cbor": strict,
    "cbor-loose": loose,
    "sign1": sign1,
    "statement": statement,
    "artefact": artefact,
    "payload": payload,
    "batch": batch,
    "leaf": leaves.parse,
    "receipt": receipt,
    "path": path,
    "record": verify.verify_record,
    "certificate": certificates.parse,
    "certificates": lambda data: certificates.verify_chain(certificates.decode_tokens(data)),
    "message": message,
    "terms": terms,
    "offer": witnessing.parse,
    "did": text(PublicKey.from_did),
    "vkey": text(vkey),
    "note": text(note),
    "proof": text(proof),
    "pins": text(pins.parse),
    "tile": text(tiles.parse),
    "request": text(enrolment.from_text),
}
TARGETS = {name: quiet(read) for name, read in READERS.items()}


def seeds() -> Iterator[bytes]:
    """One good example of everything, and the published ones."""
    yield from _ledger()
    certificate = json.loads((VECTORS / "certificates.json").read_text())
    tokens = [bytes.fromhex(f"d83d{each}") for each in certificate.values()]
    yield from tokens
    yield certificates.encode_tokens(tokens)
    payer, payee = GATEWAY.public, RECEIPT_KEY.public
    ours = Terms("log", payer, payer, payee, "EUR/6", 86_400, bytes(16), simulated=True)
    yield ours.encoded
    yield messages.encode(sign_voucher(GATEWAY, ours.channel, 5))
    yield messages.encode(messages.sign_item(RECEIPT_KEY, ours.channel, (1, 5, 5), b"body"))
    yield GATEWAY.public.did.encode()
    yield VERIFIER.vkey.encode()
    yield enrolment.to_text(b"request").encode()
    yield b"tile/0/x001/234.p/56"
    for each in json.loads((VECTORS / "golden.json").read_text()).values():
        if "hex" in each:
            yield bytes.fromhex(each["hex"])
    for line in (VECTORS / "cbor.malformed.jsonl").read_text().splitlines():
        yield bytes.fromhex(json.loads(line)["hex"])


def _ledger() -> Iterator[bytes]:
    """A small log, in all its forms."""
    leaf = cbor.encode(
        [bytes(16), {0: "strap/heart_rate", 1: "beat/min", 2: 60, 6: NOW_S}, 9, 0, bytes(8)]
    )
    yield leaf
    body = batches.Batch(
        leaf_count=2,
        root=merkle.root([merkle.leaf_hash(leaf)] * 2),
        first_minute=NOW_S // 60,
        last_minute=NOW_S // 60,
        clock=batches.Clock(2, b"bootboot", 1, 1_000, 2_000, 50, 12),
        previous=bytes(32),
        sequence=1,
        provenance={9: 2},
        losses=batches.Losses(dropped=1),
        profiles=("heart-rate/1",),
    ).encode()
    yield body
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE schema (part TEXT PRIMARY KEY, version INTEGER)")
        ours = log.Log.open(
            connection,
            name=VERIFIER.name,
            receipt_key=RECEIPT_KEY,
            note_key=NOTE_KEY,
            demo=True,
            now_s=NOW_S,
        )
        first = statements.sign(GATEWAY, "batch", SUBJECT, body, NOW_S)
        ours.append(
            [
                (bytes(16), first),
                (b"note".ljust(16), statements.sign(GATEWAY, "note", SUBJECT, b"", NOW_S)),
            ],
            NOW_S,
        )
        yield first
        yield record.build(ours, lambda entry: [leaf, leaf] if entry.index == 1 else None)
        yield record.excerpt(ours, {1: None})
        yield ours.receipt(1)
        yield ours.consistency(1)
        yield ours.head.note.encode()
        yield statements.verify(ours.statement(0)).payload
        path_ = merkle.inclusion_proof(1, 3, ours.nodes)
        yield proofs.write(1, path_, ours.head.note).encode()
        yield witnessing.Offer(
            1, tuple(merkle.consistency_proof(1, 3, ours.nodes)), ours.head.note
        ).body
        pin = pins.Pin(VERIFIER.vkey, ours.head.note)
        yield pins.render({VERIFIER.name: pin}).encode()
        yield hashlib.sha256(first).digest() * 4


if __name__ == "__main__":
    sys.exit(running.main(__file__, TARGETS, seeds(), BYTES_MAX))
