"""What each desk keeps to beyond the protocol: dust, reserve, budgets, how much is remembered."""

from dataclasses import dataclass

from agent.spending import Budget

READINGS_MAX = 1_000_000
"""Marks of paid readings that are kept, about 40 bytes each; of what is older none is paid."""


@dataclass(frozen=True, slots=True)
class SellingRules:
    """Minor units: what a channel keeps back, the least price of an item, the least claim.

    A channel that its payer can close in less than `delay_s_min` is not sold on: its promises would
    be worth nothing by the time they are claimed. One payer has `channels_max` that are not over.
    """

    reserve: int = 0
    price_min: int = 1
    claim_min: int = 1
    delay_s_min: int = 60
    channels_max: int = 64


@dataclass(frozen=True, slots=True)
class BuyingRules:
    """What may be promised: within every budget, at most `prepaid_max` ahead of what is due.

    `price_min` is the least price of an item in minor units: signing costs more than dust is worth.
    """

    budgets: tuple[Budget, ...] = ()
    prepaid_max: int = 0
    price_min: int = 1
    readings_max: int = READINGS_MAX


SELLING_RULES, BUYING_RULES = SellingRules(), BuyingRules()
