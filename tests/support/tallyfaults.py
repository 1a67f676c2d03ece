"""Eleven faults that a payment protocol may have, each planted beside the real code, never in it.

Three of them are about readings that two sellers heard, and budgets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tallymarket import Cast, CrashingTill

from agent.desks import BuyingDesk, Effect, SellingDesk, Send
from agent.marks import Readings
from agent.spending import Spent
from agent.till import Purchase, Sale
from ledger_client.channels import Event, Selling, Voucher, advance, sign_voucher
from ledger_client.errors import RemoteError
from ledger_client.messages import Item, Refusal, Standing
from ledger_client.settlement import Claim, Outcome, View
from ledger_client.settlement.embedded import Book


class ForgetfulTill(CrashingTill):
    """Credit before commit: a voucher counts at once and is written with the next but one."""

    def _kept(self) -> list[tuple[Sale, Selling, Voucher]]:
        kept: list[tuple[Sale, Selling, Voucher]] = self.__dict__.setdefault("kept", [])
        return kept

    def write_credit(self, sale: Sale, side: Selling, voucher: Voucher) -> Sale:
        """Remember it for now."""
        self._kept().append((sale, side, voucher))
        if len(self._kept()) > 2:
            super().write_credit(*self._kept().pop(0))
        return replace(sale, side=side, voucher=voucher)

    def sale(self, channel: bytes) -> Sale | None:
        """As remembered."""
        sale = super().sale(channel)
        if sale is None or not self._kept() or self._kept()[-1][1].best <= sale.side.best:
            return sale
        _, side, voucher = self._kept()[-1]
        return replace(sale, side=replace(sale.side, best=side.best), voucher=voucher)


class ForgetfulSeller(SellingDesk):
    """The memory of a ForgetfulTill dies with its process."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]  # handed on as they are
        self._till.__dict__.pop("kept", None)


class IncrementalBuyer(BuyingDesk):
    """Vouchers say what one item costs."""

    def _take(self, purchase: Purchase, item: Item) -> list[Effect]:
        sends = super()._take(purchase, item)
        channel, price = purchase.terms.channel, item.invoice.price
        return [
            replace(send, message=sign_voucher(self._key, channel, price))
            if isinstance(send, Send) and isinstance(send.message, Voucher)
            else send
            for send in sends
        ]


class IncrementalSeller(SellingDesk):
    """Vouchers add up."""

    def _receive_voucher(self, sale: Sale, voucher: Voucher) -> list[Effect]:
        voucher.verify(sale.terms.signer)
        total = min(sale.side.best + voucher.total, sale.side.due)
        if total > sale.side.best:
            summed = Voucher(voucher.channel, total, voucher.signature)
            self._till.write_credit(sale, sale.side.credit(total), summed)
        return []


class EagerBuyer(BuyingDesk):
    """`>=` for `>`: a total that it signed itself just now counts as one that it does not know."""

    def _receive_standing(self, purchase: Purchase, theirs: Standing) -> list[Effect]:
        best = theirs.voucher
        if best is not None and best.total >= purchase.side.signed:
            best.verify(self.party)
            state = advance(purchase.side.state, Event.FREEZE)
            side = replace(purchase.side, state=state, signed=best.total)
            purchase = self._till.write_adopted(purchase, side, best)
        return super()._receive_standing(purchase, theirs)


class TrustingBuyer(BuyingDesk):
    """Adopts a higher total without looking at who signed it."""

    def _receive_standing(self, purchase: Purchase, theirs: Standing) -> list[Effect]:
        best = theirs.voucher
        if best is not None and best.total > purchase.side.signed:
            purchase = self._till.write_adopted(purchase, purchase.side.adopt(best.total), best)
        return super()._receive_standing(purchase, theirs)


class HastySeller(SellingDesk):
    """A restored backup signs: it sells before it has heard where its buyer stands."""

    def sell(self, channel: bytes, goods: object) -> int:
        """As the real one, at once."""
        self._heard.add(channel)
        return super().sell(channel, goods)  # type: ignore[arg-type]  # handed on as it is

    def _shows_backup(self, sale: Sale, theirs: Standing) -> bool:
        del sale, theirs
        return False


class BlindTill(CrashingTill):
    """A restored backup that nobody recognises: its mark says nothing."""

    def recognise(self) -> None:
        """Carry on as if nothing had happened."""


class StrictBook(Book):
    """A claim fails whole on one bad row."""

    def _good(self, claim: Claim) -> View:
        try:
            return super()._good(claim)
        except RemoteError as error:
            raise BadRowError(str(error)) from error

    def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """All of them, or none."""
        try:
            return super().claim(claims)
        except BadRowError as error:
            return [Outcome(claim.voucher.channel, 0, str(error)) for claim in claims]


class AmnesicTill(CrashingTill):
    """The buyer pays for a reading and forgets that it did."""

    def write_readings(self, readings: Readings, marks_max: int) -> None:
        """Nothing."""


class HeedlessSeller(SellingDesk):
    """Takes any refusal of a number for one of the item that has this number now."""

    def _refused(self, sale: Sale, theirs: Standing, refused: Refusal) -> bool:
        line = self._till.invoice(sale, refused.n)
        if line is not None:
            refused = replace(refused, invoice=line.name)
        return super()._refused(sale, theirs, refused)


class SpendthriftTill(CrashingTill):
    """What was spent is not in the commit that promises it, nor in any other."""

    def write_spent(self, spent: Mapping[bytes, Spent]) -> None:
        """Nothing."""


class BadRowError(Exception):
    """What StrictBook trips over."""


FAULTS = {
    "voucher before commit": Cast(early=Voucher),
    "item before commit": Cast(early=Item),
    "credit before commit": Cast(till=ForgetfulTill, selling=ForgetfulSeller),
    "incremental vouchers": Cast(selling=IncrementalSeller, buying=IncrementalBuyer),
    ">= for >": Cast(buying=EagerBuyer),
    "unsigned total adopted": Cast(buying=TrustingBuyer),
    "backup signs": Cast(selling=HastySeller, till=BlindTill),
    "claim fails whole on a bad row": Cast(book=StrictBook),
    "paid readings forgotten": Cast(till=AmnesicTill),
    "stale refusal heeded": Cast(selling=HeedlessSeller),
    "spending not written": Cast(till=SpendthriftTill),
}
