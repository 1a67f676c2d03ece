"""The two desks of a payment channel: what to write and what to answer, message by message.

Plain synchronous code over the till. A desk never sends: it returns what is to be sent, and the
shell in `agent.tally` sends it after the transaction around the call has become durable. Every
answer mends a difference that the other side's message shows, so the two cannot talk in circles.
"""

from agent.desks.buying import Accept, BuyingDesk
from agent.desks.effects import LIVE, Effect, Look, Send
from agent.desks.rules import READINGS_MAX, BuyingRules, SellingRules
from agent.desks.selling import REFUSALS_MAX, RESEND_ITEMS_MAX, Goods, SellingDesk

__all__ = [
    "LIVE",
    "READINGS_MAX",
    "REFUSALS_MAX",
    "RESEND_ITEMS_MAX",
    "Accept",
    "BuyingDesk",
    "BuyingRules",
    "Effect",
    "Goods",
    "Look",
    "SellingDesk",
    "SellingRules",
    "Send",
]
