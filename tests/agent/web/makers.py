"""Records made by hand, also such as no milepost would make: any payload, rightly signed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, cast

from ledger_client import (
    cbor,
    certificates,
    checkpoints,
    cose,
    disclosure,
    erasures,
    merkle,
    record,
    trust,
)
from ledger_client.certificates import Grant, Limits
from ledger_client.keys import SigningKey

if TYPE_CHECKING:
    from ledger_client.disclosure import Disclosure

NOW_S = 1_767_225_600
CAR = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"
RUNNER = "urn:uuid:5a0a5e1c-6b39-4a55-8a0e-7b8f0a8b1f10"
NAME = "milepost.example/gw"
LOG_KEY, NOTE_KEY, GATEWAY, NEXT, OWNER = (SigningKey(bytes([n]) * 32) for n in (1, 2, 3, 4, 5))

Entry = tuple[bytes, object]  # a statement, and what is disclosed of it as it goes into the file


def leaf(
    name: str, unit: str | None, value: float | str, time_s: float, **changes: object
) -> bytes:
    """One reading's leaf; its salt is a function of the rest, which no gateway would allow."""
    kept: dict[int, object] = {0: name, 3 if isinstance(value, str) else 2: value, 6: time_s}
    if unit is not None:
        kept[1] = unit
    salt = merkle.leaf_hash(repr((name, value, time_s)).encode())[:16]
    parts = {"salt": salt, "record": kept, "provenance": 1, "profile": 0, "packet": salt[:8]}
    return cbor.encode([*({**parts, **changes}).values()])


def batch_payload(leaves: Sequence[bytes], previous: bytes, sequence: int) -> dict[int, object]:
    """A batch over leaves that are all of provenance 1 and within an hour of `NOW_S`."""
    return {
        1: 1,
        2: len(leaves),
        3: merkle.root([merkle.leaf_hash(each) for each in leaves]),
        4: NOW_S // 60,
        5: NOW_S // 60 + 59,
        6: {1: 2, 2: 40, 3: b"bootboot", 4: 1, 5: 1_000, 6: 2_000, 7: 12, 8: False},
        7: previous,
        8: sequence,
        9: {1: len(leaves)},
        10: {"dropped": 0, "rejected": 0, "gap": 0},
        11: ["tyre/1"],
    }


def statement(
    payload: object,
    kind: str = "batch",
    key: SigningKey = GATEWAY,
    subject: str = CAR,
    *,
    header: Mapping[int, object] | None = None,
    claims: Mapping[int, object] | None = None,
    unprotected: Mapping[int, object] | None = None,
) -> bytes:
    """A signed statement with any payload, header and claims."""
    given = {1: key.public.did, 2: subject, 6: NOW_S + 60}
    protected = {
        3: f"application/vnd.milepost.{kind}+cbor",
        4: key.public.thumbprint,
        15: given if claims is None else claims,
    }
    body = payload if isinstance(payload, bytes) else cbor.encode(payload)
    return cose.sign1(key, {**protected, **(header or {})}, body, unprotected=unprotected)


def genesis_payload(*, demo: bool = False) -> dict[int, object]:
    """What the log says about itself."""
    return {
        1: 1,
        2: NAME,
        3: "RFC9162_SHA256",
        4: LOG_KEY.public.cose_key(),
        5: checkpoints.Verifier(NAME, NOTE_KEY.public).vkey,
        6: demo,
    }


def genesis(payload: object = None, *, demo: bool = False) -> Entry:
    """Entry 0."""
    given = genesis_payload(demo=demo) if payload is None else payload
    return statement(given, "genesis", LOG_KEY, NAME), None


