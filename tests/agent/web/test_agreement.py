"""The page and `milepost verify` are two implementations: they must never disagree."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import cast

import pytest

from ledger_client import cbor, certificates, cose, merkle, trust
from tests.agent.web import makers
from tests.agent.web.conftest import Judge, disagreements, python_verdict

BYTES = 800


def good_files() -> dict[str, bytes]:
    leaves = makers.tyres(1, 5)
    first = makers.statement(makers.batch_payload(leaves, bytes(32), 1))
    other = makers.statement({1: 1}, "settlement")
    partly = [makers.genesis(), (first, makers.some(leaves, 0, 3)), (other, None)]
    return {
        "whole": makers.seal(makers.plain()).pack(),
        "alone": makers.seal([makers.genesis()]).pack(),
        "alone, as an excerpt": makers.seal([makers.genesis()], only=[0]).pack(),
        "demo": makers.seal([makers.genesis(demo=True), *makers.plain()[1:]]).pack(),
        "chosen readings": makers.seal(partly).pack(),
        "excerpt": makers.seal([*makers.plain(6)], only=[0, 2, 5]).pack(),
        "excerpt of all": makers.seal(makers.plain(2), only=[0, 1, 2]).pack(),
        "witnessed": makers.seal(makers.plain()).witnessed(makers.OWNER, makers.NEXT).pack(),
        "witnessed excerpt": makers.seal(makers.plain(), only=[0, 2]).witnessed(makers.NEXT).pack(),
        **{
            f"continues {old} of {new}": makers.seal(makers.plain(new - 1), only=[0, new - 1])
            .since(makers.plain(new - 1), old)
            .pack()
            for old, new in ((1, 2), (1, 7), (3, 7), (4, 7), (6, 7), (4, 8), (5, 8), (8, 9))
        },
        "erased": makers.seal(makers.erased()).pack(),
        "erased, an excerpt": makers.seal(makers.erased(), only=[0, 2, 5, 6]).pack(),
        "erased by a stranger": makers.seal(makers.erased(by=makers.OWNER)).pack(),
        "erased by who came later": makers.seal(makers.erased(by=makers.NEXT)).pack(),
        "trust": makers.seal(makers.trusted()).pack(),
        "excerpt of trust": makers.seal(makers.trusted(), only=[0, 1, 4, 5]).pack(),
    }


def test_both_take_only_cosignatures_and_earlier_heads_that_hold(judge: Judge) -> None:
    entries = makers.plain(6)
    whole, part = makers.seal(entries), makers.seal(entries, only=[0, 2])
    seen = part.witnessed(makers.OWNER, makers.NEXT)
    line, vkeys = seen.note.splitlines(keepends=True), cast("list[str]", seen.more[6])
    linked = part.since(entries, 3)
    old, path = cast("tuple[str, list[bytes]]", linked.more[7])
    other = makers.seal(makers.plain(5, 4), only=[0]).note

    def with_6(value: object, note: str = seen.note) -> bytes:
        return replace(part, note=note, more={6: value}).pack()

    def with_7(value: object) -> bytes:
        return replace(part, more={7: value}).pack()

    lists: tuple[object, ...] = (vkeys[:1], vkeys[::-1], [*vkeys, vkeys[0]], [], None, {})
    files = [
        replace(part, note=seen.note).pack(),  # lines that nobody can check
        *(with_6(value) for value in lists),
        with_6(vkeys, part.note),
        with_6(vkeys[:1], "".join(line[:-1]) + line[-2]),
        with_6([part.vkey], part.note),
        with_6([part.vkey], part.note + line[-1]),
        with_6([vkeys[0].replace("+", "-", 1)], "".join(line[:-1])),
        with_6([vkeys[0], b"x"]),
        with_6(vkeys, seen.note.replace("example/1 ", "example/0 ")),
        replace(whole, more={7: [old, path]}).pack(),
        *(
            with_7(value)
            for value in (
                *([old, path[1:]], [old, [*path, path[0]]], [old, path[::-1]], [old, []], [old]),
                *([other, path], [part.note, path], [seen.note, path], [b"x", path], None, [], 7),
                *([old, [bytes(32), *path[1:]]], [old, [b"", *path[1:]]], [old, path * 22]),
            )
        ),
    ]

    assert check(judge, files) == 0
    assert check(judge, [seen.since(entries, 3).pack()]) == 1


@pytest.mark.parametrize("payload", [{}, {1: 2}, {1: 1, 2: 0}, 1, {1: True}, {1: 1.0}, [], None])
def test_both_take_one_payload_of_an_erasure(judge: Judge, payload: object) -> None:
    said = (makers.statement(payload, "erasure"), None)

    assert check(judge, [makers.seal([*makers.plain(), said]).pack()]) == 0


def test_both_refuse_more_items_than_a_file_of_its_size_can_need(judge: Judge) -> None:
    many = cbor.encode({1: "milepost-record", 2: 1, 3: "x", 4: [[]] * 50_000, 5: ""})

    (theirs,) = judge.verdicts([many])

    assert "more items than" in python_verdict(many)["error"]
    assert "more items than" in theirs["error"]


def check(judge: Judge, files: Sequence[bytes]) -> int:
    """How many of `files` both accept; that they agree on each is asserted."""
    verdicts = judge.verdicts(files)
    assert disagreements(files, verdicts) == []
    return sum(each["verified"] for each in verdicts)


def test_both_accept_what_is_good_and_tell_the_same_of_it(judge: Judge) -> None:
    files = good_files()

    assert [name for name, data in files.items() if not python_verdict(data)["verified"]] == []
    assert check(judge, [*files.values()]) == len(files)


@pytest.mark.parametrize(
    "name",
    ["alone", "chosen readings", "excerpt of trust", "witnessed excerpt", "continues 3 of 7"],
)
def test_both_refuse_changed_bytes(judge: Judge, name: str) -> None:
    data = good_files()[name]
    changed = []
    for position in sorted(Random(15).sample(range(len(data)), min(len(data), BYTES))):
        copy = bytearray(data)
        copy[position] ^= Random(position).choice((1, 0x20, 0x80, 0xFF))
        changed.append(bytes(copy))

    assert len(changed) >= BYTES or len(changed) == len(data)
    assert check(judge, changed) == 0


def test_both_refuse_files_cut_short_or_longer(judge: Judge) -> None:
    data = good_files()["whole"]

    changed = [data + b"\x00", b"", *(data[:size] for size in range(1, len(data), 19))]

    assert check(judge, changed) == 0


@pytest.mark.parametrize("name", ["whole", "chosen readings", "excerpt", "trust"])
def test_both_agree_on_files_put_together_otherwise(judge: Judge, name: str) -> None:
    value = cbor.decode(good_files()[name], size_max=1 << 20)

    changed = [cbor.encode(each) for each in makers.sample(value, 250, seed=1)]

    assert check(judge, changed) < 10  # some merely give less away


def test_both_agree_on_batches_that_say_anything_and_are_rightly_signed(judge: Judge) -> None:
    leaves = makers.tyres(0, 3)
    payloads = makers.sample(makers.batch_payload(leaves, bytes(32), 1), 500, seed=2)

    accepted = check(
        judge,
        [
            makers.seal([makers.genesis(), (makers.statement(each), shown)]).pack()
            for each in payloads
            for shown in ([None, leaves] if len(str(each)) % 3 else [None])
        ],
    )

    assert accepted > 50


def test_both_agree_on_leaves_that_say_anything(judge: Judge) -> None:
    good = cbor.decode(makers.leaf("tyre/tyre_pressure", "Pa", 1.5, makers.NOW_S + 0.5))
    files: list[bytes] = []
    for changed in makers.sample(good, 500, seed=3):
        leaves = [cbor.encode(changed), *makers.tyres(0, 2)]
        data = makers.statement(makers.batch_payload(leaves, bytes(32), 1))
        shown = makers.some(leaves, 0) if len(files) % 2 else leaves
        files.append(makers.seal([makers.genesis(), (data, shown)]).pack())

    assert check(judge, files) > 20


def test_both_agree_on_headers_and_claims_that_say_anything(judge: Judge) -> None:
    payload = makers.batch_payload(makers.tyres(0), bytes(32), 1)
    claims = {1: makers.GATEWAY.public.did, 2: makers.CAR, 6: makers.NOW_S}
    header: dict[object, object] = {
        1: -8,
        2: [1],
        3: "application/vnd.milepost.batch+cbor",
        4: makers.GATEWAY.public.thumbprint,
        16: "x",
    }
    files = [
        makers.seal([makers.genesis(), (made, None)]).pack()
        for made in (
            *(
                makers.statement(payload, claims=each)  # type: ignore[arg-type]  # that is the point
                for each in makers.sample(claims, 150, seed=4)
            ),
            *(
                makers.statement(payload, header=each)
                for each in makers.sample(header, 150, seed=5)
                if isinstance(each, dict)
            ),
            *(makers.statement(payload, header={1: each}) for each in (-8, -19, -7, -8.0, True)),
            makers.statement(payload, unprotected={394: [b"receipt"]}),
            makers.statement(payload, unprotected={4: b"kid"}),
            makers.statement(payload, unprotected={2: [1]}),
        )
    ]

    assert check(judge, files) > 3


def test_both_agree_on_geneses_that_say_anything(judge: Judge) -> None:
    payloads = makers.sample(makers.genesis_payload(), 300, seed=6)

    files = [makers.seal([makers.genesis(each)]).pack() for each in payloads]

    assert check(judge, files) < len(files) / 4


def test_both_agree_on_heads_that_say_anything(judge: Judge) -> None:
    entries = makers.plain(2)
    claims = {1: makers.NAME, 2: makers.NAME, 6: makers.NOW_S, -70010: 3}
    header: dict[object, object] = {2: [1, 395], 4: makers.LOG_KEY.public.thumbprint, 395: 1}
    files = [
        *(
            makers.seal(entries, claims=each).pack()  # type: ignore[arg-type]  # that is the point
            for each in makers.sample(claims, 200, seed=7)
        ),
        *(
            makers.seal(entries, header=each).pack()
            for each in makers.sample(header, 200, seed=8)
            if isinstance(each, dict)
        ),
    ]

    assert check(judge, files) > 20


def test_both_agree_on_chains_of_batches(judge: Judge) -> None:
    random, files = Random(9), []
    for _ in range(120):
        entries, last = [makers.genesis()], bytes(32)
        sequence = 0
        for _ in range(6):
            sequence += random.choice((1, 1, 1, 1, 2, 3, 0))
            previous = bytes(32) if sequence == 1 else random.choice((last, last, last, b"p" * 32))
            data = makers.statement(makers.batch_payload(makers.tyres(0), previous, sequence))
            entries.append((data, None))
            last = makers.digest_of(data)
        only = [0, *sorted(random.sample(range(1, 7), random.randrange(1, 7)))]
        files += [makers.seal(entries).pack(), makers.seal(entries, only=only).pack()]

    assert 20 < check(judge, files) < len(files)


def trust_files() -> list[bytes]:
    """Certificates, revocations and rotations that say anything, each rightly signed."""
    entries, files = makers.trusted(), []
    for index in (1, 4, 6):
        good = cose.parse_sign1(entries[index][0])
        key = makers.GATEWAY if index == 4 else makers.OWNER  # who signed it
        claims = good.protected[15]
        assert isinstance(claims, dict)
        for payload in makers.sample(cbor.decode(good.payload or b""), 80, seed=index):
            kind = str(good.protected[3]).removeprefix("application/vnd.milepost.")[:-5]
            data = makers.statement(payload, kind, key, str(claims[2]))
            files.append(
                makers.seal([*entries[:index], (data, None), *entries[index + 1 :]]).pack()
            )
    token = cbor.decode(
        cose.parse_sign1(
            certificates.decode_tokens(cose.parse_sign1(entries[1][0]).payload or b"")[1][2:]
        ).payload
        or b""
    )
    for changed in makers.sample(token, 250, seed=10):
        header = {4: makers.GATEWAY.public.thumbprint, 16: 61}
        made = b"\xd8\x3d" + cose.sign1(makers.GATEWAY, header, cbor.encode(changed))
        first = certificates.decode_tokens(cose.parse_sign1(entries[1][0]).payload or b"")[0]
        data = makers.statement(
            {1: 1, 2: [first, made]}, "certificate", makers.OWNER, makers.OWNER.public.did
        )
        files.append(makers.seal([entries[0], (data, None), *entries[2:]]).pack())
    return files


def test_both_agree_on_trust_that_says_anything(judge: Judge) -> None:
    files = trust_files()

    assert 9 < check(judge, files) < len(files)


def test_both_agree_on_trust_in_another_order(judge: Judge) -> None:
    random, entries, files = Random(11), makers.trusted(), []
    size = len(entries)
    for _ in range(150):
        order = [0, *random.sample(range(1, size), random.randrange(1, size))]
        if random.random() < 0.6:  # mostly as it was, with some left out
            order.sort()
        files.append(makers.seal([entries[index] for index in order]).pack())
        files.append(makers.seal(entries, only=sorted(order)).pack())

    assert 20 < check(judge, files) < len(files)


def test_both_agree_on_what_a_revocation_still_believes(judge: Judge) -> None:
    entries = makers.trusted()
    tokens = certificates.decode_tokens(cose.parse_sign1(entries[1][0]).payload or b"")
    hashes = [merkle.leaf_hash(makers.digest_of(data)) for data, _ in entries]
    files = []
    for size in range(1, 12):
        for root in (merkle.root(hashes[:size]), bytes(32)):
            for signer, chain in ((makers.OWNER, tokens[:1]), (makers.GATEWAY, tokens)):
                data = trust.revoke(signer, chain, "lost", makers.NOW_S, trust.Believed(size, root))
                changed = [*entries[:6], (data, None)]
                files += [
                    makers.seal(changed).pack(),
                    makers.seal(changed, only=range(3, 7)).pack(),
                ]
                files.append(makers.seal(changed, only=[0, 1, 3, 5, 6]).pack())

    assert check(judge, files) > 40
