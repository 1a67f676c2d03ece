"""The keys of a home, who certifies each and until when, and what ends soon."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from agent import keyring
from agent.home import Home
from agent.keyring import DAY_S, GATEWAY, LOG_KEY, NEXT, NOTE, WARNING_DAYS, Known, Moment
from ledger_client.certificates import Chain, Limits
from ledger_client.keys import PublicKey, read_key
from ledger_client.log import LogReader

_USES = {
    GATEWAY: "signs readings",
    NEXT: "will sign readings after a rotation",
    LOG_KEY: "signs the log's heads and receipts",
    NOTE: "signs the log's checkpoints",
}


_PREFIXES = {"component": "names a component", "party": "is paid, or pays", "payer": "pays"}


@dataclass(frozen=True, slots=True)
class Held:
    """One key: `by` is the root that vouches for it, empty when nobody does; times in Unix s."""

    name: str
    did: str
    short_id: str
    use: str
    by: str
    scope: tuple[str, ...]
    spends: str
    expires_s: int | None
    days_left: int | None
    warning: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def line(self) -> str:
        """For people."""
        if self.expires_s is None:
            vouched = f"by {self.by}" if self.by else "nobody certifies it"
        else:
            until = datetime.fromtimestamp(self.expires_s, UTC)
            vouched = f"{' '.join(self.scope)} by {self.by} until {until:%Y-%m-%d}"
            vouched += f", {self.spends}" if self.spends else ""
        return f"{self.name:24} {self.short_id}  {self.use}; {vouched}"


def held(home: Home, log: LogReader, at: Moment) -> list[Held]:
    """Every signing key of the home; raises LocalError for a key file that cannot be read."""
    found = keyring.known(log)
    names = sorted(home.key_names(), key=lambda name: (name not in _USES, name))
    gateway = read_key(home.key_path(GATEWAY)).public
    return [_held(name, read_key(home.key_path(name)).public, gateway, found, at) for name in names]


def warnings(home: Home, log: LogReader, at: Moment) -> list[str]:
    """What ends within 30 days, or has ended, and how to mend it."""
    return [each.warning for each in held(home, log, at) if each.warning]


def _held(name: str, key: PublicKey, gateway: PublicKey, found: Known, at: Moment) -> Held:
    chain = found.chain(key)
    use = _USES.get(name) or _PREFIXES.get(name.partition("-")[0], "trades")
    if chain is None:
        by = "the genesis of the log" if name == NOTE else ""
        return Held(name, key.did, key.short_id, use, by, (), "", None, None, "")
    grant = chain[-1].grant
    root = chain[0].issuer
    return Held(
        name=name,
        did=key.did,
        short_id=key.short_id,
        use=use,
        by="this gateway" if root == gateway else root.did,
        scope=grant.scope,
        spends=_spends(grant.limits),
        expires_s=grant.expires_s,
        days_left=(grant.expires_s - at.latest_s) // DAY_S,
        warning=_warning(name, chain, at),
    )


def _spends(limits: Limits) -> str:
    """How much may be paid, for people; nothing where nothing may."""
    if not limits.minor_units_max:
        return ""
    often = "in all" if limits.period_s is None else f"in {limits.period_s} s"
    return f"at most {limits.minor_units_max} {limits.asset or 'of any asset'} {often}"


def _warning(name: str, chain: Chain, at: Moment) -> str:
    """At 30 days, more urgent at 7, and once it is over."""
    left_s = chain[-1].grant.expires_s - at.latest_s
    soon, now = (days * DAY_S for days in WARNING_DAYS)
    follows = len(chain) > 1 and chain[-1].grant.expires_s == chain[-2].grant.expires_s
    if left_s > soon or (follows and name not in {GATEWAY, NEXT}):
        return ""  # what ends with the gateway's own is warned of there
    mend = (
        "ask its owner for a new one: milepost keys request"
        if name in {GATEWAY, NEXT}
        else "the gateway renews it while it runs, as far as the owner's certificate reaches"
    )
    if left_s <= 0:
        return f"the certificate of {name} has expired, nobody vouches for it any more; {mend}"
    days = -(-left_s // DAY_S)
    urgent = "URGENT: " if left_s <= now else ""
    return f"{urgent}the certificate of {name} expires in {days} days; {mend}"
