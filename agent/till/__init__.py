"""The till: channels, items and vouchers of both sides, on disk before anything is sent.

Tables `till_*` in the ledger's database (`ledger_client.log`). Amounts and numbers can only rise:
triggers refuse anything else, whatever the code above believes. An item's body lives until the
seller is paid or the buyer has used it; its line (price, due, hash, source) stays.
"""

import logging
import sqlite3
from typing import Self

from agent.till.buying import BuyerDrawer
from agent.till.selling import SellerDrawer
from agent.till.tidemark import VERSIONS as TIDE_VERSIONS
from agent.till.tidemark import Tidemark
from agent.till.values import Purchase, Sale, check_source
from agent.tilltables import VERSIONS
from ledger_client.channels import Event, Selling, State, advance
from ledger_client.database import migrate
from ledger_client.errors import DamageError, RemoteError, StoreError

__all__ = ["Purchase", "Sale", "Tidemark", "Till", "check_source"]

_log = logging.getLogger(__name__)


class Till(SellerDrawer, BuyerDrawer):
    """One writer. Every method joins the open `transaction()`, or is one of its own."""

    @classmethod
    def open(cls, connection: sqlite3.Connection, tidemark: Tidemark | None = None) -> Self:
        """The till in this database, made if there is none.

        One that is behind its `tidemark` is an old copy: its channels freeze at once, whatever was
        promised on them can still be claimed, and trade goes on under new salts.

        Raises:
            StoreError: another schema, or a mark that cannot be written.
        """
        migrate(connection, "till", VERSIONS)
        migrate(connection, "tide", TIDE_VERSIONS)
        till = cls(connection, tidemark)
        till.recognise()
        return till

    def recognise(self) -> None:
        """Freeze every channel if this is an old copy of the till; else bring the mark up to it."""
        count, restores = self._tide()
        if self._tidemark is None or not self._tidemark.behind(count):
            self._mark()
            return
        held: list[Sale | Purchase] = [*self.sales(), *self.purchases()]
        _log.warning(
            "%s: the till beside it is an old copy: its open channels, %s, sell and buy nothing"
            " more; what was promised on them is claimed, and trade goes on in new ones",
            self._tidemark.path,
            sum(each.side.state is not State.CLOSED for each in held),
        )
        with self.transaction():
            for each in held:
                state = advance(each.side.state, Event.FREEZE)
                self._db.execute(
                    "UPDATE till_channels SET state = ? WHERE id = ?", (state.value, each.row)
                )
            self._db.execute(
                "UPDATE till_tide SET count = ?, restores = ?",
                (max(count, self._tidemark.read() or 0) + 1, restores + 1),
            )

    def restores(self) -> int:
        """How often this till was found to be an old copy of itself, and frozen."""
        return self._tide()[1] if self._born() else 0

    def _tide(self) -> tuple[int, int]:
        count, restores = self._row("SELECT count, restores FROM till_tide", ())
        return int(count), int(restores)

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

    def check(self) -> tuple[int, int]:
        """Channels and lines, once each sum, hash and promise was gone through; 0 before its birth.

        Raises:
            StoreError: the first thing that does not hold.
            DamageError: the till is an old copy of itself.
        """
        if not self._born():
            return 0, 0
        if self._tidemark is not None and self._tidemark.behind(self._tide()[0]):
            raise DamageError(
                f"{self._tidemark.path}: it marks step {self._tidemark.read()}, the till beside it"
                f" is at {self._tide()[0]}: an old copy. Restore the newest, or start it as it is:"
                " then its channels freeze, what was promised on them is claimed, and trade goes on"
                " in new ones"
            )
        channels: list[Sale | Purchase] = [*self.sales(), *self.purchases()]
        return len(channels), sum(self._check(held) for held in channels)

    def _born(self) -> bool:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'till_channels'")
        return bool(tables.fetchone()[0])

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
