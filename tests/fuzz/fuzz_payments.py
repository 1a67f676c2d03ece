"""Atheris targets: any bytes to every parser of money and agreements that strangers wrote.

Run it where atheris is installed: `fuzz_payments.py --all --seconds 60`, or name one target.
Anything but a value or a `RemoteError` is a finding, and so is a value that does not print back as
the bytes it came from. What stands behind a signature is reached by signing whatever comes.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256

import running

with running.atheris.instrument_imports(include=["ledger_client"]):
    import contracts
    import market
    import offering
    import smalllog
    from smalllog import GATEWAY, NOW_S, SUBJECT

    from ledger_client import (
        activations,
        agreements,
        bookkeeping,
        cbor,
        consents,
        cose,
        deeds,
        dues,
        erasures,
        handover,
        messages,
        netting,
        offers,
        record,
        shares,
        statements,
        values,
        wording,
    )
    from ledger_client.agreements import DataLicence
    from ledger_client.channels import Terms, parse_terms, sign_voucher
    from ledger_client.consents import Act
    from ledger_client.deeds import Deed
    from ledger_client.errors import RemoteError
    from ledger_client.log import LogReader
    from ledger_client.messages import Refusal, Standing
    from ledger_client.settlement import movements, sharing
    from ledger_client.settlement.movements import Movement, Order
    from ledger_client.settlement.sharing import ShareOrder

BYTES_MAX = 4_096
BRAND, PLATFORM, WEARER = contracts.BRAND, contracts.PLATFORM, contracts.WEARER
ECOSYSTEM = contracts.ecosystem()
AGREED = agreements.digest(ECOSYSTEM)
HOLDER = values.holder_key(bytes(32), AGREED, 1)
TERMS = Terms(
    *("box.example/log", WEARER.public, WEARER.public, BRAND.public, "EUR/6", 86_400, bytes(16)),
    simulated=True,
    agreement=AGREED,
)
ACCEPTOR = offers.Acceptor(WEARER.public.did, TERMS.ledger, SUBJECT)


def message(data: bytes) -> None:
    """A message of a payment channel."""
    assert messages.encode(messages.parse(data)) == data


def terms(data: bytes) -> None:
    """The terms of a channel."""
    assert parse_terms(data).encoded == data


def agreement(data: bytes) -> None:
    """An agreement, for machines and for people."""
    found = agreements.parse(data)
    assert agreements.encode(found) == data
    assert agreements.from_plain(agreements.to_plain(found)) == found
    _standing(Deed(found))


def deed(data: bytes) -> None:
    """A deed, and where it stands."""
    found = deeds.parse(data)
    assert found.encode() == data
    _standing(found)


def _standing(found: Deed) -> None:
    standing = consents.standing(found.agreement, found.acts, NOW_S)
    held = handover.Held(found.agreement, standing)
    handover.endings([held], handover.begins_s([held], NOW_S))
    wording.text(found.agreement)


def offer(data: bytes) -> None:
    """The statement of an offer."""
    assert offers.verify(data).statement == data


def published(data: bytes) -> None:
    """An offer as it stands on a broker."""
    _offered(offers.from_json(data))


def document(data: bytes) -> None:
    """A document that its brand offers, whatever it is."""
    plain = cbor.decode(data)
    digest = sha256(cbor.encode(plain)).hexdigest()
    fields = {
        "version": 1,
        "name": "shoes",
        "open": "wearer",
        "document": plain,
        "sha256": digest,
        "fees": [{"per": "once", "name": "card", "minor_units": 1}],
        "places": 1,
        "lapses_s": NOW_S,
    }
    _offered(_verified(digest, cbor.encode(fields)))


def template(data: bytes) -> None:
    """The payload of an offer, which its brand signed."""
    plain = cbor.decode(data)
    digest = plain.get("sha256") if isinstance(plain, dict) else None
    _offered(_verified(digest if isinstance(digest, str) else "", data))


def _verified(digest: str, payload: bytes) -> offers.Signed:
    return offers.verify(_signed(offers.KIND, payload, f"urn:milepost:offer:{digest}"))


def _offered(signed: offers.Signed) -> None:
    assert offers.from_json(offers.to_json(signed)) == signed
    offers.dotted(wording.text(signed.sample(NOW_S)))
    assert offers.accepts(signed.offer, offers.filled(signed.offer, ACCEPTOR, NOW_S))


def _signed(kind: str, payload: bytes, about: str) -> bytes:
    return statements.sign(BRAND, kind, about, payload, NOW_S)


def payload(data: bytes) -> None:
    """What stands behind a good signature, as everything that it could be."""
    grant = contracts.grant()
    about = consents.subject(AGREED)
    readers: dict[str, Callable[[statements.Statement], object]] = {
        consents.KIND: consents.parse_act,
        activations.KIND: lambda each: activations.of(grant, [each]),
        erasures.KIND: _erasure,
        values.KIND: partial(values.parse, agreement=AGREED),
        bookkeeping.KIND: lambda each: bookkeeping.replay(TERMS.ledger, [(0, each)]),
    }
    for kind, read in readers.items():
        said = statements.verify(_signed(kind, data, about))
        running.attempt(read, said, RemoteError)


def _erasure(said: statements.Statement) -> None:
    found = erasures.Erasures()
    found.closed(said, 3)
    found.add(said)
    assert found.count({}) == {said.subject: 3}


def debt(data: bytes) -> None:
    """What a party says that it owes, netted."""
    owed = _signed(values.KIND, data, consents.subject(AGREED))
    found = netting.make(ECOSYSTEM, [owed], [])
    assert netting.check(ECOSYSTEM, found.encode()) == found


def handed(data: bytes) -> None:
    """A file of notes and their redemptions."""
    found = values.unpack(data)
    pairs = values.redeemed(ECOSYSTEM, AGREED, zip(found[::2], found[1::2], strict=False))
    dues.debts(ECOSYSTEM, values.history(ECOSYSTEM, pairs))


def netted(data: bytes) -> None:
    """A netting."""
    assert netting.check(ECOSYSTEM, data).encode() == data


def words(data: bytes) -> None:
    """What a party signed that is an order, or a division of what it earned."""
    kinds: dict[str, Callable[[bytes], object]] = {
        movements.ORDER_TYPE: partial(movements.verify_order, BRAND.public),
        sharing.SHARE_TYPE: sharing.verify,
    }
    for kind, read in kinds.items():
        signed = cose.sign1(BRAND, {cose.CONTENT_TYPE: kind}, data)
        running.attempt(read, signed, RemoteError)


def evidence(data: bytes) -> None:
    """A voucher with its terms."""
    assert movements.evidence(*movements.parse_evidence(data)) == data


def movement(data: bytes) -> None:
    """An entry of the ledger, and a ledger that has no other."""
    assert movements.parse_movement(data).encoded() == data
    running.attempt(movements.replay, [data], RemoteError)


READERS: dict[str, Callable[[bytes], object]] = {
    "message": message,
    "terms": terms,
    "agreement": agreement,
    "deed": deed,
    "offer": offer,
    "published": published,
    "document": document,
    "template": template,
    "payload": payload,
    "debt": debt,
    "handed": handed,
    "netted": netted,
    "words": words,
    "order": partial(movements.verify_order, WEARER.public),
    "share": sharing.verify,
    "evidence": evidence,
    "movement": movement,
    "books": bookkeeping.replay_record,
}
TARGETS = {name: running.quiet(read, RemoteError) for name, read in READERS.items()}


def seeds() -> Iterator[bytes]:
    """One good example of everything."""
    yield TERMS.encoded
    voucher = sign_voucher(WEARER, TERMS.channel, 5)
    item = messages.sign_item(BRAND, TERMS.channel, (1, 5, 5), b"body")
    refused = Refusal(1, item.invoice.name, (0, 2, 5))
    yield messages.encode(voucher)
    yield messages.encode(item)
    yield messages.encode(Standing(TERMS, 9, 0, 0, 0, None, None))
    last = item.invoice
    yield messages.encode(Standing(TERMS, 9, 5, 5, 1, voucher, last, b"run12345", refused, -3))
    for kind in contracts.OWN:
        found = agreements.from_plain(contracts.plain(kind))
        yield agreements.encode(found)
        yield Deed(found).joined(act.signed for act in contracts.signed(found)).encode()
    yield from _offers()
    yield from _value()
    yield from _money()


def _offers() -> Iterator[bytes]:
    fees = [
        {"per": "reading", "name": "card", "minor_units": 1},
        {"per": "earned", "name": "club", "bps": 100},
    ]
    for kind in ("data-licence", "metered-service"):
        plain = offering.template(kind)
        if kind == "metered-service":
            plain |= {"provider": "brand"}
        signed = offering.signed(plain, fees=fees)
        yield offers.to_json(signed)
        yield signed.statement
        yield statements.verify(signed.statement).payload
        yield cbor.encode(signed.offer.document)
        assert isinstance(signed.sample(), DataLicence) == (kind == "data-licence")


def _value() -> Iterator[bytes]:
    note = values.earn(BRAND, AGREED, 100, HOLDER.public, NOW_S)
    spent = values.redeem(HOLDER, AGREED, sha256(note).digest(), PLATFORM.public, NOW_S)
    owed = values.owe(BRAND, AGREED, PLATFORM.public, 100, NOW_S)
    device = activations.device_of(AGREED, "code of the box")
    for each in (
        note,
        spent,
        owed,
        values.ask(WEARER, AGREED, [HOLDER.public], NOW_S),
        values.show(WEARER, AGREED, bytes(32), NOW_S),
        activations.sign(BRAND, AGREED, HOLDER.public, device, "heart strap", NOW_S),
        consents.sign_act(BRAND, AGREED, Act.END, NOW_S),
        erasures.sign(GATEWAY, SUBJECT, NOW_S),
    ):
        yield statements.verify(each).payload
    yield values.pack([note, spent])
    paid = [shares.Debt("brand", "platform", 30)]
    yield netting.make(ECOSYSTEM, [owed], paid).encode()


def _money() -> Iterator[bytes]:
    opens = Order("open", TERMS.ledger, TERMS.channel, 5, TERMS)
    parts = ((BRAND.public.thumbprint, 4_000), (WEARER.public.thumbprint, 6_000))
    shared = sharing.sign(BRAND, ShareOrder(TERMS.ledger, AGREED, BRAND.public, parts))
    yield shared
    yield cose.parse_sign1(shared).payload or b""
    closes = Order("close", TERMS.ledger, TERMS.channel, 5, None)
    orders = [movements.sign_order(WEARER, each) for each in (opens, closes)]
    for signed in orders:
        yield signed
        yield cose.parse_sign1(signed).payload or b""
    proof = movements.evidence(TERMS, sign_voucher(WEARER, TERMS.channel, 5))
    yield proof
    postings = ((movements.ISSUANCE, -5), (BRAND.public.thumbprint, 5))
    for verb, one in (("issue", b""), ("open", orders[0]), ("claim", proof), ("share", shared)):
        yield Movement(1, bytes(32), verb, "EUR/6", postings, (one,)).encoded()
    with smalllog.opened() as (log, leaf, _):
        yield record.build(log, lambda entry: [leaf, leaf] if entry.index == 1 else None)
    connection = market.memory()
    book, channel = market.open_book(connection), market.terms()
    book.issue(market.BUYER.public, 10)
    order = Order("open", book.name, channel.channel, 5, channel)
    book.order(market.BUYER.public, movements.sign_order(market.BUYER, order))
    yield record.build(LogReader(connection), lambda _: None)


if __name__ == "__main__":
    sys.exit(running.main(__file__, TARGETS, seeds(), BYTES_MAX))
