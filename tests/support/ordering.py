"""A ledger of somebody, and signed orders for it."""

from market import BUYER, LEDGER, OPERATOR, memory, open_book, terms

from agent import commands
from ledger_client.keys import SigningKey
from ledger_client.settlement.embedded import Book
from ledger_client.settlement.movements import Order, sign_order

ME, BRAND = OPERATOR.public.short_id, BUYER.public.short_id


def book() -> Book:
    opened = open_book(memory())
    opened.issue(BUYER.public, 1_000)
    return opened


def order(
    verb: str = "open", total: int = 300, *, by: SigningKey = BUYER, name: str = "1"
) -> bytes:
    what = terms() if verb == "open" else None
    signed = sign_order(by, Order(verb, LEDGER, terms().channel, total, what))
    return commands.encode(commands.Order(name, BUYER.public.did, signed))
