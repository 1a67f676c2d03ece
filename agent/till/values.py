"""What the till holds of a channel on each side, and how a row of its table becomes that."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger_client.channels import Buying, Selling, State, Terms, Voucher, parse_terms
from ledger_client.errors import LocalError

SOURCE_BYTES_MIN, SOURCE_BYTES_MAX = 8, 64


@dataclass(frozen=True, slots=True)
class Sale:
    """A channel on which we are paid; `row` is its place in the till."""

    row: int
    terms: Terms
    side: Selling
    voucher: Voucher | None


@dataclass(frozen=True, slots=True)
class Purchase:
    """A channel on which we pay; `voucher` is the highest one that may ever have left."""

    row: int
    terms: Terms
    side: Buying
    claimed: int
    voucher: Voucher | None


def check_source(source: bytes) -> bytes:
    """A content identity of 8 to 64 bytes; raises LocalError for another size."""
    if not SOURCE_BYTES_MIN <= len(source) <= SOURCE_BYTES_MAX:
        raise LocalError(
            f"a source has {SOURCE_BYTES_MIN} to {SOURCE_BYTES_MAX} bytes, got {len(source)}"
        )
    return source


def pair(held: Sale | Purchase) -> bytes:
    """Who sells to whom, from which side: a source is sold once for each, over all channels."""
    role = b"seller" if isinstance(held, Sale) else b"buyer"
    return sha256(role + held.terms.payee.raw + held.terms.payer.raw).digest()[:16]


def sale_of(row: tuple[Any, ...]) -> Sale:
    """The seller's side in a row of the table of channels."""
    number, terms, state, funded, claimed, n, due, total, signature, credit, reserve = row
    parsed = parse_terms(terms)
    prepaid = max(0, -credit)
    side = Selling(State(state), funded, claimed, n, due, total, credit, reserve, prepaid)
    return Sale(number, parsed, side, _voucher(parsed, total, signature))


def purchase_of(row: tuple[Any, ...]) -> Purchase:
    """The buyer's side in a row of the table of channels."""
    number, terms, state, funded, claimed, n, due, total, signature, _, _ = row
    parsed = parse_terms(terms)
    side = Buying(State(state), funded, n, due, total)
    return Purchase(number, parsed, side, claimed, _voucher(parsed, total, signature))


def _voucher(terms: Terms, total: int, signature: bytes | None) -> Voucher | None:
    return None if signature is None else Voucher(terms.channel, total, signature)
