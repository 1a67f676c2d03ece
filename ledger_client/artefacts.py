"""Single artefacts, as `milepost export --raw`, `log` and `owner` write them, judged one by one.

An artefact seldom stands alone: a receipt is about a statement and is signed by a log. What it is
judged against is given beside it (`Beside`); what is wanted and not given is an error where nothing
would be proved without it, and a sentence under `not_proved` where something is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ledger_client import (
    batches,
    cbor,
    certificates,
    checkpoints,
    cose,
    disclosure,
    enrolment,
    genesis,
    merkle,
    proofs,
    receipts,
    shapes,
    statements,
    trust,
)
from ledger_client.certificates import Certificate, Chain
from ledger_client.checkpoints import ED25519, Verifier
from ledger_client.errors import EncodingError, ProofError, RemoteError
from ledger_client.keys import PublicKey
from ledger_client.report import moment
from ledger_client.statements import Statement

SIZE_MAX = 1 << 24

_Found = TypeVar("_Found")

_SIGN1, _TOKEN = b"\xd2", b"\xd8\x3d"
_X = -2


@dataclass(frozen=True, slots=True)
class Beside:
    """What an artefact is judged against: keys that the reader takes for those of the log."""

    verifiers: tuple[Verifier, ...] = ()
    keys: tuple[PublicKey, ...] = ()
    statements: tuple[Statement, ...] = ()

    def key(self, kid: object) -> PublicKey | None:
        """The key with this thumbprint."""
        return next((key for key in self.keys if key.thumbprint == kid), None)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an artefact is, what follows from it, and what does not."""

    what: str
    proved: tuple[str, ...]
    not_proved: tuple[str, ...] = field(default=())


def beside(each: Iterable[bytes]) -> Beside:
    """What the files in `each` have to say: genesis, verifier keys, key sets and statements.

    Raises:
        RemoteError: one that is none of these, or does not hold.
    """
    verifiers: list[Verifier] = []
    keys: list[PublicKey] = []
    known: list[Statement] = []
    for data in each:
        if data[:1] == _SIGN1:
            statement = statements.verify(data)
            known.append(statement)
            if statement.kind == genesis.KIND:
                log = genesis.verify(statement)
                verifiers.append(log.verifier)
                keys.append(log.receipt_key)
        elif _is_key_set(data):
            keys += _key_set(data)
        else:
            text = _text(data).strip()
            if "\n" in text:
                raise EncodingError(
                    "beside it: expected a genesis, keys or a statement, got a text"
                )
            verifiers.append(checkpoints.parse_vkey(text))
    return Beside(tuple(verifiers), tuple(keys), tuple(known))


def examine(data: bytes, against: Beside) -> Finding:
    """What the artefact in `data` is and proves.

    Raises:
        EncodingError: none of ours.
        RemoteError: it does not hold, or nothing can be proved without more beside it.
    """
    if len(data) > SIZE_MAX:
        raise EncodingError(f"an artefact has at most {SIZE_MAX} bytes, got {len(data)}")
    if data.lstrip()[: len(enrolment.TEXT_PREFIX)] == enrolment.TEXT_PREFIX.encode():
        data = enrolment.from_text(_text(data))
    if data[:1] == _SIGN1:
        return _signed(data, against)
    if data[:2] == _TOKEN:
        return _chain((certificates.parse(data),))
    if _is_key_set(data):
        return _keys(_key_set(data))
    if b"\x81" <= data[:1] < b"\xa0" or data[:2] == b"\xa1\x01":  # [leaf...] or {1: chosen}
        return _leaves(data, against)
    if data[:2] == b"\xa2\x01":  # {1: version, 2: tokens}
        return _chain(certificates.verify_chain(certificates.decode_tokens(data)))
    return _textual(_text(data), against)


def _signed(data: bytes, against: Beside) -> Finding:
    message = cose.parse_sign1(data, size_max=statements.SIZE_MAX, deterministic=False)
    if cose.VDS in message.protected:
        return _receipt(data, message, against)
    return _statement(statements.verify(data), against)


