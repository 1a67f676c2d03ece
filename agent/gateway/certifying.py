"""At the start: the owner's word onto the log, our own certificates renewed, and what ends soon."""

import logging

from agent import agreed, keylist, keyring
from agent.agreed import Governing
from agent.stores import Stores

_log = logging.getLogger(__name__)


def certify(stores: Stores, now_s: int, *, clock_set: bool) -> None:
    """Publish what is pending, certify the log's key and the components, warn of what ends.

    Raises:
        HomeError, LedgerError: what is pending does not belong here.
    """
    home, log = stores.home, stores.log
    at = keyring.moment(log, now_s, clock_set=clock_set)
    keyring.publish(home, log, at.latest_s)
    components = [home.key(f"component-{alias}").public for alias in stores.components]
    keyring.certify_own(log, stores.signer, keyring.holders_of(stores.log_key, components), at)
    for warning in keylist.warnings(home, log, at):
        _log.warning("%s", warning)


def agreements(stores: Stores, now_s: int) -> Governing:
    """What was signed goes onto the log; returns what tells which licence governs a subject.

    Raises:
        HomeError, LedgerError: a deed of the home that does not belong here.
    """
    held = agreed.kept(stores.home)
    agreed.publish(stores.log, held, now_s)
    agreed.publish_activations(stores.log, stores.home, now_s)
    return agreed.governing(held, agreed.owner_changes_s(stores.log))
