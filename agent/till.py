"""The till: channels, items and vouchers of both sides, on disk before anything is sent.

Tables `till_*` in the ledger's database (`ledger_client.log`). Amounts and numbers can only rise:
triggers refuse anything else, whatever the code above believes. An item's body lives until the
seller is paid or the buyer has used it; its line (price, due, hash, source) stays.
"""

import sqlite3
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self

from agent.tilltables import VERSIONS
from ledger_client.channels import (
    Buying,
    Event,
    Selling,
    State,
    Terms,
    Voucher,
    advance,
    joined,
    parse_terms,
)
from ledger_client.errors import LocalError, RemoteError, StoreError
from ledger_client.keys import PublicKey
from ledger_client.log import migrate, transaction
from ledger_client.messages import Invoice, Item
from ledger_client.settlement import View

SOURCE_BYTES_MIN, SOURCE_BYTES_MAX = 8, 64

_COLUMNS = "id, terms, state, funded, claimed, n, due, total, signature, credit, reserve"
_VALUES = "?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?"
_INSERT = (
    "INSERT INTO till_channels (role, channel, terms, state, funded, claimed,"  # noqa: S608  # ours
    f" n, due, total, credit, reserve) VALUES ({_VALUES}) RETURNING {_COLUMNS}"
)


@dataclass(frozen=True, slots=True)
class Sale:
    """A channel on which we are paid; `row` is its place in the till."""

    row: int
    terms: Terms
    side: Selling
    voucher: Voucher | None


@dataclass(frozen=True, slots=True)
class Purchase:
    """A channel on which we pay; `voucher` is the highest one that may ever have left."""

    row: int
    terms: Terms
    side: Buying
    claimed: int
    voucher: Voucher | None


