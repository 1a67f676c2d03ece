"""Atheris targets: any bytes to whatever a gateway, a ledger's counter or an app hears of others.

Run it where atheris is installed: `fuzz_trading.py --all --seconds 60`, or name one target.
Each may refuse in the way that it documents; the counter and the watch over offers never raise.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import running

with running.atheris.instrument_imports(include=["agent", "ledger_client"]):
    import contracts
    import market
    import offering
    import smalllog
    from smalllog import GATEWAY, NOW_S, RECEIPT_KEY, SUBJECT

    from agent import appbuyer, apps, choosing, commands, goods, inquiry, licensed, topics
    from agent import offers as heard
    from agent.appbuyer import AppBuyer
    from agent.broker import BrokerError, Message
    from agent.choosing import Order, Past
    from agent.desks import BuyingDesk, Goods, SellingDesk
    from agent.goods import ReadingsWanted
    from agent.home import HomeError
    from agent.licensed import Held, Judge
    from agent.metering import Metered
    from agent.offering import Offering
    from agent.orders import Counter
    from agent.till import Till
    from ledger_client import (
        agreements,
        cbor,
        consents,
        cose,
        deeds,
        disclosure,
        dues,
        messages,
        offers,
        statements,
    )
    from ledger_client.channels import State, Terms, Voucher, sign_voucher
    from ledger_client.deeds import Deed
    from ledger_client.errors import RemoteError
    from ledger_client.estimates import History, Window
    from ledger_client.log import Log
    from ledger_client.messages import Item, Refusal, Standing, sign_item
    from ledger_client.offers import Acceptor
    from ledger_client.settlement import View, movements
    from ledger_client.settlement.embedded import Book

BYTES_MAX = 4_096
ME, PEER = market.OPERATOR.public.short_id, market.BUYER.public.short_id
BRAND, WEARER = contracts.BRAND, contracts.WEARER
RUN, PRICE, FUNDED = b"run12345", 50, 1_000
HELD = [
    Held(licence, consents.standing(licence, contracts.signed(licence), NOW_S))
    for licence in (contracts.licence(), contracts.licence(resolution_s=7))
]
WANTED = ReadingsWanted(GATEWAY.public, RECEIPT_KEY.public, PRICE, 0)
SERVICE = contracts.service(ledger="box.example/log", provider="wearer", customer="brand")
METERED = Metered(
    SERVICE,
    consents.standing(SERVICE, contracts.signed(SERVICE), NOW_S),
    {each.unit: (0.0, 1e9) for each in SERVICE.prices},
    simulated=True,
)
SCRATCH = TemporaryDirectory()
FOLDER = Path(SCRATCH.name)


def command(data: bytes) -> None:
    """A command to a ledger, and what the vouchers in it say."""
    commands.named(data)
    asked = commands.parse(data)
    assert commands.parse(commands.encode(asked)) == asked
    if isinstance(asked, commands.Claims):
        for each in asked.claims:
            running.attempt(commands.claim_of, each, RemoteError)


def answer(data: bytes) -> None:
    """A ledger's answer."""
    found = commands.parse_answer(data)
    if found.channel is not None:
        running.attempt(lambda each: commands.view_of(each, bytes(32)), found.channel, RemoteError)


def notes(data: bytes) -> None:
    """A command to a witness, and its answer."""
    for read in (inquiry.parse_command, inquiry.parse_result):
        running.attempt(read, data, ValueError)


def counter(data: bytes) -> None:
    """Any command to a ledger's counter, then what its richest party signed: it answers."""
    order = cose.sign1(market.BUYER, {cose.CONTENT_TYPE: movements.ORDER_TYPE}, data)
    signed = commands.Order("1", market.BUYER.public.did, order)
    desk = Counter(_book(), ME)
    payloads = [data] if len(order) > movements.EVIDENCE_BYTES_MAX else [data, _encoded(signed)]
    for payload in payloads:
        said = desk.answer(Message(topics.command(ME, PEER), payload, retained=False), 0)
        assert said is None or said.status in {200, 400, 403, 404}
        if said is not None and (said.channel or said.claims):
            _book.cache_clear()  # money may have moved: the next input finds the book as it was


def _encoded(asked: commands.Asked) -> bytes:
    return commands.encode(asked)


@cache
def _book() -> Book:
    connection = market.memory()
    LEDGER.backup(connection)
    log = Log.open(
        connection,
        name=market.LEDGER,
        receipt_key=market.OPERATOR,
        note_key=market.NOTARY,
        demo=True,
        now_s=1,
    )
    return Book.open(connection, log, market.OPERATOR, now_s=lambda: 1_000)


