"""The log over HTTP: what is registered, what is refused and how, and that strangers can check."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from box import Box

from agent.httpd import Door, Limits
from agent.scrapi import Service
from agent.stores import Stores
from ledger_client import batches, cbor, checkpoints, cose, merkle, receipts, statements, tiles
from ledger_client.checkpoints import Verifier
from ledger_client.errors import StoreError
from ledger_client.keys import SigningKey

ISSUER, STRANGER = SigningKey(bytes([31]) * 32), SigningKey(bytes([32]) * 32)
NOW_S = 1_767_225_660
SUBJECT = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"


def statement(number: int = 0, key: SigningKey = ISSUER, kind: str = "note") -> bytes:
    return statements.sign(key, kind, SUBJECT, b"%d" % number, NOW_S)


def batch(sequence: int, previous: bytes) -> bytes:
    payload = batches.Batch(
        leaf_count=1,
        root=bytes(32),
        first_minute=1,
        last_minute=1,
        clock=batches.Clock(2, b"bootboot", 1, 1, 2, 50, 12),
        previous=previous,
        sequence=sequence,
        provenance={9: 1},
        losses=batches.Losses(),
        profiles=("running/1",),
    )
    return statements.sign(ISSUER, "batch", SUBJECT, payload.encode(), NOW_S)


@dataclass
class Client:
    """Somebody who asks the service, and the stores behind it."""

    session: aiohttp.ClientSession
    url: str
    stores: Stores

    async def get(self, path: str) -> tuple[int, bytes, Any]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.read(), answer.headers

    async def post(self, body: bytes, kind: str = "application/cose") -> tuple[int, bytes, Any]:
        headers = {"Content-Type": kind}
        async with self.session.post(f"{self.url}/entries", data=body, headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def refused(self, body: bytes, kind: str = "application/cose") -> tuple[int, str]:
        status, answer, headers = await self.post(body, kind)
        assert headers["Content-Type"] == "application/concise-problem-details+cbor"
        return status, details(answer)


def details(answer: bytes) -> str:
    value = cbor.decode(answer)
    assert isinstance(value, dict)
    assert set(value) == {-1, -2}
    return str(value[-1])


@asynccontextmanager
async def serving(stores: Stores, limits: Limits | None = None) -> AsyncIterator[Client]:
    service = Service(stores.log, stores.log_key, [ISSUER.public], lambda: NOW_S)
    door = Door(service.routes(), limits or Limits(requests_per_s_max=1_000))
    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(door.serve("127.0.0.1", 0))
        await door.ready.wait()
        async with aiohttp.ClientSession() as session:
            yield Client(session, f"http://127.0.0.1:{door.port}", stores)
        served.cancel()


@pytest.fixture
async def client(box: Box) -> AsyncIterator[Client]:
    async with serving(box.open()) as one:
        yield one


async def test_a_statement_gets_a_receipt_that_holds(client: Client) -> None:
    data = statement()
    digest = hashlib.sha256(data).digest()

    status, receipt, headers = await client.post(data)

    assert (status, headers["Content-Type"]) == (201, "application/cose")
    assert headers["Location"] == f"/entries/{digest.hex()}"
    found = receipts.verify_inclusion(client.stores.log_key, receipt, digest)
    assert (found.index, found.tree_size) == (1, 2)
    assert found.log == "box.example/log"


async def test_a_statement_registered_twice_is_one_entry(client: Client) -> None:
    first = await client.post(statement())
    with_receipt = statements.attach(statement(), [first[1]])

    second = await client.post(with_receipt)

    assert (first[0], second[0]) == (201, 200)
    assert first[1] == second[1]
    assert client.stores.log.head.size == 2


async def test_a_fresh_receipt_is_under_the_newest_head_and_all_share_its_signature(
    client: Client,
) -> None:
    digests = [hashlib.sha256(statement(number)).digest() for number in range(5)]
    for number in range(5):
        await client.post(statement(number))

    fresh = [(await client.get(f"/entries/{digest.hex()}"))[1] for digest in digests]

    for index, (digest, receipt) in enumerate(zip(digests, fresh, strict=True), start=1):
        found = receipts.verify_inclusion(client.stores.log_key, receipt, digest)
        assert (found.index, found.tree_size) == (index, 6)
    assert len({cose.parse_sign1(receipt).signature for receipt in fresh}) == 1


async def test_scitt_cose_accepts_what_the_service_gives_out(client: Client) -> None:
    receipt_of = pytest.importorskip("scitt_cose.receipt")
    merkle_of = pytest.importorskip("scitt_cose.merkle")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    receipts_given = [(await client.post(statement(number)))[1] for number in range(4)]
    keys = cbor.decode((await client.get("/.well-known/scitt-keys"))[1])
    assert isinstance(keys, list)
    public = ed25519.Ed25519PublicKey.from_public_bytes(keys[0][-2])
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    for number, receipt in enumerate(receipts_given):
        digest = hashlib.sha256(statement(number)).hexdigest()
        found = receipt_of.verify_receipt(receipt, leaf_entry_hex=digest, log_public_key_pem=pem)
        assert found.ok, found.errors
        assert (found.leaf_index, found.tree_size) == (number + 1, number + 2)

    note = (await client.get("/checkpoint"))[1].decode()
    bundle = (await client.get("/tile/entries/000.p/5"))[1]
    entries = [bundle[at + 2 : at + 34].hex() for at in range(0, len(bundle), 34)]
    assert base64.b64decode(note.split("\n")[2]).hex() == merkle_of.merkle_root(entries)


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b"", "Malformed request"),
        (b"\x00", "Malformed request"),
        (statement() + b"\x00", "Malformed request"),
        (cose.sign1(ISSUER, {}, b"payload", detached=True), "Payload Missing"),
        (cose.sign1(ISSUER, {}, b"payload"), "Rejected"),
        (statement(key=STRANGER), "Rejected"),
        (statement(kind="genesis"), "Rejected"),
        (statement(kind="settlement"), "Rejected"),
        (statement(kind="revocation"), "Rejected"),
        (batch(2, bytes([1]) * 32), "Rejected"),
    ],
)
async def test_what_the_policy_does_not_take_is_refused_in_the_words_of_the_draft(
    client: Client, body: bytes, title: str
) -> None:
    assert await client.refused(body) == (400, title)
    assert client.stores.log.head.size == 1


async def test_another_algorithm_and_a_broken_signature_are_refused(client: Client) -> None:
    message = cose.parse_sign1(statement())
    es256 = cbor.encode({**message.protected, 1: -7})
    other = cbor.encode(cbor.Tag(18, [es256, {}, message.payload, message.signature]))
    broken = statement()[:-1] + bytes([statement()[-1] ^ 1])

    assert await client.refused(other) == (400, "Bad Signature Algorithm")
    assert await client.refused(broken) == (400, "Rejected")


async def test_batches_of_another_gateway_are_logged_in_their_order(client: Client) -> None:
    first = batch(1, bytes(32))

    assert (await client.post(first))[0] == 201
    assert await client.refused(batch(3, hashlib.sha256(first).digest())) == (400, "Rejected")
    assert (await client.post(batch(2, hashlib.sha256(first).digest())))[0] == 201


async def test_a_request_too_large_or_of_another_type_is_refused(client: Client) -> None:
    assert await client.refused(bytes(70_000)) == (413, "Request Entity Too Large")
    assert await client.refused(statement(), "text/plain") == (415, "Malformed request")


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/entries/" + "00" * 32, 404, "Not Found"),
        ("/entries/" + "AB" * 32, 400, "Invalid locator"),
        ("/entries/1", 400, "Invalid locator"),
        ("/entries/" + "zz" * 32, 400, "Invalid locator"),
        ("/.well-known/scitt-keys/AAAA", 404, "No such key"),
        ("/tile/0/0", 404, "Not Found"),
        ("/tile/0/000", 404, "Not Found"),
        ("/tile/0/000.p/2", 404, "Not Found"),
        ("/elsewhere", 404, "Not Found"),
    ],
)
async def test_what_is_not_there_is_said_as_problem_details(
    client: Client, path: str, status: int, title: str
) -> None:
    found, answer, headers = await client.get(path)

    assert (found, details(answer)) == (status, title)
    assert headers["Content-Type"] == "application/concise-problem-details+cbor"


async def test_the_only_entry_of_a_log_has_no_receipt_yet(client: Client) -> None:
    digest = hashlib.sha256(client.stores.log.statement(0)).hexdigest()

    assert (await client.get(f"/entries/{digest}"))[0] == 404
    await client.post(statement())
    assert (await client.get(f"/entries/{digest}"))[0] == 200


async def test_the_key_is_found_by_the_kid_of_a_receipt(client: Client) -> None:
    _, receipt, _ = await client.post(statement())
    kid = cose.parse_sign1(receipt).protected[4]
    assert isinstance(kid, bytes)

    name = base64.urlsafe_b64encode(kid).decode().rstrip("=")
    status, answer, _ = await client.get(f"/.well-known/scitt-keys/{name}")

    assert status == 200
    assert cbor.decode(answer) == {1: 1, -1: 6, -2: client.stores.log_key.raw, 2: kid}


async def test_the_tiles_lead_to_the_checkpoint(client: Client) -> None:
    for number in range(4):
        await client.post(statement(number))

    note = (await client.get("/checkpoint"))[1].decode()
    hashes = (await client.get("/tile/0/000.p/5"))[1]
    bundle = (await client.get("/tile/entries/000.p/5"))[1]

    log = Verifier("box.example/log", client.stores.home.key("note").public)
    head = checkpoints.open_checkpoint(note, log)
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    assert (head.size, head.root) == (5, merkle.root(leaves))
    entries = [bundle[at + 2 : at + 34] for at in range(0, len(bundle), 34)]
    assert [merkle.leaf_hash(entry) for entry in entries] == leaves
    assert bundle == tiles.bundle(entries)


async def test_too_many_requests_are_told_when_to_come_again(box: Box) -> None:
    async with serving(box.open(), Limits(requests_per_s_max=2)) as client:
        answers = [await client.get("/checkpoint") for _ in range(6)]

    statuses = [status for status, _, _ in answers]
    assert statuses[:2] == [200, 200]
    assert statuses[-1] == 429
    assert details(answers[-1][1]) == "Too Many Requests"
    assert answers[-1][2]["Retry-After"] == "1"


async def test_a_body_that_does_not_come_is_not_waited_for(box: Box) -> None:
    async with serving(box.open(), Limits(request_max_s=0.2)) as client:
        port = int(client.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /entries HTTP/1.1\r\nHost: x\r\nContent-Type: application/cose\r\n"
            b"Content-Length: 100\r\n\r\n"
        )
        line = await reader.readline()
        writer.close()

    assert b" 408 " in line


async def test_a_connection_too_many_is_closed_at_once(box: Box) -> None:
    async with serving(box.open(), Limits(connections_max=2)) as client:
        port = int(client.url.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        async with asyncio.timeout(5):
            assert await held[2][0].read() == b""
        for _, writer in held:
            writer.close()


async def test_a_store_that_fails_ends_the_service(box: Box) -> None:
    stores = box.open()

    async def break_and_ask() -> None:
        async with serving(stores) as client:
            stores.connection.execute("PRAGMA query_only = ON")
            await client.post(statement())
            await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        await break_and_ask()

    assert caught.group_contains(StoreError)


async def test_what_was_registered_is_there_after_a_start(box: Box) -> None:
    async with serving(box.open()) as client:
        await client.post(statement())

    async with serving(box.open()) as client:
        digest = hashlib.sha256(statement()).hexdigest()
        assert (await client.get(f"/entries/{digest}"))[0] == 200


def test_the_mark_of_a_home_is_written(box: Box, tmp_path: Path) -> None:
    stores = box.open()
    box.hear(stores)
    box.prove(stores)

    assert stores.home.mark.read_text(encoding="utf-8") == stores.log.head.note
    assert tmp_path in stores.home.mark.parents
