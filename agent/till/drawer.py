"""What both sides of the till do with their rows."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.till.tidemark import Tidemark
from agent.till.values import Purchase, Sale, check_source, pair
from ledger_client.channels import Event, State, Voucher, advance, joined
from ledger_client.database import transaction
from ledger_client.errors import LocalError
from ledger_client.messages import Invoice, Item
from ledger_client.settlement import View

COLUMNS = "id, terms, state, funded, claimed, n, due, total, signature, credit, reserve"
_VALUES = "?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?"
_INSERT = (
    "INSERT INTO till_channels (role, channel, terms, state, funded, claimed,"  # noqa: S608  # ours
    f" n, due, total, credit, reserve) VALUES ({_VALUES}) RETURNING {COLUMNS}"
)


class Drawer:
    """One writer. Every method joins the open `transaction()`, or is one of its own."""

    def __init__(self, connection: sqlite3.Connection, tidemark: Tidemark | None = None) -> None:
        """Without a `tidemark`, an old copy is known only by what the other side holds."""
        self._db = connection
        self._marks: int | None = None
        self._tidemark = tidemark
        self._marked = -1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside becomes durable at once when the outermost one ends, or not at all."""
        if self._db.in_transaction:
            yield
            return
        with transaction(self._db):
            yield
        self._mark()

    def _mark(self) -> None:
        """Have the tidemark say how far this till has come."""
        if self._tidemark is not None:
            (count,) = self._row("SELECT count FROM till_tide", ())
            if count != self._marked:
                self._tidemark.write(count)
                self._marked = count

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

    def invoice(self, held: Sale | Purchase, n: int) -> Invoice | None:
        """The signed line of item `n`, as long as the channel has one."""
        row = self._db.execute(
            "SELECT price, due, digest, signature FROM till_items WHERE id = ? AND n = ?",
            (held.row, n),
        ).fetchone()
        return None if row is None else Invoice(held.terms.channel, n, *row)

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
            f"SELECT {COLUMNS} FROM till_channels WHERE role = ? AND channel = ?",  # noqa: S608  # our own column list
            (role, channel),
        ).fetchall()
        return rows[0] if rows else None

    def _all(self, role: str) -> list[tuple[Any, ...]]:
        return self._db.execute(
            f"SELECT {COLUMNS} FROM till_channels WHERE role = ? ORDER BY id",  # noqa: S608  # our own column list
            (role,),
        ).fetchall()

    def _line(self, held: Sale | Purchase, item: Item, source: bytes, at_s: int) -> None:
        invoice = item.invoice
        line = (invoice.price, invoice.due, invoice.digest, invoice.signature)
        self._db.execute(
            "INSERT INTO till_items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (held.row, invoice.n, *line, pair(held), check_source(source), at_s or None),
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

    def _drop_bodies(self, held: Sale | Purchase, n: int) -> None:
        self._db.execute("DELETE FROM till_bodies WHERE id = ? AND n <= ?", (held.row, n))

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
            (pair(held), check_source(source)),
        ).fetchone()
        return row is not None
