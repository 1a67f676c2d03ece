"""Every batch is signed once, proved before it is believed, and survives a crash at any step."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from box import Box
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.audit import verify_home
from agent.batching import BatchLimits
from agent.journal import Journal, Losses
from agent.stores import Stores
from ledger_client import batches, statements
from ledger_client.errors import LedgerError, ProofError
from ledger_client.log import Head, Log


def logged(stores: Stores) -> list[batches.Batch]:
    """What the log says of this home's batches, in its order."""
    found = [statements.verify(entry.statement) for entry in stores.log.entries()]
    return [batches.decode(each.payload) for each in found if each.kind == "batch"]


def assert_whole(stores: Stores, readings: int) -> None:
    """Every reading once, sequences without a hole, each chained to the one before."""
    said = logged(stores)
    assert [batch.sequence for batch in said] == list(range(1, len(said) + 1))
    assert sum(batch.leaf_count for batch in said) == readings
    assert len({batch.root for batch in said}) == len(said)
    assert stores.journal.pending_readings() == 0
    assert len(stores.journal.receipted()) == len(said)


def test_an_open_batch_waits_and_a_due_one_is_proved(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 3)
    uplink = box.uplink(stores)

    early = uplink.step(box.now(stores))
    box.second += 60
    (proved,) = uplink.step(box.now(stores))

    assert early == []
    assert (proved.subject, proved.sequence, proved.readings) == ("runner", 1, 3)
    assert (proved.log_index, proved.log_size) == (1, 2)
    assert stores.journal.receipted()[0].log_index == 1
    assert uplink.step(box.now(stores)) == []


def test_a_statement_says_what_the_batch_holds(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 3, dropped=2, rejected=1)
    box.hear(stores, 4)

    box.prove(stores)

    statement = statements.verify(stores.log.statement(1))
    (said,) = logged(stores)
    assert statement.subject == stores.subjects["runner"]
    assert statement.issuer == stores.signer.public
    assert (said.leaf_count, said.provenance, said.profiles) == (7, {9: 7}, ("heart-rate/1",))
    assert said.losses == batches.Losses(2, 1, 0)
    assert (said.clock.boot, said.clock.boot_count) == (stores.boot, 1)
    assert (said.clock.first_ms, said.clock.last_ms) == (101_000, 102_000)
    assert (said.clock.state, said.clock.error_max_ms) == (2, 20)


def test_subjects_never_share_a_batch_and_batches_share_a_head(box: Box) -> None:
    box.batches_max = 2
    stores = box.open()
    for subject in ("runner", "car", "runner"):
        box.hear(stores, 2, subject)
    box.limits = BatchLimits(2, 60_000)

    proved = box.prove(stores)

    assert sorted(each.subject for each in proved) == ["car", "runner", "runner"]
    assert [head.size for head in stores.log.heads()] == [1, 3, 4]


def test_a_step_of_the_clock_is_in_every_batch_until_it_was_signed_once(box: Box) -> None:
    stores = box.open()
    uplink = box.uplink(stores)
    stepped = []

    for steps in (0, 1, 1, 3):
        box.steps = steps
        uplink.step(box.now(stores), drain=True)  # with nothing to sign nothing is forgotten
        box.hear(stores)
        uplink.step(box.now(stores), drain=True)
    stepped = [said.clock.stepped for said in logged(stores)]

    assert stepped == [False, True, False, True]


def test_each_statement_names_the_digest_of_the_one_before(box: Box) -> None:
    stores = box.open()
    for _ in range(3):
        box.hear(stores)
        box.prove(stores)

    entries = [entry.statement for entry in stores.log.entries(1)]
    assert [said.previous for said in logged(stores)] == [
        bytes(32),
        *(hashlib.sha256(entry).digest() for entry in entries[:-1]),
    ]


class Crash(Exception):  # noqa: N818  # it is no error of the code: the power goes
    """The power goes."""


