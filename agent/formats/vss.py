"""Vehicle signals under their COVESA VSS names and in their units, as VISS data packages.

Source: COVESA Vehicle Signal Specification 5 for paths and units; W3C VISS version 2 for {"data":
[{"path", "dp": [{"value", "ts"}...]}]}, where values are strings. `unit` and `simulated` are ours,
so that nobody has to guess. A reading is left out where its path would say more than is known: a
speed that no car told, a tyre whose corner its alias does not name, a voltage of who knows what.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from agent.formats.points import FormatError, Point, Written, moment
from firmware_bridge.readings import QUANTITIES

_VEHICLE = "obd"
_ONLY_FROM_VEHICLE = frozenset({"speed", "pressure"})
_BATTERY = frozenset({"voltage", "current"})
_BATTERY_NAMES = ("battery", "12v")
_CORNERS = {
    ("front", "left"): "Row1.Wheel.Left",
    ("front", "right"): "Row1.Wheel.Right",
    ("rear", "left"): "Row2.Wheel.Left",
    ("rear", "right"): "Row2.Wheel.Right",
}
_TYRE = "Row1.Wheel.Left"
_UNPLACED = frozenset({"oxygen_voltage"})  # which of eight sensors said it is not kept
_DTC = "dtc"


class _Unit(NamedTuple):
    """What VSS calls a unit, and how many of it one of ours is."""

    name: str
    factor: float = 1.0


_PERCENT, _KPA = _Unit("percent", 100.0), _Unit("kPa", 1e-3)
_UNITS = {
    "speed": _Unit("km/h", 3.6),
    "tyre_pressure": _KPA,
    "pressure": _KPA,
    "manifold_pressure": _KPA,
    "fuel_pressure": _KPA,
    "coolant_temperature": _Unit("celsius"),
    "intake_temperature": _Unit("celsius"),
    "ambient_temperature": _Unit("celsius"),
    "voltage": _Unit("V"),
    "control_voltage": _Unit("V"),
    "current": _Unit("A"),
    "engine_speed": _Unit("rpm"),
    "throttle_position": _PERCENT,
    "engine_load": _PERCENT,
    "fuel_level": _PERCENT,
    "state_of_charge": _PERCENT,
    "state_of_health": _PERCENT,
    "mass_air_flow": _Unit("g/s", 1e3),
    "odometer": _Unit("m"),
    "run_time": _Unit("s"),
    "timing_advance": _Unit("degrees"),
}
_DIGITS = 9


class _Datum(NamedTuple):
    value: str | list[str]
    ts: str


def render(points: Iterable[Point]) -> Written:
    """The signals of vehicles, by path, each in the order of its points.

    Raises:
        FormatError: none, several vehicles, or a time that no calendar has.
    """
    signals: dict[str, list[_Datum]] = {}
    units: dict[str, str] = {}
    subjects: set[str] = set()
    simulated = False
    count = 0
    for point in points:
        path = path_of(point)
        if path is None:
            continue
        count += 1
        subjects.add(point.subject)
        simulated |= point.simulated
        unit = _UNITS.get(point.quantity, _Unit(""))
        units[path] = unit.name
        _add(signals.setdefault(path, []), point, unit.factor)
    if len(subjects) > 1:
        raise FormatError(
            f"expected one vehicle, got {len(subjects)}; name one with --subject:"
            f" {', '.join(sorted(subjects))}"
        )
    if not count:
        raise FormatError(
            "expected signals of a vehicle, there are none among the readings that are disclosed"
        )
    data = [
        {
            "path": path,
            **({"unit": units[path]} if units[path] else {}),
            "dp": [datum._asdict() for datum in signals[path]],
        }
        for path in sorted(signals)
    ]
    return Written(json.dumps({"simulated": simulated, "data": data}, indent=1).encode(), count)


def path_of(point: Point) -> str | None:
    """The VSS path of a reading, or None where there is none, or it is not known to be that one."""
    known = QUANTITIES.get(point.quantity)
    if known is None or not known.vss or known.unit != point.unit:
        return None
    if known.unit and point.number(point.quantity) is None:
        return None
    if not known.unit and not isinstance(point.value, str):
        return None
    if point.quantity == "tyre_pressure":
        return _tyre_path(known.vss, point.component)
    from_vehicle = point.profile.partition("/")[0] == _VEHICLE
    named = any(name in point.component for name in _BATTERY_NAMES)
    refused = (
        point.quantity in _UNPLACED
        or (point.quantity in _ONLY_FROM_VEHICLE and not from_vehicle)
        or (point.quantity in _BATTERY and not named)
    )
    return None if refused else known.vss


def _tyre_path(path: str, component: str) -> str | None:
    for words, corner in _CORNERS.items():
        if all(word in component for word in words):
            return path.replace(_TYRE, corner)
    return None


def _add(data: list[_Datum], point: Point, factor: float) -> None:
    """One more value; trouble codes of one moment are one list."""
    ts = moment(point.time_s)
    if not isinstance(point.value, str):
        data.append(_Datum(f"{round(point.value * factor, _DIGITS):.12g}", ts))
    elif point.quantity != _DTC:
        data.append(_Datum(point.value, ts))
    elif data and data[-1].ts == ts and isinstance(data[-1].value, list):
        data[-1].value.append(point.value)
    else:
        data.append(_Datum([point.value], ts))
