"""The buyer's rows: what was received on which channel, and what was promised for it."""

from dataclasses import replace

from agent.till.drawer import Drawer
from agent.till.values import Purchase, purchase_of
from ledger_client.channels import Buying, State, Terms, Voucher
from ledger_client.keys import PublicKey
from ledger_client.messages import Item


class BuyerDrawer(Drawer):
    """The channels on which we pay."""

    def add_purchase(self, terms: Terms) -> Purchase:
        """Remember a channel that we are about to open: its salt must survive a crash."""
        values = ("buyer", terms.channel, terms.encoded, State.OPENING.value, 0, 0, 0, 0)
        return purchase_of(self._insert(values))

    def purchase(self, channel: bytes) -> Purchase | None:
        """The channel on which we buy, if we have it."""
        row = self._find("buyer", channel)
        return None if row is None else purchase_of(row)

    def purchases(self, signer: PublicKey | None = None) -> list[Purchase]:
        """Every channel on which we (or only `signer`) buy, oldest first, ended ones too."""
        found = [purchase_of(row) for row in self._all("buyer")]
        return [purchase for purchase in found if signer in {None, purchase.terms.signer}]

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
