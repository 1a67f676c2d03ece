"""The owner's word onto the log, our own certificates renewed, and what ends soon.

At the start, and every hour while the gateway runs: a box that is never started again keeps its
certificates, and what the owner decided reaches the log.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

from agent import keylist, keyring
from agent.config import Config
from agent.home import HomeError
from agent.keyring import PAY, Moment, Role
from agent.partners import Paid, collector_of, payer_of
from agent.running import Connection
from agent.stores import Stores
from ledger_client.certificates import Limits
from ledger_client.errors import RemoteError

RENEW_EVERY_S = 3_600.0
STREET_SPENDS = 10_000_000
"""What the car of the demo's street may spend a day, in minor units of play money."""

_DAY_S = 86_400

_log = logging.getLogger(__name__)


def paying(config: Config, stores: Stores) -> dict[str, Limits]:
    """The keys of this home that are paid or pay, by name, and how much each may spend."""
    asset, settings = config.ledger.asset, config.trading
    most = Limits(0, settings.spend_minor_units_max, settings.spend_period_s, asset)
    agreed = [each.agreement for each in stores.shelf.holdings()]
    payers = {payer_of(each) for each in agreed if isinstance(each, Paid)}
    parties = payers | {collector_of(each) for each in agreed if isinstance(each, Paid)}
    limits = {
        name: most if key.public in payers else Limits()
        for name, key in stores.home.parties().items()
        if key.public in parties
    }
    if config.gateway.demo and config.radio.kind == "virtual":
        limits |= {
            "party-runner": Limits(),
            "party-car": Limits(0, STREET_SPENDS, _DAY_S, asset),
        }
    return limits


def certify(
    stores: Stores, limits: Mapping[str, Limits], now_s: int, *, clock_set: bool
) -> list[str]:
    """Publish what is pending, certify the log's key, components and payers; says what ends.

    Raises:
        HomeError, LedgerError: what is pending does not belong here.
    """
    home, log = stores.home, stores.log
    at = keyring.moment(log, now_s, clock_set=clock_set)
    keyring.publish(home, log, at.latest_s)
    _certify_own(stores, limits, at)
    return [*keylist.warnings(home, log, at), *_kept_from_paying(stores, limits)]


def _kept_from_paying(stores: Stores, limits: Mapping[str, Limits]) -> Iterator[str]:
    """What the configuration wants to spend and the owner's certificate does not allow at all."""
    above = keyring.known(stores.log).owned(stores.signer.public)
    for name, each in limits.items():
        if not each.minor_units_max or not above:
            continue
        allowed = Role(PAY, each).under(above).limits.minor_units_max
        if PAY not in above[-1].grant.scope or not allowed:
            yield (
                f"{name} may spend nothing: the owner's certificate is not for paying, or names no"
                f" amount of {each.asset}; ask anew: milepost keys request, and grant it --most"
            )


def _certify_own(stores: Stores, limits: Mapping[str, Limits], at: Moment) -> None:
    home = stores.home
    components = [home.key(f"component-{alias}").public for alias in stores.components]
    payers = {home.key(name).public: each for name, each in limits.items()}
    holders = keyring.holders_of(stores.log_key, components, payers)
    keyring.certify_own(stores.log, stores.signer, holders, at)


class Renewal:
    """Certifies again and again, and says once what ends soon."""

    def __init__(self, step: Callable[[], list[str]]) -> None:
        """`step` certifies and returns warnings."""
        self._step = step
        self._told: set[str] = set()

    async def run(self, _: Connection) -> None:
        """Every hour until cancelled."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            self.once()

    async def settle(self) -> None:
        """Nothing is left open."""

    def once(self) -> None:
        """Certify now. What does not belong here waits for the next start, which refuses it."""
        try:
            found = self._step()
        except (HomeError, RemoteError) as error:
            found = [str(error)]
        for warning in found:
            if warning not in self._told:
                _log.warning("%s", warning)
        self._told = set(found)
