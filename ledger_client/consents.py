"""Who signed an agreement and until when it holds. Pure.

An act is a statement of kind `agreement`: {1: version, 2: digest of the agreement, 3: act}. Its
subject names the digest and nothing else. Signing is the consent, of those who give one: the two
begin and end together. Endings are judged by the time in the statement, to the minute.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ledger_client import agreements, cbor, shapes, statements
from ledger_client.agreements import Document
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey, SigningKey, hkdf_sha256
from ledger_client.statements import Statement

KIND = "agreement"
_VERSION = 1
_MINUTE_S = 60
_SUBJECT = "urn:milepost:agreement:"


class Act(Enum):
    """What a party does about an agreement."""

    SIGN = "sign"
    END = "end"
    WITHDRAW = "withdraw"


class State(Enum):
    """Where an agreement stands at one moment."""

    PROPOSED = "proposed"
    AGREED = "agreed"
    IN_FORCE = "in force"
    EXPIRED = "expired"
    ENDED = "ended"
    WITHDRAWN = "consent withdrawn"
    VOID = "void: the owner changed"


@dataclass(frozen=True, slots=True)
class Standing:
    """`from_s` is None until everybody signed; what happens from `until_s` on earns nothing."""

    state: State
    signed: tuple[str, ...]
    missing: tuple[str, ...]
    from_s: int | None
    until_s: int

    def covers(self, at_s: float) -> bool:
        """Whether it holds, held or will hold at this Unix time."""
        return self.from_s is not None and self.from_s <= at_s < self.until_s


def sign_act(key: SigningKey, digest: bytes, act: Act, now_s: int) -> bytes:
    """The statement by which the holder of `key` signs, ends or withdraws from an agreement."""
    payload = cbor.encode({1: _VERSION, 2: digest, 3: act.value})
    return statements.sign(key, KIND, subject(digest), payload, now_s - now_s % _MINUTE_S)


def subject(digest: bytes) -> str:
    """What an act is about, as its statement says it."""
    return f"{_SUBJECT}{digest.hex()}"


def parse_act(statement: Statement) -> tuple[bytes, Act]:
    """The agreement's digest and what was done; raises EncodingError."""
    if statement.kind != KIND:
        raise EncodingError(f"expected an act about an agreement, got a {statement.kind} statement")
    pairs = shapes.fields(cbor.decode(statement.payload), "act", frozenset({1, 2, 3}))
    shapes.integer(pairs[1], "act version", _VERSION, _VERSION)
    digest = shapes.octets(pairs[2], "agreement", 32)
    if statement.subject != subject(digest):
        raise EncodingError("act: its subject is another agreement")
    try:
        return digest, Act(pairs[3])
    except ValueError:
        raise EncodingError("act: expected sign, end or withdraw") from None


def standing(
    agreement: Document, acts: Iterable[Statement], now_s: int, changes_s: Iterable[int] = ()
) -> Standing:
    """Where the agreement stands, by what its parties signed; acts of others say nothing.

    `changes_s` are the times at which what it is about got another owner. Whoever ends an agreement
    does so for good; a second signature changes nothing.
    """
    names = {PublicKey.from_did(party.did): party.name for party in agreement.parties}
    wanted = agreements.digest(agreement)
    signed: dict[str, int] = {}
    ends: list[tuple[int, State]] = [(agreement.expires_s, State.EXPIRED)]
    for statement in acts:
        digest, act = parse_act(statement)
        name = names.get(statement.issuer)
        if digest != wanted or name is None:
            continue
        if act is Act.SIGN:
            signed[name] = min(signed.get(name, statement.issued_s), statement.issued_s)
        elif act is Act.WITHDRAW and name in agreement.grantors:
            ends.append((statement.issued_s, State.WITHDRAWN))
        else:
            ends.append((statement.issued_s + agreement.notice_s, State.ENDED))
    missing = tuple(name for name in names.values() if name not in signed)
    from_s = None if missing else max(agreement.begins_s, *signed.values())
    begun_s = min(signed.values(), default=now_s)
    ends += [(changed_s, State.VOID) for changed_s in changes_s if changed_s > begun_s]
    until_s, over = min(ends, key=lambda end: end[0])
    return Standing(
        _state(from_s, until_s, over, now_s), tuple(sorted(signed)), missing, from_s, until_s
    )


def consented(holder: PublicKey, digest: bytes, acts: Iterable[Statement], at_s: float) -> bool:
    """Whether one who is no party, a customer, had joined at this time and not left again."""
    own = [(act.issued_s, parse_act(act)) for act in acts if act.issuer == holder]
    joined = [when_s for when_s, (about, act) in own if about == digest and act is Act.SIGN]
    left = [when_s for when_s, (about, act) in own if about == digest and act is not Act.SIGN]
    return any(when_s <= at_s for when_s in joined) and not any(when_s <= at_s for when_s in left)


def _state(from_s: int | None, until_s: int, over: State, now_s: int) -> State:
    if now_s >= until_s:
        return over
    if from_s is None:
        return State.PROPOSED
    return State.IN_FORCE if from_s <= now_s else State.AGREED


def pairwise_key(secret: bytes, agreement: bytes, brand: PublicKey) -> SigningKey:
    """The key by which a customer is known to one brand of an ecosystem, and to nobody else.

    `secret` is the customer's own 32 random bytes; `agreement` is a digest. Without the secret two
    such keys are two random keys: HKDF-SHA256 with the agreement and the brand for its info.
    """
    shapes.octets(secret, "customer's secret", 32)
    return SigningKey(hkdf_sha256(secret, b"pseudonym" + agreement + brand.raw))
