"""Certificates: who lets whom do what, until when, as CBOR Web Tokens (RFC 8392).

A token is 61(18([...])), a COSE_Sign1 with typ 61. Claims: 1 iss and 2 sub (did:key), 4 exp, 5 nbf,
6 iat, 7 cti (16 random bytes, the handle to revoke it by), 8 cnf {1: COSE_Key}, 9 scope, -70001
limits {1: most minor units a period, 2: depth, 3: period in s, 4: asset}. An owner's root key
certifies gateways, a gateway certifies components; the root has no certificate of its own.

`depth` is how many further certificates may hang below: 0 may not certify. No label 1 means that
nothing may be spent; no label 3, that the amount is for the whole life of the certificate.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger_client import cbor, cose, shapes
from ledger_client.errors import EncodingError, LocalError, ProofError, SignatureError
from ledger_client.keys import PublicKey, SigningKey

HANDLE_BYTES = 16
DEPTH_MAX = 7
SIZE_MAX = 1_024
CERTIFICATES_MAX = 100

_PREFIX = b"\xd8\x3d"  # tag 61, RFC 8392 section 6
_TYP = 61  # CoAP content format of application/cwt, RFC 9596
_ISS, _SUB, _EXP, _NBF, _IAT, _CTI, _CNF, _SCOPE, _LIMITS = 1, 2, 4, 5, 6, 7, 8, 9, -70001
_CLAIMS = frozenset({_ISS, _SUB, _EXP, _NBF, _IAT, _CTI, _CNF, _SCOPE, _LIMITS})
_HEADER = frozenset({cose.ALG, cose.KID, cose.TYP})
_WORD = re.compile(r"[a-z][a-z0-9-]{0,31}")
_MOST, _DEPTH, _PERIOD, _ASSET = 1, 2, 3, 4
_ASSET_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a certificate reaches; see the module for what is meant by none."""

    depth: int = 0
    minor_units_max: int = 0
    period_s: int | None = None
    asset: str | None = None

    def encode(self) -> dict[int, int | str]:
        """Label -70001."""
        pairs: dict[int, int | str | None] = {
            _MOST: self.minor_units_max or None,
            _DEPTH: self.depth,
            _PERIOD: self.period_s,
            _ASSET: self.asset,
        }
        return {label: value for label, value in pairs.items() if value is not None}

    def wider_than(self, above: "Limits") -> str:
        """What is larger here than `above` allows, or nothing."""
        if self.depth >= above.depth:
            return f"its depth {self.depth} is not below {above.depth}"
        if self.minor_units_max > above.minor_units_max:
            return (
                f"it may spend {self.minor_units_max}, at most {above.minor_units_max} is allowed"
            )
        if self.minor_units_max == 0:
            return ""
        if above.asset is not None and self.asset != above.asset:
            return "it may spend another asset"
        shortest_s = above.period_s
        if self.period_s is not None and (shortest_s is None or self.period_s < shortest_s):
            return "it may spend more often"
        return ""


@dataclass(frozen=True, slots=True)
class Grant:
    """What an issuer lets `holder` do, from one Unix time in seconds until before another."""

    holder: PublicKey
    not_before_s: int
    expires_s: int
    scope: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A grant that its issuer signed; `handle` is what it is revoked by."""

    issuer: PublicKey
    grant: Grant
    issued_s: int
    handle: bytes
    token: bytes

    @property
    def holder(self) -> PublicKey:
        """Whose key this certifies."""
        return self.grant.holder

    def current(self, now_s: int | None, floor_s: int = 0) -> bool:
        """Whether it is valid at `now_s`; None while the clock is unset.

        `floor_s` is the time of the newest checkpoint: it is later than that for certain, so what
        expired before has expired also on a box that does not know the time.
        """
        begun = now_s is None or max(now_s, floor_s) >= self.grant.not_before_s
        return begun and max(now_s or 0, floor_s) < self.grant.expires_s


Chain = tuple[Certificate, ...]
"""Root's first certificate first; each is issued by the holder of the one before."""


def issue(key: SigningKey, grant: Grant, handle: bytes, issued_s: int) -> bytes:
    """The token by which the holder of `key` grants; `handle` is 16 random bytes.

    Raises:
        LocalError: a grant that nobody could accept.
    """
    claims = {
        _ISS: key.public.did,
        _SUB: grant.holder.did,
        _EXP: grant.expires_s,
        _NBF: grant.not_before_s,
        _IAT: issued_s,
        _CTI: handle,
        _CNF: {1: grant.holder.cose_key()},
        _SCOPE: " ".join(grant.scope),
        _LIMITS: grant.limits.encode(),
    }
    header = {cose.KID: key.public.thumbprint, cose.TYP: _TYP}
    token = _PREFIX + cose.sign1(key, header, cbor.encode(claims))
    try:
        parse(token)
    except (EncodingError, SignatureError) as error:
        raise LocalError(f"nobody would take this certificate: {error}") from error
    return token


