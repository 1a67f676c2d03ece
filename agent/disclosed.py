"""Chosen readings of a batch as goods: an item holds some of them, each with its proof. Pure.

The body is CBOR [transparent statement, {1: [[index, leaf, [path hash...]]...]}]: always the chosen
form, so that who buys needs to know one form only (`ledger_client.disclosure`).
"""

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256

from agent.desks import Goods
from agent.goods import SIMULATED, SOURCE_BYTES
from ledger_client import cbor, disclosure, leaves, merkle, statements
from ledger_client.disclosure import Chosen, Part

READINGS_MAX = 32
"""In one item: with the longest paths they fit."""
ITEM_PRICE_MAX = 100_000
"""Minor units: an item has to fit into the credit of a new buyer."""


def goods(
    statement: bytes,
    receipt: bytes,
    every: Sequence[bytes],
    quantities: Collection[str],
    price: int,
    *,
    demo: bool,
) -> Iterator[Goods]:
    """The readings of these quantities in a batch, at `price` each; simulated ones on play only."""
    readings = [leaves.parse(leaf) for leaf in every]
    indices = [
        index
        for index, reading in enumerate(readings)
        if reading.name.rpartition("/")[2] in quantities
        and (demo or reading.provenance != SIMULATED)
    ]
    if not indices:
        return
    nodes = merkle.nodes_of([merkle.leaf_hash(leaf) for leaf in every])
    transparent = statements.attach(statement, [receipt])
    size = max(1, min(READINGS_MAX, ITEM_PRICE_MAX // price))
    for start in range(0, len(indices), size):
        some = indices[start : start + size]
        part = Part(
            tuple(
                Chosen(index, every[index], tuple(merkle.inclusion_proof(index, len(every), nodes)))
                for index in some
            )
        )
        named = sha256(cbor.encode([sha256(statement).digest(), some])).digest()
        yield Goods(
            named[:SOURCE_BYTES],
            price * len(some),
            cbor.encode([transparent, disclosure.encode(part)]),
            simulated=any(readings[index].provenance == SIMULATED for index in some),
        )
