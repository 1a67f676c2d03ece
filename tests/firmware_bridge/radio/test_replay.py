import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import RadioUnavailableError
from firmware_bridge.packets import Advert, Answer, Notification, Packet, uuid128
from firmware_bridge.radio import Clock, Stamp
from firmware_bridge.radio.recording import RecordingError, from_line, to_line
from firmware_bridge.radio.replay import Replay

STRAP, TYRE, CAR = "F0:00:00:00:01:03", "F0:00:00:00:02:01", "F0:00:00:00:02:05"
TIMES = st.integers(0, 2**53)
UUIDS = st.uuids().map(str)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PACKETS = st.one_of(
    st.builds(
        Advert,
        st.just(TYRE),
        TEXT,
        st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=31), max_size=3),
        st.dictionaries(UUIDS, st.binary(max_size=31), max_size=3),
        st.lists(UUIDS, max_size=3).map(tuple),
        st.integers(-127, 20),
        TIMES,
        TIMES,
        st.just(value=True),
    ),
    st.builds(
        Notification,
        st.just(STRAP),
        UUIDS,
        UUIDS,
        st.binary(max_size=512),
        st.booleans(),
        TIMES,
        TIMES,
        st.just(value=True),
    ),
    st.builds(Answer, st.just(CAR), TEXT, TEXT, st.booleans(), TIMES, TIMES, st.just(value=True)),
)


def beat(at_ms: int, value: int = 70) -> Notification:
    characteristic, service = uuid128("2a37"), uuid128("180d")
    data = bytes([0, value])
    return Notification(STRAP, service, characteristic, data, True, at_ms + 5_000, at_ms)


def tyre(at_ms: int) -> Advert:
    return Advert(TYRE, "TPMS1", {0x0100: bytes(16)}, {}, (), -70, at_ms + 5_000, at_ms)


def recording(tmp_path: Path, *packets: Packet) -> Path:
    path = tmp_path / "packets.jsonl"
    path.write_text("".join(to_line(packet) + "\n" for packet in packets), encoding="utf-8")
    return path


@given(packet=PACKETS)
def test_every_packet_survives_a_line(packet: Packet) -> None:
    line = to_line(packet)

    assert from_line(line) == packet
    assert "\n" not in line


def test_a_short_uuid_and_a_lower_case_address_are_understood() -> None:
    line = (
        '{"from":"gatt","address":"f0:00:00:00:01:03","wall_ms":1,"boottime_ms":2,'
        '"service":"180d","characteristic":"2a37","hex":"0046"}'
    )

    packet = from_line(line)

    assert isinstance(packet, Notification)
    assert (packet.address, packet.characteristic) == (STRAP, uuid128("2a37"))
    assert packet.simulated


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        '{"from":"moon"}',
        '{"from":"gatt","address":"a","wall_ms":1,"boottime_ms":2,"service":"","characteristic":"","hex":"0g"}',
        '{"from":"obd","address":"a","wall_ms":1,"boottime_ms":2,"request":"01","text":"","odd":1}',
        '{"from":"advert","address":"a","wall_ms":1,"boottime_ms":2,"manufacturer_data":{"xyz":""}}',
        "x" * 70_000,
    ],
)
def test_a_line_that_is_no_packet_is_refused_with_what_came(line: str) -> None:
    with pytest.raises(RecordingError, match="expected"):
        from_line(line)


@given(line=st.text(max_size=200))
def test_any_text_is_a_packet_or_refused(line: str) -> None:
    with pytest.raises(RecordingError):
        from_line(line)


async def test_a_replay_keeps_the_distances_and_moves_the_start_to_now(
    tmp_path: Path, clock: Clock
) -> None:
    path = recording(tmp_path, beat(1_000), beat(1_150), tyre(1_200))
    radio, packets = Replay(path, clock), list[Packet]()

    start = clock()
    await radio.run(packets.append)

    assert [packet.boottime_ms - packets[0].boottime_ms for packet in packets] == [0, 150, 200]
    assert 0 <= packets[0].boottime_ms - start.boottime_ms < 100
    assert clock().boottime_ms - start.boottime_ms >= 200
    assert all(packet.simulated for packet in packets)
    assert [(view.address, view.state, view.packets) for view in radio.links()] == [
        (STRAP, "subscribed", 2),
        (TYRE, "broadcasting", 1),
    ]
    assert [view.rssi_dbm for view in radio.links()] == [None, -70]


async def test_as_fast_as_possible_ends_now_and_waits_for_nothing(tmp_path: Path) -> None:
    path = recording(tmp_path, *(beat(1_000 * at) for at in range(250)))
    packets: list[Packet] = []

    await Replay(path, lambda: Stamp(9_000_000, 8_000_000), as_fast_as_possible=True).run(
        packets.append
    )

    assert [packet.boottime_ms for packet in packets][-2:] == [7_999_000, 8_000_000]
    assert packets[-1].wall_ms == 9_000_000
    assert len(packets) == 250


async def test_a_scan_of_a_recording_lists_who_advertised(tmp_path: Path, clock: Clock) -> None:
    path = recording(tmp_path, tyre(1), beat(2), tyre(3))

    found = await Replay(path, clock).scan(0)

    assert [(advert.address, advert.boottime_ms) for advert in found] == [(TYRE, 3)]


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (None, RadioUnavailableError, "radio.replay_file"),
        (b"", RadioUnavailableError, "empty"),
        (b"{}\n", RecordingError, "packets.jsonl:1: expected a packet"),
        (b"\xff\n", RecordingError, "UTF-8"),
        (
            f"{to_line(beat(2))}\n{to_line(beat(1))}\n".encode(),
            RecordingError,
            "boottime_ms to rise",
        ),
    ],
)
async def test_a_bad_recording_is_refused_by_name(
    tmp_path: Path, clock: Clock, content: bytes | None, error: type[Exception], reason: str
) -> None:
    path = tmp_path / "packets.jsonl"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(error, match=reason):
        await asyncio.wait_for(Replay(path, clock).run(lambda _packet: None), 5)