def parse(token: bytes) -> Certificate:
    """The certificate in `token`, signed by the issuer that it names.

    Raises:
        EncodingError: not the one encoding of a certificate.
        SignatureError: issuer, kid and signature do not belong together, or an unsafe key.
    """
    if token[:2] != _PREFIX:
        raise EncodingError("certificate: expected a CBOR Web Token (tag 61)")
    message = cose.parse_sign1(token[2:], size_max=SIZE_MAX)
    header = shapes.fields(message.protected, "certificate header", _HEADER)
    shapes.integer(header[cose.TYP], "certificate typ", _TYP, _TYP)
    if message.unprotected:
        raise EncodingError("certificate: expected an empty unprotected header")
    payload = shapes.octets(message.payload, "claims", most=SIZE_MAX)
    claims = shapes.fields(cbor.decode(payload), "claims", _CLAIMS)
    issuer = _safe(PublicKey.from_did(shapes.text(claims[_ISS], "issuer")))
    holder = _safe(PublicKey.from_did(shapes.text(claims[_SUB], "holder")))
    if cbor.encode(claims[_CNF]) != cbor.encode({1: holder.cose_key()}):
        raise SignatureError("certificate: the confirmed key is not the one of its holder")
    if header[cose.KID] != issuer.thumbprint:
        raise SignatureError("certificate: the kid is not the thumbprint of the issuer's key")
    cose.verify_sign1(issuer, message)
    not_before_s = shapes.integer(claims[_NBF], "not before")
    grant = Grant(
        holder,
        not_before_s,
        shapes.integer(claims[_EXP], "expiry", not_before_s + 1),
        parse_scope(claims[_SCOPE]),
        parse_limits(claims[_LIMITS]),
    )
    issued_s = shapes.integer(claims[_IAT], "issued at")
    handle = shapes.octets(claims[_CTI], "cti", HANDLE_BYTES)
    return Certificate(issuer, grant, issued_s, handle, token)


def verify_tree(tokens: Sequence[bytes]) -> list[Chain]:
    """The chain of every certificate, in the order given: the first one's issuer is the root.

    Each further certificate is issued by the root or by the holder of an earlier one, and grants
    no more than that one has: nested window, a subset of the scope, limits not larger, less depth.

    Raises:
        EncodingError: not certificates, none, too many, or the same holder twice.
        SignatureError: a signature or key that does not hold.
        ProofError: one that grants more than its issuer has, or hangs in the air.
    """
    if not 1 <= len(tokens) <= CERTIFICATES_MAX:
        raise EncodingError(f"certificates: expected 1 to {CERTIFICATES_MAX}, got {len(tokens)}")
    first = parse(tokens[0])
    chains: dict[PublicKey, Chain] = {first.issuer: ()}
    for certificate in (first, *map(parse, tokens[1:])):
        name = certificate.holder.short_id
        above = chains.get(certificate.issuer)
        if above is None:
            raise ProofError(f"the certificate of {name} has an issuer whom nobody certifies here")
        if certificate.holder in chains:
            raise EncodingError(f"certificates: {name} comes twice")
        if above:
            _check_step(above[-1].grant, certificate.grant)
        chains[certificate.holder] = (*above, certificate)
    return [chain for chain in chains.values() if chain]


def verify_chain(tokens: Sequence[bytes]) -> Chain:
    """As `verify_tree`, for certificates each of which is issued by the holder before it."""
    chain = verify_tree(tokens)[-1]
    if len(chain) != len(tokens):
        raise ProofError("certificates: expected one chain, they have branches")
    return chain


def encode_tokens(tokens: Sequence[bytes]) -> bytes:
    """Certificates as one file or payload: {1: version, 2: [token...]}."""
    return cbor.encode({1: 1, 2: list(tokens)})


def decode_tokens(data: bytes) -> list[bytes]:
    """What `encode_tokens` encoded; raises EncodingError. The tokens are not judged."""
    pairs = shapes.fields(cbor.decode(data), "certificates", frozenset({1, 2}))
    shapes.integer(pairs[1], "certificates version", 1, 1)
    tokens = shapes.array(pairs[2], "certificates")
    return [shapes.octets(token, "certificate", most=SIZE_MAX) for token in tokens]


def _check_step(above: Grant, below: Grant) -> None:
    problem = below.limits.wider_than(above.limits)
    if not above.not_before_s <= below.not_before_s < below.expires_s <= above.expires_s:
        problem = "its time is not within its issuer's"
    if not set(below.scope) <= set(above.scope):
        problem = "its scope has words that its issuer's has not"
    if problem:
        raise ProofError(f"the certificate of {below.holder.short_id}: {problem}")


def _safe(key: PublicKey) -> PublicKey:
    return PublicKey.enrol(key.raw)


def parse_scope(value: object) -> tuple[str, ...]:
    """The words of a scope, in their order; raises EncodingError."""
    words = tuple(shapes.text(value, "scope").split(" "))
    if len(set(words)) != len(words) or not all(map(_WORD.fullmatch, words)):
        raise EncodingError("scope: expected different lower-case words with a space between")
    return words


def parse_limits(value: object) -> Limits:
    """What `Limits.encode` encoded; raises EncodingError."""
    pairs = shapes.fields(value, "limits", frozenset({_DEPTH}), frozenset({_MOST, _PERIOD, _ASSET}))
    depth = shapes.integer(pairs[_DEPTH], "depth", 0, DEPTH_MAX)
    if _MOST not in pairs:
        if len(pairs) > 1:
            raise EncodingError("limits: a period or an asset without an amount")
        return Limits(depth)
    return Limits(
        depth,
        shapes.integer(pairs[_MOST], "most", 1),
        shapes.integer(pairs[_PERIOD], "period", 1) if _PERIOD in pairs else None,
        shapes.text(pairs[_ASSET], "asset", _ASSET_CHARACTERS_MAX) if _ASSET in pairs else None,
    )
