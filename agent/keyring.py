"""The keys of a home, and who certifies them: what the log says of it, and what is put there.

The owner's certificates and revocations arrive in `pending/` and go onto the log when the gateway
starts, or at once if it is not running. The gateway certifies its log's key and its components as
far as its own certificate allows, or, without an owner, in its own name. The log is the only store
of certificates: what is not on it does not count.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.home import Home, HomeError
from ledger_client import certificates, durable, genesis, statements, trust
from ledger_client.certificates import Certificate, Chain, Grant, Limits
from ledger_client.errors import LocalError
from ledger_client.keys import PublicKey, SigningKey, read_key
from ledger_client.log import Log, LogReader
from ledger_client.trust import Revocation
from ledger_client.vouching import LOG, STREAM, takes_back
from ledger_client.watermark import Watermark

DAY_S = 86_400
LIFE_S = 365 * DAY_S
RENEWED_S = 60 * DAY_S
WARNING_DAYS = (30, 7)
PAY = "pay"
GATEWAY, NEXT, LOG_KEY, NOTE = "gateway", "gateway-next", "log", "note"

_MINUTE_S = 60
_TREE_MAX = 90
_SIGN1 = 0xD2
_PENDING_BYTES_MAX = 65_536


class Role(NamedTuple):
    """What a key of the gateway's own is certified for: a word of scope, and how far it reaches."""

    word: str
    limits: Limits = Limits()

    def under(self, above: Chain) -> "Role":
        """As much of it as the certificate allows on which it hangs."""
        if not above or not self.limits.minor_units_max:
            return self
        mine, theirs = self.limits, above[-1].grant.limits
        if not theirs.minor_units_max or theirs.asset not in {None, mine.asset}:
            return Role(self.word)
        shortest_s = theirs.period_s
        period_s = None
        if shortest_s is not None and mine.period_s is not None:
            period_s = max(shortest_s, mine.period_s)
        most = min(mine.minor_units_max, theirs.minor_units_max)
        return Role(self.word, Limits(0, most, period_s, mine.asset))


class Moment(NamedTuple):
    """The time for certificates, to the minute as all times on the log; and its floor. Unix s.

    `now_s` is None while the clock is unset. The floor is when the newest head was signed; a clock
    that is before it is taken as unset.
    """

    now_s: int | None
    floor_s: int

    @property
    def latest_s(self) -> int:
        """It is this late at least."""
        return max(self.now_s or 0, self.floor_s)


@dataclass(frozen=True, slots=True)
class Known:
    """What a log says of certificates: the chains of each holder, newest first."""

    chains: Mapping[PublicKey, list[Chain]]
    revocations: list[Revocation]

    def chain(self, holder: PublicKey) -> Chain | None:
        """The newest chain of `holder` that nobody took back, expired or not."""
        for chain in self.chains.get(holder, ()):
            if not any(takes_back(each, chain) for each in self.revocations):
                return chain
        return None

    def owned(self, holder: PublicKey) -> Chain | None:
        """As `chain`, if its root is not the holder's own gateway: an owner's."""
        chain = self.chain(holder)
        return chain if chain is not None and chain[0].issuer != holder else None


def moment(log: LogReader, now_s: int, *, clock_set: bool) -> Moment:
    """What time it is for certificates, by the clock and the log."""
    floor_s, now_s = _minute(log.head.issued_s), _minute(now_s)
    return Moment(now_s if clock_set and now_s >= floor_s else None, floor_s)


def known(log: LogReader) -> Known:
    """Every certificate and revocation on the log."""
    chains: dict[PublicKey, list[Chain]] = {}
    revocations: list[Revocation] = []
    for position in log.trust_positions():
        statement = statements.verify(log.statement(position))
        if statement.kind == trust.CERTIFICATE:
            for chain in trust.certified(statement):
                chains.setdefault(chain[-1].holder, []).insert(0, chain)
        elif statement.kind == trust.REVOCATION:
            revocations.append(trust.revoked(statement))
    return Known(chains, revocations)


