"""What a buyer pays for, and what it refuses."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from box import Box

from agent.goods import (
    SIMULATED,
    SOURCE_BYTES,
    ReadingsWanted,
    readings_body,
    readings_source,
    sure,
    without,
)
from agent.stores import Stores
from ledger_client import cbor, disclosure, statements
from ledger_client.channels import Terms
from ledger_client.errors import LedgerError, RemoteError
from ledger_client.keys import SigningKey
from ledger_client.messages import Item, sign_item

SELLER, BUYER = (SigningKey(bytes([n]) * 32) for n in (1, 2))
PRICE = 50


def terms(*, simulated: bool = True) -> Terms:
    return Terms(
        ledger="box.example/log",
        payer=BUYER.public,
        signer=BUYER.public,
        payee=SELLER.public,
        asset="EUR/6",
        delay_s=60,
        salt=bytes(16),
        simulated=simulated,
    )


def item(body: bytes, price: int) -> Item:
    return sign_item(SELLER, terms().channel, (1, price, price), body)


@dataclass
class Offer:
    """A proved batch of three simulated readings, whole and in parts."""

    stores: Stores
    statement: bytes
    receipt: bytes
    leaves: list[bytes]

    @property
    def wanted(self) -> ReadingsWanted:
        return ReadingsWanted(self.stores.signer.public, self.stores.log_key, PRICE, 9)

    @property
    def body(self) -> bytes:
        return readings_body(self.statement, self.receipt, self.leaves)


@pytest.fixture
def offer(box: Box) -> Offer:
    return offered(box)


def offered(box: Box) -> Offer:
    stores = box.open()
    box.hear(stores, 3)
    (proved,) = box.prove(stores)
    sealed = stores.journal.leaves_of(proved.batch)
    assert sealed is not None
    return Offer(
        stores,
        stores.log.statement(proved.log_index),
        stores.log.receipt(proved.log_index),
        stores.vault.open_leaves("runner", proved.batch, sealed),
    )


def test_proved_readings_at_their_price_are_taken_under_their_statements_name(
    offer: Offer,
) -> None:
    readings = offer.wanted.accept(terms(), item(offer.body, 3 * PRICE))

    assert readings.source == readings_source(offer.statement)
    assert len(readings.source) == SOURCE_BYTES
    assert [mark.index for mark in readings.marks] == [0, 1, 2]
    assert len({mark.digest for mark in readings.marks}) == 3


@pytest.mark.parametrize("known", [{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}])
def test_a_part_of_a_batch_is_proved_and_costs_so_much_less(offer: Offer, known: set[int]) -> None:
    left = without(offer.body, 3 * PRICE, frozenset(known))

    assert left is not None
    readings = offer.wanted.accept(terms(), item(*left))
    assert readings.source == readings_source(offer.statement)
    assert {mark.index for mark in readings.marks} == {0, 1, 2} - known
    assert left[1] == PRICE * len(readings.marks)


def test_less_of_less_is_the_same_as_less_at_once_until_nothing_is_left(offer: Offer) -> None:
    part = without(offer.body, 3 * PRICE, frozenset({1}))

    assert part is not None
    assert without(*part, frozenset({0})) == without(offer.body, 3 * PRICE, frozenset({0, 1}))
    assert without(*part, frozenset({0, 2})) is None


@pytest.mark.parametrize("known", [set(), {3}, {0, 3}])
def test_readings_that_are_not_there_cannot_be_left_out(offer: Offer, known: set[int]) -> None:
    with pytest.raises(RemoteError, match="a refusal of readings"):
        without(offer.body, 3 * PRICE, frozenset(known))


@pytest.mark.parametrize("body", [b"body", cbor.encode([b"", None]), cbor.encode([3, 108_000])])
def test_nothing_can_be_left_out_of_other_goods(body: bytes) -> None:
    with pytest.raises(RemoteError):
        without(body, PRICE, frozenset({0}))


def test_goods_whose_price_does_not_divide_by_their_readings_stay_whole(offer: Offer) -> None:
    with pytest.raises(RemoteError, match="another kind"):
        without(offer.body, 3 * PRICE + 1, frozenset({0}))


def no_disclosure(offer: Offer) -> bytes:
    return cbor.encode([statements.attach(offer.statement, [offer.receipt]), None])


def stolen_path(offer: Offer) -> bytes:
    part = disclosure.choose(offer.leaves, {0})
    assert isinstance(part, disclosure.Part)
    moved = replace(part, chosen=(replace(part.chosen[0], index=1),))
    return readings_body(offer.statement, offer.receipt, moved)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [(no_disclosure, "without readings"), (stolen_path, "does not lead to the root")],
)
def test_a_part_that_is_not_proved_is_refused(
    offer: Offer, spoil: Callable[[Offer], bytes], complaint: str
) -> None:
    with pytest.raises(RemoteError, match=complaint):
        offer.wanted.accept(terms(), item(spoil(offer), PRICE))


def other_issuer(offer: Offer) -> bytes:
    said = statements.verify(offer.statement)
    forged = statements.sign(SELLER, "batch", said.subject, said.payload, said.issued_s)
    return readings_body(forged, offer.receipt, offer.leaves)


def two_receipts(offer: Offer) -> bytes:
    twice = statements.attach(offer.statement, [offer.receipt, offer.receipt])
    return cbor.encode([twice, offer.leaves])


def other_leaf(offer: Offer) -> bytes:
    leaves = [*offer.leaves[:-1], offer.leaves[-1][:-1] + b"x"]
    return readings_body(offer.statement, offer.receipt, leaves)


def other_entry(offer: Offer) -> bytes:
    return readings_body(offer.statement, offer.stores.log.receipt(0), offer.leaves)


def genesis(offer: Offer) -> bytes:
    log = offer.stores.log
    return readings_body(log.statement(0), log.receipt(0), offer.leaves)


def not_octets(offer: Offer) -> bytes:
    return cbor.encode([statements.attach(offer.statement, [offer.receipt]), ["text"]])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (other_issuer, "not the one agreed on"),
        (genesis, "not the one agreed on"),
        (two_receipts, "one receipt"),
        (other_entry, "signature is not one"),
        (other_leaf, "do not lead to the root"),
        (lambda offer: cbor.encode([offer.statement, offer.leaves]), "one receipt"),
        (lambda offer: readings_body(offer.statement, offer.receipt, []), "0 leaves"),
        (lambda offer: offer.body + b"\x00", "after the end"),
        (lambda _: b"", "CBOR ends"),
        (lambda _: cbor.encode([1]), "array of 2"),
        (not_octets, "leaf"),
    ],
)
def test_anything_but_the_whole_proved_batch_is_refused(
    offer: Offer, spoil: Callable[[Offer], bytes], complaint: str
) -> None:
    with pytest.raises(RemoteError, match=complaint):
        offer.wanted.accept(terms(), item(spoil(offer), 3 * PRICE))


def test_every_flipped_byte_of_the_body_is_refused_or_changes_nothing(offer: Offer) -> None:
    body = offer.body
    taken: list[bytes] = []

    for place in range(len(body)):
        flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        try:
            taken.append(offer.wanted.accept(terms(), item(flipped, 3 * PRICE)).source)
        except LedgerError:
            continue

    assert taken == []


@pytest.mark.parametrize("price", [3 * PRICE - 1, 3 * PRICE + 1])
def test_another_price_is_refused(offer: Offer, price: int) -> None:
    with pytest.raises(RemoteError, match="for 3 readings at 50 each"):
        offer.wanted.accept(terms(), item(offer.body, price))


def test_simulated_readings_are_refused_outside_a_demo_channel(offer: Offer) -> None:
    with pytest.raises(RemoteError, match="demo channel only"):
        offer.wanted.accept(terms(simulated=False), item(offer.body, 3 * PRICE))


def test_readings_that_the_agreement_does_not_govern_are_refused(offer: Offer) -> None:
    wanted = replace(offer.wanted, agreement=bytes(32))

    with pytest.raises(RemoteError, match="another agreement"):
        wanted.accept(terms(), item(offer.body, 3 * PRICE))


def test_less_provenance_than_agreed_is_refused(box: Box) -> None:
    box.provenance = 1
    offer = offered(box)
    wanted = replace(offer.wanted, least_provenance=2)

    with pytest.raises(RemoteError, match="provenance 1, the least paid for is 2"):
        wanted.accept(terms(), item(offer.body, 3 * PRICE))


def test_simulated_is_another_kind_and_not_the_surest() -> None:
    assert [sure(each, 2) for each in (0, 1, 2, 3, SIMULATED)] == [False, False, True, True, True]
