"""The journal: bounded, durable, and honest about what it dropped."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from agent.batching import PackHead
from agent.journal import Journal, JournalError, Losses, Pack

BOOT = b"thisboot"
ROW = 128


def pack(readings: int = 3, subject: str = "runner", size: int = 10, at_ms: int = 1_000) -> Pack:
    return Pack(subject, BOOT, readings, at_ms, at_ms + readings, bytes(size))


def put(journal: Journal, *packs: Pack) -> None:
    journal.put(packs, {}, {}, now_ms=2_000)


def seal_all(journal: Journal, name: bytes = b"batch 1") -> None:
    for packs in journal.unbatched().values():
        journal.seal(packs, name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal.open(path, 1 << 20)) as one:
        yield one


def test_what_was_put_is_there_after_a_restart_with_its_counters(path: Path) -> None:
    with closing(Journal.open(path, 1 << 20)) as journal:
        journal.put([pack(3), pack(4, "car")], {"F0": 7}, {}, now_ms=2_000)
        journal.put([pack(5)], {"F0": 6, "F1": 0}, {}, now_ms=2_001)

    with closing(Journal.open(path, 1 << 20)) as journal:
        assert journal.counters() == {"F0": 7, "F1": 0}
        assert journal.pending_readings() == 12
        assert journal.unbatched() == {
            "runner": [
                PackHead(1, "runner", BOOT, 3, 1_000, 1_003, 2_000),
                PackHead(3, "runner", BOOT, 5, 1_000, 1_005, 2_001),
            ],
            "car": [PackHead(2, "car", BOOT, 4, 1_000, 1_004, 2_000)],
        }


def test_the_file_is_for_its_owner_alone(journal: Journal, path: Path) -> None:
    put(journal, pack())

    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_a_batch_goes_from_packs_to_receipt_to_released(path: Path) -> None:
    with closing(Journal.open(path, 1_000)) as journal:
        put(journal, pack(3), pack(4))
        seal_all(journal)
        (sealed,) = journal.sealed()
        journal.mark([(sealed.batch, 5, bytes(300))])
        (receipted,) = journal.untold_batches(10)
        journal.packs_told([1, 2])
        journal.batches_told([sealed.batch])
        put(journal, pack(1, size=600))

        assert (sealed.readings, sealed.state, sealed.log_index) == (7, "sealed", None)
        assert receipted == replace(sealed, state="receipted", log_index=5)
        assert journal.find(sealed.batch) == replace(receipted, state="released")
        assert journal.newest_receipted() == journal.find(sealed.batch)
        assert journal.receipted() == [journal.find(sealed.batch)]
        assert journal.receipted(after=1) == []
        assert journal.leaves_of(sealed.batch) is None
        assert journal.packs_of(sealed.batch) == []
        assert journal.untold_batches(10) == []


def test_unknown_batches_and_packs_are_not_found(journal: Journal) -> None:
    assert journal.find(b"nobody") is None
    assert journal.leaves_of(b"nobody") is None
    assert journal.newest_receipted() is None
    with pytest.raises(JournalError, match="no pack 7"):
        journal.pack_body(7)


def test_losses_add_up_and_go_into_the_subjects_next_batch_only(journal: Journal) -> None:
    journal.put([pack()], {}, {"runner": Losses(dropped=1, gap=2)}, now_ms=2_000)
    journal.lose({"runner": Losses(rejected=3), "car": Losses(gap=1)})

    seal_all(journal, b"batch 1")
    put(journal, pack())
    seal_all(journal, b"batch 2")

    assert [batch.losses for batch in journal.sealed()] == [Losses(1, 3, 2), Losses()]


def test_a_pack_that_was_dropped_while_its_batch_was_chosen_is_not_in_it(path: Path) -> None:
    with closing(Journal.open(path, 1_000)) as journal:
        put(journal, pack(3, size=300), pack(4, size=300))
        chosen = journal.unbatched()["runner"]
        put(journal, pack(5, size=300))

        journal.seal(chosen, b"batch 1")

        (sealed,) = journal.sealed()
        assert sealed.readings == 4
        assert sealed.losses == Losses(dropped=3)
        assert len(journal.packs_of(b"batch 1")) == 1


def test_a_batch_whose_packs_are_all_gone_is_not_named(path: Path) -> None:
    with closing(Journal.open(path, 1_000)) as journal:
        put(journal, pack(3, size=300))
        chosen = journal.unbatched()["runner"]
        put(journal, pack(5, size=800))

        journal.seal(chosen, b"batch 1")

        assert journal.sealed() == []
        seal_all(journal, b"batch 2")
        assert journal.sealed()[0].losses == Losses(dropped=3)


def test_marking_twice_changes_nothing(journal: Journal) -> None:
    put(journal, pack())
    seal_all(journal)
    journal.mark([(b"batch 1", 5, b"leaves")])
    used = journal.bytes_used

    journal.mark([(b"batch 1", 6, b"other leaves")])

    assert journal.leaves_of(b"batch 1") == b"leaves"
    assert journal.bytes_used == used


def test_a_failure_inside_a_commit_undoes_all_of_it(journal: Journal) -> None:
    used = journal.bytes_used

    with pytest.raises(sqlite3.IntegrityError):
        journal.put([pack(), replace(pack(), subject=None)], {}, {}, now_ms=1)

    assert journal.unbatched() == {}
    assert journal.bytes_used == used


def test_a_full_disk_is_one_clear_line_and_loses_nothing_that_was_committed(path: Path) -> None:
    with closing(Journal.open(path, 1 << 30)) as journal:
        put(journal, pack(3))
        limit_pages(journal)

        with pytest.raises(JournalError, match="free some space"):
            put(journal, *[pack(3, size=10_000)] * 20)

        assert journal.unbatched()["runner"][0].readings == 3
        with closing(sqlite3.connect(path)) as other:
            assert journal.bytes_used == recount(other)


def limit_pages(journal: Journal) -> None:
    """Make SQLite believe that the disk has 40 pages."""
    journal._db.execute("PRAGMA max_page_count = 40")


def recount(connection: sqlite3.Connection) -> int:
    """What lies in the file, counted without the journal."""
    total = 0
    for table in ("pack", "batch"):
        for (size,) in connection.execute(f"SELECT coalesce(length(body), 0) FROM {table}"):
            total += size + ROW
    return total


def test_threads_that_write_at_once_keep_the_count_of_bytes(path: Path) -> None:
    with closing(Journal.open(path, 1 << 24)) as journal:

        def write(subject: str) -> None:
            for _ in range(25):
                put(journal, pack(1, subject))

        writers = [
            threading.Thread(target=write, args=(name,)) for name in ("runner", "car", "dog")
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        assert journal.bytes_used == 75 * (10 + ROW)


def test_a_sound_journal_passes_its_check(journal: Journal) -> None:
    put(journal, pack())

    journal.check()


# -- everything at once


@dataclass
class Known:
    """What the model remembers of one batch."""

    subject: str
    packs: set[int]
    readings: int
    dropped: int
    state: str = "sealed"
    told: bool = False


class Model(RuleBasedStateMachine):
    """Any order of putting, naming, marking, telling and restarting, at a small byte limit.

    What was put is at every moment in exactly one place: waiting, in a batch, receipted, or counted
    as dropped; and nothing is dropped while something earlier in the written order is left.
    """

    BYTES_MAX = 3_000

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.journal = Journal.open(self.path, self.BYTES_MAX)
        self.put_readings: Counter[str] = Counter()
        self.batches: dict[bytes, Known] = {}

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()

    def rows(self, query: str) -> list[tuple[int, ...]]:
        with closing(sqlite3.connect(self.path)) as other:
            return other.execute(query).fetchall()

    @rule(
        packs=st.lists(
            st.tuples(st.sampled_from(["runner", "car"]), st.integers(1, 9), st.integers(1, 1_200)),
            min_size=1,
            max_size=3,
        )
    )
    def put(self, packs: Sequence[tuple[str, int, int]]) -> None:
        self.journal.put(
            [pack(readings, subject, size) for subject, readings, size in packs], {}, {}, 1
        )
        for subject, readings, _ in packs:
            self.put_readings[subject] += readings
        self.assert_order()

    @rule(count=st.integers(1, 3))
    def seal(self, count: int) -> None:
        for subject, packs in self.journal.unbatched().items():
            name = b"batch %d" % len(self.batches)
            self.journal.seal(packs[:count], name)
            batch = self.journal.find(name)
            assert batch is not None
            self.batches[name] = Known(
                subject,
                {each.pack for each in packs[:count]},
                batch.readings,
                batch.losses.dropped,
            )

    @precondition(lambda self: self.journal.sealed())
    @rule(size=st.integers(1, 2_000))
    def mark(self, size: int) -> None:
        first = self.journal.sealed()[0]
        assert len(self.journal.packs_of(first.batch)) == len(self.batches[first.batch].packs)
        self.journal.mark([(first.batch, first.number, bytes(size))])
        self.batches[first.batch].state = "receipted"
        self.assert_order()

    @rule(count=st.integers(1, 4))
    def tell_packs(self, count: int) -> None:
        self.journal.packs_told([row[0] for row in self.journal.untold_packs(count)])

    @rule(count=st.integers(1, 4))
    def tell_batches(self, count: int) -> None:
        names = [batch.batch for batch in self.journal.untold_batches(count)]
        self.journal.batches_told(names)
        for name in names:
            self.batches[name].told = True

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal.open(self.path, self.BYTES_MAX)

    def assert_order(self) -> None:
        """Over the limit there is nothing left that may go, and nothing went out of turn."""
        if self.journal.bytes_used > self.BYTES_MAX:
            assert self.rows("SELECT 1 FROM pack WHERE batch IS NULL") == []
            assert self.rows("SELECT 1 FROM batch WHERE state = 'receipted'") == []
        released = {batch.batch for batch in self.journal.receipted() if batch.state == "released"}
        if any(not self.batches[name].told for name in released if self.is_new(name)):
            assert self.rows("SELECT 1 FROM batch WHERE state = 'receipted' AND told = 1") == []
            assert self.rows("SELECT 1 FROM pack WHERE batch IS NULL") == []
        for name in released:
            self.batches[name].state = "released"

    def is_new(self, name: bytes) -> bool:
        return self.batches[name].state != "released"

    @invariant()
    def the_count_of_bytes_is_that_of_a_recount(self) -> None:
        with closing(sqlite3.connect(self.path)) as other:
            assert self.journal.bytes_used == recount(other)

    @invariant()
    def every_reading_is_waiting_or_named_or_counted_as_dropped(self) -> None:
        for subject, total in self.put_readings.items():
            waiting = sum(each.readings for each in self.journal.unbatched().get(subject, []))
            named = sum(
                b.readings + b.dropped for b in self.batches.values() if b.subject == subject
            )
            ((uncounted,),) = self.rows(
                f"SELECT coalesce(sum(dropped), 0) FROM loss WHERE subject = '{subject}'"
            )
            assert total == waiting + named + uncounted

    @invariant()
    def every_batch_is_as_it_was_left(self) -> None:
        for name, known in self.batches.items():
            batch = self.journal.find(name)
            assert batch is not None
            assert (batch.readings, batch.losses.dropped) == (known.readings, known.dropped)
            if known.state == "released":
                assert (batch.state, self.journal.leaves_of(name)) == ("released", None)
            elif known.state == "receipted":
                assert batch.state == "receipted"
                assert self.journal.leaves_of(name) is not None
            else:
                assert len(self.journal.packs_of(name)) == len(known.packs)

    @invariant()
    def every_receipt_is_told_in_the_end(self) -> None:
        untold = {batch.batch for batch in self.journal.untold_batches(1_000)}
        assert untold == {
            name
            for name, known in self.batches.items()
            if known.state != "sealed" and not known.told
        }


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