class Till:
    """One writer. Every method joins the open `transaction()`, or is one of its own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, connection: sqlite3.Connection) -> Self:
        """The till in this database, made if there is none; raises StoreError on another schema."""
        migrate(connection, "till", VERSIONS)
        return cls(connection)

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside becomes durable at once when the outermost one ends, or not at all."""
        return transaction(self._db)

    # --- channels

    def add_sale(self, view: View, credit: int, reserve: int) -> Sale:
        """Begin to sell on a channel that the ledger shows funded and open."""
        values = ("seller", view.terms.channel, view.terms.encoded, view.state.value)
        return _sale(self._insert((*values, view.funded, view.claimed, credit, reserve)))

    def add_purchase(self, terms: Terms) -> Purchase:
        """Remember a channel that we are about to open: its salt must survive a crash."""
        values = ("buyer", terms.channel, terms.encoded, State.OPENING.value, 0, 0, 0, 0)
        return _purchase(self._insert(values))

    def sale(self, channel: bytes) -> Sale | None:
        """The channel on which we sell, if we have it."""
        row = self._find("seller", channel)
        return None if row is None else _sale(row)

    def purchase(self, channel: bytes) -> Purchase | None:
        """The channel on which we buy, if we have it."""
        row = self._find("buyer", channel)
        return None if row is None else _purchase(row)

    def sales(self, payee: PublicKey | None = None) -> list[Sale]:
        """Every channel on which we (or only `payee`) sell, oldest first, ended ones too."""
        found = [_sale(row) for row in self._all("seller")]
        return [sale for sale in found if payee in {None, sale.terms.payee}]

    def purchases(self, signer: PublicKey | None = None) -> list[Purchase]:
        """Every channel on which we (or only `signer`) buy, oldest first, ended ones too."""
        found = [_purchase(row) for row in self._all("buyer")]
        return [purchase for purchase in found if signer in {None, purchase.terms.signer}]

    def observe(self, held: Sale | Purchase, view: View) -> None:
        """Take over what the ledger says. Once closed, what was never paid may be sold anew."""
        state = joined(held.side.state, view.state)
        if isinstance(held, Purchase) and view.claimed > held.side.signed:
            state = advance(state, Event.FREEZE)  # we signed what this store does not know of
        with self.transaction():
            self._db.execute(
                "UPDATE till_channels SET state = ?, funded = max(funded, ?),"
                " claimed = max(claimed, ?) WHERE id = ?",
                (state.value, view.funded, view.claimed, held.row),
            )
            if state is State.CLOSED:
                self._db.execute(
                    "UPDATE till_items SET source = NULL WHERE id = ?1 AND due > ?2 AND source"
                    " IS NOT NULL AND n != (SELECT barred FROM till_channels WHERE id = ?1)",
                    (held.row, view.claimed),
                )

    def freeze(self, sale: Sale) -> None:
        """This store is older than what we signed: sell nothing more on this channel."""
        state = advance(sale.side.state, Event.FREEZE)
        self._db.execute("UPDATE till_channels SET state = ? WHERE id = ?", (state.value, sale.row))

    def bar(self, sale: Sale, n: int) -> None:
        """The buyer refuses item `n`: sell nothing more here, and never offer it that again."""
        with self.transaction():
            self.freeze(sale)
            self._db.execute("UPDATE till_channels SET barred = ? WHERE id = ?", (n, sale.row))

    def history(self, sale: Sale) -> tuple[int, int]:
        """What this payer ever promised us, and what it left unpaid on channels that are over."""
        paid = lost = 0
        for other in self.sales(sale.terms.payee):
            if other.terms.payer == sale.terms.payer:
                paid += other.side.best
                if other.side.state in {State.FROZEN, State.CLOSED}:
                    lost += max(0, other.side.due - other.side.best)
        return paid, lost

    # --- the seller's commits

    def write_item(self, sale: Sale, side: Selling, item: Item, source: bytes) -> Sale:
        """Item, body and the new due in one commit; only then may the item leave."""
        with self.transaction():
            self._line(sale, item, source)
            self._move(sale.row, side.n, side.due)
        return replace(sale, side=side)

    def write_credit(self, sale: Sale, side: Selling, voucher: Voucher) -> Sale:
        """A higher voucher, and the bodies that it pays for go; only then is there more credit."""
        with self.transaction():
            self._db.execute(
                "DELETE FROM till_bodies WHERE id = ?1 AND n IN"
                " (SELECT b.n FROM till_bodies b JOIN till_items i ON i.id = b.id AND i.n = b.n"
                " WHERE b.id = ?1 AND i.due <= ?2)",
                (sale.row, side.best),
            )
            self._promise(sale.row, voucher, side.state)
        return replace(sale, side=side, voucher=voucher)

    def outbox(self, sale: Sale, *, after: int = 0, items_max: int = 3) -> list[Item]:
        """The oldest unpaid items behind number `after`, as they were first sent."""
        return self._items(sale, after, items_max)

    def sold(self, sale: Sale, source: bytes) -> bool:
        """Whether `source` was sold to this payer before, on this channel or an earlier one."""
        return self._known(sale, source)

    # --- the buyer's commits

    def write_purchase(
        self, purchase: Purchase, side: Buying, item: Item, source: bytes, voucher: Voucher
    ) -> Purchase:
        """The item and the promise to pay it in one commit; only then may the voucher leave."""
        with self.transaction():
            self._line(purchase, item, source)
            self._move(purchase.row, side.n, side.due)
            self._promise(purchase.row, voucher, side.state)
        return replace(purchase, side=side, voucher=voucher)

    def write_adopted(self, purchase: Purchase, side: Buying, voucher: Voucher) -> Purchase:
        """A higher promise of ours that this store does not know of: kept, and frozen."""
        self._promise(purchase.row, voucher, side.state)
        return replace(purchase, side=side, voucher=voucher)

    def bought(self, purchase: Purchase, source: bytes) -> bool:
        """Whether `source` was bought from this payee before, on this channel or an earlier one."""
        return self._known(purchase, source)

    def received(self, purchase: Purchase, *, after: int = 0, items_max: int = 100) -> list[Item]:
        """Items that were received and not yet dropped, behind number `after`, in order."""
        return self._items(purchase, after, items_max)

    def drop_bodies(self, purchase: Purchase, n: int) -> None:
        """The buyer has used its items up to number `n`: their bodies go, their lines stay."""
        self._db.execute("DELETE FROM till_bodies WHERE id = ? AND n <= ?", (purchase.row, n))

    # --- both

    def parties(self) -> frozenset[str]:
        """Short ids of all who ever pay, promise or are paid on a channel here."""
        held: list[Sale | Purchase] = [*self.sales(), *self.purchases()]
        terms = [each.terms for each in held]
        return frozenset(
            key.short_id for each in terms for key in (each.payer, each.signer, each.payee)
        )

    def forget(self, needle: bytes) -> int:
        """Drop every body that contains `needle`; returns how many. The lines stay.

        Where we sell, an unpaid body that is gone can never be sent again, and the buyer waits for
        it: that channel freezes, and only claims what was promised.
        """
        with self.transaction():
            rows = self._db.execute(
                "DELETE FROM till_bodies WHERE instr(body, ?) > 0 RETURNING id", (needle,)
            ).fetchall()
            touched = {row for (row,) in rows}
            for sale in self.sales():
                if sale.row in touched:
                    self.freeze(sale)
        return len(rows)

    def invoice(self, held: Sale | Purchase, n: int) -> Invoice | None:
        """The signed line of item `n`, as long as the channel has one."""
        row = self._db.execute(
            "SELECT price, due, digest, signature FROM till_items WHERE id = ? AND n = ?",
            (held.row, n),
        ).fetchone()
        return None if row is None else Invoice(held.terms.channel, n, *row)

    def check(self) -> tuple[int, int]:
        """Channels and lines, once each sum, hash and promise was gone through; 0 before its birth.

        Raises:
            StoreError: the first thing that does not hold.
        """
        if not self._born():
            return 0, 0
        channels: list[Sale | Purchase] = [*self.sales(), *self.purchases()]
        return len(channels), sum(self._check(held) for held in channels)

    # --- inside

    def _born(self) -> bool:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'till_channels'")
        return bool(tables.fetchone()[0])

    def _insert(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        try:
            return self._row(_INSERT, values)
        except sqlite3.IntegrityError as error:
            raise LocalError("the till has this channel already") from error

    def _row(self, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        (row,) = self._db.execute(statement, values).fetchall()
        return tuple(row)

    def _find(self, role: str, channel: bytes) -> tuple[Any, ...] | None:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM till_channels WHERE role = ? AND channel = ?",  # noqa: S608  # our own column list
            (role, channel),
        ).fetchall()
        return rows[0] if rows else None

    def _all(self, role: str) -> list[tuple[Any, ...]]:
        return self._db.execute(
            f"SELECT {_COLUMNS} FROM till_channels WHERE role = ? ORDER BY id",  # noqa: S608  # our own column list
            (role,),
        ).fetchall()

    def _line(self, held: Sale | Purchase, item: Item, source: bytes) -> None:
        invoice = item.invoice
        line = (invoice.price, invoice.due, invoice.digest, invoice.signature)
        self._db.execute(
            "INSERT INTO till_items VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (held.row, invoice.n, *line, _pair(held), check_source(source)),
        )
        self._db.execute(
            "INSERT INTO till_bodies VALUES (?, ?, ?)", (held.row, invoice.n, item.body)
        )

    def _move(self, row: int, n: int, due: int) -> None:
        self._db.execute("UPDATE till_channels SET n = ?, due = ? WHERE id = ?", (n, due, row))

    def _promise(self, row: int, voucher: Voucher, state: State) -> None:
        self._db.execute(
            "UPDATE till_channels SET total = ?, signature = ?, state = ? WHERE id = ?",
            (voucher.total, voucher.signature, state.value, row),
        )

    def _items(self, held: Sale | Purchase, after: int, items_max: int) -> list[Item]:
        rows = self._db.execute(
            "SELECT n, price, due, digest, signature, body"
            " FROM till_bodies JOIN till_items USING (id, n)"
            " WHERE id = ? AND n > ? ORDER BY n LIMIT ?",
            (held.row, after, items_max),
        )
        channel = held.terms.channel
        return [Item(Invoice(channel, *line), body) for *line, body in rows]

    def _known(self, held: Sale | Purchase, source: bytes) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM till_items WHERE pair = ? AND source = ?",
            (_pair(held), check_source(source)),
        ).fetchone()
        return row is not None

    def _check(self, held: Sale | Purchase) -> int:
        side = held.side
        total = side.best if isinstance(side, Selling) else side.signed
        where = f"channel {held.terms.channel.hex()[:16]}"
        n = due = 0
        for n, (number, price, line_due) in enumerate(  # the last n is the count
            self._db.execute(
                "SELECT n, price, due FROM till_items WHERE id = ? ORDER BY n", (held.row,)
            ),
            start=1,
        ):
            due += price
            if (number, line_due) != (n, due):
                raise StoreError(f"{where}: item {number} at due {line_due}, expected {n} at {due}")
        if (side.n, side.due) != (n, due):
            raise StoreError(f"{where}: says {side.n} items at due {side.due}, has {n} at {due}")
        if total > side.funded or (total == 0) != (held.voucher is None):
            raise StoreError(f"{where}: a promise of {total} on {side.funded}")
        if held.voucher is not None:
            try:
                held.voucher.verify(held.terms.signer)
            except RemoteError as error:
                raise StoreError(f"{where}: the kept voucher does not verify") from error
        return n


