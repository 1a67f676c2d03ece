"""The little of CBOR (RFC 8949), COSE_Sign1 (RFC 9052) and RFC 9162 that a buyer needs.

Any libraries for these do as well; they are here so that nothing hides in one. Below them are the
messages of a payment, whose fields docs/apps.md explains.
"""

import base64
import hashlib
import json
import struct

import nacl.signing

SIMPLE = {20: False, 21: True, 22: None}


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    width = next(w for w in range(4) if n < 256 ** (1 << w))
    return bytes([major << 5 | 24 + width]) + n.to_bytes(1 << width, "big")


def enc(value):
    """CBOR, core-deterministic: definite lengths, shortest forms, map keys by their bytes."""
    match value:
        case bool() | None:
            return bytes([224 | next(low for low in SIMPLE if SIMPLE[low] is value)])
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(enc, value))
        case dict():
            pairs = sorted((enc(key), enc(each)) for key, each in value.items())
            return head(5, len(value)) + b"".join(key + each for key, each in pairs)
    raise TypeError(value)


def dec(data):
    """The value in some CBOR; a tag is left out."""
    return _dec(data, 0)[0]


def _dec(data, at):
    major, low = data[at] >> 5, data[at] & 31
    width = 1 << low - 24 if 24 <= low < 28 else 0
    raw, at = data[at + 1 : at + 1 + width], at + 1 + width
    n = int.from_bytes(raw, "big") if width else low
    if major == 7:
        return (struct.unpack(f">{'?efd'[low - 24]}", raw)[0] if width else SIMPLE[low]), at
    if major < 2:
        return (-1 - n if major else n), at
    if major < 4:
        return (data[at : at + n] if major == 2 else data[at : at + n].decode()), at + n
    found = []
    for _ in range({4: n, 5: 2 * n, 6: 1}[major]):
        value, at = _dec(data, at)
        found.append(value)
    if major == 6:
        return found[0], at
    return (found if major == 4 else dict(zip(found[::2], found[1::2], strict=True))), at


def kind(name):
    return f"application/vnd.milepost.{name}+cbor"


def sign(key, name, words, *, attached=False):
    """A COSE_Sign1 over these words as that kind of thing; they travel in it or beside it."""
    header, payload = enc({1: -8, 3: kind(name)}), enc(words)
    signature = key.sign(enc(["Signature1", header, b"", payload])).signature
    return b"\xd2" + enc([header, {}, payload if attached else None, signature])


def check(signer, name, message, words=None):
    """What `signer` signed as that kind of thing; raises for anything else."""
    header, _, payload, signature = dec(message)
    payload = payload if words is None else enc(words)
    if dec(header)[3] != kind(name):
        raise ValueError(f"expected {name}")
    signed = enc(["Signature1", header, b"", payload])
    nacl.signing.VerifyKey(bytes.fromhex(signer)).verify(signed, signature)
    return dec(payload)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(at, size, leaf, path):
    """The root that a leaf leads to, RFC 9162 section 2.1.3.2."""
    end, found = size - 1, sha(b"\0", leaf)
    for other in path:
        left = at & 1 or at == end
        found = sha(b"\1", other, found) if left else sha(b"\1", found, other)
        while left and at and not at & 1:
            at, end = at >> 1, end >> 1
        at, end = at >> 1, end >> 1
    return found


def terms_of(me, own, salt):
    """What a channel is; its name is the hash of this. An hour to claim after we close it."""
    keys = [own, own, bytes.fromhex(me["seller_key"])]
    return enc(["tally", me["ledger"], *keys, me["asset"], 3600, salt, me["demo"], b""])


def order(key, me, terms):
    """Ask the ledger to put all that we may spend into the channel; twice is the same as once."""
    signed = sign(
        key, "order", ["open", me["ledger"], sha(terms), me["most"], terms], attached=True
    )
    command = {"command": "order", "id": "open", "party": me["did"]}
    return json.dumps(command | {"order": base64.b64encode(signed).decode()})


def state(terms, now, run):
    """Where we stand, with the name of the seller's run that we answer."""
    held = {name: now[name] for name in ("n", "due", "last", "total", "sig")}
    rest = {"funded": 0, "claimed": 0, "run": run, "refused": None, "window": 0}
    return enc({"state": {"ch": sha(terms), "terms": terms, **held, **rest}})


def voucher(terms, now):
    """All that we promised so far."""
    return enc({"voucher": {"ch": sha(terms), "total": now["total"], "sig": now["sig"]}})
