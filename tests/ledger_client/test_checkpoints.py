"""checkpoints: the C2SP example, the table of transparency-dev, golden bytes, hostile notes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import checkpoints
from ledger_client.checkpoints import COSIGNATURE, Checkpoint, Verifier
from ledger_client.errors import EncodingError, LocalError, RemoteError, SignatureError
from ledger_client.keys import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"
GOLDEN = json.loads((VECTORS / "golden.json").read_text())
TLOG = [json.loads(line) for line in (VECTORS / "tlog.jsonl").read_text().splitlines()]
LOG, WITNESS = (SigningKey(bytes.fromhex(GOLDEN["keys"][name]["seed"])) for name in ("LOG", "WIT"))
NAME = "log.example"
VERIFIER = Verifier(NAME, LOG.public)
CHECKPOINT = Checkpoint(NAME, 9, b"r" * 32)
NOTE = checkpoints.sign(LOG, CHECKPOINT)
NAMES = st.text(st.characters(categories=("L", "N", "P"), exclude_characters="+"), min_size=1)


@pytest.mark.parametrize("case", TLOG, ids=lambda case: case["source"])
def test_checkpoint_bodies_of_transparency_dev_agree(case: dict[str, Any]) -> None:
    is_body = "checkpoint_test.go" in case["source"]  # the sixth is an origin alone

    if case["expect"]["wantErr"] or not is_body:
        with pytest.raises(EncodingError):
            checkpoints.parse(case["text"])
    else:
        assert checkpoints.parse(case["text"]).text == case["text"]


def test_the_example_of_c2sp_opens() -> None:
    note = (VECTORS / "signed-note-example.txt").read_text()
    verifier = checkpoints.parse_vkey((VECTORS / "signed-note-example.vkey").read_text().strip())

    text, names = checkpoints.open_note(note, [verifier])

    assert text == "This is an example message.\n"
    assert names == ("example.com/foo",)


def test_the_golden_checkpoint_and_cosignature_come_out_byte_for_byte() -> None:
    expected = bytes.fromhex(GOLDEN["checkpoint.txt"]["hex"]).decode()
    root = bytes.fromhex(GOLDEN["receipt.cose"]["root"])
    verifiers = [checkpoints.parse_vkey(text) for text in GOLDEN["checkpoint.txt"]["vkeys"]]

    note = checkpoints.sign(LOG, Checkpoint("gw1.example/log", 9, root))
    cosigned = checkpoints.cosign(WITNESS, "witness.example/w1", note, 1767225605)

    assert cosigned == expected
    assert [verifier.vkey for verifier in verifiers] == GOLDEN["checkpoint.txt"]["vkeys"]
    assert checkpoints.open_note(expected, verifiers)[1] == (
        "gw1.example/log",
        "witness.example/w1",
    )
    assert checkpoints.open_checkpoint(expected, verifiers[0]).root == root


@given(size=st.integers(0, (1 << 63) - 1), root=st.binary(min_size=32, max_size=32), name=NAMES)
def test_a_checkpoint_opens_with_its_key(size: int, root: bytes, name: str) -> None:
    checkpoint = Checkpoint(name, size, root)

    note = checkpoints.sign(LOG, checkpoint)

    assert checkpoints.open_checkpoint(note, Verifier(name, LOG.public)) == checkpoint


@given(text=st.text(max_size=200))
def test_any_text_is_a_checkpoint_that_prints_back_or_is_refused(text: str) -> None:
    try:
        checkpoint = checkpoints.parse(text)
    except EncodingError:
        return
    assert checkpoint.text == text


@pytest.mark.parametrize(
    "text",
    [
        "log\n01\ncg==\n",
        "log\n+1\ncg==\n",
        "log\n-1\ncg==\n",
        "log\n\u0661\ncg==\n",
        "log\n9223372036854775808\ncg==\n",
        "log\n1\ncg=\n",
        "log\n1\nch==\n",
        "log\n1\nc g==\n",
        "log\n1\n\u00e9\n",
        "log\n1\n\n",
        "log\n1\ncg==",
        "\n1\ncg==\n",
        "log\n1\ncg==\n\n",
        "log\n1\n" + "A" * 88 + "\n",
    ],
    ids=repr,
)
def test_a_body_with_a_second_spelling_is_refused(text: str) -> None:
    with pytest.raises(EncodingError):
        checkpoints.parse(text)


def test_every_changed_character_of_a_checkpoint_is_refused() -> None:
    for position in range(len(NOTE)):
        for flip in (1, 2, 32):
            changed = NOTE[:position] + chr(ord(NOTE[position]) ^ flip) + NOTE[position + 1 :]
            with pytest.raises(RemoteError):
                checkpoints.open_checkpoint(changed, VERIFIER)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text\n",
        "text\n\n",
        CHECKPOINT.text + "\n- log.example AAAAAAA=\n",
        CHECKPOINT.text + "\n\u2014 log.example AAAA\n",
        CHECKPOINT.text + "\n\u2014 log.example !\n",
        CHECKPOINT.text + "\n\u2014 lo+g AAAAAAA=\n",
        CHECKPOINT.text + "\n\u2014  AAAAAAA=\n",
        NOTE[:-1],
        NOTE + NOTE.splitlines(keepends=True)[-1] * 16,
        NOTE.replace("9", "9\t", 1),
        NOTE.replace("9", "9\ud800", 1),
        NOTE + "x" * 20_000,
    ],
    ids=lambda note: repr(note[-30:]),
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(EncodingError):
        checkpoints.open_note(note, [VERIFIER])


def test_unknown_signatures_are_ignored_but_one_known_is_needed() -> None:
    cosigned = checkpoints.cosign(WITNESS, "witness.example", NOTE, 5)
    witness = Verifier("witness.example", WITNESS.public, COSIGNATURE)

    assert checkpoints.open_note(cosigned, [VERIFIER])[1] == (NAME,)
    assert checkpoints.open_note(cosigned, [witness])[1] == ("witness.example",)
    with pytest.raises(SignatureError, match="no known key"):
        checkpoints.open_note(NOTE, [witness])


def test_a_wrong_signature_of_a_known_key_is_refused() -> None:
    other = checkpoints.sign(LOG, Checkpoint(NAME, 10, b"r" * 32))
    witness = Verifier("w", WITNESS.public, COSIGNATURE)
    moved = CHECKPOINT.text + other[len(CHECKPOINT.text) + 1 :]
    short = checkpoints.cosign(WITNESS, "w", NOTE, 5).replace(
        checkpoints.cosign(WITNESS, "w", NOTE, 5).splitlines()[-1],
        "\u2014 w " + checkpoints.to_base64(witness.key_id + bytes(64)),
    )

    with pytest.raises(SignatureError):
        checkpoints.open_note(moved, [VERIFIER])
    with pytest.raises(SignatureError, match="72 bytes"):
        checkpoints.open_note(short, [VERIFIER, witness])


def test_a_log_checkpoint_has_its_own_origin_and_a_whole_root() -> None:
    foreign = checkpoints.sign(LOG, Checkpoint("other", 9, b"r" * 32))
    renamed = foreign.replace("\u2014 other", f"\u2014 {NAME}")
    short = checkpoints.sign(LOG, Checkpoint(NAME, 9, b"short"))

    with pytest.raises(SignatureError):
        checkpoints.open_checkpoint(renamed, VERIFIER)
    with pytest.raises(EncodingError, match="32 bytes"):
        checkpoints.open_checkpoint(short, VERIFIER)


def test_a_name_that_signs_another_origin_is_refused() -> None:
    text = Checkpoint("other", 9, b"r" * 32).text
    packed = checkpoints.to_base64(VERIFIER.key_id + LOG.sign(text.encode()))

    with pytest.raises(SignatureError, match="signed by"):
        checkpoints.open_checkpoint(f"{text}\n\u2014 {NAME} {packed}\n", VERIFIER)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "line\nbreak"])
def test_an_origin_that_is_no_key_name_is_not_signed(origin: str) -> None:
    with pytest.raises((LocalError, EncodingError)):
        checkpoints.sign(LOG, Checkpoint(origin, 9, b"r" * 32))


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        VERIFIER.vkey[:-4],
        VERIFIER.vkey.replace("log", "lag"),
        VERIFIER.vkey.replace("+A", "+B", 1),
        "+" + VERIFIER.vkey,
        VERIFIER.vkey + "\n",
    ],
)
def test_a_verifier_key_has_one_spelling(vkey: str) -> None:
    with pytest.raises(EncodingError):
        checkpoints.parse_vkey(vkey)


def test_a_cosigned_note_is_opened_with_exactly_its_signers_and_reduced_to_its_log() -> None:
    log, first, second = (SigningKey(bytes([n]) * 32) for n in (61, 62, 63))
    verifier = Verifier("log.example/1", log.public)
    a, b = (
        Verifier(name, key.public, COSIGNATURE) for name, key in (("w/a", first), ("w/b", second))
    )
    plain = checkpoints.sign(log, Checkpoint("log.example/1", 5, bytes(32)))
    note = checkpoints.cosign(second, "w/b", checkpoints.cosign(first, "w/a", plain, 7), 8)

    assert checkpoints.open_cosigned(note, verifier, [a, b])[1] == (7, 8)
    assert checkpoints.open_cosigned(plain, verifier, [])[1] == ()
    assert checkpoints.alone(note, verifier) == plain
    for wrong in ([], [a], [b, a], [a, b, b]):
        with pytest.raises(EncodingError, match="nobody here can check"):
            checkpoints.open_cosigned(note, verifier, wrong)
    late = checkpoints.cosign(first, "w/a", plain, 1 << 63)
    with pytest.raises(EncodingError, match="below 2"):
        checkpoints.open_cosigned(late, verifier, [a])
    signer = Verifier("w/c", first.public)
    packed = signer.key_id + first.sign(
        checkpoints.parse(plain.rpartition("\n\n")[0] + "\n").text.encode()
    )
    with pytest.raises(EncodingError, match="of a witness"):
        checkpoints.open_cosigned(
            f"{plain}\u2014 w/c {checkpoints.to_base64(packed)}\n", verifier, [signer]
        )