@dataclass(frozen=True)
class Sealed:
    """The parts of a file before it is packed."""

    magic: str
    entries: list[list[object]]
    note: str
    vkey: str = field(default_factory=lambda: checkpoints.Verifier(NAME, NOTE_KEY.public).vkey)
    more: Mapping[int, object] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The file."""
        parts = {1: self.magic, 2: 1, 3: self.vkey, 4: self.entries, 5: self.note}
        return cbor.encode({**parts, **self.more})

    def witnessed(self, *keys: SigningKey) -> "Sealed":
        """The same under the cosignatures of these witnesses."""
        note, names = self.note, [f"witness.example/{n}" for n in range(len(keys))]
        for name, key in zip(names, keys, strict=True):
            note = checkpoints.cosign(key, name, note, NOW_S + 95)
        vkeys = [
            checkpoints.Verifier(name, key.public, checkpoints.COSIGNATURE).vkey
            for name, key in zip(names, keys, strict=True)
        ]
        return replace(self, note=note, more={**self.more, 6: vkeys})

    def since(self, entries: Sequence[Entry], size: int) -> "Sealed":
        """The same with the head of the first `size` of its log's entries, which it continues."""
        nodes = merkle.nodes_of([merkle.leaf_hash(digest_of(data)) for data, _ in entries])
        old = checkpoints.Checkpoint(NAME, size, merkle.root_of(size, nodes))
        path = merkle.consistency_proof(size, len(entries), nodes)
        return replace(self, more={**self.more, 7: [checkpoints.sign(NOTE_KEY, old), path]})


def digest_of(data: bytes) -> bytes:
    """The statement's digest, whatever it says."""
    return hashlib.sha256(data).digest()


def seal(
    entries: Sequence[Entry],
    *,
    only: Sequence[int] | None = None,
    header: Mapping[int, object] | None = None,
    claims: Mapping[int, object] | None = None,
) -> Sealed:
    """The record of a log with these entries, or the excerpt of `only` some, signed by its keys."""
    hashes = [merkle.leaf_hash(digest_of(data)) for data, _ in entries]
    size, nodes, root = len(hashes), merkle.nodes_of(hashes), merkle.root(hashes)
    given = {1: NAME, 2: NAME, 6: NOW_S + 90, -70010: size} if claims is None else claims
    protected = {cose.KID: LOG_KEY.public.thumbprint, 15: given, 395: 1, **(header or {})}
    rows: list[list[object]] = []
    for index, (data, disclosed) in enumerate(entries):
        path = merkle.inclusion_proof(index, size, nodes)
        proof = {396: {-1: [cbor.encode([size, index, path])]}}
        receipt = cose.sign1(LOG_KEY, protected, root, unprotected=proof, detached=True)
        rows.append([index, data, receipt if size > 1 else None, disclosed])
    note = checkpoints.sign(NOTE_KEY, checkpoints.Checkpoint(NAME, size, root))
    if only is None:
        return Sealed(record.RECORD, [row[1:] for row in rows], note)
    return Sealed(record.EXCERPT, [rows[index] for index in only], note)


def some(leaves: Sequence[bytes], *indices: int) -> object:
    """Chosen leaves, as they go into the file."""
    return disclosure.encode(cast("Disclosure", disclosure.choose(leaves, indices)))


def tyres(minute: int, count: int = 4) -> list[bytes]:
    """Readings of one tyre in a minute after `NOW_S`."""
    return [
        leaf("tyre/tyre_pressure", "Pa", 230_000.0 + 10 * number, NOW_S + 60 * minute + number)
        for number in range(count)
    ]


def plain(batches: int = 3, count: int = 3) -> list[Entry]:
    """A genesis and some batches with all their leaves."""
    entries = [genesis()]
    previous = bytes(32)
    for number in range(batches):
        leaves = tyres(number, count)
        data = statement(batch_payload(leaves, previous, number + 1))
        entries.append((data, leaves))
        previous = digest_of(data)
    return entries