def _statement(statement: Statement, against: Beside) -> Finding:
    meaning = _MEANINGS.get(statement.kind)
    said = (
        f"{statement.issuer.did} signed this {statement.kind} statement about {statement.subject}"
        f" and dated it {moment(statement.issued_s)}."
    )
    proved = [said + (meaning(statement) if meaning else "")]
    not_proved = ["Who holds that key, and that what it says is true."]
    for receipt in statement.receipts:
        message = cose.parse_sign1(receipt, size_max=receipts.SIZE_MAX, deterministic=False)
        key = against.key(message.protected.get(cose.KID))
        if key is None:
            not_proved.append(
                "That it stands on a log: none of the keys given signed its receipt. Name the"
                " log's genesis with --with."
            )
        else:
            proved.append(_place(key, receipt, statement))
    if not statement.receipts:
        not_proved.append("That it stands on a log: it carries no receipt.")
    return Finding(f"a {statement.kind} statement", tuple(proved), tuple(not_proved))


def _receipt(data: bytes, message: cose.Sign1, against: Beside) -> Finding:
    key = against.key(message.protected.get(cose.KID))
    if key is None:
        raise ProofError("a receipt: nothing to judge it by; name its log's genesis with --with")
    said = _first(
        "a receipt", "statement", against.statements, lambda each: _place(key, data, each)
    )
    return Finding("a receipt of inclusion", (said,), (_OTHERS,))


def _place(key: PublicKey, receipt: bytes, statement: Statement) -> str:
    found = receipts.verify_inclusion(key, receipt, statement.digest)
    when = "" if found.issued_s is None else f", signed {moment(found.issued_s)}"
    return (
        f"The log {found.log or 'without a name'} with the key {key.did} holds the {statement.kind}"
        f" statement {statement.digest.hex()} at place {found.index} of {found.tree_size}{when}."
    )


def _textual(text: str, against: Beside) -> Finding:
    if text.startswith(proofs.FIRST):
        return _proof(text, against)
    if "\n\n\u2014 " in text:
        return _checkpoint(text, against)
    if "\n" in text.strip():
        raise EncodingError("expected an artefact of milepost, got other text")
    verifier = checkpoints.parse_vkey(text.strip())
    return Finding(
        "a verifier key",
        (f"Nothing by itself: it is how {verifier.name} names the key {verifier.public.did}.",),
        ("Whose key it is: compare it with what you have from the owner himself.",),
    )


def _checkpoint(text: str, against: Beside) -> Finding:
    verifier = _log_of(against, text.split("\n", 1)[0], "a checkpoint")
    head = checkpoints.open_checkpoint(text, verifier)
    witnesses = [each for each in against.verifiers if each.kind != ED25519]
    _, signers = checkpoints.open_note(text, [verifier, *witnesses])
    seen = tuple(f"{name} cosigned it." for name in signers if name != verifier.name)
    said = (
        f"The log {head.origin} signed that it has {head.size} entries, under the root"
        f" {head.root.hex()}, with the key {verifier.public.did}."
    )
    return Finding("a checkpoint", (said, *seen), ("What the entries are.", _OTHERS))


def _proof(text: str, against: Beside) -> Finding:
    note = text.partition("\n\n")[2]
    verifier = _log_of(against, note.split("\n", 1)[0], "a tlog-proof")
    witnesses = [each for each in against.verifiers if each.kind != ED25519]

    def judge(statement: Statement) -> Finding:
        found = proofs.verify(text, verifier, statement.digest, witnesses)
        head = found.checkpoint
        said = (
            f"The log {head.origin} holds the {statement.kind} statement {statement.digest.hex()}"
            f" at place {found.index} of {head.size}, under the root {head.root.hex()}."
        )
        seen = tuple(f"{name} cosigned that head." for name in found.witnesses)
        return Finding("a tlog-proof", (said, *seen), (_OTHERS,))

    return _first("a tlog-proof", "statement", against.statements, judge)


def _log_of(against: Beside, origin: str, what: str) -> Verifier:
    for each in against.verifiers:
        if each.name == origin and each.kind == ED25519:
            return each
    raise ProofError(f"{what}: name the genesis or verifier key of {origin[:80]!a} with --with")


