"""One trade as it is shown to people: sums over a till, for the party that sells or that buys."""

from dataclasses import dataclass
from typing import Protocol

from agent.status import AccountView
from agent.till import Till
from ledger_client.keys import PublicKey

UNPAID_SHOWN_MAX = 1_000


class Account(Protocol):
    """A trade that can be looked at while it goes on."""

    def view(self) -> AccountView:
        """Sums over every channel that this trade ever had."""
        ...


@dataclass(frozen=True, slots=True)
class SellerAccount:
    """A trade as its seller's till has it: all of it, or what one `agreement` covers."""

    what: str
    payer: str
    payee: str
    till: Till
    party: PublicKey
    agreement: bytes | None = None

    def view(self) -> AccountView:
        """Sums over every channel that this trade ever had."""
        sales = [
            sale
            for sale in self.till.sales(self.party)
            if self.agreement in {None, sale.terms.agreement}
        ]
        unpaid = sum(len(self.till.outbox(sale, items_max=UNPAID_SHOWN_MAX)) for sale in sales)
        return AccountView(
            what=self.what,
            payer=self.payer,
            payee=self.payee,
            state=sales[-1].side.state.value if sales else "none",
            items=sum(sale.side.n for sale in sales),
            items_paid=sum(sale.side.n for sale in sales) - unpaid,
            due=sum(sale.side.due for sale in sales),
            paid=sum(sale.side.best for sale in sales),
            settled=sum(sale.side.claimed for sale in sales),
        )


@dataclass(frozen=True, slots=True)
class BuyerAccount:
    """A trade as its buyer's till has it: what was taken was promised in the same commit."""

    what: str
    payer: str
    payee: str
    till: Till
    party: PublicKey
    agreement: bytes

    def view(self) -> AccountView:
        """Sums over every channel that this trade ever had."""
        purchases = [
            purchase
            for purchase in self.till.purchases(self.party)
            if purchase.terms.agreement == self.agreement
        ]
        return AccountView(
            what=self.what,
            payer=self.payer,
            payee=self.payee,
            state=purchases[-1].side.state.value if purchases else "none",
            items=sum(purchase.side.n for purchase in purchases),
            items_paid=sum(purchase.side.n for purchase in purchases),
            due=sum(purchase.side.due for purchase in purchases),
            paid=sum(purchase.side.signed for purchase in purchases),
            settled=sum(purchase.claimed for purchase in purchases),
        )
