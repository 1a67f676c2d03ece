"""What a desk wants done: a message sent, or the ledger asked; and whom a channel's terms mean."""

from dataclasses import dataclass

from ledger_client.channels import State, Terms
from ledger_client.messages import Message

LIVE = frozenset({State.OPEN, State.FROZEN, State.CLOSING})


@dataclass(frozen=True, slots=True)
class Send:
    """To be published to `peer` (a short id), once the transaction around the call is durable."""

    peer: str
    channel: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Look:
    """The ledger must be asked about this channel, and `observe` be told the answer."""

    peer: str
    terms: Terms


Effect = Send | Look


def payer(terms: Terms) -> str:
    """Short id of who promises on this channel."""
    return terms.signer.short_id


def payee(terms: Terms) -> str:
    """Short id of who is paid on this channel."""
    return terms.payee.short_id
