"""Chosen readings as goods: nothing but what was granted leaves, and all of it is proved."""

from collections import Counter
from hashlib import sha256

from hypothesis import example, given
from hypothesis import strategies as st

from agent import disclosed
from ledger_client import cbor, disclosure, leaves, merkle, shapes, statements
from ledger_client.batches import Batch, Clock, Losses
from ledger_client.keys import SigningKey

GATEWAY = SigningKey(b"g" * 32)


def leaf(number: int, quantity: str, provenance: int) -> bytes:
    record = {0: f"tyre/{quantity}", 1: "Pa", 2: float(number), 6: 60.0}
    return cbor.encode([bytes([number % 256]) * 16, record, provenance, 0, bytes(8)])


def batch_of(every: list[bytes], provenance: list[int]) -> Batch:
    return Batch(
        leaf_count=len(every),
        root=merkle.root([merkle.leaf_hash(leaf) for leaf in every]),
        first_minute=1,
        last_minute=1,
        clock=Clock(2, bytes(8), 1, 0, 1),
        previous=bytes(32),
        sequence=1,
        provenance=Counter(provenance),
        losses=Losses(),
        profiles=("tyre/1",),
    )


READINGS = st.lists(
    st.tuples(st.sampled_from(["tyre_pressure", "temperature", "vin"]), st.sampled_from([1, 9])),
    min_size=1,
    max_size=90,
)


@example([("vin", 1)], 1, True)  # simulated ones, too
@example([("tyre_pressure", 9)] * 90, 50, True)  # same
@given(READINGS, st.integers(1, 60_000), st.booleans())
def test_every_granted_reading_is_sold_once_at_its_price_and_proved(
    readings: list[tuple[str, int]], price: int, demo: bool
) -> None:
    every = [leaf(n, *reading) for n, reading in enumerate(readings)]
    batch = batch_of(every, [provenance for _, provenance in readings])
    statement = statements.sign(GATEWAY, "batch", "urn:uuid:x", batch.encode(), 60)
    granted = frozenset({"tyre_pressure", "temperature"})

    sold = list(disclosed.goods(statement, b"receipt", every, granted, price, demo=demo))

    told: list[leaves.Leaf] = []
    for goods in sold:
        transparent, given = shapes.array(cbor.decode(goods.body), "goods", 2)
        part = disclosure.parse(given)
        assert isinstance(part, disclosure.Part)
        proved = disclosure.verify(part, batch)
        assert (
            statements.verify(shapes.octets(transparent, "statement")).digest
            == sha256(statement).digest()
        )
        assert goods.price == price * len(proved)
        assert len(proved) == 1 or goods.price <= disclosed.ITEM_PRICE_MAX
        assert goods.simulated == any(each.provenance == 9 for each in proved)
        told += proved
    wanted = [
        float(n)
        for n, (quantity, provenance) in enumerate(readings)
        if quantity in granted and (demo or provenance != 9)
    ]
    assert [each.value for each in told] == wanted
    assert len({goods.source for goods in sold}) == len(sold)
