"""The owner's side: grants to gateways, and taking them back. Runs anywhere, without a gateway.

The owner's root key is one file. It never needs to be on a gateway: requests come, and grants and
revocations go, as files or text.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.home import HomeError
from ledger_client import certificates, enrolment, statements, trust
from ledger_client.certificates import Chain, Grant, Limits
from ledger_client.enrolment import Request
from ledger_client.errors import EncodingError
from ledger_client.keys import SigningKey
from ledger_client.trust import Believed, Revocation

DAY_S = 86_400
_MINUTE_S = 60
_FILE_BYTES_MAX = 1 << 18


@dataclass(frozen=True, slots=True)
class Terms:
    """What the owner grants of what was asked; `scope` and `limits` None: as asked."""

    days: int
    scope: tuple[str, ...] | None = None
    limits: Limits | None = None


def read_request(data: bytes) -> Request:
    """The request in a file; raises RemoteError."""
    return enrolment.asked(statements.verify(data))


def grant(
    key: SigningKey, request: Request, terms: Terms, now_s: int, above: Sequence[bytes] = ()
) -> bytes:
    """The certificates for a gateway: `above` (how `key` was certified itself, if it was), and its.

    Raises:
        ProofError: more than `key` was granted itself.
    """
    now_s -= now_s % _MINUTE_S  # no time on a log is finer
    wanted = Grant(
        holder=request.holder,
        not_before_s=now_s,
        expires_s=now_s + terms.days * DAY_S,
        scope=terms.scope or request.scope,
        limits=terms.limits or request.limits,
    )
    token = certificates.issue(key, wanted, os.urandom(certificates.HANDLE_BYTES), now_s)
    tokens = [*above, token]
    certificates.verify_chain(tokens)
    return certificates.encode_tokens(tokens)


def revoke(
    key: SigningKey, granted: bytes, reason: str, now_s: int, believed: Believed | None
) -> bytes:
    """The statement that takes back the last of the certificates in `granted`."""
    now_s -= now_s % _MINUTE_S
    return trust.revoke(key, certificates.decode_tokens(granted), reason, now_s, believed)


def read_chain(data: bytes) -> Chain:
    """The chain in a file of certificates; raises RemoteError."""
    return certificates.verify_chain(certificates.decode_tokens(data))


def read_revocation(data: bytes) -> Revocation:
    """The revocation in a file; raises RemoteError."""
    return trust.revoked(statements.verify(data))


def read_artefact(path: Path) -> bytes:
    """A request, grant or revocation from a file, in either form.

    Raises:
        HomeError: it cannot be read.
        EncodingError: text that is damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise HomeError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _FILE_BYTES_MAX:
        raise EncodingError(f"{path}: expected at most {_FILE_BYTES_MAX} bytes")
    if data.lstrip().startswith(enrolment.TEXT_PREFIX.encode()):
        return enrolment.from_text(data.decode("ascii", "replace"))
    return data
