"""Witnessing: the tlog-witness body, what a witness cosigns, and what it keeps of a fork."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import checkpoints, merkle, witnessing
from ledger_client.checkpoints import Checkpoint, Verifier
from ledger_client.database import open_database
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import SigningKey
from ledger_client.witness import EVIDENCE_MAX, HEADS_MAX, Refused, Witness, origin_hash
from ledger_client.witnessing import Offer, Verdict

ORIGIN, NOW_S = "log.example/one", 1_767_225_600
LOG, WITNESS, STRANGER = (SigningKey(bytes([n]) * 32) for n in (11, 12, 13))


@dataclass(frozen=True)
class Tree:
    """A log of so many leaves; those from `fork` on are not those of other trees."""

    fork: int = 1 << 30

    def leaves(self, size: int) -> list[bytes]:
        return [
            merkle.leaf_hash(b"%d" % n + (b"" if n < self.fork else b" forked"))
            for n in range(size)
        ]

    def head(self, size: int) -> Checkpoint:
        return Checkpoint(ORIGIN, size, merkle.root(self.leaves(size)))

    def note(self, size: int, key: SigningKey = LOG) -> str:
        return checkpoints.sign(key, self.head(size))

    def path(self, old: int, new: int) -> tuple[bytes, ...]:
        if old in {0, new}:
            return ()
        return tuple(merkle.consistency_proof(old, new, merkle.nodes_of(self.leaves(new))))

    def offer(self, old: int, new: int) -> bytes:
        return Offer(old, self.path(old, new), self.note(new)).body


TREE = Tree()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "witness.db")
    yield opened
    opened.close()


@pytest.fixture
def witness(connection: sqlite3.Connection) -> Witness:
    return again(connection)


def again(connection: sqlite3.Connection) -> Witness:
    """The witness as after a start."""
    one = Witness(connection, WITNESS, "witness.example/w", [Verifier(ORIGIN, LOG.public)])
    one.create()
    return one


def refusal(witness: Witness, body: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        witness.add(body, NOW_S)
    return caught.value


def test_the_body_of_the_specification_reads_and_prints_back() -> None:
    body = (
        "old 20852014\n"
        "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
        "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
        "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
        "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
        "\n"
        "example.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4U"
        "RYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    ).encode()

    offer = witnessing.parse(body)

    assert (offer.old, len(offer.path)) == (20_852_014, 4)
    assert offer.body == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1\n",
        b"old 01\n\nnote",
        b"old -1\n\nnote",
        b"old\n\nnote",
        b"new 1\n\nnote",
        b"old \xd9\xa1\n\nnote",
        b"old 9223372036854775808\n\nnote",
        b"old 1\nAAAA\n\nnote",
        b"old 1\nnot base64\n\nnote",
        b"old 1\r\n\nnote",
        b"old 1\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 64 + b"\nnote",
        b"old 1\n\n\xff",
        b"old 1\n\n" + b"n" * 40_000,
    ],
)
def test_a_body_that_is_not_one_is_refused(body: bytes) -> None:
    with pytest.raises(EncodingError):
        witnessing.parse(body)


@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"old {text}".encode())
)
def test_any_body_is_an_offer_that_prints_back_or_an_error(body: bytes) -> None:
    try:
        offer = witnessing.parse(body)
    except EncodingError:
        return
    assert offer.body == body


@given(old=st.integers(0, 40), grown=st.integers(0, 40), fork=st.integers(0, 79))
def test_a_growth_is_seen_and_a_fork_never_passes(old: int, grown: int, fork: int) -> None:
    new, other = old + grown, Tree(fork)

    honest = witnessing.judge(TREE.head(old), TREE.head(new), TREE.path(old, new))
    forked = witnessing.judge(TREE.head(old), other.head(new), other.path(old, new))

    assert honest is Verdict.GROWN
    if fork >= old:
        assert forked is Verdict.GROWN  # it forks later: these two heads agree
    elif old == new or old & (old - 1):
        assert forked is Verdict.FORKED
    else:
        assert forked is Verdict.UNPROVEN


@pytest.mark.parametrize(
    ("old", "offered", "path"),
    [
        (None, TREE.head(3), (bytes(32),)),
        (None, Checkpoint(ORIGIN, 0, bytes(32)), ()),
        (TREE.head(3), TREE.head(3), (bytes(32),)),
        (TREE.head(3), TREE.head(5), ()),
        (TREE.head(3), TREE.head(5), (bytes(32),) * 3),
    ],
)
def test_a_wrong_path_proves_nothing_for_nor_against_a_log(
    old: Checkpoint | None, offered: Checkpoint, path: tuple[bytes, ...]
) -> None:
    assert witnessing.judge(old, offered, path) is Verdict.UNPROVEN


def test_heads_that_continue_each_other_are_cosigned(witness: Witness) -> None:
    for old, new in ((0, 1), (1, 4), (4, 7), (7, 7)):
        line = witness.add(TREE.offer(old, new), NOW_S)
        _, signers = checkpoints.open_note(TREE.note(new) + line, [witness.verifier])
        assert signers == ("witness.example/w",)

    assert witness.heads() == {ORIGIN: 7}
    assert witness.evidence() == ()


def test_what_was_cosigned_is_pinned_after_a_start(
    witness: Witness, connection: sqlite3.Connection
) -> None:
    witness.add(TREE.offer(0, 5), NOW_S)

    found = again(connection)

    assert refusal(found, TREE.offer(0, 6)).size == 5
    latest = found.latest(ORIGIN)
    assert latest is not None
    assert checkpoints.open_note(latest, [witness.verifier])[0] == TREE.head(5).text


def test_no_cosignature_exists_before_its_head_is_on_disk(
    witness: Witness, connection: sqlite3.Connection
) -> None:
    connection.execute("PRAGMA query_only = ON")

    with pytest.raises(Exception, match="refused to write"):
        witness.add(TREE.offer(0, 5), NOW_S)

    assert witness.latest(ORIGIN) is None


def test_a_witness_never_signs_a_time_before_its_last(witness: Witness) -> None:
    witness.add(TREE.offer(0, 5), NOW_S)

    witness.add(TREE.offer(5, 6), NOW_S - 1_000)

    latest = witness.latest(ORIGIN)
    assert latest is not None
    assert latest == checkpoints.cosign(WITNESS, "witness.example/w", TREE.note(6), NOW_S)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"nonsense", 400),
        (Offer(9, (), TREE.note(5)).body, 400),
        (Offer(0, (), checkpoints.sign(STRANGER, Checkpoint("x", 1, bytes(32)))).body, 404),
        (Offer(0, (), TREE.note(5, STRANGER)).body, 403),
        (TREE.offer(0, 7), 409),
        (TREE.offer(3, 7), 409),
        (Offer(5, (), TREE.note(7)).body, 422),
        (Offer(5, TREE.path(5, 7)[:-1], TREE.note(7)).body, 422),
    ],
)
def test_a_request_is_refused_with_the_status_of_the_protocol(
    witness: Witness, body: bytes, status: int
) -> None:
    witness.add(TREE.offer(0, 5), NOW_S)

    refused = refusal(witness, body)

    assert refused.status == status
    assert refused.size == (5 if status == 409 else None)
    assert not any(each.forked for each in witness.evidence())
    assert witness.heads() == {ORIGIN: 5}


@pytest.mark.parametrize("new", [5, 6, 11])
def test_a_fork_is_refused_and_its_two_heads_are_kept(witness: Witness, new: int) -> None:
    witness.add(TREE.offer(0, 5), NOW_S)

    refused = refusal(witness, Tree(fork=3).offer(5, new))

    assert refused.status in {409, 422}
    (kept,) = witness.evidence()
    assert (kept.forked, kept.size, kept.pinned) == (True, new, TREE.note(5))
    log = Verifier(ORIGIN, LOG.public)
    offer = witnessing.parse(kept.offer)
    heads = [checkpoints.open_checkpoint(note, log) for note in (kept.pinned, offer.note)]
    assert witnessing.judge(heads[0], heads[1], offer.path) is Verdict.FORKED
    assert witness.heads() == {ORIGIN: 5}


def test_an_old_size_with_another_root_is_a_fork_too(witness: Witness) -> None:
    for old, new in ((0, 3), (3, 6), (6, 9)):
        witness.add(TREE.offer(old, new), NOW_S)

    assert refusal(witness, Tree(fork=2).offer(0, 6)).size == 9
    assert [each.size for each in witness.evidence()] == [6]


def test_an_old_head_shown_again_is_no_fork(witness: Witness) -> None:
    for old, new in ((0, 3), (3, 6)):
        witness.add(TREE.offer(old, new), NOW_S)

    assert refusal(witness, TREE.offer(0, 3)).size == 6
    assert witness.look(TREE.note(3), NOW_S) is None
    assert witness.evidence() == ()


def test_a_head_shown_to_others_is_compared(witness: Witness) -> None:
    witness.add(TREE.offer(0, 3), NOW_S)

    found = witness.look(Tree(fork=1).note(3), NOW_S)

    assert found is not None
    assert found.forked
    with pytest.raises(RemoteError):
        witness.look(TREE.note(3, STRANGER), NOW_S)


def test_a_doubt_ends_when_a_head_as_large_was_proved(witness: Witness) -> None:
    witness.add(TREE.offer(0, 4), NOW_S)
    refusal(witness, Tree(fork=2).offer(4, 6))
    (doubt,) = witness.evidence()

    witness.add(TREE.offer(4, 6), NOW_S)

    assert not doubt.forked
    assert witness.evidence() == ()


def test_evidence_is_bounded_proofs_keep_the_first_and_doubts_the_last(witness: Witness) -> None:
    witness.add(TREE.offer(0, 4), NOW_S)
    for size in range(5, 5 + EVIDENCE_MAX + 3):
        with pytest.raises(Refused):
            witness.add(Offer(4, (), TREE.note(size)).body, NOW_S + size)
    doubts = [each.size for each in witness.evidence()]
    for number in range(EVIDENCE_MAX + 3):
        note = checkpoints.sign(LOG, Checkpoint(ORIGIN, 4, number.to_bytes(32, "big")))
        refusal(witness, Offer(4, (), note).body)

    assert doubts == list(range(8, 5 + EVIDENCE_MAX + 3))
    assert len([each for each in witness.evidence() if each.forked]) == EVIDENCE_MAX


def test_only_the_newest_heads_are_kept(witness: Witness, connection: sqlite3.Connection) -> None:
    witness.add(TREE.offer(0, 1), NOW_S)
    connection.executemany(
        "INSERT INTO witness_heads VALUES (?, ?, ?, ?, ?)",
        [(ORIGIN, size, bytes(32), "", NOW_S) for size in range(-HEADS_MAX, 0)],
    )

    for size in range(2, 4):
        witness.add(TREE.offer(size - 1, size), NOW_S)

    (count,) = connection.execute("SELECT count(*) FROM witness_heads").fetchone()
    assert count == HEADS_MAX


def test_a_log_is_named_by_the_hash_of_its_origin() -> None:
    assert origin_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
