"""The embedded ledger: what it does on whose word, and how one party sees it.

Orders and vouchers come in signed, movements go to `accounts`. A party from outside this process
that the ledger's operator certified pays in what its certificate allows; once that was taken back,
nothing more.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from ledger_client import genesis, statements
from ledger_client.channels import Event, State, Terms, advance, exponent
from ledger_client.errors import RemoteError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.log import Log
from ledger_client.settlement import Claim, Outcome, RefusedError, View, sharing
from ledger_client.settlement.accounts import Accounts
from ledger_client.settlement.allowances import Allowances
from ledger_client.settlement.movements import (
    CLAIMS_MAX,
    ISSUANCE,
    Order,
    Posting,
    evidence,
    sign_order,
    verify_order,
)


class Book:
    """The ledger's own side: takes signed orders and vouchers, keeps one asset's accounts."""

    def __init__(  # what a ledger is
        self,
        accounts: Accounts,
        log: Log,
        key: SigningKey,
        now_s: Callable[[], int],
        asset: str,
        demo: bool,  # noqa: FBT001  # positional beside its peers, in `open` only
    ) -> None:
        self._accounts = accounts
        self._allowances = Allowances(log, key.public)
        self._key = key
        self._now_s = now_s
        self.name = log.name
        """The log's name, which channel ids are bound to."""
        self.asset = asset
        self.demo = demo

    @classmethod
    def open(
        cls,
        connection: sqlite3.Connection,
        log: Log,
        key: SigningKey,
        *,
        now_s: Callable[[], int],
        asset: str = "EUR/6",
    ) -> Self:
        """The accounts beside this log, begun if there are none; whether it is play, the log says.

        `key` signs the entries; `now_s` gives Unix seconds, for the closing delay and the entries.

        Raises:
            StoreError: tables of a newer version.
            EncodingError: not an asset.
        """
        exponent(asset)
        accounts = Accounts(connection, log, key, asset)
        accounts.create()
        demo = genesis.verify(statements.verify(log.statement(0))).demo
        return cls(accounts, log, key, now_s, asset, demo)

    def balance(self, account: bytes) -> int:
        """Minor units in an account: a key's thumbprint, a channel, or `ISSUANCE`."""
        return self._accounts.balance(account)

    def view(self, channel: bytes) -> View | None:
        """The channel as it stands, or None."""
        return self._accounts.channel(channel)

    def issue(self, holder: PublicKey, total: int) -> None:
        """As the operator, make `total` the all-time amount issued to `holder`; once is enough."""
        account = holder.thumbprint
        more = total - self._accounts.issued(account)
        if more <= 0:
            return
        order = sign_order(self._key, Order("issue", self.name, account, total, None))
        with self._accounts.transaction():
            self._move("issue", ((ISSUANCE, -more), (account, more)), (order,))
            self._accounts.note_issued(account, total)

    def refill(self, holder: PublicKey) -> None:
        """As the operator, let `holder` have what its certificate lets it spend by now, no more.

        Raises:
            RefusedError: it has no certificate, or none that lets it pay.
        """
        now_s, account = self._now_s(), holder.thumbprint
        allowed = self._allowances.of(holder, now_s)
        if allowed is None:
            raise RefusedError(f"nobody certified {holder.short_id}: nothing says what it may have")
        left = allowed.minor_units_max - self._accounts.spent(account, allowed.since_s(now_s))
        short = left - self.balance(account)
        if short > 0:
            self.issue(holder, self._accounts.issued(account) + short)

    def order(self, party: PublicKey, data: bytes, *, outside: bool = False) -> View:
        """Do what `party` signed: open, close, close_now or finish.

        One `outside` this process is held to its certificate here; what is at stake counts.

        Raises:
            RefusedError: not allowed to this party, not covered, or not now.
            RemoteError: not an order that `party` signed, or no step of the channel's table.
        """
        order = verify_order(party, data)
        if order.ledger != self.name:
            raise RefusedError(f"an order for the ledger {order.ledger!a}, this is {self.name!a}")
        with self._accounts.transaction():
            if order.verb == "open":
                self._open(party, order, data, outside=outside)
            else:
                self._end(party, order, data, outside=outside)
            return self._known(order.channel)

    def _open(self, party: PublicKey, order: Order, data: bytes, *, outside: bool) -> None:
        terms = order.terms
        if terms is None or terms.channel != order.channel or terms.payer != party:
            raise RefusedError("a channel is opened by its payer, with its terms")
        if (terms.ledger, terms.asset) != (self.name, self.asset):
            raise RefusedError(f"terms for {terms.ledger!a} in {terms.asset}: not this ledger's")
        if terms.simulated and not self.demo:
            raise RefusedError("simulated readings settle on a demo ledger only")
        view = self.view(order.channel) or View(terms, State.OPENING, 0, 0, None)
        more = order.total - view.funded
        if more <= 0 and view.funded:
            return
        state = advance(view.state, Event.FUND)
        if outside:
            self._allow(party, more)
        if not 0 < more <= self.balance(party.thumbprint):
            raise RefusedError(f"{more} minor units are not covered")
        self._move("open", ((party.thumbprint, -more), (order.channel, more)), (data,))
        self._accounts.put(replace(view, state=state, funded=order.total))
        self._accounts.spend(terms, more, self._now_s())

    def _allow(self, party: PublicKey, more: int) -> None:
        """Raise RefusedError for more than the certificate of `party` allows, if it has one."""
        now_s = self._now_s()
        allowed = self._allowances.of(party, now_s)
        if allowed is None:
            return
        if allowed.asset not in {None, self.asset}:
            raise RefusedError(f"the certificate of {party.short_id} is for another asset")
        spent = self._accounts.spent(party.thumbprint, allowed.since_s(now_s))
        if spent + more > allowed.minor_units_max:
            raise RefusedError(
                f"{more} more are beyond the certificate of {party.short_id}: it allows"
                f" {allowed.minor_units_max} {allowed.period}, of which {spent} are spent"
            )

    def _end(self, party: PublicKey, order: Order, data: bytes, *, outside: bool) -> None:
        view = self._known(order.channel)
        now_s = self._now_s()
        match order.verb:
            case "close":
                allowed, event = party == view.terms.payer, Event.CLOSE
            case "close_now":
                allowed, event = party == view.terms.payee, Event.CLOSE_NOW
            case "finish":
                due = view.closes_at_s is not None and now_s >= view.closes_at_s
                allowed, event = due, Event.FINISH
            case _:
                raise RefusedError(f"no such order: {order.verb!a}")
        state = advance(view.state, event)
        if state is view.state:
            return  # it was done before
        if not allowed:
            raise RefusedError(f"{order.verb} is not for this party, or not at this time")
        if outside and order.verb == "close" and self._allowances.revoked(party):
            raise RefusedError(f"the certificate of {party.short_id} was taken back")
        closes_at_s = view.closes_at_s
        postings: tuple[Posting, ...] = ()
        if state is State.CLOSING:
            closes_at_s = now_s + view.terms.delay_s
        else:
            left = view.funded - view.claimed
            postings = _postings(order.channel, view.terms.payer.thumbprint, left)
            self._accounts.unspend(view.terms, left)
        self._accounts.move(order.verb, postings, (data,), now_s)  # the delay runs from the entry
        self._accounts.put(replace(view, state=state, closes_at_s=closes_at_s))

    def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay every good claim, one entry for each `CLAIMS_MAX`; the bad ones say why not."""
        outcomes: list[Outcome] = []
        for start in range(0, len(claims), CLAIMS_MAX):
            with self._accounts.transaction():
                outcomes += self._claim(claims[start : start + CLAIMS_MAX])
        return outcomes

    def _claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        postings: list[Posting] = []
        proofs: list[bytes] = []
        for claim in claims:
            channel, total = claim.voucher.channel, claim.voucher.total
            try:
                view = self._good(claim)
            except RemoteError as error:
                known = self.view(channel)
                outcomes.append(Outcome(channel, known.claimed if known else 0, str(error)))
                continue
            if total > view.claimed:
                postings += _postings(channel, view.terms.payee.thumbprint, total - view.claimed)
                proofs.append(evidence(claim.terms, claim.voucher))
                self._accounts.put(replace(view, claimed=total))
            outcomes.append(Outcome(channel, max(total, view.claimed), None))
        if postings:
            self._move("claim", postings, proofs)
        return outcomes

    def share(self, data: bytes) -> int:
        """Divide what a collector was paid under an agreement since that was last done.

        Anybody may hand the order over; returns how much went to the others.

        Raises:
            RefusedError: for another ledger, other shares than before, or money that is not there.
            RemoteError: not an order that its collector signed.
        """
        order, accounts = sharing.verify(data), self._accounts
        if order.ledger != self.name:
            raise RefusedError(f"an order for the ledger {order.ledger!a}, this is {self.name!a}")
        with accounts.transaction():
            held = accounts.shares(order.agreement) or [(*part, 0) for part in order.parts]
            if tuple((account, bps) for account, bps, _ in held) != order.parts:
                raise RefusedError("the shares of this agreement were others before")
            total = accounts.earned(order.agreement, order.collector)
            division = sharing.divide(order, [credited for _, _, credited in held], total)
            if not division.postings:
                return 0
            amount = -division.postings[0][1]
            if amount > self.balance(order.collector.thumbprint):
                raise RefusedError(f"{amount} minor units are not covered")
            self._move(sharing.VERB, division.postings, (data,))
            parts = zip(order.parts, division.credited, strict=True)
            accounts.note_shares(order.agreement, [(*part, credited) for part, credited in parts])
            return amount

    def _good(self, claim: Claim) -> View:
        """The channel of a claim that may be paid; raises RemoteError for any other."""
        terms, voucher = claim.terms, claim.voucher
        view = self._known(voucher.channel)
        if terms.channel != voucher.channel:
            raise RefusedError("the terms are not those of the voucher's channel")
        advance(view.state, Event.CLAIM)
        if voucher.total > view.funded:
            raise RefusedError(f"a voucher over {voucher.total}, funded with {view.funded}")
        voucher.verify(terms.signer)
        return view

    def _known(self, channel: bytes) -> View:
        view = self.view(channel)
        if view is None:
            raise RefusedError(f"no channel {channel.hex()[:16]} on this ledger")
        return view

    def _move(self, verb: str, postings: Sequence[Posting], proofs: Sequence[bytes]) -> None:
        self._accounts.move(verb, postings, proofs, self._now_s())


def _postings(channel: bytes, account: bytes, amount: int) -> tuple[Posting, ...]:
    return ((channel, -amount), (account, amount)) if amount else ()


class EmbeddedSettlement:
    """The `Settlement` of one party on an embedded ledger: signs its orders and hands them over."""

    def __init__(self, book: Book, key: SigningKey) -> None:
        self._book = book
        self._key = key

    @property
    def ledger(self) -> str:
        """The name that channel ids are bound to."""
        return self._book.name

    @property
    def demo(self) -> bool:
        """Whether this ledger takes channels that carry simulated readings."""
        return self._book.demo

    async def balance(self, holder: PublicKey) -> int:
        """Minor units that `holder` can spend."""
        return self._book.balance(holder.thumbprint)

    async def open(self, terms: Terms, funded: int) -> View:
        """Open or top up to `funded`; raises RefusedError."""
        return self._order("open", terms.channel, funded, terms)

    async def status(self, channel: bytes) -> View | None:
        """The channel as it stands, or None."""
        return self._book.view(channel)

    async def claim(self, claims: Sequence[Claim]) -> list[Outcome]:
        """Pay the payees; bad claims are skipped and say why."""
        return self._book.claim(claims)

    async def close(self, channel: bytes) -> View:
        """Start the closing delay; raises RefusedError."""
        return self._order("close", channel)

    async def close_now(self, channel: bytes) -> View:
        """End it at once; raises RefusedError."""
        return self._order("close_now", channel)

    async def finish(self, channel: bytes) -> View:
        """End it after the delay; raises RefusedError."""
        return self._order("finish", channel)

    def _order(self, verb: str, channel: bytes, total: int = 0, terms: Terms | None = None) -> View:
        order = Order(verb, self._book.name, channel, total, terms)
        return self._book.order(self._key.public, sign_order(self._key, order))