def readings(data: bytes) -> None:
    """The body of an item, to everyone who judges one."""
    for price in (PRICE, 2 * PRICE):
        running.attempt(partial(WANTED.accept, TERMS), _item(TERMS, data, price), RemoteError)
        for held in HELD:
            judge, terms = Judge(held, GATEWAY.public, RECEIPT_KEY.public), _terms(held.digest)
            running.attempt(partial(judge.accept, terms), _item(terms, data, price), RemoteError)
    terms = _terms(METERED.digest)
    for each in SERVICE.prices:
        item = _item(terms, data, each.minor_units)
        running.attempt(partial(METERED.accept, terms, now_s=NOW_S), item, RemoteError)
    for known in ({0}, {0, 1}, {9}):
        rest = partial(goods.without, price=2 * PRICE, known=frozenset(known))
        running.attempt(rest, data, RemoteError)


def _item(terms: Terms, body: bytes, price: int) -> Item:
    return sign_item(BRAND, terms.channel, (1, price, price), body)


def _terms(agreement: bytes) -> Terms:
    return Terms(
        *("box.example/log", BRAND.public, BRAND.public, WEARER.public, "EUR/6", 60, bytes(16)),
        simulated=True,
        agreement=agreement,
    )


def desks(data: bytes) -> None:
    """A message to the two sides of a channel, its signatures made good."""
    message = messages.parse(data)
    till = market.memory()
    TILL.backup(till)
    selling = SellingDesk(market.SELLER, Till.open(till), credit=500, run=RUN)
    buying = BuyingDesk(market.BUYER, Till.open(till), accept=WANTED.accept)
    seller = market.SELLER.public.short_id
    for each in (message, _signed(message)):
        running.attempt(partial(selling.receive, PEER), each, RemoteError)
        running.attempt(partial(buying.receive, seller), each, RemoteError)


def _signed(message: messages.Message) -> messages.Message:
    channel = market.terms().channel
    match message:
        case Voucher(_, total):
            return sign_voucher(market.BUYER, channel, total)
        case Item(line, body):
            return sign_item(market.SELLER, channel, (line.n, line.price, line.due), body)
        case Standing():
            total = 0 if message.voucher is None else message.voucher.total
            promised = sign_voucher(market.BUYER, channel, total) if total else None
            return replace(message, terms=market.terms(), voucher=promised, last=None)


def published(data: bytes) -> None:
    """What stands under the topic of somebody's offer."""
    topic = topics.offer(BRAND.public.short_id, "shoes")
    found = heard.Offered()
    found.take(Message(topic, data, retained=True))
    _choose(found.standing(NOW_S))


def chosen(data: bytes) -> None:
    """Any document that its brand offers, to a standing order."""
    plain = cbor.decode(data)
    digest = sha256(cbor.encode(plain)).hexdigest()
    fees = [
        {"per": "once", "name": "card", "minor_units": 1},
        {"per": "period", "name": "club", "minor_units": 1, "period_s": 86_400},
    ]
    fields = {"version": 1, "name": "shoes", "open": "wearer", "document": plain, "places": 1}
    payload = cbor.encode(fields | {"sha256": digest, "fees": fees, "lapses_s": NOW_S + 60})
    about = f"urn:milepost:offer:{digest}"
    _choose([offers.verify(statements.sign(BRAND, offers.KIND, about, payload, NOW_S))])


def _choose(known: list[offers.Signed]) -> None:
    window = Window(NOW_S - 86_400, NOW_S)
    measured = [dues.Measured("cadence", NOW_S - 1 - number, 2) for number in range(9)]
    acceptor = Acceptor(WEARER.public.did, "box.example/log", SUBJECT)
    order = Order("runner", frozenset({"cadence", "heart_rate"}), 1)
    for every in ([], measured):
        past = Past(acceptor, "EUR/6", History(every, window, demo=False), NOW_S)
        choosing.choose(order, known, past)


def accepted(data: bytes) -> None:
    """A deed that somebody wants countersigned, by whoever offers."""
    signed = offering.signed()
    offerer = Offering(signed, [BRAND], FOLDER / "deeds", lambda: NOW_S, lambda _: None)
    offerer.countersign(deeds.parse(data))


def unpacked(words: str) -> None:
    """A deed as text."""
    heard.unpacked(words)


def credentials(data: bytes) -> None:
    """The file that an app is given, by whoever says that it is a gateway."""
    path = FOLDER / "credentials"
    path.write_bytes(data)
    given = appbuyer.read(path)
    _ = given.endpoint
    AppBuyer(given, Till.open(market.memory()), lambda _, __: None)


def wanted(words: str) -> None:
    """What an app asks to read, and may pay."""
    running.attempt(lambda each: apps.wanted(each.split(",")), words, HomeError)
    running.attempt(lambda each: apps.budget(each, "EUR/6"), words, HomeError)


