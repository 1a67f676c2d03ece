"""pycose and cwt judge what we made. Runs in an environment of its own: both need cbor2 5.

Reads the evidence as JSON, prints {name of the check: whether it went as it should} as JSON.
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

cwt: Any = importlib.import_module("cwt")  # in an environment of their own only
keys: Any = importlib.import_module("pycose.keys")
curves: Any = importlib.import_module("pycose.keys.curves")
messages: Any = importlib.import_module("pycose.messages")

Evidence = dict[str, str]


def flipped(data: bytes) -> bytes:
    """The same with another last bit: it is in the signature."""
    return data[:-1] + bytes([data[-1] ^ 1])


def holds(message: bytes, key: str, payload: str | None = None) -> bool:
    """Whether pycose takes a COSE_Sign1; `payload` is the detached one."""
    parsed = messages.Sign1Message.decode(message)
    parsed.key = keys.OKPKey(crv=curves.Ed25519, x=bytes.fromhex(key))
    if payload is not None:
        parsed.payload = bytes.fromhex(payload)
    return bool(parsed.verify_signature())


def claims(token: bytes, evidence: Evidence) -> dict[int, object]:
    """The claims in a CWT, as cwt reads them under the issuer's key."""
    key = {
        1: 1,
        2: bytes.fromhex(evidence["kid"]),
        3: -8,
        -1: 6,
        -2: bytes.fromhex(evidence["issuer"]),
    }
    return dict(cwt.decode(token, keys=[cwt.COSEKey.new(key)]))


def refused(work: Callable[[], object]) -> bool:
    """Whether it raises, or says no."""
    try:
        return not work()
    except Exception:  # noqa: BLE001  # any refusal of theirs is a refusal
        return True


def main(evidence: Evidence) -> dict[str, bool]:
    """Every check by name."""
    statement, receipt, token = (
        bytes.fromhex(evidence[name]) for name in ("statement", "receipt", "certificate")
    )
    root, gateway, log = evidence["root"], evidence["gateway"], evidence["log"]
    read = claims(token, evidence)
    return {
        "pycose takes the statement": holds(statement, gateway),
        "pycose refuses a changed statement": refused(lambda: holds(flipped(statement), gateway)),
        "pycose refuses the statement of another": refused(lambda: holds(statement, log)),
        "pycose takes the transparent statement": holds(
            bytes.fromhex(evidence["transparent"]), gateway
        ),
        "pycose takes the receipt over the root": holds(receipt, log, root),
        "pycose refuses the receipt over another root": refused(
            lambda: holds(receipt, log, "00" * 32)
        ),
        "cwt takes the certificate": read[2] == evidence["subject"],
        "cwt refuses a changed certificate": refused(lambda: claims(flipped(token), evidence)),
        "cwt refuses an expired certificate": refused(
            lambda: claims(bytes.fromhex(evidence["expired"]), evidence)
        ),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))  # noqa: T201  # its output
