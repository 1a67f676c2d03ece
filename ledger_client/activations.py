"""Activations on a log: a party attests that a holder activated or paired something. Pure.

A statement of kind `activation`: {1: version, 2: digest of the agreement, 3: the holder's did or
pseudonym, 4: 32 bytes that name the device, 5: the further wearable, or nothing for the device
itself}. A device is named by the hash of the code in its box, so the log names no serial number.
"""

from collections.abc import Iterable
from hashlib import sha256

from ledger_client import agreements, cbor, shapes, statements
from ledger_client.agreements import ActivationGrant
from ledger_client.dues import Activation
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.statements import Statement

KIND = "activation"
CODE_CHARACTERS_MIN = 12
_VERSION = 1
_MINUTE_S = 60


def device_of(grant: bytes, code: str) -> bytes:
    """What names a device under an agreement; raises EncodingError for a code that is guessable."""
    if len(code) < CODE_CHARACTERS_MIN:
        raise EncodingError(f"an activation code has {CODE_CHARACTERS_MIN} characters at least")
    return sha256(b"device" + grant + code.encode()).digest()


def sign(
    key: SigningKey, grant: bytes, holder: PublicKey, device: bytes, wearable: str, now_s: int
) -> bytes:
    """The statement by a party of the agreement with digest `grant`, to the minute."""
    payload = cbor.encode({1: _VERSION, 2: grant, 3: holder.did, 4: device, 5: wearable})
    subject = f"urn:milepost:agreement:{grant.hex()}"
    return statements.sign(key, KIND, subject, payload, now_s - now_s % _MINUTE_S)


def of(grant: ActivationGrant, found: Iterable[Statement]) -> list[Activation]:
    """The activations under an agreement that its parties attest, in the order of the log.

    Raises:
        RemoteError: a statement of this kind that is malformed.
    """
    wanted = agreements.digest(grant)
    parties = {party.did for party in grant.parties}
    activations = []
    for statement in found:
        if statement.kind != KIND:
            continue
        pairs = shapes.fields(
            cbor.decode(statement.payload), "activation", frozenset({1, 2, 3, 4, 5})
        )
        shapes.integer(pairs[1], "activation version", _VERSION, _VERSION)
        holder = PublicKey.from_did(shapes.text(pairs[3], "holder"))
        device = shapes.octets(pairs[4], "device", 32)
        wearable = shapes.text(pairs[5], "wearable", 200)
        if pairs[2] == wanted and statement.issuer.did in parties:
            activations.append(Activation(holder.did, device.hex(), wearable, statement.issued_s))
    return activations
