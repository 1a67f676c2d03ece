"""Single artefacts, each judged by what is given beside it."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import (
    artefacts,
    cbor,
    certificates,
    checkpoints,
    disclosure,
    enrolment,
    merkle,
    proofs,
    statements,
    trust,
)
from ledger_client.artefacts import Beside, Finding, beside, examine
from ledger_client.certificates import Grant, Limits
from ledger_client.checkpoints import COSIGNATURE, Verifier
from ledger_client.errors import EncodingError, ProofError, RemoteError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

NOW_S = 1_767_225_600
OWNER, NEXT, WITNESS = (SigningKey(bytes([number]) * 32) for number in (7, 8, 9))
NOTHING = Beside()


def changed(data: bytes, place: int = -1) -> bytes:
    other = bytearray(data)
    other[place] ^= 1
    return bytes(other)


def granted(holder: PublicKey) -> list[bytes]:
    wanted = Grant(holder, NOW_S, NOW_S + 86_400, ("log", "stream"), Limits(depth=1))
    return [certificates.issue(OWNER, wanted, bytes(16), NOW_S)]


def vkey(
    key: PublicKey, kind: int = checkpoints.ED25519, name: str = "milepost.example/gw"
) -> bytes:
    return Verifier(name, key, kind).vkey.encode() + b"\n"


def key_set(*keys: PublicKey) -> bytes:
    return cbor.encode([{**key.cose_key(), 2: key.thumbprint, 3: -8} for key in keys])


def test_a_batch_statement_is_explained_and_its_place_is_proved_with_the_genesis(
    ledger: "Ledger",
) -> None:
    ledger.grow(2)
    transparent = statements.attach(ledger.log.statement(1), [ledger.log.receipt(1)])

    alone = examine(ledger.log.statement(1), NOTHING)
    unjudged = examine(transparent, NOTHING)
    whole = examine(transparent, beside([ledger.log.statement(0)]))

    assert (alone.what, len(alone.proved)) == ("a batch statement", 1)
    assert "3 readings, batch 1 of this issuer" in alone.proved[0]
    assert "carries no receipt" in alone.not_proved[1]
    assert "none of the keys given" in unjudged.not_proved[1]
    assert "at place 1 of 3" in whole.proved[1]
    assert len(whole.not_proved) == 1


def test_a_receipt_wants_its_log_and_its_statement(
    ledger: "Ledger",
) -> None:
    ledger.grow(2)
    log, receipt = ledger.log, ledger.log.receipt(1)
    first, own, other = (log.statement(index) for index in range(3))

    with pytest.raises(ProofError, match="genesis"):
        examine(receipt, beside([own]))
    with pytest.raises(ProofError, match="name its statement"):
        examine(receipt, beside([key_set(ledger.receipt_key.public)]))
    with pytest.raises(RemoteError):
        examine(receipt, beside([first, other]))
    found = examine(receipt, beside([first, other, own]))

    assert (found.what, len(found.proved)) == ("a receipt of inclusion", 1)
    assert "at place 1 of 3, signed" in found.proved[0]
    with pytest.raises(RemoteError):
        examine(changed(receipt), beside([first, own]))


def test_a_checkpoint_is_judged_by_its_log_and_the_witnesses_that_are_named(
    ledger: "Ledger",
) -> None:
    note = checkpoints.cosign(WITNESS, "w", ledger.grow(2).note, NOW_S)
    seen = vkey(WITNESS.public, COSIGNATURE, "w")

    with pytest.raises(ProofError, match="name the genesis or verifier key"):
        examine(note.encode(), beside([seen]))
    found = examine(note.encode(), beside([seen, vkey(ledger.note_key.public)]))

    assert "has 3 entries" in found.proved[0]
    assert found.proved[1] == "w cosigned it."
    with pytest.raises(SignatureError):
        examine(note.encode(), beside([vkey(OWNER.public)]))
    with pytest.raises(EncodingError, match="a genesis, keys or a statement, got a text"):
        beside([note.encode()])


def test_a_tlog_proof_is_judged_by_key_and_statement(
    ledger: "Ledger",
) -> None:
    head = ledger.grow(3)
    note = checkpoints.cosign(WITNESS, "w", head.note, NOW_S)
    text = proofs.write(2, merkle.inclusion_proof(2, 4, ledger.log.nodes), note).encode()
    given = [ledger.log.statement(index) for index in (0, 2)]

    with pytest.raises(ProofError, match="name its statement"):
        examine(text, beside([vkey(ledger.note_key.public)]))
    found = examine(text, beside([*given, vkey(WITNESS.public, COSIGNATURE, "w")]))

    assert "at place 2 of 4" in found.proved[0]
    assert found.proved[1] == "w cosigned that head."


@pytest.mark.parametrize(("shown", "rest"), [((0, 1, 2), 1), ((0, 2), 2)])
def test_a_disclosure_is_judged_by_its_batch(
    ledger: "Ledger", shown: tuple[int, ...], rest: int
) -> None:
    ledger.grow(1)
    (leaves,) = ledger.leaves.values()
    data = cbor.encode(disclosure.encode(disclosure.choose(leaves, shown)))
    given = beside([ledger.log.statement(0), ledger.log.statement(1)])

    with pytest.raises(ProofError, match="name its batch statement"):
        examine(data, NOTHING)
    found = examine(data, given)

    assert f"these {len(shown)} readings in batch 1" in found.proved[0]
    assert len(found.not_proved) == rest
    with pytest.raises(RemoteError):
        examine(changed(data), given)


def test_certificates_requests_and_what_takes_them_back_are_explained() -> None:
    holder = SigningKey(bytes([3]) * 32)
    tokens = granted(holder.public)
    digest = bytes(32)
    request = enrolment.ask(holder, "car", ("log",), Limits(), NOW_S)

    def said(data: bytes) -> str:
        return " ".join(examine(data, NOTHING).proved)

    assert f"lets {holder.public.did} log stream" in said(tokens[0])
    assert said(certificates.encode_tokens(tokens)) == said(tokens[0])
    assert said(enrolment.to_text(certificates.encode_tokens(tokens)).encode()) == said(tokens[0])
    assert "log stream" in said(trust.certify(holder, tokens, NOW_S))
    assert "(stolen); 0 entries" in said(trust.revoke(OWNER, tokens, "stolen", NOW_S))
    believed = trust.Believed(5, digest)
    assert "(sold); 5 entries" in said(trust.revoke(OWNER, tokens, "sold", NOW_S, believed))
    assert "carries on after batch 4" in said(trust.rotate(holder, NEXT, 4, digest, NOW_S))
    assert "'car' asks to be allowed log" in said(request)
    assert "note statement" in said(statements.sign(holder, "note", "s", b"", NOW_S))


def test_a_genesis_a_verifier_key_and_a_key_set_name_keys_and_prove_nothing_else(
    ledger: "Ledger",
) -> None:
    many = key_set(*(SigningKey(bytes([n]) * 32).public for n in range(1, 31)))

    assert "begins the demo log" in examine(ledger.log.statement(0), NOTHING).proved[0]
    assert "Nothing by itself" in examine(vkey(OWNER.public), NOTHING).proved[0]
    assert examine(key_set(OWNER.public), NOTHING).what == "a set of 1 keys"
    assert examine(many, NOTHING).what == "a set of 30 keys"
    assert len(beside([many]).keys) == 30
    with pytest.raises(EncodingError, match="COSE_Key"):
        examine(cbor.encode([{1: 1, -1: 4, -2: OWNER.public.raw}]), NOTHING)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"hello",
        b"a\n\nb\n",
        b"a\n\n\xe2\x80\x94 b\n",
        b"\x80",
        b"\xf6",
        b"\xa2\x01",
        bytes(artefacts.SIZE_MAX + 1),
    ],
)
def test_what_is_no_artefact_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        examine(data, NOTHING)


def judge(data: bytes) -> Finding:
    return examine(data, NOTHING)


@given(st.binary(max_size=200))
@pytest.mark.parametrize("read", [judge, lambda data: beside([data])])
def test_any_bytes_give_a_finding_or_a_remote_error(
    read: Callable[[bytes], object], data: bytes
) -> None:
    with suppress(RemoteError):
        read(data)
