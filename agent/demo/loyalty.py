"""Three brands and their common customer at work on the ecosystem, and how it is settled."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from agent.demo.brands import BrandDesk
from agent.demo.deeds import Deeds
from agent.demo.parties import DELAY_S, Parties
from agent.demo.wallet import Wallet
from agent.export import write_whole
from agent.running import Connection
from ledger_client import netting
from ledger_client.channels import SALT_BYTES, Terms, sign_voucher
from ledger_client.errors import LocalError
from ledger_client.keys import SigningKey
from ledger_client.netting import Netting
from ledger_client.settlement import Claim
from ledger_client.shares import Debt

NOTE_MINOR_UNITS = 100_000
"""Every note is good for the same, so an amount tells nothing about who has it."""
FILE = "netting.cbor"


class Loyalty:
    """The customer's wallet, the brands' desks, and the netting between them, as one part."""

    def __init__(
        self,
        parties: Parties,
        deeds: Deeds,
        brands: Mapping[str, SigningKey],
        worth: Mapping[str, Callable[[], int]],
    ) -> None:
        """`brands`, and how many notes each has for the customer by now, by agreed names."""
        self._parties = parties
        self._ecosystem = deeds.brands
        self._digest = deeds.ecosystem.digest
        self._keys = brands
        home = parties.stores.home
        self.wallet = Wallet(home, self._ecosystem, parties.now_s)
        self.desks: dict[str, BrandDesk] = {}
        for name, key in brands.items():
            parties.fund(key.public)
            kept = home.peer_till(name).with_name("kept.value")
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.desks[name] = BrandDesk(
                key, self._ecosystem, NOTE_MINOR_UNITS, worth[name], parties.now_s, kept
            )
        self.netted: Netting | None = None
        """The last netting of this run."""

    async def run(self, connection: Connection) -> None:
        """The customer's side; the brands have connections of their own."""
        await self.wallet.run(connection)

    async def settle(self) -> None:
        """Net what each brand was promised, pay it on the ledger, and hand everybody the file."""
        owed = [signed for desk in self.desks.values() for _, signed in desk.owed.values()]
        made = netting.make(self._ecosystem, owed, self._paid())
        data = made.encode()
        for desk in self.desks.values():
            self._agrees(desk, netting.check(self._ecosystem, data))
        for payment in made.payments:
            await self._pay(payment)
        write_whole(self._parties.stores.home.path / FILE, data)
        self.netted = made

    def _agrees(self, desk: BrandDesk, made: Netting) -> None:
        """A brand pays no netting that leaves out what it was promised."""
        for _, signed in desk.owed.values():
            if signed not in made.statements:
                raise LocalError("a netting that leaves out what a brand was promised")

    def _paid(self) -> Sequence[Debt]:
        """What each ever paid each other under the agreement, as the ledger has it."""
        names = list(self._keys)
        pairs = [(a, b) for a in names for b in names if a != b]
        views = {pair: self._parties.book.view(self._terms(*pair).channel) for pair in pairs}
        return [Debt(*pair, view.claimed) for pair, view in views.items() if view and view.claimed]

    async def _pay(self, payment: Debt) -> None:
        """Raise the channel's total: the debtor funds it and signs, the creditor claims."""
        terms = self._terms(payment.debtor, payment.creditor)
        view = self._parties.book.view(terms.channel)
        total = payment.amount + (0 if view is None else view.claimed)
        debtor, creditor = self._keys[payment.debtor], self._keys[payment.creditor]
        await self._parties.settlement(debtor).open(terms, total)
        voucher = sign_voucher(debtor, terms.channel, total)
        await self._parties.settlement(creditor).claim([Claim(terms, voucher)])

    def _terms(self, debtor: str, creditor: str) -> Terms:
        """The one channel between two brands under the agreement; the same for ever."""
        payer, payee = self._keys[debtor].public, self._keys[creditor].public
        salt = sha256(b"netting" + self._digest + payer.raw + payee.raw).digest()[:SALT_BYTES]
        return Terms(
            ledger=self._parties.book.name,
            payer=payer,
            signer=payer,
            payee=payee,
            asset=self._parties.book.asset,
            delay_s=DELAY_S,
            salt=salt,
            simulated=True,
            agreement=self._digest,
        )
