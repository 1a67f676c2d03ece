"""The seller's rows: what was sold on which channel, and the best voucher for it."""

from dataclasses import replace

from agent.till.drawer import COLUMNS, Drawer
from agent.till.values import Sale, check_source, pair, sale_of
from ledger_client import cbor, shapes
from ledger_client.channels import Event, Selling, State, Terms, Voucher, advance
from ledger_client.keys import PublicKey
from ledger_client.messages import Item
from ledger_client.settlement import View


class SellerDrawer(Drawer):
    """The channels on which we are paid."""

    def add_sale(self, view: View, credit: int, reserve: int) -> Sale:
        """Begin to sell on a channel that the ledger shows funded and open.

        A negative `credit` makes it prepaid by so much for its life, or until there is credit.
        """
        values = ("seller", view.terms.channel, view.terms.encoded, view.state.value)
        return sale_of(self._insert((*values, view.funded, view.claimed, credit, reserve)))

    def sale(self, channel: bytes) -> Sale | None:
        """The channel on which we sell, if we have it."""
        row = self._find("seller", channel)
        return None if row is None else sale_of(row)

    def sales(self, payee: PublicKey | None = None) -> list[Sale]:
        """Every channel on which we (or only `payee`) sell, oldest first, ended ones too."""
        found = [sale_of(row) for row in self._all("seller")]
        return [sale for sale in found if payee in {None, sale.terms.payee}]

    def freeze(self, sale: Sale) -> None:
        """This store is older than what we signed: sell nothing more on this channel."""
        state = advance(sale.side.state, Event.FREEZE)
        self._db.execute("UPDATE till_channels SET state = ? WHERE id = ?", (state.value, sale.row))

    def bar(self, sale: Sale, n: int) -> None:
        """The buyer refuses item `n`: sell nothing more here, and never offer it that again."""
        with self.transaction():
            self.freeze(sale)
            self._db.execute("UPDATE till_channels SET barred = ? WHERE id = ?", (n, sale.row))

    def history(self, terms: Terms) -> tuple[int, int]:
        """What this payer ever promised this payee, and what it left unpaid.

        That is on ended channels and on those beside the one of these `terms`, which has its own
        count: so all that are open at once share one credit.
        """
        paid = lost = 0
        for other in self._of(terms):
            paid += other.side.best
            ended = other.side.state in {State.FROZEN, State.CLOSED}
            if ended or other.terms.channel != terms.channel:
                lost += max(0, other.side.due - other.side.best)
        return paid, lost

    def live(self, terms: Terms) -> int:
        """How many channels of this payer to this payee are not over."""
        return sum(each.side.state is not State.CLOSED for each in self._of(terms))

    def _of(self, terms: Terms) -> list[Sale]:
        """Every channel between these two, oldest first; others' are not even parsed."""
        rows = self._db.execute(
            f"SELECT {COLUMNS} FROM till_channels WHERE role = 'seller'"  # noqa: S608  # our own column list
            " AND instr(terms, ?) > 0 AND instr(terms, ?) > 0 ORDER BY id",
            (terms.payer.raw, terms.payee.raw),
        ).fetchall()
        here = terms.payer, terms.payee
        return [sale for sale in map(sale_of, rows) if (sale.terms.payer, sale.terms.payee) == here]

    def forgone(self, sale: Sale, day: int) -> int:
        """What this payer refused on `day` of what it was sent, as paid for elsewhere."""
        row = self._db.execute(
            "SELECT amount FROM till_forgone WHERE pair = ? AND day >= ?", (pair(sale), day)
        ).fetchone()
        return row[0] if row else 0

    def write_item(
        self, sale: Sale, side: Selling, item: Item, source: bytes, at_s: int = 0
    ) -> Sale:
        """Item, body and the new due in one commit; only then may the item leave.

        `at_s` is Unix time in seconds, 0 where nobody knows it.
        """
        with self.transaction():
            self._line(sale, item, source, at_s)
            self._move(sale.row, side.n, side.due)
        return replace(sale, side=side)

    def write_credit(self, sale: Sale, side: Selling, voucher: Voucher) -> Sale:
        """A higher voucher, and the bodies that it pays for go; only then is there more credit."""
        with self.transaction():
            last = 0
            lines = self._db.execute(
                "SELECT n, due FROM till_bodies JOIN till_items USING (id, n)"
                " WHERE id = ? ORDER BY n",
                (sale.row,),
            )
            for n, due in lines:
                if due > side.acknowledged:
                    break
                last = n
            lines.close()
            self._drop_bodies(sale, last)
            self._promise(sale.row, voucher, side.state)
        return replace(sale, side=side, voucher=voucher)

    def outbox(self, sale: Sale, *, after: int = 0, items_max: int = 3) -> list[Item]:
        """The oldest unpaid items behind number `after`, as they were first sent."""
        return self._items(sale, after, items_max)

    def sold(self, sale: Sale, source: bytes) -> bool:
        """Whether `source` was sold to this payer before, on this channel or an earlier one.

        Also if the payer was found to have all of it from elsewhere.
        """
        return self._known(sale, source) or self.known(sale, source) == frozenset()

    # --- selling anew what the buyer has in part from elsewhere

    def known(self, sale: Sale, source: bytes) -> frozenset[int] | None:
        """Leaf indices of `source` that this payer has from elsewhere; empty means all of them."""
        row = self._db.execute(
            "SELECT known FROM till_known WHERE pair = ? AND source = ?",
            (pair(sale), check_source(source)),
        ).fetchone()
        if row is None:
            return None
        places = shapes.array(cbor.decode(row[0]), "known readings")
        return frozenset(shapes.integer(each, "known reading") for each in places)

    def write_known(
        self, sale: Sale, source: bytes, known: frozenset[int], forgone: tuple[int, int]
    ) -> None:
        """Remember that this payer has these leaves (none named: all), and (day, amount) for it."""
        here = pair(sale)
        with self.transaction():
            before = self.known(sale, source) or frozenset()
            places = cbor.encode(sorted(known | before) if known else [])
            self._db.execute(
                "INSERT INTO till_known VALUES (?, ?, ?)"
                " ON CONFLICT (pair, source) DO UPDATE SET known = excluded.known",
                (here, check_source(source), places),
            )
            self._db.execute(
                "INSERT INTO till_forgone VALUES (?, ?, ?) ON CONFLICT (pair) DO UPDATE SET"
                " amount = excluded.amount + (CASE WHEN day < excluded.day THEN 0 ELSE amount END),"
                " day = max(day, excluded.day)",
                (here, *forgone),
            )

    def withdraw(self, sale: Sale, n: int) -> bytes:
        """Take back unpaid item `n`, to be sold under another place at once; its source."""
        with self.transaction():
            here = (sale.row, n)
            self._db.execute("DELETE FROM till_bodies WHERE id = ? AND n = ?", here)
            (source,) = self._row(
                "DELETE FROM till_items WHERE id = ? AND n = ? RETURNING source", here
            )
        return bytes(source)

    def rewind(self, sale: Sale, n: int, due: int) -> Sale:
        """Everything behind item `n` was withdrawn."""
        self._move(sale.row, n, due)
        return replace(sale, side=replace(sale.side, n=n, due=due))