def trusted() -> list[Entry]:
    """A log on which an owner certifies a gateway, which hands over to its next key."""
    far_s = NOW_S + 10**8
    grant = Grant(GATEWAY.public, NOW_S - 9, far_s, ("log", "pay", "stream"), Limits(2, 500, 60))
    below = Grant(NEXT.public, NOW_S, far_s - 1, ("stream",), Limits(1, 400, 60))
    tokens = [
        certificates.issue(OWNER, grant, b"h" * 16, NOW_S),
        certificates.issue(GATEWAY, below, b"i" * 16, NOW_S),
    ]
    entries = plain(2)
    last = digest_of(entries[-1][0])
    leaves = tyres(5)
    return [
        entries[0],
        (trust.certify(OWNER, tokens, NOW_S), None),
        *entries[1:],
        (trust.rotate(GATEWAY, NEXT, 2, last, NOW_S + 70), None),
        (statement(batch_payload(leaves, last, 3), key=NEXT), leaves),
        (trust.revoke(OWNER, tokens[:1], "sold", NOW_S + 80, trust.Believed(3, bytes(32))), None),
    ]


def erased(by: SigningKey = GATEWAY) -> list[Entry]:
    """A log on which a subject was erased after three batches, one of which is still held here."""
    entries = plain(3)
    last = digest_of(entries[-1][0])
    leaves = tyres(6)
    return [
        *(
            (data, given if index in {0, 2} else None)
            for index, (data, given) in enumerate(entries)
        ),
        (trust.rotate(GATEWAY, NEXT, 3, last, NOW_S + 70), None),
        (erasures.sign(by, CAR, NOW_S + 80), None),
        (statement(batch_payload(leaves, last, 4), key=NEXT), None),
    ]


VALUES: tuple[object, ...] = (
    *(0, 1, -1, 2, 3, 6, 7, 9, 10, 61, 255, 65_536, 65_537, NOW_S // 60, (1 << 53) + 1),
    *((1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 53), -(1 << 64)),
    *(0.0, -0.0, 1.0, 0.5, 1e300, 5.960464477539063e-08, float("inf"), float("-inf")),
    *(
        True,
        False,
        None,
        "",
        "a",
        "stream",
        "stream log",
        "stream stream",
        "genesis",
        "ü",
        "\u200b",
    ),
    *("\u2028", "a b", "x" * 16, "x" * 17, "x" * 64, "x" * 65, "x" * 256, "x" * 257),
    *("😀" * 129, "\ufeffa", "\ue000", "\x00", CAR, NAME, GATEWAY.public.did),
    *(b"", bytes(8), bytes(16), bytes(31), bytes(32), b"\xff" * 32, bytes(33), bytes(64)),
    *([], [1], ["tyre/1", "tyre/1"], {}, {1: 1}, {"dropped": 1}, [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]),
    LOG_KEY.public.cose_key(),
    {1: True, -1: 6, -2: LOG_KEY.public.raw},
)


def variants(value: object, values: Sequence[object] = VALUES) -> Iterator[object]:
    """`value` with one place in it replaced, left out, doubled or moved; every place in turn."""
    yield from values
    if isinstance(value, dict):
        for key in value:
            yield {label: entry for label, entry in value.items() if label != key}
            yield from ({**value, key: changed} for changed in variants(value[key], values))
        yield from ({**value, key: 1} for key in (0, 12, 13, -3, "x", b"x", True, None, 1.5))
    if isinstance(value, list):
        for place, entry in enumerate(value):
            head, tail = value[:place], value[place + 1 :]
            yield [*head, *tail]
            yield [*head, entry, entry, *tail]
            yield [*tail, *head, entry]
            yield from ([*head, changed, *tail] for changed in variants(entry, values))


def sample(value: object, count: int, seed: int) -> list[object]:
    """Some of the variants, the same ones each time; only such as CBOR can say."""
    every = [each for each in variants(value) if _is_encodable(each)]
    return Random(seed).sample(every, min(count, len(every)))


def _is_encodable(value: object) -> bool:
    if isinstance(value, dict):
        return all(
            type(key) in {int, str, bytes} and _is_encodable(entry) for key, entry in value.items()
        )
    return all(map(_is_encodable, value)) if isinstance(value, list) else True


def resealed(sealed: Sealed, **changes: object) -> bytes:
    """The file with other parts."""
    return replace(sealed, **changes).pack()  # type: ignore[arg-type]  # by name
