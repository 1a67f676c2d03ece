"""Atheris targets: any bytes to every parser of ledger_client that reads what strangers wrote.

Run it where atheris is installed: `fuzz_ledger.py --all --seconds 60`, or name one target.
Anything but a value or a `RemoteError` is a finding, and so is a value of a signed format that does
not print back as the bytes it came from.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import running

with running.atheris.instrument_imports(include=["ledger_client"]):
    import smalllog
    from smalllog import GATEWAY, NOW_S, RECEIPT_KEY, VERIFIER, WITNESS

    from ledger_client import (
        artefacts,
        batches,
        cbor,
        certificates,
        checkpoints,
        cose,
        disclosure,
        enrolment,
        genesis,
        leaves,
        merkle,
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
    from ledger_client.errors import RemoteError
    from ledger_client.keys import PublicKey

VECTORS = Path(__file__).parents[1] / "vectors"
BYTES_MAX = 4_096


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


def _read(read: Callable[[Any], object], given: bytes | str) -> None:
    running.attempt(read, given, RemoteError)


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
    "offer": witnessing.parse,
    "did": running.text(PublicKey.from_did),
    "vkey": running.text(vkey),
    "note": running.text(note),
    "proof": running.text(proof),
    "pins": running.text(pins.parse),
    "tile": running.text(tiles.parse),
    "request": running.text(enrolment.from_text),
}
TARGETS = {name: running.quiet(read, RemoteError) for name, read in READERS.items()}


def seeds() -> Iterator[bytes]:
    """One good example of everything, and the published ones."""
    yield from _ledger()
    certificate = json.loads((VECTORS / "certificates.json").read_text())
    tokens = [bytes.fromhex(f"d83d{each}") for each in certificate.values()]
    yield from tokens
    yield certificates.encode_tokens(tokens)
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
    with smalllog.opened() as (ours, leaf, first):
        yield leaf
        yield statements.verify(first).payload
        yield first
        old = ours.head.note
        yield record.build(ours, lambda entry: [leaf, leaf] if entry.index == 1 else None)
        ours.append([(b"last".ljust(16), smalllog.noted(b"last"))], NOW_S)
        name = "witness.example"
        vkey = checkpoints.Verifier(name, WITNESS.public, checkpoints.COSIGNATURE).vkey
        cosigned = checkpoints.cosign(WITNESS, name, ours.head.note, NOW_S)
        yield cosigned.encode()
        yield record.excerpt(ours, {1: None})
        chosen = disclosure.choose([leaf, leaf], [1])
        yield record.excerpt(ours, {1: chosen}, record.Head(cosigned, (vkey,), old))
        yield ours.receipt(1)
        yield ours.consistency(1)
        yield ours.head.note.encode()
        yield statements.verify(ours.statement(0)).payload
        path_ = merkle.inclusion_proof(1, 4, ours.nodes)
        yield proofs.write(1, path_, ours.head.note).encode()
        path_ = merkle.consistency_proof(1, 4, ours.nodes)
        yield witnessing.Offer(1, tuple(path_), ours.head.note).body
        pin = pins.Pin(VERIFIER.vkey, ours.head.note)
        yield pins.render({VERIFIER.name: pin}).encode()
        yield hashlib.sha256(first).digest() * 4


if __name__ == "__main__":
    sys.exit(running.main(__file__, TARGETS, seeds(), BYTES_MAX))
