"""Packets in, group commits out; what does not get through is counted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.admission import Admission, Limits, Refusal
from agent.claims import Kept, unpack
from agent.journal import Journal, JournalError, Losses, Pack
from agent.pipeline import CommitLimits, Committer, Component, Intake, Pipeline
from firmware_bridge.packets import Advert, Notification, Packet, uuid128
from firmware_bridge.profiles import by_name
from firmware_bridge.readings import Reading

STRAP, TYRE, METER, BIKE = (f"F0:00:00:00:00:0{n}" for n in range(1, 5))
BOOT = b"thisboot"
HEART_RATE, CSC = uuid128("2a37"), uuid128("2a5b")
METER_KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
METER_AIR = bytes.fromhex("41a47266c95f730011223378237214")  # the worked example of bthome.io


def component(address: str, alias: str, profile: str, subject: str) -> Component:
    return Component(alias, alias, address, subject, by_name(profile), None, 30_000)


COMPONENTS = (
    component(STRAP, "strap", "heart-rate", "runner"),
    component(TYRE, "tyre", "tyre", "car"),
    component(BIKE, "bike", "cycling", "runner"),
    replace(component("54:48:E6:8F:80:A5", "meter", "bthome", "car"), key=METER_KEY),
)


def beat(at_ms: int = 1_000, rate: int = 60, address: str = STRAP) -> Notification:
    data = bytes([0, rate])
    return Notification(address, uuid128("180d"), HEART_RATE, data, False, at_ms, at_ms)


def malformed(at_ms: int = 1_000) -> Notification:
    return Notification(STRAP, uuid128("180d"), HEART_RATE, b"", False, at_ms, at_ms)


def tyre(at_ms: int = 1_000, pascal: int = 230_000) -> Advert:
    payload = bytes.fromhex("80eaca100055") + pascal.to_bytes(4, "little")
    payload += (2_150).to_bytes(4, "little") + b"\x50\x00"
    return Advert(TYRE, "TPMS", {0x0100: payload}, {}, (), -60, at_ms, at_ms)


def turns(at_ms: int, revolutions: int) -> Notification:
    data = (
        b"\x02" + revolutions.to_bytes(2, "little") + (at_ms * 1024 // 1000).to_bytes(2, "little")
    )
    return Notification(BIKE, uuid128("1816"), CSC, data, False, at_ms, at_ms)


def metered(at_ms: int = 1_000) -> Advert:
    return Advert("54:48:E6:8F:80:A5", "", {}, {uuid128("fcd2"): METER_AIR}, (), -60, at_ms, at_ms)


class Heard:
    """Remembers what the board would be told."""

    def __init__(self) -> None:
        self.readings: list[tuple[str, str, float | str]] = []

    def __call__(self, alias: str, _: Packet, readings: list[Reading]) -> None:
        self.readings += [(alias, each.quantity, each.value) for each in readings]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def pipeline(heard: Heard, limits: Limits | None = None) -> Pipeline:
    known = {each.address: each for each in COMPONENTS}
    return Pipeline(known, Admission(limits or Limits(), {}), heard)


def test_a_packet_of_a_known_device_becomes_readings_of_its_subject(heard: Heard) -> None:
    line = pipeline(heard)

    line.feed(beat(1_000, rate=61))
    line.feed(tyre(2_000))
    group = line.close_group()

    assert heard.readings[0] == ("strap", "heart_rate", 61.0)
    assert group.kept["runner"] == [
        Kept(
            "strap",
            "heart-rate/1",
            0,
            1_000,
            1_000,
            beat(rate=61).digest(),
            (("heart_rate", 61.0),),
        )
    ]
    assert [quantity for quantity, _ in group.kept["car"][0].readings] == [
        "tyre_pressure",
        "temperature",
        "battery_level",
    ]
    assert (group.readings, group.opened_ms, line.readings) == (4, 1_000, 4)
    assert line.close_group().kept == {}


def test_a_stranger_is_counted_and_nothing_more(heard: Heard) -> None:
    line = pipeline(heard)

    line.feed(beat(address="F0:00:00:00:00:99"))

    assert line.refused == {Refusal.UNKNOWN: 1}
    assert line.close_group().losses == {}


def test_a_malformed_packet_is_kept_as_evidence_and_counted_for_its_subject(heard: Heard) -> None:
    line = pipeline(heard)

    for number in range(120):
        line.feed(malformed(number))

    assert line.refused == {Refusal.MALFORMED: 120}
    assert len(line.evidence) == 100
    assert line.close_group().losses == {"runner": Losses(rejected=120)}
    assert heard.readings == []


def test_what_is_too_much_is_refused_and_counted(heard: Heard) -> None:
    line = pipeline(heard, Limits(readings_per_s_max=1, burst_s=1))

    line.feed(beat(1_000))
    line.feed(beat(1_001))

    assert line.refused == {Refusal.RATE: 1}
    assert line.close_group().losses == {"runner": Losses(rejected=1)}


def test_an_equal_advert_is_a_repeat_and_no_loss(heard: Heard) -> None:
    line = pipeline(heard)

    for at_ms in (1_000, 2_000, 9_000):
        line.feed(tyre(at_ms))

    assert (line.repeats, line.readings) == (2, 3)
    assert line.close_group().losses == {}


def test_the_counter_of_an_encrypted_broadcast_goes_to_disk_with_its_readings(heard: Heard) -> None:
    line = pipeline(heard)

    line.feed(metered(1_000))
    line.feed(metered(60_000))
    group = line.close_group()

    assert group.counters == {"54:48:E6:8F:80:A5": 0x33221100}
    assert [each.provenance for each in group.kept["car"]] == [2]
    assert line.repeats == 1


def test_an_older_counter_is_a_replay(heard: Heard) -> None:
    known = {each.address: each for each in COMPONENTS}
    counters = {"54:48:E6:8F:80:A5": 0x33221101}
    line = Pipeline(known, Admission(Limits(), counters), heard)

    line.feed(metered())

    assert line.refused == {Refusal.REPLAYED: 1}
    assert line.close_group().counters == {}


def test_two_values_of_one_stream_give_their_difference_too(heard: Heard) -> None:
    line = pipeline(heard)

    line.feed(turns(1_000, 10))
    line.feed(turns(2_000, 12))

    cadences = [value for _, quantity, value in heard.readings if quantity == "cadence"]
    assert cadences == [pytest.approx(120.0)]


@pytest.mark.parametrize(("later_ms", "gaps"), [(31_000, 0), (31_001, 1)])
def test_a_missed_deadline_is_a_gap_of_the_subject(heard: Heard, later_ms: int, gaps: int) -> None:
    line = pipeline(heard)

    line.feed(beat(1_000))
    line.feed(beat(later_ms))

    assert line.close_group().losses == ({"runner": Losses(gap=1)} if gaps else {})


def test_a_device_that_only_repeats_itself_is_not_silent(heard: Heard) -> None:
    line = pipeline(heard, Limits(repeat_ms=3_600_000))

    for at_ms in range(1_000, 100_000, 20_000):
        line.feed(tyre(at_ms))
    line.feed(tyre(105_000, pascal=231_000))

    assert line.close_group().losses == {}


def test_what_the_intake_lost_is_counted_for_the_subjects_that_are_known(heard: Heard) -> None:
    line = pipeline(heard)

    line.dropped({STRAP: 3, BIKE: 2, "F0:00:00:00:00:99": 9})

    assert line.close_group().losses == {"runner": Losses(dropped=5)}


def test_the_intake_drops_the_newest_at_its_limit_and_counts_it() -> None:
    intake = Intake(packets_max=2)

    for at_ms in range(5):
        intake.put(beat(at_ms))

    assert (intake.dropped, intake.filled.is_set()) == (3, True)
    assert [packet.boottime_ms for packet in intake.take(9)] == [0, 1]
    assert not intake.filled.is_set()
    assert (intake.take_dropped(), intake.take_dropped()) == ({STRAP: 3}, {})


@given(data=st.binary(max_size=64), manufacturer=st.binary(max_size=32))
def test_any_bytes_of_a_known_device_become_readings_or_a_count(
    data: bytes, manufacturer: bytes
) -> None:
    heard = Heard()
    line = pipeline(heard)

    for each in COMPONENTS:
        for characteristic in each.profile.characteristics:
            line.feed(Notification(each.address, "", uuid128(characteristic), data, False, 1, 1))
        services = {uuid128("fcd2"): data}
        line.feed(Advert(each.address, "\x1b[2J", {256: manufacturer}, services, (), -60, 1, 1))

    group = line.close_group()
    assert group.readings == len(heard.readings)


# -- the shell


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal.open(tmp_path / "journal.db", 1 << 24)) as one:
        yield one


class Bench:
    """A committer at work on a real journal."""

    def __init__(
        self, journal: Journal, limits: CommitLimits, seal: Callable[[str, bytes], bytes]
    ) -> None:
        self.journal = journal
        self.heard = Heard()
        self.intake = Intake(10_000)
        self.committer = Committer(
            self.intake,
            pipeline(self.heard, Limits(readings_per_s_max=1_000_000)),
            journal,
            limits,
            seal,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.committer.run(BOOT, lambda: 7_000))
            yield
            task.cancel()

    async def settled(self) -> None:
        assert self.committer.waiting
        async with asyncio.timeout(5):
            while self.committer.waiting:  # noqa: ASYNC110  # looked at from outside, as a service is
                await asyncio.sleep(0.005)

    def packs(self) -> list[Pack]:
        rows = self.journal.untold_packs(10_000)
        heads = self.journal.unbatched()["runner"]
        return [
            Pack(head.subject, head.boot, head.readings, head.first_ms, head.last_ms, row[3])
            for head, row in zip(heads, rows, strict=True)
        ]


def plainly(_: str, data: bytes) -> bytes:
    return data


async def test_a_group_is_on_disk_within_its_age_limit(journal: Journal) -> None:
    bench = Bench(journal, CommitLimits(0.05, 500), plainly)

    async with bench.running():
        bench.intake.put(beat(1_000))
        bench.intake.put(beat(1_400))
        await bench.settled()
        on_disk = journal.pending_readings()

    (pack,) = bench.packs()
    assert on_disk == 2
    assert (pack.boot, pack.readings, pack.first_ms, pack.last_ms) == (BOOT, 2, 1_000, 1_400)
    assert [each.boottime_ms for each in unpack(pack.body)] == [1_000, 1_400]


async def test_a_full_group_does_not_wait_for_its_age(journal: Journal) -> None:
    bench = Bench(journal, CommitLimits(0.25, 100), plainly)

    async with bench.running():
        for at_ms in range(1_000):
            bench.intake.put(beat(at_ms))
        await bench.settled()

    sizes = [pack.readings for pack in bench.packs()]
    assert sum(sizes) == 1_000
    assert max(sizes) < 100 + 16


async def test_all_that_waits_when_it_is_stopped_is_still_written(journal: Journal) -> None:
    bench = Bench(journal, CommitLimits(0.25, 100), plainly)

    async with bench.running():
        await asyncio.sleep(0)
        for at_ms in range(2_000):
            bench.intake.put(beat(at_ms))

    assert journal.pending_readings() == 2_000


async def test_a_commit_that_was_begun_when_it_is_stopped_is_finished(journal: Journal) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(_: str, data: bytes) -> bytes:
        loop.call_soon_threadsafe(begun.set)
        return data

    for _ in range(20):
        begun.clear()
        bench = Bench(journal, CommitLimits(0.01, 1), slowly)
        before = journal.pending_readings()
        async with bench.running():
            for at_ms in range(30):
                bench.intake.put(beat(at_ms))
            await begun.wait()
        assert journal.pending_readings() == before + 30


async def test_losses_alone_are_committed_too(journal: Journal) -> None:
    bench = Bench(journal, CommitLimits(0.01, 100), plainly)

    async with bench.running():
        bench.intake.put(malformed())
        await asyncio.sleep(0.1)
        bench.intake.put(beat())

    journal.seal(journal.unbatched()["runner"], b"batch 1")
    assert journal.sealed()[0].losses == Losses(rejected=1)


async def test_a_journal_that_refuses_ends_the_committer(journal: Journal) -> None:
    bench = Bench(journal, CommitLimits(0.01, 100), plainly)
    journal._db.execute("PRAGMA query_only = 1")

    bench.intake.put(beat())

    with pytest.raises(JournalError, match="cannot be written"):
        await bench.committer.run(BOOT, lambda: 7_000)
