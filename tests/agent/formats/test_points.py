"""What a record gives away becomes points, and only that."""

import json

import pytest
from box import WALL_MS, Box
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import CAR, RUNNER, START_S, point

from agent import formats
from agent.export import export_home
from agent.formats.points import FormatError, moment, one_subject, points_of
from firmware_bridge.readings import QUANTITIES
from ledger_client import disclosure, record
from ledger_client.disclosure import Part


def test_every_disclosed_reading_is_a_point_in_the_order_of_the_log(box: Box) -> None:
    stores = box.open()
    for subject in ("runner", "car"):
        box.hear(stores, 3, subject)
    box.prove(stores)
    urns = stores.registry.streams().urns
    box.close()

    points = list(points_of(export_home(box.path)))

    said = [(each.subject, each.component, each.quantity, each.value) for each in points]
    assert sorted(said) == sorted(
        (urns[subject], alias, quantity, 60.0 + number)
        for subject, alias, quantity in (
            ("runner", "strap", "heart_rate"),
            ("car", "tyre", "tyre_pressure"),
        )
        for number in range(3)
    )
    assert [each.entry for each in points] == [1, 1, 1, 2, 2, 2]
    assert {each.log for each in points} == {"box.example/log"}
    assert {each.simulated for each in points} == {True}
    assert {each.provenance_name for each in points} == {"simulated"}
    assert {each.time_s * 1000 - WALL_MS for each in points} == {101_000, 102_000}
    assert len({each.identifier for each in points}) == 6


def test_of_an_excerpt_only_the_chosen_readings_are_points(box: Box) -> None:
    stores = box.open()
    box.hear(stores, 5)
    box.prove(stores)
    whole = record.parse(export_home(box.path)).lines[1].disclosure
    assert whole is not None
    assert not isinstance(whole, Part)

    data = record.excerpt(stores.log, {1: disclosure.choose(whole, {1, 4})})

    assert [each.value for each in points_of(data)] == [61.0, 64.0]


def test_a_number_is_one_of_the_asked_quantity_in_the_unit_of_the_table() -> None:
    assert point().number("heart_rate", "cadence") == 60
    assert point().number("cadence") is None
    assert point(unit="Hz").number("heart_rate") is None
    assert point("heart_rate", "sixty").number("heart_rate") is None
    assert point("heart_rate", 1e300).number("heart_rate") is None


def test_times_are_written_in_utc_to_the_millisecond_or_refused() -> None:
    assert moment(START_S + 0.25) == "2026-01-01T00:00:00.250Z"
    assert moment(0) == "1970-01-01T00:00:00.000Z"
    with pytest.raises(FormatError, match="no calendar"):
        moment(1e18)


def test_readings_of_two_people_are_never_mixed() -> None:
    assert one_subject([point()], "heart_rate") == [point()]
    with pytest.raises(FormatError, match="expected heart_rate, there are none"):
        one_subject([], "heart_rate")
    with pytest.raises(FormatError, match=f"one with --subject: {RUNNER}, {CAR}"):
        one_subject([point(), point(subject=CAR)], "heart_rate")


@pytest.mark.parametrize("name", [name for name in formats.NAMES if name not in {"gpx", "vss"}])
def test_each_format_writes_what_it_can(name: str) -> None:
    assert formats.render(name, [point()]).points == 1


def test_vehicle_signals_are_written_by_name_too() -> None:
    engine = point("engine_speed", 1_700, subject=CAR, profile="obd/1")

    assert formats.render("vss", [engine, point()]).points == 1


def test_gpx_is_refused_as_nobody_knows_where_a_thing_was() -> None:
    with pytest.raises(FormatError, match="no quantity here says where"):
        formats.render("gpx", [point()])


def test_a_format_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(FormatError, match="expected one of senml, csv, gpx"):
        formats.render("xlsx", [point()])


def test_nothing_is_not_written() -> None:
    with pytest.raises(FormatError, match="this holds none"):
        formats.render("csv", [])


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(("senml", "omh", "fhir", "vss")),
    said=st.lists(
        st.tuples(
            st.sampled_from((*QUANTITIES, "warp_factor")),
            st.floats(allow_nan=False, allow_infinity=False)
            | st.integers(-(1 << 63), 1 << 63)
            | st.text(max_size=8),
            st.floats(allow_nan=False, allow_infinity=False) | st.just(START_S),
        ),
        max_size=6,
    ),
    component=st.text(max_size=8),
    profile=st.sampled_from(("obd/1", "tyre/1", "cgm/2", "")),
)
def test_whatever_a_strangers_record_says_comes_out_as_json_or_is_refused(
    name: str, said: list[tuple[str, float | str, float]], component: str, profile: str
) -> None:
    points = [
        point(quantity, value, time_s=time_s, component=component, profile=profile)
        for quantity, value, time_s in said
    ]

    try:
        written = formats.render(name, points)
    except FormatError:
        return

    json.loads(written.data, parse_constant=pytest.fail)
    assert 1 <= written.points <= len(points)