TERMS = _terms(b"")
READERS: dict[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...]]] = {
    "command": (command, (ValueError,)),
    "answer": (answer, (ValueError,)),
    "notes": (notes, ()),
    "counter": (counter, ()),
    "readings": (readings, ()),
    "desks": (desks, (RemoteError,)),
    "published": (published, ()),
    "chosen": (chosen, (RemoteError,)),
    "accepted": (accepted, (RemoteError,)),
    "unpacked": (running.text(unpacked), (RemoteError,)),
    "credentials": (credentials, (BrokerError, HomeError, RemoteError)),
    "wanted": (running.text(wanted), ()),
    "inbox": (running.text(topics.parse_inbox), (ValueError,)),
}
TARGETS = {name: running.quiet(read, *refusals) for name, (read, refusals) in READERS.items()}

with smalllog.opened() as (_log, _leaf, _first):
    BODY = goods.readings_body(_first, _log.receipt(1), [_leaf, _leaf])
LEDGER, TILL = market.memory(), market.memory()
market.open_book(LEDGER).issue(market.BUYER.public, FUNDED)
_till = Till.open(TILL)
_view = View(market.terms(), State.OPEN, FUNDED, 0, None)
BuyingDesk(market.BUYER, _till, accept=WANTED.accept).prepare(market.terms())
BuyingDesk(market.BUYER, _till, accept=WANTED.accept).observe(_view)
_selling = SellingDesk(market.SELLER, _till, credit=500, run=RUN)
_selling.observe(_view)
_selling.receive(PEER, Standing(market.terms(), FUNDED, 0, 0, 0, None, None, RUN))
_selling.sell(market.terms().channel, [Goods(bytes(16), 2 * PRICE, BODY, simulated=True)])


def seeds() -> Iterator[bytes]:
    """One good example of everything."""
    channel = market.terms()
    order = movements.Order("open", market.LEDGER, channel.channel, 300, channel)
    signed = movements.sign_order(market.BUYER, order)
    yield cose.parse_sign1(signed).payload or b""
    voucher = sign_voucher(market.BUYER, channel.channel, 5)
    promise = commands.Promise(channel.encoded, 5, voucher.signature)
    account = market.BUYER.public.thumbprint
    for asked in (
        commands.Order("1", market.BUYER.public.did, signed),
        commands.Claims("2", (promise,)),
        commands.Status("3", channel.channel),
        commands.Balance("4", market.BUYER.public.did),
        commands.About("5"),
    ):
        yield commands.encode(asked)
    view = commands.channel_of(View(channel, State.OPEN, 5, 0, None))
    paid = (commands.Paid(account, 5, "why"),)
    yield commands.encode(commands.Answer("status", "3", 200, channel=view, claims=paid))
    yield inquiry.encode(inquiry.Command("checkpoint", "1", "box.example/log"))
    yield inquiry.encode(inquiry.Result("checkpoint", "1", 200, "body"))
    yield from _bodies()
    line = sign_item(market.SELLER, channel.channel, (1, 2 * PRICE, 2 * PRICE), BODY)
    refused = Refusal(1, line.invoice.name, (0,))
    yield messages.encode(line)
    yield messages.encode(voucher)
    yield messages.encode(Standing(channel, FUNDED, 0, 0, 0, voucher, None, RUN, refused, 5))
    yield from _agreed()
    yield json.dumps(_credentials()).encode()
    yield b"tyre_pressure,c/+/receipt"
    yield b"1.50/day"
    yield topics.command(ME, PEER).encode()


def _bodies() -> Iterator[bytes]:
    yield BODY
    yield METERED.body(SERVICE.prices[0].unit, 3, NOW_S)
    for held in HELD:
        with smalllog.opened(held.digest) as (log, leaf, first):
            part = disclosure.choose([leaf, leaf], [0])
            assert part is not None
            yield goods.readings_body(first, log.receipt(1), part)
            yield goods.readings_body(first, log.receipt(1), [leaf, leaf])
            yield licensed.window_body([(first, log.receipt(1), part)])


def _agreed() -> Iterator[bytes]:
    signed = offering.signed()
    yield offers.to_json(signed)
    yield cbor.encode(signed.offer.document)
    acceptor = Acceptor(WEARER.public.did, "box.example/log", SUBJECT)
    agreement = offers.filled(signed.offer, acceptor, NOW_S)
    act = consents.sign_act(WEARER, agreements.digest(agreement), consents.Act.SIGN, NOW_S)
    deed = Deed(agreement).joined([act])
    yield deed.encode()
    yield heard.packed(deed).encode()


def _credentials() -> dict[str, object]:
    keys = {name: market.SELLER.public.raw.hex() for name in ("gateway_key", "seller_key")}
    return keys | {
        "id": PEER,
        "seed": "09" * 32,
        "host": "box.example",
        "port": 8883,
        "tls": True,
        "password": "word",
        "gateway": ME,
        "ledger": market.LEDGER,
        "demo": True,
        "log_key": RECEIPT_KEY.public.raw.hex(),
        "asset": "EUR/6",
        "price": PRICE,
        "most": 10,
    }


if __name__ == "__main__":
    sys.exit(running.main(__file__, TARGETS, seeds(), BYTES_MAX))