class Fuse:
    """Blows at the n-th step; steps are counted over journal and log together."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def burn(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Crash


class FusedJournal(Journal):
    """The same journal file, with a crash before or after each write."""

    fuse: Fuse

    def seal(self, packs: Sequence[object], batch: bytes, kin: Sequence[str] = ()) -> None:
        self.fuse.burn()
        super().seal(packs, batch, kin)  # type: ignore[arg-type]  # passed on as it came
        self.fuse.burn()

    def mark(self, receipted: Iterable[tuple[bytes, int, bytes]]) -> None:
        rows = list(receipted)
        self.fuse.burn()
        super().mark(rows)
        self.fuse.burn()


class FusedLog(Log):
    """The same log, with a crash before or after each append, and inside of its transaction."""

    fuse: Fuse

    def append(self, entries: Sequence[tuple[bytes, bytes]], issued_s: int) -> Head:
        self.fuse.burn()
        head = super().append(entries, issued_s)
        self.fuse.burn()
        return head


def fused(box: Box, stores: Stores, fuse: Fuse) -> Iterator[None]:
    """Steps of an uplink whose parts crash when the fuse blows."""
    journal = FusedJournal.open(box.path / "journal.db", box.bytes_max)
    assert isinstance(journal, FusedJournal)
    log = FusedLog.open(
        stores.connection,
        name=box.wanted().log_name,
        receipt_key=stores.home.key("log"),
        note_key=stores.home.key("note"),
        demo=True,
        now_s=1,
    )
    journal.fuse = log.fuse = fuse
    uplink = box.uplink(stores, journal=journal, log=log)
    try:
        while True:
            uplink.step(box.now(stores), drain=True)
            yield
    finally:
        journal.close()


@pytest.mark.parametrize("crash_at", range(14))
def test_a_crash_at_any_step_neither_loses_nor_doubles_a_batch(box: Box, crash_at: int) -> None:
    box.limits = BatchLimits(3, 60_000)
    box.batches_max = 1
    stores = box.open()
    readings = sum(len(box.hear(stores, 3, subject)) for subject in ("runner", "car", "runner"))
    with suppress(Crash):
        next(fused(box, stores, Fuse(crash_at)))

    stores = box.open()
    box.prove(stores)

    assert_whole(stores, readings)
    box.close()
    assert verify_home(box.path).receipted == len(range(3))


@settings(max_examples=10, deadline=None)
@given(
    rounds=st.lists(
        st.tuples(st.integers(0, 12), st.lists(st.integers(1, 5), max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_crash_after_crash_the_home_verifies_and_nothing_is_lost(
    rounds: list[tuple[int, list[int]]],
) -> None:
    with TemporaryDirectory() as folder:
        box = Box(Path(folder) / "home", limits=BatchLimits(4, 60_000), batches_max=2)
        try:
            readings = 0
            for crash_at, packs in rounds:
                stores = box.open()
                readings += sum(len(box.hear(stores, count)) for count in packs)
                with suppress(Crash):
                    next(fused(box, stores, Fuse(crash_at)))
                box.close()
                verify_home(box.path)
            stores = box.open()
            box.prove(stores)
            assert_whole(stores, readings)
            box.close()
            assert verify_home(box.path).pending == 0
        finally:
            box.close()


def test_readings_of_the_boot_before_go_into_a_batch_of_that_boot(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    later = replace(box.now(stores), boot=b"nextboot")

    (proved,) = box.uplink(stores).step(later)

    (said,) = logged(stores)
    assert (proved.readings, said.clock.boot) == (3, stores.boot)


class LyingLog(Log):
    """Finds every batch at the place of another entry."""

    def find(self, identity: bytes) -> int | None:
        found = super().find(identity)
        return None if found is None else 1


def test_a_receipt_that_does_not_prove_the_batch_is_not_believed(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    box.prove(stores)
    box.hear(stores)
    log = LyingLog(
        stores.connection, box.wanted().log_name, stores.home.key("log"), stores.home.key("note")
    )

    with pytest.raises(ProofError, match="entry 1: the log proves"):
        box.uplink(stores, log=log).step(box.now(stores), drain=True)

    assert len(stores.journal.sealed()) == 1


class ForgetfulLog(Log):
    """Never finds anything."""

    def find(self, identity: bytes) -> int | None:
        del identity
        return None


def test_a_log_that_lost_the_batch_is_not_believed(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    log = ForgetfulLog(
        stores.connection, box.wanted().log_name, stores.home.key("log"), stores.home.key("note")
    )

    with pytest.raises(ProofError, match="is not on the log that signed for it"):
        box.uplink(stores, log=log).step(box.now(stores), drain=True)


def test_a_pack_that_was_changed_on_disk_is_never_signed(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    stores.journal._db.execute("UPDATE pack SET body = CAST(substr(body, 1, 40) AS BLOB)")

    with pytest.raises(LedgerError):
        box.prove(stores)

    assert logged(stores) == []


def test_dropped_readings_are_signed_into_the_next_statement(box: Box) -> None:
    box.bytes_max = 3_000
    stores = box.open()
    for _ in range(12):
        box.hear(stores, 10)

    box.prove(stores)

    (said,) = logged(stores)
    assert said.losses.dropped > 0
    assert said.losses.dropped + said.leaf_count == box.put_readings
    assert stores.journal.receipted()[0].losses == Losses(dropped=said.losses.dropped)


def test_a_batch_names_what_governed_when_it_was_heard(box: Box) -> None:
    stores = box.open()
    box.hear(stores)
    heard_s = box.stamp.wall_ms // 60_000 * 60
    box.second += 600  # the agreement has ended by the time that it is proved
    uplink = box.uplink(stores, governing=lambda _, at_s: b"a" * 32 if at_s == heard_s else None)

    (proved,) = uplink.step(box.now(stores), drain=True)

    said = statements.verify(stores.log.statement(proved.log_index))
    assert batches.decode(said.payload).agreement == b"a" * 32
