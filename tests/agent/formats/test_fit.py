"""FIT activities, read back by fitdecode, which is not ours."""

import io
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import CAR, START_S, point

from agent.formats import fit
from agent.formats.points import FormatError, Point

fitdecode = pytest.importorskip("fitdecode")


def read(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Name and fields of every data message; raises on anything that a strict reader minds."""
    strict = {
        "check_crc": fitdecode.CrcCheck.RAISE,
        "error_handling": fitdecode.ErrorHandling.RAISE,
    }
    with fitdecode.FitReader(io.BytesIO(data), **strict) as frames:
        return [
            (frame.name, {field.name: field.value for field in frame.fields})
            for frame in frames
            if isinstance(frame, fitdecode.FitDataMessage)
        ]


def of(messages: Iterable[tuple[str, dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [fields for found, fields in messages if found == name]


def run(*seconds: float) -> list[Point]:
    """A run: each measure at each of these seconds after the start."""
    return [
        point(quantity, value, time_s=START_S + at, component=component)
        for at in seconds
        for quantity, value, component in (
            ("heart_rate", 120 + at, "strap"),
            ("cadence", 80, "shoe-left"),
            ("speed", 3.25, "shoe-left"),
            ("distance", 1_000 + 3.25 * at, "shoe-left"),
        )
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("0e104d08ce0300002e464954", 0xB729),  # a Garmin workout, quoted in Garmin's forum
        ("", 0),
    ],
)
def test_the_crc_is_that_of_published_files(header: str, expected: int) -> None:
    assert fit.crc(bytes.fromhex(header)) == expected


def test_a_run_comes_back_as_it_was() -> None:
    written = fit.render([*run(0, 1, 2), point("battery_level", 80)])

    messages = read(written.data)
    assert written.points == 12
    assert [name for name, _ in messages] == [
        "file_id",
        "event",
        *["record"] * 3,
        "event",
        "lap",
        "session",
        "activity",
    ]
    assert [
        (each["heart_rate"], each["cadence"], each["speed"], each["distance"])
        for each in of(messages, "record")
    ] == [(120, 80, 3.25, 0), (121, 80, 3.25, 3.25), (122, 80, 3.25, 6.5)]
    times = [each["timestamp"].timestamp() for each in of(messages, "record")]
    assert times == [START_S, START_S + 1, START_S + 2]
    (session,) = of(messages, "session")
    assert session["start_time"].timestamp() == START_S
    assert (session["total_elapsed_time"], session["total_distance"]) == (2, 6.5)
    assert (session["avg_heart_rate"], session["max_heart_rate"]) == (121, 122)
    assert (session["sport"], session["first_lap_index"], session["num_laps"]) == ("generic", 0, 1)
    (about,) = of(messages, "file_id")
    assert (about["type"], about["manufacturer"]) == ("activity", "development")
    assert about["product_name"] == "milepost"


def test_what_is_simulated_says_so_in_the_name_of_the_product() -> None:
    messages = read(fit.render([point(provenance=9)]).data)

    assert of(messages, "file_id")[0]["product_name"] == "milepost, simulated"


def test_a_long_silence_ends_a_session_and_begins_the_next() -> None:
    messages = read(fit.render(run(0, 1, 1 + fit.SILENCE_S, 3 + fit.SILENCE_S)).data)

    sessions = of(messages, "session")
    assert [each["total_elapsed_time"] for each in sessions] == [1, 2]
    assert [each["first_lap_index"] for each in sessions] == [0, 1]
    (activity,) = of(messages, "activity")
    assert (activity["num_sessions"], activity["total_timer_time"]) == (2, 3)


def test_of_two_shoes_the_one_that_said_more_counts() -> None:
    left = [point("cadence", 80, component="shoe-left", time_s=START_S + at) for at in (0, 1)]
    right = [point("cadence", 90, component="shoe-right", time_s=START_S + at) for at in (0, 1, 2)]

    messages = read(fit.render(left + right).data)

    assert [each["cadence"] for each in of(messages, "record")] == [90, 90, 90]
    assert of(messages, "session")[0]["avg_heart_rate"] is None
    assert of(messages, "session")[0]["total_distance"] is None


def test_a_distance_that_begins_again_never_goes_back() -> None:
    metres = [100, 150, 10, 30]
    points = [point("distance", metre, time_s=START_S + at) for at, metre in enumerate(metres)]

    messages = read(fit.render(points).data)

    assert [each["distance"] for each in of(messages, "record")] == [0, 50, 50, 70]


def test_what_no_field_can_hold_is_left_open() -> None:
    points = [point("heart_rate", 300), point("speed", 66), point("cadence", -1)]

    (found,) = of(read(fit.render(points).data), "record")

    assert (found["heart_rate"], found["speed"], found["cadence"]) == (None, None, None)


def test_there_is_no_activity_without_what_fit_knows() -> None:
    with pytest.raises(FormatError, match="expected heart_rate or cadence or speed or distance"):
        fit.render([point("glucose", 0.9)])
    with pytest.raises(FormatError, match="one with --subject"):
        fit.render([point(), point(subject=CAR)])
    with pytest.raises(FormatError, match="the clock was not set"):
        fit.render([point(time_s=100.0)])


@settings(max_examples=60, deadline=None)
@given(
    measures=st.lists(
        st.tuples(
            st.sampled_from(("heart_rate", "cadence", "speed", "distance", "glucose")),
            st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 500),
            st.integers(0, 3_000) | st.integers(-(1 << 40), 1 << 40),
        ),
        max_size=12,
    )
)
def test_any_readings_make_a_file_that_a_strict_reader_takes_or_none(
    measures: list[tuple[str, float, int]],
) -> None:
    points = [point(name, value, time_s=START_S + at) for name, value, at in measures]

    try:
        data = fit.render(points).data
    except FormatError:
        return

    times = [each["timestamp"] for each in of(read(data), "record")]
    assert times
    assert times == sorted(set(times))