def check_source(source: bytes) -> bytes:
    """A content identity of 8 to 64 bytes; raises LocalError for another size."""
    if not SOURCE_BYTES_MIN <= len(source) <= SOURCE_BYTES_MAX:
        raise LocalError(
            f"a source has {SOURCE_BYTES_MIN} to {SOURCE_BYTES_MAX} bytes, got {len(source)}"
        )
    return source


def _pair(held: Sale | Purchase) -> bytes:
    """Who sells to whom, from which side: a source is sold once for each, over all channels."""
    role = b"seller" if isinstance(held, Sale) else b"buyer"
    return sha256(role + held.terms.payee.raw + held.terms.payer.raw).digest()[:16]


def _sale(row: tuple[Any, ...]) -> Sale:
    number, terms, state, funded, claimed, n, due, total, signature, credit, reserve = row
    parsed = parse_terms(terms)
    side = Selling(State(state), funded, claimed, n, due, total, credit, reserve)
    return Sale(number, parsed, side, _voucher(parsed, total, signature))


def _purchase(row: tuple[Any, ...]) -> Purchase:
    number, terms, state, funded, claimed, n, due, total, signature, _, _ = row
    parsed = parse_terms(terms)
    side = Buying(State(state), funded, n, due, total)
    return Purchase(number, parsed, side, claimed, _voucher(parsed, total, signature))


def _voucher(terms: Terms, total: int, signature: bytes | None) -> Voucher | None:
    return None if signature is None else Voucher(terms.channel, total, signature)
