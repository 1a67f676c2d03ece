"""What a witness may answer, and what a gateway and a witness make of it."""

from pathlib import Path

import pytest
from box import Box

from agent.cosigning import Cosigner, Known
from agent.witness import Desk
from ledger_client import checkpoints, witnessing
from ledger_client.checkpoints import Checkpoint, Verifier
from ledger_client.database import open_database
from ledger_client.errors import RemoteError, StoreError
from ledger_client.keys import SigningKey
from ledger_client.witness import Witness
from ledger_client.witnessing import Offer

WITNESS = SigningKey(bytes([41]) * 32)
NAME, NOW_S = "witness.example/w", 1_767_225_600
ME = "gateway"


class Stubborn:
    """A witness that answers whatever the test wants."""

    def __init__(self, *answers: tuple[int, str], latest: tuple[int, str] = (404, "")) -> None:
        self.answers, self.held, self.offers = list(answers), latest, list[Offer]()

    async def add(self, body: bytes) -> tuple[int, str]:
        self.offers.append(witnessing.parse(body))
        return self.answers.pop(0)

    async def latest(self, _: str) -> tuple[int, str]:
        return self.held


KNOWN = Known(Verifier(NAME, WITNESS.public, checkpoints.COSIGNATURE), "mqtt")


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        ((409, "99\n"), (404, "")),
        ((409, "99\n"), (200, "no note")),
        ((422, "no\n"), (404, "")),
        ((200, ""), (404, "")),
        ((200, "no cosignature\n"), (404, "")),
        ((500, "99"), (404, "")),
    ],
)
async def test_a_mere_claim_of_a_witness_stops_nobody(
    box: Box, answer: tuple[int, str], held: tuple[int, str]
) -> None:
    stores = box.open()
    cosigner, way = Cosigner(stores.log, stores.mark, ME, [KNOWN]), Stubborn(answer, latest=held)

    with pytest.raises(RemoteError):
        await cosigner._offer(KNOWN, way, stores.log.head, 0)

    assert cosigner.note() == stores.log.head.note
    assert stores.mark.read() is not None
    box.open()


async def test_a_witness_with_a_head_that_we_signed_and_lost_stops_us(box: Box) -> None:
    stores = box.open()
    lost = checkpoints.sign(stores.home.key("note"), Checkpoint(stores.log.name, 7, bytes(32)))
    cosigner = Cosigner(stores.log, stores.mark, ME, [KNOWN])

    with pytest.raises(StoreError, match="head of 7 entries"):
        await cosigner._offer(KNOWN, Stubborn((409, "7\n"), latest=(200, lost)), stores.log.head, 0)

    with pytest.raises(StoreError, match="head of 7 entries"):
        box.open()


async def test_a_witness_that_lost_its_heads_is_offered_the_whole_log_again(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    box.prove(stores)
    cosigner = Cosigner(stores.log, stores.mark, ME, [KNOWN])

    assert await cosigner._offer(KNOWN, Stubborn((409, "0\n")), stores.log.head, 1) == 0


async def test_a_fork_is_logged_once_and_a_doubt_is_no_warning(
    box: Box, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stores = box.open()
    log = Verifier(stores.log.name, stores.home.key("note").public)
    witness = Witness(open_database(tmp_path / "witness.db"), WITNESS, NAME, [log])
    witness.create()
    desk = Desk(witness, lambda: NOW_S)
    desk.add(Offer(0, (), stores.log.head.note).body)
    heads = [Checkpoint(stores.log.name, size, bytes([7]) * 32) for size in (1, 2)]
    fork, doubt = (checkpoints.sign(stores.home.key("note"), head) for head in heads)

    answers = [desk.add(Offer(1, (), note).body) for note in (fork, fork, doubt)]

    assert [status for status, _ in answers] == [409, 409, 422]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "box.example/log signed two heads that disagree; the newer has 1 entries"
    ]
