"""A gateway with or without an owner, as the tests of its keys need it."""

from collections.abc import Mapping

from box import WALL_MS, Box

from agent import keyring, owner
from agent.audit import verify_home
from agent.gateway.certifying import certify
from agent.keyring import DAY_S, Moment
from agent.owner import Terms
from agent.stores import Stores
from ledger_client import enrolment
from ledger_client.certificates import Limits
from ledger_client.keys import SigningKey
from ledger_client.report import Report
from ledger_client.vouching import Anchors

OWNER, BUYER = (SigningKey(bytes([n]) * 32) for n in (41, 42))
NOW_S = WALL_MS // 1000
NOTHING: Mapping[str, Limits] = {}
PAYER = {"payer-charger": Limits(0, 500, 3_600, "EUR/6"), "party-car": Limits()}
AT = Moment(NOW_S + 120, NOW_S)


def start(
    box: Box, *, clock_set: bool = True, days: int = 0, limits: Mapping[str, Limits] = NOTHING
) -> Stores:
    """A gateway as it starts, so many days later than the last time."""
    box.second += 60 + days * DAY_S
    stores = box.open()
    certify(stores, limits, box.stamp.wall_ms // 1000, clock_set=clock_set)
    return stores


def asked(stores: Stores, name: str = keyring.GATEWAY, scope: str = "log pay stream") -> bytes:
    key = stores.home.key(name)
    return enrolment.ask(key, "car", tuple(scope.split()), Limits(1), NOW_S)


def grant(request: bytes, key: SigningKey = OWNER, days: int = 730, at_s: int = NOW_S) -> bytes:
    return owner.grant(key, owner.read_request(request), Terms(days), at_s)


def accept(stores: Stores, data: bytes, *, new_owner: bool = False) -> str:
    return keyring.accept(stores.home, stores.log, data, AT, new_owner=new_owner)


def owned(box: Box, days: int = 730) -> tuple[Stores, bytes]:
    """A gateway that its owner certified, started again."""
    stores = start(box)
    given = grant(asked(stores), days=days)
    accept(stores, given)
    return start(box), given


def prove(box: Box, stores: Stores) -> None:
    box.hear(stores)
    box.uplink(stores).step(box.now(stores), drain=True)


def report(box: Box, anchors: Anchors | None = None) -> Report:
    box.close()
    return verify_home(box.path, anchors or Anchors()).log
