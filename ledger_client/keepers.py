"""Who keeps the ledger of an agreement: said and signed by the party that is paid on it. Pure.

A statement of kind `keeper`: {1: version, 2: digest of the agreement, 3: the ledger's name, 4: its
asset, 5: whether it is play, 6: did:key of its gateway, which signs batches, 7: did:key of the key
that signs its log's receipts}. The agreement names its payee by a key, so whoever pays needs to
trust nobody else to find the ledger, and no name on a broker.
"""

from dataclasses import dataclass

from ledger_client import cbor, shapes, statements
from ledger_client.errors import EncodingError, ProofError
from ledger_client.keys import PublicKey, SigningKey

KIND = "keeper"
_VERSION = 1
_FIELDS = frozenset(range(1, 8))
_SUBJECT = "urn:milepost:agreement:"
DID_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Keeper:
    """The ledger of one agreement, and the two keys by which goods from there are judged."""

    agreement: bytes
    ledger: str
    asset: str
    demo: bool
    gateway: PublicKey
    log_key: PublicKey

    def follows(self, before: "Keeper") -> bool:
        """Whether this may take the place of what was believed `before`.

        A gateway may get another key; ledger and log stay what they are.
        """
        return (self.agreement, self.ledger, self.asset, self.demo, self.log_key) == (
            before.agreement,
            before.ledger,
            before.asset,
            before.demo,
            before.log_key,
        )


@dataclass(frozen=True, slots=True)
class Said:
    """A keeper as its statement has it, with when it was signed, in Unix seconds."""

    keeper: Keeper
    issued_s: int
    signed: bytes


def sign(key: SigningKey, keeper: Keeper, issued_s: int) -> bytes:
    """The statement, by the party that is paid."""
    payload = cbor.encode(
        {
            1: _VERSION,
            2: keeper.agreement,
            3: keeper.ledger,
            4: keeper.asset,
            5: keeper.demo,
            6: keeper.gateway.did,
            7: keeper.log_key.did,
        }
    )
    return statements.sign(key, KIND, _SUBJECT + keeper.agreement.hex(), payload, issued_s)


def verify(data: bytes, payee: PublicKey) -> Said:
    """What `payee` says.

    Raises:
        EncodingError: no such statement.
        ProofError: somebody else's.
        SignatureError: not signed by whom it names, or a key that is none.
    """
    statement = statements.verify(data)
    if statement.kind != KIND or statement.receipts:
        raise EncodingError(f"expected who keeps a ledger, got a {statement.kind} statement")
    if statement.issuer != payee:
        raise ProofError(
            f"{statement.issuer.short_id} says who keeps the ledger, {payee.short_id} is paid on it"
        )
    pairs = shapes.fields(cbor.decode(statement.payload), "keeper", _FIELDS)
    shapes.integer(pairs[1], "keeper version", _VERSION, _VERSION)
    keeper = Keeper(
        agreement=shapes.octets(pairs[2], "agreement", 32),
        ledger=shapes.text(pairs[3], "ledger"),
        asset=shapes.text(pairs[4], "asset"),
        demo=shapes.boolean(pairs[5], "demo"),
        gateway=_enrolled(pairs[6], "gateway"),
        log_key=_enrolled(pairs[7], "log key"),
    )
    if statement.subject != _SUBJECT + keeper.agreement.hex():
        raise EncodingError("keeper: its subject is another agreement")
    return Said(keeper, statement.issued_s, statement.signed)


def _enrolled(did: object, what: str) -> PublicKey:
    return PublicKey.enrol(PublicKey.from_did(shapes.text(did, what, DID_CHARACTERS_MAX)).raw)
