"""The seller's rows: what was sold on which channel, and the best voucher for it."""

from dataclasses import replace

from agent.till.drawer import Drawer
from agent.till.values import Sale, sale_of
from ledger_client.channels import Event, Selling, State, Voucher, advance
from ledger_client.keys import PublicKey
from ledger_client.messages import Item
from ledger_client.settlement import View


class SellerDrawer(Drawer):
    """The channels on which we are paid."""

    def add_sale(self, view: View, credit: int, reserve: int) -> Sale:
        """Begin to sell on a channel that the ledger shows funded and open."""
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

    def history(self, sale: Sale) -> tuple[int, int]:
        """What this payer ever promised us, and what it left unpaid on channels that are over."""
        paid = lost = 0
        for other in self.sales(sale.terms.payee):
            if other.terms.payer == sale.terms.payer:
                paid += other.side.best
                if other.side.state in {State.FROZEN, State.CLOSED}:
                    lost += max(0, other.side.due - other.side.best)
        return paid, lost

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