def open_log(home: Home, connection: sqlite3.Connection, now_s: int) -> Log:
    """The log of a home that exists, to be written by whoever has locked the home.

    Raises:
        LocalError, StoreError: a key is gone, or log, keys and mark do not hold together.
    """
    first = genesis.verify(statements.verify(LogReader(connection).statement(0)))
    return Log.open(
        connection,
        name=first.name,
        receipt_key=read_key(home.key_path(LOG_KEY)),
        note_key=read_key(home.key_path(NOTE)),
        demo=first.demo,
        now_s=now_s,
        mark=Watermark(home.mark, first.verifier),
    )


def signer(home: Home, log: LogReader) -> SigningKey:
    """The key that signs batches now; completes a rotation that the log has and the files do not.

    Raises:
        LocalError: the key is gone, or it is not the one that the log goes on with.
    """
    key = home.own_key(GATEWAY)
    follower = log.successor(key.public)
    if follower is None:
        return key
    path = home.key_path(NEXT)
    if not path.exists() or (new := read_key(path)).public != follower:
        raise LocalError(
            f"{path}: expected the key {follower.short_id} that follows {key.public.short_id} on"
            " the log; restore keys/ from the newest copy"
        )
    path.replace(home.key_path(GATEWAY))
    durable.sync_folder(path.parent)
    return new


def accept(home: Home, log: LogReader, data: bytes, at: Moment, *, new_owner: bool = False) -> str:
    """Keep the owner's certificates, or a revocation, to be published; says what they are.

    Raises:
        HomeError: they are not for a key of this home, or from another owner without `new_owner`.
        RemoteError: they are nothing of the kind, or break a rule.
    """
    if data[:1] == bytes((_SIGN1,)):
        revocation = trust.revoked(statements.verify(data))
        said = f"{revocation.revoker.did} takes back what {revocation.chain[-1].holder.did} had"
    else:
        chain = certificates.verify_chain(certificates.decode_tokens(data))
        _check_grant(home, log, chain, at, new_owner=new_owner)
        said = f"{chain[0].issuer.did} certifies {chain[-1].holder.did}"
    path = home.pending / f"{hashlib.sha256(data).hexdigest()}.cbor"
    durable.make_folder(home.pending)
    durable.write(path, data)
    return said


def _check_grant(home: Home, log: LogReader, chain: Chain, at: Moment, *, new_owner: bool) -> None:
    last, root = chain[-1], chain[0].issuer
    mine = [read_key(path).public for path in _signer_paths(home)]
    if last.holder not in mine:
        raise HomeError(
            f"the certificate is for {last.holder.short_id}, this gateway's key is"
            f" {mine[0].short_id}; ask its owner for one: milepost keys request"
        )
    if STREAM not in last.grant.scope:
        raise HomeError(
            f"the certificate has the scope {' '.join(last.grant.scope)!r}, a gateway needs"
            f" {STREAM!r} at least; ask its owner for another"
        )
    if last.grant.expires_s <= at.latest_s:
        raise HomeError("the certificate has expired; ask its owner for another")
    before = known(log).owned(mine[0])
    if before is not None and before[0].issuer != root and not new_owner:
        raise HomeError(
            f"this gateway belongs to {before[0].issuer.did}, the certificate is from {root.did};"
            " if it has changed hands, say so with --new-owner"
        )


def publish(home: Home, log: Log, now_s: int) -> list[str]:
    """Put everything pending onto the log; says what. A second time it does nothing."""
    said = []
    for path in sorted(home.pending.glob("*.cbor")):
        with path.open("rb") as file:
            data = file.read(_PENDING_BYTES_MAX)
        statement = data if data[:1] == bytes((_SIGN1,)) else _published(home, data, now_s)
        identity = hashlib.sha256(data).digest()
        if log.find(identity) is None:
            log.append([(identity, statement)], now_s)
            said.append(statements.verify(statement).kind)
        path.unlink()
    return said


def _published(home: Home, data: bytes, now_s: int) -> bytes:
    tokens = certificates.decode_tokens(data)
    holder = certificates.verify_chain(tokens)[-1].holder
    for path in _signer_paths(home):
        key = read_key(path)
        if key.public == holder:
            return trust.certify(key, tokens, now_s)
    raise HomeError(
        f"{home.pending}: a certificate is for {holder.short_id}, no key of this gateway;"
        " remove the file"
    )


