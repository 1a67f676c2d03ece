"""Two processes with a home each, over the real broker, through a storm that kills both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random

import pytest
from chaosaudit import Audit, Wire
from chaosparty import thing
from chaosproxy import ChaosProxy, Fate, Weather
from chaosrun import PURSE, Storm, weather_through
from market import BUYER, SELLER, accept, introduce, open_book, terms
from tallytruth import ViolationError

from agent.desks import BuyingDesk, SellingDesk
from agent.till import Till
from ledger_client import messages
from ledger_client.channels import sign_voucher
from ledger_client.database import open_database
from ledger_client.messages import sign_item
from ledger_client.settlement.embedded import EmbeddedSettlement

CHANNEL = terms().channel


@pytest.mark.slow
async def test_what_was_delivered_is_paid_once_through_a_storm_in_which_both_are_killed(
    tmp_path: Path,
) -> None:
    storm = Storm(kills=4, seed=11, alive_s=(0.2, 1.0))

    figures = await weather_through(tmp_path, storm)

    assert figures["kills"] in {4, 5}
    assert figures["items"]
    assert figures["blamed"] == 0


async def settled(folder: Path) -> None:
    """Two homes and a ledger after five items, sold and paid; the channel is still open."""
    for role in ("seller", "buyer"):
        (folder / role).mkdir()
    connections = [open_database(folder / role / "till.db") for role in ("seller", "buyer")]
    tills = [Till.open(connection) for connection in connections]
    with closing(open_database(folder / "ledger.db")) as ledger:
        book = open_book(ledger)
        book.issue(BUYER.public, PURSE)
        paying, paid = EmbeddedSettlement(book, BUYER), EmbeddedSettlement(book, SELLER)
        view = await paying.open(terms(), 500)
        selling = SellingDesk(SELLER, tills[0], credit=100)
        buying = BuyingDesk(BUYER, tills[1], accept=accept)
        buying.prepare(terms())
        selling.observe(view)
        buying.observe(view)
        introduce(selling, buying)
        selling.sell(CHANNEL, map(thing, range(1, 6)))
        for send in selling.outbox(CHANNEL, after=0, items_max=5):
            for answer in buying.receive(SELLER.public.short_id, send.message):
                selling.receive(BUYER.public.short_id, answer.message)  # type: ignore[union-attr]  # vouchers
        await paid.claim(selling.claims())
        closed = await paid.close_now(CHANNEL)
        selling.observe(closed)
        buying.observe(closed)
    for connection in connections:
        connection.close()


@pytest.fixture
async def audit(tmp_path: Path) -> Audit:
    await settled(tmp_path)
    return Audit(tmp_path, 100)


def test_the_auditor_agrees_with_what_is_right(audit: Audit) -> None:
    audit.look("seller")
    figures = audit.close(5, PURSE)

    assert figures["items"] == 5


@pytest.mark.parametrize(("made", "purse"), [(6, PURSE), (4, PURSE), (5, PURSE + 1)])
def test_the_auditor_misses_what_was_made_or_is_owned(audit: Audit, made: int, purse: int) -> None:
    with pytest.raises(ViolationError):
        audit.close(made, purse)


def test_the_auditor_sees_what_left_before_it_was_written(audit: Audit) -> None:
    audit.wire.see(messages.encode(sign_voucher(BUYER, CHANNEL, 400)))

    with pytest.raises(ViolationError, match="voucher that is not on disk"):
        audit.look()


def test_the_auditor_sees_two_items_under_one_number() -> None:
    wire = Wire()
    wire.see(messages.encode(sign_item(SELLER, CHANNEL, (1, 3, 3), b"one")))

    with pytest.raises(ViolationError, match="two items"):
        wire.see(messages.encode(sign_item(SELLER, CHANNEL, (1, 3, 3), b"another")))


def test_the_auditor_sees_a_window_that_is_exceeded(audit: Audit) -> None:
    strict = Audit(audit.folder, -1)

    with pytest.raises(ViolationError, match="window"):
        strict.look()


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """The port of a server that says what it is told."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.append(writer)
        with suppress(OSError):
            while data := await reader.read(64):
                writer.write(data)
                await writer.drain()
        await ended(writer)
        open_ends.remove(writer)

    open_ends: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    while open_ends:  # noqa: ASYNC110  # their tasks are the server's own
        await asyncio.sleep(0.01)


async def ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def talk(port: int) -> bytes:
    """What comes back for twelve bytes until the end, or for a while."""
    heard = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"twelve bytes")
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.5):
            while chunk := await reader.read(12):
                heard += chunk
    await ended(writer)
    return heard


@pytest.mark.parametrize("fate", Fate)
async def test_a_connection_through_the_proxy_meets_its_fate(fate: Fate) -> None:
    weather = Weather(fates=((fate, 1),), strikes_s=(0, 0), slow=0)
    async with echo() as port:
        proxy = ChaosProxy(port, Random(1), weather)
        async with proxy.serve():
            heard = await talk(proxy.port)
            proxy.calm()
            calm = await talk(proxy.port)

    assert (heard == b"twelve bytes") == (fate is Fate.SPARED)
    assert calm == b"twelve bytes"
    assert proxy.suffered[fate.value]
