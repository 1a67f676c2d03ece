"""Granting an app and taking it back: the operator's side, while the gateway runs or stands still.

Both only write files of the home; the gateway that runs there sees them at once (`appdesk`), one
that does not when it starts.
"""

import json
import os
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agent import apps, keyring, scrub
from agent.apps import SCOPE, Granted
from agent.broker.embedded import LOOPBACK, read_password
from agent.broker.endpoint import PORTS, Endpoint
from agent.export import write_whole
from agent.home import Home, HomeError
from ledger_client import certificates, genesis, statements, trust
from ledger_client.certificates import Grant, Limits
from ledger_client.database import open_database
from ledger_client.errors import ProofError
from ledger_client.keys import KEY_BYTES, PublicKey, SigningKey
from ledger_client.log import LogReader

SELLER = "party-apps"
"""The key under which a gateway sells to apps."""
DAY_S = 86_400
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is granted under a name; `url` is the broker as the app sees it, "" for our own."""

    name: str
    read: tuple[str, ...]
    most_minor_units: int
    period_s: int
    asset: str
    price_minor_units: int
    days: int
    url: str = ""


def grant(home: Home, wanted: Wanted, now_s: int) -> dict[str, Any]:
    """Make a key and its grant; returns the credentials, which nobody keeps here.

    Raises:
        HomeError: it exists, cannot be, or its owner did not grant this gateway as much.
    """
    path = apps.path_of(home, wanted.name)
    if path.exists() and not apps.read(path).revocation:
        raise HomeError(f"{wanted.name} is granted already; first: milepost app revoke")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _make_room(home)
    quantities, filters = apps.wanted(wanted.read)
    seed = os.urandom(KEY_BYTES)
    key = SigningKey(seed)
    where = urlsplit(_checked(wanted.url or _embedded_url(home)))
    with closing(open_database(home.ledger_db, create=False)) as connection:
        log = LogReader(connection)
        first = genesis.verify(statements.verify(log.statement(0)))
        tokens = _certify(home, log, key.public, wanted, now_s)
    granted = Granted(
        name=wanted.name,
        did=key.public.did,
        quantities=quantities,
        topics=filters,
        price_minor_units=wanted.price_minor_units,
        granted_s=now_s,
        tokens=certificates.encode_tokens(tokens),
    )
    password = "" if wanted.url else read_password(home.broker_users, key.public.short_id)
    _write(path, granted)
    gateway, seller = home.own_key(keyring.GATEWAY).public, home.key(SELLER).public
    return {
        "name": wanted.name,
        "id": key.public.short_id,
        "did": key.public.did,
        "seed": seed.hex(),
        "host": where.hostname,
        "port": where.port or PORTS[where.scheme],
        "tls": where.scheme == "mqtts",
        "password": password,
        "gateway": gateway.short_id,
        "gateway_key": gateway.raw.hex(),
        "seller": seller.short_id,
        "seller_key": seller.raw.hex(),
        "ledger": first.name,
        "demo": first.demo,
        "log_key": home.own_key(keyring.LOG_KEY).public.raw.hex(),
        "asset": wanted.asset,
        "price": wanted.price_minor_units,
        "most": wanted.most_minor_units,
        "period_s": wanted.period_s,
        "sold": list(quantities),
        "subscribe": list(granted.rules.subscribe),
        "publish": list(granted.rules.publish),
        "certificate": granted.tokens.hex(),
    }


def revoke(home: Home, name: str, now_s: int) -> Granted:
    """Take it all back; the gateway drops it when it sees that.

    Raises:
        HomeError: there is none, or it was taken back before.
    """
    granted = apps.read(apps.path_of(home, name))
    if granted.revocation:
        raise HomeError(f"{name} was taken back before")
    key = home.own_key(keyring.GATEWAY)
    tokens = certificates.decode_tokens(granted.tokens)
    revocation = trust.revoke(key, tokens, "retired", now_s - now_s % _MINUTE_S)
    done = msgspec.structs.replace(granted, revocation=revocation)
    _write(apps.path_of(home, name), done)
    scrub.destroy(home.broker_users / granted.key.short_id)
    scrub.destroy(credentials_of(home, name))
    return done


def on_own_broker(home: Home, name: str) -> bool:
    """Whether the app uses the embedded broker, which the gateway lets it in to."""
    return (home.broker_users / apps.read(apps.path_of(home, name)).key.short_id).exists()


def on_log(home: Home, granted: Granted) -> bool:
    """Whether a gateway has done what the grant says: what is on the log is in force."""
    with closing(open_database(home.ledger_db, create=False)) as connection:
        chain = keyring.known(LogReader(connection)).chain(granted.key)
    known = chain is not None and chain[-1].handle == granted.certificate.handle
    return known is not bool(granted.revocation)


def running(home: Home) -> bool:
    """Whether a gateway runs on this home."""
    try:
        home.lock()
    except HomeError:
        return True
    home.unlock()
    return False


def credentials_of(home: Home, name: str) -> Path:
    """Where an app's credentials go if nobody says another place."""
    return apps.path_of(home, name).with_suffix(".credentials")


def _write(path: Path, granted: Granted) -> None:
    write_whole(path, msgspec.json.format(msgspec.json.encode(granted)))


def _make_room(home: Home) -> None:
    """Forget the oldest that was taken back and is off, if there are too many."""
    every = apps.kept(home)
    if len(every) < apps.APPS_MAX:
        return
    over = [each for each in every if each.revocation and on_log(home, each)]
    if not over:
        raise HomeError(f"there are {len(every)} apps, the most that there can be; revoke one")
    oldest = min(over, key=lambda each: each.granted_s)
    apps.path_of(home, oldest.name).unlink()


def _certify(
    home: Home, log: LogReader, holder: PublicKey, wanted: Wanted, now_s: int
) -> list[bytes]:
    key = home.own_key(keyring.GATEWAY)
    above = keyring.known(log).owned(key.public) or ()
    start_s = now_s - now_s % _MINUTE_S
    end_s = start_s + wanted.days * DAY_S
    if above:
        end_s = min(end_s, above[-1].grant.expires_s)
    limits = Limits(0, wanted.most_minor_units, wanted.period_s, wanted.asset)
    token = certificates.issue(
        key,
        Grant(holder, start_s, end_s, SCOPE, limits),
        os.urandom(certificates.HANDLE_BYTES),
        start_s,
    )
    tokens = [*(each.token for each in above), token]
    try:
        certificates.verify_chain(tokens)
    except ProofError as error:
        raise HomeError(
            f"the owner's certificate does not reach so far: {error}; ask for one with"
            " 'read pay', an amount and a depth: milepost keys request, milepost owner grant --most"
        ) from error
    return tokens


def _checked(url: str) -> str:
    """The url of a broker; raises BrokerError if it is none."""
    return Endpoint(url, "").url


def _embedded_url(home: Home) -> str:
    """Where the embedded broker of this home listens, or listened last."""
    path = home.broker / "nats.json"
    try:
        said = json.loads(path.read_text(encoding="ascii"))["mqtt"]["listen"]
        match = re.fullmatch(rf"{re.escape(LOOPBACK)}:\d{{1,5}}", said)
    except (OSError, ValueError, KeyError, TypeError):
        match = None
    if match is None:
        raise HomeError(
            f"{path}: no broker of its own ever ran on this home: start the gateway once, or name"
            " its broker with --broker mqtts://HOST:PORT"
        )
    return f"mqtt://{match[0]}"