def certify_own(
    log: Log, key: SigningKey, holders: Mapping[PublicKey, Role], at: Moment
) -> list[Certificate]:
    """Certify `holders`, each in its role, where they have no good certificate of it yet.

    Nothing is signed while the clock is unset: nobody could say from when it holds.
    """
    if at.now_s is None:
        return []
    found = known(log)
    above = found.owned(key.public) or ()
    missing = [
        (holder, role.under(above))
        for holder, role in holders.items()
        if _may_certify(above, role.word, at)
        and not _good(found.chain(holder), role.under(above), above, key, at)
    ]
    certified: list[Certificate] = []
    for start in range(0, len(missing), _TREE_MAX):
        tokens = [
            certificates.issue(key, _own_grant(above, holder, role, at.now_s), _handle(), at.now_s)
            for holder, role in missing[start : start + _TREE_MAX]
        ]
        tree = [*(each.token for each in above), *tokens]
        data = trust.certify(key, tree, at.now_s)
        log.append([(hashlib.sha256(data).digest(), data)], at.now_s)
        certified += map(certificates.parse, tokens)
    return certified


def rotate(home: Home, log: Log, at: Moment) -> tuple[PublicKey, PublicKey]:
    """Let the next key carry on, once it has what the old one had; returns old and new.

    Raises:
        HomeError: the owner has not certified the next key yet; its request says what to do.
    """
    old, new = signer(home, log), home.key(NEXT)
    found = known(log)
    before, after = found.owned(old.public), found.owned(new.public)
    if before is not None and (after is None or not after[-1].current(at.now_s, at.floor_s)):
        raise HomeError(
            f"{before[0].issuer.did} has certified {old.public.short_id}, but not yet the next key"
            f" {new.public.short_id}; ask: milepost keys request --next, then accept the answer"
        )
    now_s = at.latest_s
    tip = log.tip(old.public)
    data = trust.rotate(old, new, tip.sequence, tip.digest, now_s)
    log.append([(hashlib.sha256(data).digest(), data)], now_s)
    signer(home, log)
    return old.public, new.public


def _may_certify(above: Chain, word: str, at: Moment) -> bool:
    if not above:
        return True
    grant = above[-1].grant
    allowed = word in grant.scope and grant.limits.depth > 0
    return allowed and above[-1].current(at.now_s, at.floor_s)


def _good(chain: Chain | None, role: Role, above: Chain, key: SigningKey, at: Moment) -> bool:
    """Whether a certificate of ours is for that role, hangs on the right chain, and lasts.

    One that cannot last longer is as good.
    """
    if chain is None or chain[-1].issuer != key.public:
        return False
    grant = chain[-1].grant
    if (grant.scope, grant.limits) != ((role.word,), role.limits):
        return False
    if [each.token for each in chain[:-1]] != [each.token for each in above]:
        return False
    end_s = chain[-1].grant.expires_s
    lasts = end_s > at.latest_s + RENEWED_S
    return lasts or bool(above and end_s == above[-1].grant.expires_s)


def _own_grant(above: Chain, holder: PublicKey, role: Role, now_s: int) -> Grant:
    start_s, end_s = now_s, now_s + LIFE_S
    if above:
        grant = above[-1].grant
        start_s, end_s = max(start_s, grant.not_before_s), min(end_s, grant.expires_s)
    return Grant(holder, start_s, end_s, (role.word,), role.limits)


def _minute(unix_s: int) -> int:
    return unix_s - unix_s % _MINUTE_S


def _handle() -> bytes:
    return os.urandom(certificates.HANDLE_BYTES)


def _signer_paths(home: Home) -> list[Path]:
    return [path for path in map(home.key_path, (GATEWAY, NEXT)) if path.exists()]


def holders_of(
    log_key: PublicKey, components: Iterable[PublicKey], payers: Mapping[PublicKey, Limits]
) -> dict[PublicKey, Role]:
    """Whom a gateway certifies, and for what."""
    paying = {key: Role(PAY, limits) for key, limits in payers.items()}
    return {log_key: Role(LOG), **dict.fromkeys(components, Role(STREAM)), **paying}
