"""Goods under a licence: what is packed is what is due, and the payer takes nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import contracts
import msgspec
import pytest
from box import WALL_MS, Box
from contracts import BRAND, WEARER
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.claims import Kept, pack
from agent.desks import Goods
from agent.goods import readings_body
from agent.journal import Pack
from agent.licensed import Held, Judge, chosen, piece_source, window_body, window_source
from agent.marks import Readings
from agent.sales import LicenceGoods
from agent.stores import Stores
from agent.till import Sale
from ledger_client import batches, cbor, consents, disclosure, dues, leaves, shapes, statements
from ledger_client.agreements import DataLicence
from ledger_client.channels import State, Terms
from ledger_client.dues import Measured
from ledger_client.errors import RemoteError
from ledger_client.messages import Item, sign_item
from ledger_client.settlement import View

BEGINS_S = WALL_MS // 1000
LATER_S = BEGINS_S + 100_000
QUANTITIES = ("cadence", "heart_rate", "speed")

Heard = tuple[int, str, int]
"""Seconds after the begin, a quantity, a provenance."""


@dataclass
class Shop:
    """A home with proved batches under a licence, and a channel of its payer."""

    stores: Stores
    held: Held
    sale: Sale

    @property
    def judge(self) -> Judge:
        return Judge(self.held, self.stores.signer.public, self.stores.log_key)

    def goods(self, now_s: float = LATER_S) -> list[Goods]:
        return list(LicenceGoods(self.stores, linger_s=2).goods(self.held, self.sale, now_s))

    def judged(self, goods: Goods) -> bytes:
        found = self.judge.accept(self.sale.terms, item(self.sale.terms, goods))
        return found.source if isinstance(found, Readings) else found


def item(terms: Terms, goods: Goods) -> Item:
    place = (1, goods.price, goods.price)
    return sign_item(WEARER, terms.channel, place, goods.body)


def given_away(entry: object) -> disclosure.Part:
    """What is disclosed of one batch."""
    part = disclosure.parse(shapes.array(entry, "entry", 2)[1])
    assert isinstance(part, disclosure.Part)
    return part


def licence(urn: str, **changes: object) -> DataLicence:
    agreed = {"quantities": ["cadence", "heart_rate"], "simulated": True, "begins_s": BEGINS_S}
    return contracts.licence(**(agreed | {"subject": urn} | changes))


def shop(box: Box, heard: Sequence[Sequence[Heard]], **changes: object) -> Shop:
    """Each list of `heard` becomes a batch that the licence governs."""
    stores = box.open()
    agreed = licence(stores.subjects["runner"], **changes)
    acts = contracts.signed(agreed, BEGINS_S - 60)
    held = Held(agreed, consents.standing(agreed, acts, BEGINS_S))
    for rows in heard:
        kept = [
            Kept(
                "strap", "p/1", provenance, (BEGINS_S + at_s) * 1000, at_s, bytes(8), ((name, 1.0),)
            )
            for at_s, name, provenance in rows
        ]
        body = stores.vault.seal_pack("runner", pack(kept))
        stores.journal.put([Pack("runner", stores.boot, len(kept), 0, 0, body)], {}, {}, 0)
        uplink = box.uplink(stores, governing=lambda *_: held.digest)
        uplink.step(box.now(stores), drain=True)
    terms = Terms(
        *(agreed.ledger, BRAND.public, BRAND.public, WEARER.public, "EUR/6", 60, bytes(16)),
        simulated=True,
        agreement=held.digest,
    )
    view = View(terms, State.OPEN, 10**9, 0, None)
    return Shop(stores, held, stores.till.add_sale(view, 10**9, 0))


@pytest.fixture
def shopping(box: Box) -> Callable[..., Shop]:
    return lambda heard, **changes: shop(box, heard, **changes)


rows = st.lists(
    st.tuples(st.integers(-5, 400), st.sampled_from(QUANTITIES), st.sampled_from([0, 1, 2, 3, 9])),
    min_size=1,
    max_size=80,
)


@settings(deadline=None, max_examples=12)
@given(
    heard=st.lists(rows, min_size=1, max_size=4),
    resolution_s=st.sampled_from([0, 1, 7, 60]),
    by_period=st.booleans(),
)
def test_what_is_packed_is_what_is_due_and_the_payer_takes_all_of_it(
    heard: list[list[Heard]], resolution_s: int, by_period: bool
) -> None:
    price = {"per": "period", "minor_units": 900, "period_s": 60} if by_period else {
        "per": "reading", "minor_units": 50
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        box = Box(Path(folder) / "home")
        place = shop(box, heard, resolution_s=resolution_s, price=price)
        goods = place.goods()

        sources = [place.judged(each) for each in goods]
        box.close()

    measured = [
        Measured(name, BEGINS_S + at_s, provenance)
        for some in heard
        for at_s, name, provenance in some
    ]
    held = place.held
    assert sources == [each.source for each in goods]
    assert len(set(sources)) == len(sources)
    due = dues.licence_due(held.licence, held.standing, measured, demo=True)
    assert sum(each.price for each in goods) == due


def test_a_batch_is_sold_in_pieces_and_each_discloses_licensed_readings_only(
    shopping: Callable[..., Shop],
) -> None:
    heard = [(at_s, QUANTITIES[at_s % 3], 1) for at_s in range(150)]
    place = shopping([heard])

    goods = place.goods()

    assert [each.price for each in goods] == [43 * 50, 43 * 50, 14 * 50]
    statement = place.stores.log.statement(1)
    assert [each.source for each in goods] == [piece_source(statement, n) for n in range(3)]
    assert [place.judged(each) for each in goods] == [each.source for each in goods]
    for each in goods:
        names = {leaves.parse(one.leaf).name for one in given_away(cbor.decode(each.body)).chosen}
        assert names == {"strap/cadence", "strap/heart_rate"}


def test_a_window_is_sold_once_it_is_over_and_proved_and_only_once(
    shopping: Callable[..., Shop],
) -> None:
    place = shopping(
        [[(0, "cadence", 1), (9, "cadence", 1)], [(29, "cadence", 1)]], resolution_s=10
    )
    packer = LicenceGoods(place.stores, linger_s=2)

    def sold(now_s: float) -> list[int]:
        return [each.price for each in packer.goods(place.held, place.sale, now_s)]

    early, ready, again = sold(BEGINS_S + 61.9), sold(BEGINS_S + 62), sold(LATER_S)

    assert (early, ready, again) == ([], [2 * 50], [])


def test_a_window_that_was_sold_is_not_sold_again_by_another_run(
    shopping: Callable[..., Shop],
) -> None:
    daily = {"per": "period", "minor_units": 7, "period_s": 86_400}
    place = shopping([[(0, "cadence", 1)], [(5, "heart_rate", 1)]], price=daily)
    (goods,) = place.goods()
    sold = replace(place.sale.side, n=1, due=7)

    place.stores.till.write_item(
        place.sale, sold, item(place.sale.terms, goods), window_source(place.held.licence, 0)
    )

    assert goods.price == 7
    assert place.goods() == []


def test_a_period_with_more_readings_than_fit_discloses_some_of_all_of_it(
    shopping: Callable[..., Shop],
) -> None:
    daily = {"per": "period", "minor_units": 7, "period_s": 86_400}
    place = shopping([[(at_s, "cadence", 1) for at_s in range(700)]], price=daily)

    (goods,) = place.goods()

    (one,) = shapes.array(cbor.decode(goods.body), "body")
    part = given_away(one)
    assert 20 < len(part.chosen) < 200
    assert part.chosen[-1].index > 600
    assert place.judged(goods) == goods.source


def test_a_window_by_the_reading_that_does_not_fit_is_left_out(
    shopping: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = shopping([[(0, "cadence", 1)]], resolution_s=10)
    monkeypatch.setattr("agent.sales.BODY_BYTES_MAX", 100)

    assert place.goods() == []
    assert "1 readings does not fit" in caplog.text


def test_readings_that_were_released_to_make_room_are_passed_over(
    shopping: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    minutely = shopping([[(0, "cadence", 1)]], resolution_s=10)
    packer = LicenceGoods(minutely.stores, linger_s=2)
    assert list(packer.goods(minutely.held, minutely.sale, BEGINS_S)) == []  # it waits

    monkeypatch.setattr(minutely.stores.journal, "leaves_of", lambda _: None)

    assert list(packer.goods(minutely.held, minutely.sale, LATER_S)) == []
    assert minutely.goods() == []


def test_a_batch_of_another_subject_or_under_no_licence_is_not_looked_into(
    box: Box, shopping: Callable[..., Shop]
) -> None:
    place = shopping([])
    box.hear(place.stores, 2, "car")
    box.hear(place.stores, 2)
    box.prove(place.stores)

    assert place.goods() == []


def test_what_waits_for_room_is_bounded(
    shopping: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.sales.WINDOWS_MAX", 1)
    place = shopping([[(0, "cadence", 1)]], resolution_s=10)
    packer = LicenceGoods(place.stores, linger_s=2)
    nothing = list(packer.goods(place.held, place.sale, BEGINS_S))

    monkeypatch.setattr(place.stores.journal, "receipted", None)  # is not asked

    assert nothing == []
    assert list(packer.goods(place.held, place.sale, BEGINS_S)) == []


# --- what the payer refuses


def piece(place: Shop, indices: Sequence[int], entry: int = 1) -> bytes:
    """Some leaves of a batch, whatever the licence says."""
    stores = place.stores
    batch = next(each for each in stores.journal.receipted() if each.log_index == entry)
    sealed = stores.journal.leaves_of(batch.batch)
    assert sealed is not None
    every = stores.vault.open_leaves(batch.subject, batch.batch, sealed)
    given = disclosure.choose(every, set(indices))
    assert given is not None
    return readings_body(stores.log.statement(entry), stores.log.receipt(entry), given)


def window(place: Shop, *some: tuple[int, Sequence[int]]) -> bytes:
    return cbor.encode([cbor.decode(piece(place, indices, entry)) for entry, indices in some])


def refused(place: Shop, body: bytes, price: int, words: str, terms: Terms | None = None) -> None:
    asked = terms or place.sale.terms
    with pytest.raises(RemoteError, match=words):
        place.judge.accept(asked, item(asked, Goods(bytes(16), price, body, simulated=True)))


MIXED: list[Heard] = [(0, "cadence", 1), (1, "speed", 1), (2, "cadence", 0), (3, "cadence", 9)]


def test_readings_that_are_not_licensed_are_not_even_taken(shopping: Callable[..., Shop]) -> None:
    place = shopping([MIXED], simulated=False)

    refused(place, piece(place, [0, 1]), 50, "a reading of speed with provenance 1")
    refused(place, piece(place, [0, 2]), 50, "a reading of cadence with provenance 0")
    refused(place, piece(place, [0, 3]), 50, "a reading of cadence with provenance 9")
    refused(place, piece(place, [0]), 49, "49 for readings that are worth 50")
    refused(place, piece(place, [0]), 51, "51 for readings that are worth 50")


def test_simulated_readings_are_no_better_than_any_least_provenance(
    shopping: Callable[..., Shop],
) -> None:
    place = shopping([MIXED], simulated=True, least_provenance=3)
    real = replace(place.sale.terms, simulated=False)

    assert [each.price for each in place.goods()] == [50]
    refused(place, piece(place, [3]), 50, "provenance 9", real)


def test_another_channel_subject_batch_or_agreement_is_refused(
    box: Box, shopping: Callable[..., Shop]
) -> None:
    place = shopping([[(at_s, "cadence", 1) for at_s in range(70)]])
    terms = place.sale.terms
    box.hear(place.stores, 2)
    box.prove(place.stores)

    for other in (
        replace(terms, agreement=bytes(32)),
        replace(terms, asset="USD/6"),
        replace(terms, payer=contracts.PLATFORM.public),
        replace(terms, payee=contracts.PLATFORM.public),
    ):
        refused(place, piece(place, [0]), 50, "not the licence's own", other)
    refused(place, piece(place, [0, 64]), 100, "more than one piece")
    refused(place, piece(place, [0], entry=2), 50, "another agreement governs")
    somebody = f"urn:uuid:{'1' * 8}-1111-1111-1111-{'1' * 12}"
    other_subject = msgspec.structs.replace(place.held.licence, subject=somebody)
    elsewhere = replace(place, held=replace(place.held, licence=other_subject))
    own = replace(terms, agreement=elsewhere.held.digest)
    refused(elsewhere, piece(place, [0]), 50, "whom the licence is not about", own)


def test_a_window_holds_each_slot_and_batch_once_and_no_second_window(
    shopping: Callable[..., Shop],
) -> None:
    first = [(0, "cadence", 1), (5, "cadence", 1), (70, "cadence", 1)]
    place = shopping([first, [(20, "cadence", 1)]], resolution_s=10)

    good = Goods(b"", 100, window(place, (1, [0]), (2, [0])), simulated=True)
    assert place.judged(good) == window_source(place.held.licence, 0)
    refused(place, window(place, (1, [0, 1])), 50, "two readings of a quantity within 10 s")
    refused(place, window(place, (1, [0]), (1, [2])), 100, "named twice")
    refused(place, window(place, (1, [0, 2])), 100, "more than one window")
    refused(place, cbor.encode([]), 50, "readings of 0 batches")
    refused(place, piece(place, [0]), 50, "readings")


def test_the_first_reading_of_a_slot_is_the_one_that_is_sold(
    shopping: Callable[..., Shop],
) -> None:
    place = shopping(
        [[(0, "cadence", 1), (5, "cadence", 1), (5, "heart_rate", 1)]], resolution_s=10
    )
    entry = next(iter(place.stores.journal.receipted()))
    sealed = place.stores.journal.leaves_of(entry.batch)
    assert sealed is not None

    found = chosen(
        place.held, place.stores.vault.open_leaves("runner", entry.batch, sealed), demo=True
    )

    assert [(each.index, each.slot) for each in found] == [
        (0, ("cadence", 0)),
        (2, ("heart_rate", 0)),
    ]
    assert window_body([]) == cbor.encode([])
    statement = statements.verify(place.stores.log.statement(1))
    assert batches.decode(statement.payload).agreement == place.held.digest
