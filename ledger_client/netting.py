"""A netting: what brands of an ecosystem owe each other, and the few payments that end it. Pure.

CBOR {1: "milepost-netting", 2: version, 3: digest of the ecosystem, 4: [owe statement...] by rising
digest, 5: payments made before, 6: payments to make}, a payment being [debtor, creditor, minor
units] with the names of the agreement, by rising debtor and creditor. Whoever has the file and the
agreement computes the payments again: they leave each party exactly where its debts did.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger_client import agreements, cbor, dues, shapes, shares, statements, values
from ledger_client.agreements import Ecosystem
from ledger_client.channels import MONEY_MAX
from ledger_client.errors import EncodingError, ProofError
from ledger_client.shares import Debt
from ledger_client.values import Owed

MAGIC = "milepost-netting"
VERSION = 1
SIZE_MAX = 1 << 20

_FIELDS = frozenset(range(1, 7))


@dataclass(frozen=True, slots=True)
class Netting:
    """All-time `debts` as their debtors signed them, what was `paid` before, and the `payments`.

    `positions` are what each is owed less what it owes, all time, by name; they sum to zero.
    """

    debts: tuple[Debt, ...]
    paid: tuple[Debt, ...]
    payments: tuple[Debt, ...]
    positions: Mapping[str, int]
    statements: tuple[bytes, ...]
    agreement: bytes

    def encode(self) -> bytes:
        """The file."""
        return cbor.encode(
            {
                1: MAGIC,
                2: VERSION,
                3: self.agreement,
                4: self.statements,
                5: [[each.debtor, each.creditor, each.amount] for each in self.paid],
                6: [[each.debtor, each.creditor, each.amount] for each in self.payments],
            }
        )


def make(ecosystem: Ecosystem, owed: Iterable[bytes], paid: Iterable[Debt]) -> Netting:
    """Net what the `owed` statements say, less what was `paid`.

    Of several by one debtor to one creditor the greatest counts: they are all-time totals.

    Raises:
        ProofError: not by a party, to no party, or a debt beyond the agreed limit.
        RemoteError: not a statement of what is owed.
    """
    agreement, names = agreements.digest(ecosystem), values.names_of(ecosystem)
    greatest: dict[tuple[str, str], tuple[int, bytes, bytes]] = {}
    for signed in owed:
        statement = statements.verify(signed)
        said = values.parse(statement, agreement)
        if not isinstance(said, Owed):
            raise EncodingError("expected statements of what is owed")
        if said.debtor not in names or said.creditor not in names:
            raise ProofError("a debt of, or to, somebody who is no party")
        pair = names[said.debtor], names[said.creditor]
        known = greatest.get(pair, (0, b"", b""))
        greatest[pair] = max(known, (said.total, statement.digest, signed))
    debts = tuple(Debt(*pair, total) for pair, (total, _, _) in sorted(greatest.items()))
    before = tuple(sorted(paid, key=lambda each: (each.debtor, each.creditor)))
    left = dues.open_positions(ecosystem, debts, before)
    payments = tuple(sorted(shares.net(left), key=lambda each: (each.debtor, each.creditor)))
    positions = shares.check_netting(debts, [*before, *payments])
    kept = tuple(signed for _, _, signed in sorted(greatest.values(), key=lambda each: each[1]))
    return Netting(debts, before, payments, positions, kept, agreement)


def check(ecosystem: Ecosystem, data: bytes) -> Netting:
    """The netting in a file, computed again from what is signed in it.

    Raises:
        ProofError: another ecosystem's, or payments that do not follow from it.
        RemoteError: whatever else is wrong with it.
    """
    pairs = shapes.fields(cbor.decode(data, size_max=SIZE_MAX), "netting", _FIELDS)
    if pairs[1] != MAGIC:
        raise EncodingError(f"netting: expected it to begin with {MAGIC!r}")
    shapes.integer(pairs[2], "netting version", VERSION, VERSION)
    if pairs[3] != agreements.digest(ecosystem):
        raise ProofError("a netting of another ecosystem")
    owed = [shapes.octets(each, "statement") for each in shapes.array(pairs[4], "statements")]
    paid = [_payment(each) for each in shapes.array(pairs[5], "paid")]
    netting = make(ecosystem, owed, paid)
    said = tuple(_payment(each) for each in shapes.array(pairs[6], "payments"))
    if said != netting.payments:
        raise ProofError(
            f"the payments do not follow from what is owed: {len(said)} are said, and"
            f" {len(netting.payments)} others follow"
        )
    if netting.encode() != data:
        raise EncodingError("netting: expected each debt once, and everything in its order")
    return netting


def _payment(value: object) -> Debt:
    debtor, creditor, amount = shapes.array(value, "payment", 3)
    return Debt(
        shapes.text(debtor, "debtor", 32),
        shapes.text(creditor, "creditor", 32),
        shapes.integer(amount, "amount", 1, MONEY_MAX),
    )
