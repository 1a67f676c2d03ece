"""Vehicle signals: COVESA names and units, and nothing that is not known."""

import json
from typing import Any

import pytest
from sample import CAR, RUNNER, START_S, point

from agent.formats import vss
from agent.formats.points import FormatError, Point
from firmware_bridge.readings import QUANTITIES


def heard(quantity: str, value: float | str, **changes: object) -> Point:
    """What the car's adapter said."""
    return point(
        quantity, value, **{"subject": CAR, "component": "obd", "profile": "obd/1"} | changes
    )


def data_of(*points: Point) -> Any:  # noqa: ANN401  # JSON
    return json.loads(vss.render(points).data)["data"]


@pytest.mark.parametrize(
    ("quantity", "value", "path", "unit", "said"),
    [
        ("speed", 10, "Vehicle.Speed", "km/h", "36"),
        ("pressure", 101_325, "Vehicle.OBD.BarometricPressure", "kPa", "101.325"),
        ("manifold_pressure", 35_000, "Vehicle.OBD.MAP", "kPa", "35"),
        ("engine_speed", 1_726.25, "Vehicle.OBD.EngineSpeed", "rpm", "1726.25"),
        ("engine_load", 0.5, "Vehicle.OBD.EngineLoad", "percent", "50"),
        ("mass_air_flow", 0.0123, "Vehicle.OBD.MAF", "g/s", "12.3"),
        ("coolant_temperature", -7.5, "Vehicle.OBD.CoolantTemperature", "celsius", "-7.5"),
        ("odometer", 123_456_700, "Vehicle.TraveledDistance", "m", "123456700"),
        ("timing_advance", 4.5, "Vehicle.OBD.TimingAdvance", "degrees", "4.5"),
    ],
)
def test_a_signal_has_its_path_its_unit_and_its_value_in_that(
    quantity: str, value: float, path: str, unit: str, said: str
) -> None:
    assert data_of(heard(quantity, value)) == [
        {"path": path, "unit": unit, "dp": [{"value": said, "ts": "2026-01-01T00:00:00.000Z"}]}
    ]


def test_every_number_with_a_path_has_a_unit() -> None:
    with_path = {name for name, row in QUANTITIES.items() if row.vss and row.unit}

    assert with_path - set(vss._UNITS) == {"oxygen_voltage"}


def test_values_of_a_signal_keep_their_order_and_signals_are_sorted() -> None:
    points = [heard("speed", at, time_s=START_S + at) for at in (0, 5, 10)]

    data = data_of(*points, heard("engine_load", 1))

    assert [each["path"] for each in data] == ["Vehicle.OBD.EngineLoad", "Vehicle.Speed"]
    assert [each["value"] for each in data[1]["dp"]] == ["0", "18", "36"]


def test_trouble_codes_of_one_moment_are_one_list_and_the_vin_is_text() -> None:
    later = START_S + 60

    codes, vin = data_of(
        heard("dtc", "P0301"),
        heard("dtc", "P0420"),
        heard("dtc", "P0301", time_s=later),
        heard("vin", "WVWZZZ1KZAW000001"),
    )

    assert codes["path"] == "Vehicle.OBD.DTCList"
    assert [each["value"] for each in codes["dp"]] == [["P0301", "P0420"], ["P0301"]]
    assert (vin["path"], vin["dp"][0]["value"]) == (
        "Vehicle.VehicleIdentification.VIN",
        "WVWZZZ1KZAW000001",
    )
    assert "unit" not in vin


@pytest.mark.parametrize(
    ("component", "corner"),
    [
        ("tyre-front-left", "Row1.Wheel.Left"),
        ("tyre-front-right", "Row1.Wheel.Right"),
        ("tyre-rear-left", "Row2.Wheel.Left"),
        ("rear_right", "Row2.Wheel.Right"),
    ],
)
def test_a_tyre_is_where_its_alias_says(component: str, corner: str) -> None:
    (tyre,) = data_of(heard("tyre_pressure", 230_000, component=component, profile="tyre/1"))

    assert tyre["path"] == f"Vehicle.Chassis.Axle.{corner}.Tire.Pressure"
    assert (tyre["unit"], tyre["dp"][0]["value"]) == ("kPa", "230")


def test_the_small_battery_is_known_by_its_alias() -> None:
    (battery,) = data_of(heard("voltage", 12.6, component="battery-12v", profile="bthome/1"))

    assert battery["path"] == "Vehicle.LowVoltageBattery.CurrentVoltage"


@pytest.mark.parametrize(
    "unknown",
    [
        heard("tyre_pressure", 230_000, component="tyre-3", profile="tyre/1"),
        heard("voltage", 400, component="charger", profile="bthome/1"),
        heard("current", 32, component="charger", profile="bthome/1"),
        heard("speed", 3, component="shoe-left", profile="running/1"),
        heard("pressure", 101_325, component="bag", profile="ruuvi/1"),
        heard("oxygen_voltage", 0.45),
        heard("engine_speed", 100, unit="Hz"),
        heard("engine_speed", "fast"),
        heard("vin", 17),
        heard("temperature", 20),
        heard("warp_factor", 9),
    ],
    ids=lambda each: f"{each.component} {each.quantity}",
)
def test_what_is_not_known_to_be_that_signal_is_left_out(unknown: Point) -> None:
    written = vss.render([unknown, heard("fuel_level", 0.5)])

    assert written.points == 1
    with pytest.raises(FormatError, match="expected signals of a vehicle, there are none"):
        vss.render([unknown])


def test_vehicles_are_not_mixed_and_simulated_ones_are_said_to_be() -> None:
    with pytest.raises(FormatError, match="expected one vehicle, got 2"):
        vss.render([heard("speed", 1), heard("speed", 2, subject=RUNNER)])
    assert json.loads(vss.render([heard("speed", 1)]).data)["simulated"] is False
    assert json.loads(vss.render([heard("speed", 1, provenance=9)]).data)["simulated"] is True
