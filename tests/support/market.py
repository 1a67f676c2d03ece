"""A seller and a buyer for tests: keys, databases in memory, a ledger, goods."""

import sqlite3
from collections.abc import Callable
from hashlib import sha256

from agent.desks import BuyingDesk, Goods, SellingDesk, Send
from ledger_client.channels import Terms
from ledger_client.keys import SigningKey
from ledger_client.log import Log
from ledger_client.messages import Item
from ledger_client.settlement.embedded import Book

SELLER, BUYER, OPERATOR, NOTARY, STRANGER = (SigningKey(bytes([n]) * 32) for n in range(1, 6))
LEDGER = "example.com/log"


def memory() -> sqlite3.Connection:
    """A database as `open_database` makes it, without a disk."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)")
    return connection


def open_book(
    connection: sqlite3.Connection,
    *,
    demo: bool = True,
    now_s: Callable[[], int] = lambda: 1_000,
    kind: type[Book] = Book,
) -> Book:
    log = Log.open(
        connection, name=LEDGER, receipt_key=OPERATOR, note_key=NOTARY, demo=demo, now_s=1
    )
    return kind.open(connection, log, OPERATOR, now_s=now_s)


def terms(salt: int = 0, *, simulated: bool = True, delay_s: int = 60) -> Terms:
    return Terms(
        ledger=LEDGER,
        payer=BUYER.public,
        signer=BUYER.public,
        payee=SELLER.public,
        asset="EUR/6",
        delay_s=delay_s,
        salt=salt.to_bytes(16, "big"),
        simulated=simulated,
    )


def introduce(selling: SellingDesk, buying: BuyingDesk) -> None:
    """Let the seller hear, in this run of it, where the buyer stands."""
    for greeting in selling.greet():
        for answer in buying.receive(SELLER.public.short_id, greeting.message):
            if isinstance(answer, Send):
                selling.receive(BUYER.public.short_id, answer.message)


def goods(number: int, price: int = 10) -> Goods:
    body = b"reading %d" % number
    return Goods(sha256(body).digest(), price, body, simulated=True)


def accept(_: Terms, item: Item) -> bytes:
    return sha256(item.body).digest()
