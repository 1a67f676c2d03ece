"""What both verifiers stand on, judged alike: decoding, signatures, and keys that are safe."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from ledger_client import cbor
from ledger_client.errors import EncodingError, SignatureError
from ledger_client.keys import PublicKey, SigningKey
from tests.agent.web import makers
from tests.agent.web.conftest import Judge

VECTORS = Path(__file__).parents[2] / "vectors"
SHARED = Path(__file__).parents[3].parent / "shared" / "vectors"


def test_the_strict_decoder_is_the_same_on_malformed_and_unusual_bytes(judge: Judge) -> None:
    random = Random(12)
    lines = (VECTORS / "cbor.malformed.jsonl").read_text().splitlines()
    cases = [bytes.fromhex(json.loads(line)["hex"]) for line in lines]
    cases += [bytes((0xF9, *half.to_bytes(2, "big"))) for half in range(0, 0x10000, 7)]
    cases += [b"\xfa" + random.randbytes(4) for _ in range(200)]
    cases += [b"\xfa" + random.randbytes(2) + bytes(2) for _ in range(300)]
    cases += [b"\xfb" + random.randbytes(3) + bytes(5) for _ in range(200)]
    cases += [cbor.encode(each) for each in makers.sample({1: [1.5, "ü"]}, 200, seed=13)]
    cases += [random.randbytes(random.randrange(1, 12)) for _ in range(3_000)]

    evaluated = judge.evaluate(
        """(cases) => cases.map((text) => {
          try { decode(unhex(text)); return true; }
          catch (error) { if (error instanceof Refused) return false; throw error; } })""",
        [case.hex() for case in cases],
    )

    assert [
        case.hex() for case, taken in zip(cases, evaluated, strict=True) if taken != _decodes(case)
    ] == []


def check_signatures(judge: Judge, cases: Sequence[tuple[str, str, str]]) -> int:
    """How many signatures both take; that they agree on each is asserted."""
    evaluated = judge.evaluate(
        """(cases) => Promise.all(cases.map(([key, message, signature]) =>
          signatureHolds(unhex(key), unhex(message), unhex(signature))))""",
        cases,
    )
    assert evaluated == [_holds(*case) for case in cases]
    return sum(evaluated)


def test_signatures_of_wycheproof_are_judged_as_libsodium_judges_them(judge: Judge) -> None:
    lines = (VECTORS / "wycheproof-ed25519.jsonl").read_text().splitlines()

    cases = [(each["key"], each["msg"], each["sig"]) for each in map(json.loads, lines)]

    assert 0 < check_signatures(judge, cases) < len(cases)


def test_signatures_of_cctv_are_judged_as_libsodium_judges_them(judge: Judge) -> None:
    source = SHARED / "CCTV" / "ed25519" / "ed25519vectors.json"
    if not source.is_file():
        pytest.skip("the CCTV vectors lie beside the repository, not in it")

    cases = [
        (each["key"], each["msg"].encode().hex(), each["sig"])
        for each in json.loads(source.read_text())
    ]

    assert (len(cases), check_signatures(judge, cases)) == (914, 43)


def test_safe_keys_are_those_of_libsodium(judge: Judge) -> None:
    random = Random(14)
    raws = [SigningKey(random.randbytes(32)).public.raw for _ in range(20)]
    raws += [random.randbytes(32) for _ in range(60)]
    raws += [bytes([low, *[0xFF] * 30, 0x7F]) for low in range(0xE0, 0x100)]
    raws += [bytes([low, *[0] * 30, high]) for low in range(8) for high in (0, 0x80)]

    evaluated = judge.evaluate(
        "(keys) => keys.map((key) => isSafe(unhex(key)))", [raw.hex() for raw in raws]
    )

    assert [
        raw.hex() for raw, safe in zip(raws, evaluated, strict=True) if safe != _safe(raw)
    ] == []


def _decodes(data: bytes) -> bool:
    try:
        cbor.decode(data)
    except EncodingError:
        return False
    return True


def _holds(key: str, message: str, signature: str) -> bool:
    try:
        PublicKey(bytes.fromhex(key)).verify(bytes.fromhex(message), bytes.fromhex(signature))
    except SignatureError:
        return False
    return True


def _safe(raw: bytes) -> bool:
    try:
        PublicKey.enrol(raw)
    except SignatureError:
        return False
    return True
