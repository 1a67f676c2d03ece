"""Payments over the broker: the shells around the two desks, which decide everything.

A shell gathers what came, hands it to its desk in one transaction, and publishes what the desk
answers once that is durable. It sends again what was not acknowledged: the oldest three items or
the last voucher, with a back-off of 1 s to 5 min, and where it stands on every reconnect.
"""

from agent.tally.buying import Buyer
from agent.tally.selling import Seller
from agent.tally.shell import Blame

__all__ = ["Blame", "Buyer", "Seller"]
