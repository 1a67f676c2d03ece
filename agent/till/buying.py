"""The buyer's rows: what was received on which channel, and what was promised for it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.marks import Readings
from agent.spending import Spent
from agent.till.drawer import Drawer
from agent.till.values import Purchase, purchase_of
from ledger_client.channels import Buying, State, Terms, Voucher
from ledger_client.keys import PublicKey
from ledger_client.messages import Item
from ledger_client.settlement import View

MARKS_PART = 64
"""The part of all marks that goes at once when there are too many."""


class BuyerDrawer(Drawer):
    """The channels on which we pay."""

    def add_purchase(self, terms: Terms) -> Purchase:
        """Remember a channel that we are about to open: its salt must survive a crash."""
        values = ("buyer", terms.channel, terms.encoded, State.OPENING.value, 0, 0, 0, 0)
        with self.transaction():
            return purchase_of(self._insert(values))

    def add_forgotten(self, view: View) -> Purchase:
        """A channel that we opened and this store does not know: it was restored. Frozen."""
        place = (State.FROZEN.value, view.funded, view.claimed, 0, 0)
        with self.transaction():
            return purchase_of(
                self._insert(("buyer", view.terms.channel, view.terms.encoded, *place))
            )

    def purchase(self, channel: bytes) -> Purchase | None:
        """The channel on which we buy, if we have it."""
        row = self._find("buyer", channel)
        return None if row is None else purchase_of(row)

    def purchases(self, signer: PublicKey | None = None) -> list[Purchase]:
        """Every channel on which we (or only `signer`) buy, oldest first, ended ones too."""
        found = [purchase_of(row) for row in self._all("buyer")]
        return [purchase for purchase in found if signer in {None, purchase.terms.signer}]

    def write_purchase(
        self,
        purchase: Purchase,
        side: Buying,
        item: Item,
        source: bytes,
        voucher: Voucher,
        at_s: int = 0,
    ) -> Purchase:
        """The item and the promise to pay it in one commit; only then may the voucher leave.

        `at_s` is Unix time in seconds, 0 where nobody knows it.
        """
        with self.transaction():
            self._line(purchase, item, source, at_s)
            self._move(purchase.row, side.n, side.due)
            self._promise(purchase.row, voucher, side.state)
        return replace(purchase, side=side, voucher=voucher)

    def write_adopted(self, purchase: Purchase, side: Buying, voucher: Voucher) -> Purchase:
        """A higher promise of ours that this store does not know of: kept, and frozen."""
        self._promise(purchase.row, voucher, side.state)
        return replace(purchase, side=side, voucher=voucher)

    def write_ahead(self, purchase: Purchase, side: Buying, voucher: Voucher) -> Purchase:
        """A promise ahead of what is due, as agreed; only then may the voucher leave."""
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

    # --- single readings, over all sellers and channels

    def paid_before(self, readings: Readings) -> tuple[int, ...]:
        """Leaf indices of what another issuer was paid for, or of what is too old to tell."""
        row = self._db.execute("SELECT max(minute) FROM till_readings_floor").fetchone()
        floor = float("-inf") if row[0] is None else row[0]
        return tuple(
            mark.index
            for mark in readings.marks
            if mark.minute < floor or self._owned(mark.minute, mark.digest, readings.issuer)
        )

    def write_readings(self, readings: Readings, marks_max: int) -> None:
        """These are paid for. Beyond `marks_max` the oldest go; nothing so old is paid any more."""
        with self.transaction():
            if self._marks is None:
                self._marks = self._count_marks()
            self._db.executemany(
                "INSERT INTO till_readings VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(mark.minute, mark.digest, readings.issuer) for mark in readings.marks],
            )
            self._marks += len(readings.marks)  # or less: some were there
            if self._marks > marks_max:
                self._marks = self._count_marks()
            if self._marks > marks_max:
                self._forget_marks(self._marks - marks_max + marks_max // MARKS_PART)

    def _count_marks(self) -> int:
        (count,) = self._row("SELECT count(*) FROM till_readings", ())
        return int(count)

    def _owned(self, minute: int, digest: bytes, issuer: bytes) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM till_readings WHERE minute IN (?, ?, ?) AND mark = ? AND issuer != ?",
            (minute - 1, minute, minute + 1, digest, issuer),
        ).fetchone()
        return row is not None

    def _forget_marks(self, surplus: int) -> None:
        """Drop the oldest minutes, with at least so many marks if there are."""
        (last,) = self._row(
            "SELECT max(minute) FROM"
            " (SELECT minute FROM till_readings ORDER BY minute, mark LIMIT ?)",
            (surplus,),
        )
        self._db.execute("DELETE FROM till_readings WHERE minute <= ?", (last,))
        self._db.execute("DELETE FROM till_readings_floor")
        self._db.execute("INSERT INTO till_readings_floor VALUES (?)", (last + 1,))
        self._marks = None

    # --- budgets

    def spent(self, budgets: Iterable[bytes]) -> dict[bytes, Spent]:
        """What is held of the budgets with these names."""
        found = {}
        for name in budgets:
            row = self._db.execute(
                "SELECT period, spent FROM till_spent WHERE budget = ?", (name,)
            ).fetchone()
            if row is not None:
                found[name] = Spent(*row)
        return found

    def write_spent(self, spent: Mapping[bytes, Spent]) -> None:
        """Part of the commit that writes the promise."""
        self._db.executemany(
            "INSERT INTO till_spent VALUES (?, ?, ?) ON CONFLICT (budget) DO UPDATE SET"
            " period = excluded.period, spent = excluded.spent",
            [(name, each.period, each.amount) for name, each in spent.items()],
        )
