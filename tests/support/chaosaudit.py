"""What must hold between the two homes of the chaos scenario, its ledger, and what was on the wire.

Read from outside, while they run and when one of them is dead. Whatever only rises is read in the
order in which it must not overtake: claimed, credited, signed; received, sold.
"""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from chaosparty import body_of, price_of
from market import BUYER, SELLER
from tallytruth import demand

from agent.till import Purchase, Sale, Till
from ledger_client import messages
from ledger_client.channels import State, Voucher
from ledger_client.database import open_database
from ledger_client.log import LogReader
from ledger_client.messages import Item
from ledger_client.settlement.accounts import check


@dataclass
class Wire:
    """What an onlooker saw on the broker: one item for each number, the highest voucher."""

    items: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    vouchers: dict[bytes, int] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    def see(self, payload: bytes) -> None:
        """Take note of one payment message; raises ViolationError for two under one number."""
        message = messages.parse(payload)
        self.seen[type(message).__name__] += 1
        if isinstance(message, Item):
            invoice = message.invoice
            place = invoice.channel, invoice.n
            known = self.items.setdefault(place, invoice.signature)
            demand(known == invoice.signature, f"two items under number {invoice.n}")
        if isinstance(message, Voucher):
            most = max(message.total, self.vouchers.get(message.channel, 0))
            self.vouchers[message.channel] = most


@dataclass
class Audit:
    """Looks at all there is, again and again; raises ViolationError, or a StoreError for damage."""

    folder: Path
    window: int
    wire: Wire = field(default_factory=Wire)
    _last: dict[tuple[str, bytes], tuple[int, ...]] = field(default_factory=dict)

    def look(self, dead: str = "") -> None:
        """All that must hold at any moment; of a `dead` party, what is dear to check too."""
        items, vouchers = dict(self.wire.items), dict(self.wire.vouchers)
        before = self.purchases()
        claimed = self._claimed()
        sales = self.sales()
        purchases = self.purchases()
        for channel, sale in sales.items():
            side, bought, earlier = sale.side, purchases[channel].side, before.get(channel)
            demand(side.due - side.best <= self.window, "exposed beyond the window")
            demand(claimed.get(channel, 0) <= side.best, "claimed without a voucher")
            demand(side.best <= bought.signed, "credited more than was promised")
            demand(bought.signed <= bought.due, "promised more than was received")
            demand(earlier is None or earlier.side.n <= side.n, "received what was not sold")
            self._rises("seller", channel, (side.n, side.due, side.best, side.claimed))
            self._rises("buyer", channel, (bought.n, bought.due, bought.signed))
            frozen = State.FROZEN in {side.state, bought.state}
            demand(not frozen, "frozen although nothing was restored")
        for channel, n in items:
            demand(n <= sales[channel].side.n, "sent an item that is not on disk")
        for channel, total in vouchers.items():
            demand(total <= purchases[channel].side.signed, "sent a voucher that is not on disk")
        if dead:
            with closing(open_database(self.folder / dead / "till.db")) as connection:
                Till.open(connection).check()

    def sales(self) -> dict[bytes, Sale]:
        """The seller's channels, as they are on its disk."""
        with closing(open_database(self.folder / "seller" / "till.db")) as connection:
            return {sale.terms.channel: sale for sale in Till.open(connection).sales()}

    def purchases(self) -> dict[bytes, Purchase]:
        """The buyer's channels, as they are on its disk."""
        with closing(open_database(self.folder / "buyer" / "till.db")) as connection:
            return {each.terms.channel: each for each in Till.open(connection).purchases()}

    def sides(self) -> list[object]:
        """Where both stand on every channel."""
        sides: list[object] = [sale.side for sale in self.sales().values()]
        return [*sides, *(purchase.side for purchase in self.purchases().values())]

    def still_open(self) -> bool:
        """Whether the buyer has not seen the end of every channel."""
        purchases = self.purchases().values()
        return any(purchase.side.state is not State.CLOSED for purchase in purchases)

    def _claimed(self) -> dict[bytes, int]:
        with closing(open_database(self.folder / "ledger.db")) as connection:
            rows = connection.execute("SELECT channel, claimed FROM settlement_channels")
            return dict(rows.fetchall())

    def _rises(self, role: str, channel: bytes, now: tuple[int, ...]) -> None:
        last = self._last.get((role, channel), now)
        demand(all(a <= b for a, b in zip(last, now, strict=True)), f"a {role} went backwards")
        self._last[role, channel] = now

    def close(self, made: int, purse: int) -> dict[str, int]:
        """After the end: goods 1 to `made` were each delivered and paid, once; the books agree.

        What came on a channel that was closed before its voucher arrived was unpaid, and sold anew.
        """
        self.look("seller")
        self.look("buyer")
        claimed, sales = self._claimed(), self.sales()
        paid: Counter[bytes] = Counter()
        unpaid = 0
        with closing(open_database(self.folder / "buyer" / "till.db")) as connection:
            till = Till.open(connection)
            for channel, purchase in self.purchases().items():
                demand(purchase.side.state is State.CLOSED, "a channel is left open")
                for item in till.received(purchase, items_max=10**9):
                    good = item.invoice.due <= claimed[channel]
                    paid[item.body] += good
                    unpaid += not good
        bodies = [body_of(number) for number in range(1, made + 1)]
        odd = sorted(set(paid) ^ set(bodies))
        demand(not odd, f"made and not delivered, or delivered and not made: {odd[:9]}")
        demand(set(paid.values()) == {1}, "something was paid twice, or never")
        total = sum(map(price_of, range(1, made + 1)))
        demand(sum(claimed.values()) == total, "what was claimed is not what was delivered")
        with closing(open_database(self.folder / "ledger.db")) as connection:
            balances = check(connection, LogReader(connection))
        demand(sum(balances.values()) == 0, "the ledger does not sum to zero")
        demand(balances[SELLER.public.thumbprint] == total, "the seller did not get it all")
        demand(balances[BUYER.public.thumbprint] == purse - total, "the buyer paid something else")
        return {"items": made, "paid": total, "channels": len(sales), "received unpaid": unpaid}