def _leaves(data: bytes, against: Beside) -> Finding:
    given = disclosure.parse(cbor.decode(data, size_max=SIZE_MAX)) or ()

    def judge(statement: Statement) -> Finding:
        batch = batches.decode(statement.payload)
        shown = len(disclosure.verify(given, batch))
        closed = batch.leaf_count - shown
        said = (
            f"{statement.issuer.did} signed these {shown} readings in batch {batch.sequence} of"
            f" {statement.subject}: value, unit, time and how it was heard."
        )
        rest = (f"What the other {closed} readings of the batch are.",) if closed else ()
        return Finding("a disclosure", (said,), (*rest, "That a sensor told the truth."))

    signed = [each for each in against.statements if each.kind == "batch"]
    return _first("a disclosure", "batch statement", signed, judge)


def _first(
    what: str, wanted: str, known: Sequence[Statement], judge: Callable[[Statement], _Found]
) -> _Found:
    """What `judge` finds with the first statement that fits; the last error when none does."""
    failure: RemoteError = ProofError(f"{what}: name its {wanted} with --with")
    for statement in known:
        try:
            return judge(statement)
        except RemoteError as error:
            failure = error
    raise failure


def _chain(chain: Chain) -> Finding:
    return Finding(
        "a certificate" if len(chain) == 1 else f"a chain of {len(chain)} certificates",
        tuple(_granted(each) for each in chain),
        (
            f"Who holds the first key, {chain[0].issuer.did}: compare it with the owner's.",
            "That none of it was taken back since.",
        ),
    )


def _granted(each: Certificate) -> str:
    grant = each.grant
    return (
        f"{each.issuer.did} lets {grant.holder.did} {' '.join(grant.scope)}, from"
        f" {moment(grant.not_before_s)} until before {moment(grant.expires_s)}."
    )


def _keys(keys: Sequence[PublicKey]) -> Finding:
    return Finding(
        f"a set of {len(keys)} keys",
        ("Nothing by itself: it names keys.", *(f"{key.short_id} is {key.did}." for key in keys)),
        ("Whose keys they are.",),
    )


def _is_key_set(data: bytes) -> bool:
    """Whether it is an array of up to 255 that begins with a map, as a COSE_KeySet does."""
    first = data[2:3] if data[:1] == b"\x98" else data[1:2]
    return b"\x81" <= data[:1] <= b"\x98" and b"\xa0" < first < b"\xb8"


def _key_set(data: bytes) -> list[PublicKey]:
    found = []
    for entry in shapes.array(cbor.decode(data), "keys"):
        pairs = shapes.mapping(entry, "key")
        key = PublicKey.enrol(shapes.octets(pairs.get(_X), "key", merkle.HASH_BYTES))
        if any(pairs.get(label) != value for label, value in key.cose_key().items()):
            raise EncodingError("keys: expected the COSE_Key of an Ed25519 key")
        found.append(key)
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EncodingError("expected an artefact of milepost, got something else") from error


def _of_batch(statement: Statement) -> str:
    batch = batches.decode(statement.payload)
    return (
        f" It fixes {batch.leaf_count} readings, batch {batch.sequence} of this issuer, heard"
        f" between {moment(batch.first_minute * 60)} and {moment(batch.last_minute * 60 + 60)}"
        " by the clock of the gateway."
    )


def _of_genesis(statement: Statement) -> str:
    log = genesis.verify(statement)
    return f" It begins the {'demo ' if log.demo else ''}log with the key {log.verifier.vkey}."


def _of_certificates(statement: Statement) -> str:
    chains = trust.certified(statement)
    return "".join(f" {_granted(chain[-1])}" for chain in chains)


def _of_revocation(statement: Statement) -> str:
    taken = trust.revoked(statement)
    kept = taken.believed.size if taken.believed else 0
    return (
        f" It takes back what was granted to {taken.chain[-1].holder.did} ({taken.reason});"
        f" {kept} entries of its log stay good."
    )


def _of_rotation(statement: Statement) -> str:
    rotation = trust.rotated(statement)
    return f" {rotation.new.did} carries on after batch {rotation.sequence}, and signed that too."


def _of_request(statement: Statement) -> str:
    asked = enrolment.asked(statement)
    return f" {asked.name!a} asks to be allowed {' '.join(asked.scope)}."


_OTHERS = "That the log shows others the same head: compare it, or ask for cosignatures."
_MEANINGS: dict[str, Callable[[Statement], str]] = {
    "batch": _of_batch,
    genesis.KIND: _of_genesis,
    trust.CERTIFICATE: _of_certificates,
    trust.REVOCATION: _of_revocation,
    trust.ROTATION: _of_rotation,
    enrolment.KIND: _of_request,
}
