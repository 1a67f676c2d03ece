"""SenML JSON and CSV hold everything, and say how it was heard."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import CAR, RUNNER, START_S, point

from agent.formats import senml, table
from agent.formats.points import FormatError


def test_senml_names_each_subject_once_and_each_reading_in_full() -> None:
    points = [
        point(),
        point("cadence", 80.5, time_s=START_S + 0.25, component="shoe-left"),
        point("vin", "WVWZZZ1KZAW000001", subject=CAR, component="obd", profile="obd/1"),
    ]

    written = senml.render(points)

    assert written.points == 3
    assert json.loads(written.data) == [
        {
            "bn": f"{RUNNER}:",
            "n": "strap/heart_rate",
            "u": "beat/min",
            "v": 60,
            "t": START_S,
            "prov": "bonded",
            "prof": "heart-rate/1",
        },
        {
            "n": "shoe-left/cadence",
            "u": "1/min",
            "v": 80.5,
            "t": START_S + 0.25,
            "prov": "bonded",
            "prof": "heart-rate/1",
        },
        {
            "bn": f"{CAR}:",
            "n": "obd/vin",
            "vs": "WVWZZZ1KZAW000001",
            "t": START_S,
            "prov": "bonded",
            "prof": "obd/1",
        },
    ]


def test_a_row_of_the_table_says_all_of_a_reading() -> None:
    written = table.render([point(provenance=9)])

    header, row = csv.reader(io.StringIO(written.data.decode(), newline=""))
    assert dict(zip(header, row, strict=True)) == {
        "time": "2026-01-01T00:00:00.000Z",
        "unix_s": "1767225600.0",
        "subject": RUNNER,
        "component": "strap",
        "quantity": "heart_rate",
        "value": "60",
        "unit": "beat/min",
        "provenance": "simulated",
        "profile": "heart-rate/1",
        "log": "box.example/log",
        "entry": "1",
    }
    assert written.data.endswith(b"\r\n")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_device_cannot_put_a_formula_into_a_spreadsheet(text: str) -> None:
    written = table.render([point("vin", text, component=text)])

    row = list(csv.reader(io.StringIO(written.data.decode(), newline="")))[1]
    assert (row[3], row[5]) == (f"'{text}", f"'{text}")


def test_a_negative_number_stays_one() -> None:
    assert b",-7.5,Cel," in table.render([point("temperature", -7.5)]).data


def test_a_table_has_no_time_that_no_calendar_has() -> None:
    with pytest.raises(FormatError, match="no calendar"):
        table.render([point(time_s=1e15)])


@given(text=st.text(max_size=40), value=st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_number_come_back_from_both(text: str, value: float) -> None:
    points = [point("vin", text), point("speed", value)]

    said, number = json.loads(senml.render(points).data)
    rows = list(csv.reader(io.StringIO(table.render(points).data.decode(), newline="")))

    assert (said["vs"], number["v"]) == (text, value)
    assert rows[1][5] in {text, f"'{text}"}
    assert float(rows[2][5]) == value
