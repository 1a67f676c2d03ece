"""Open mHealth data points: heart rate and blood glucose, as a JSON array.

Source: openmhealth.org schemas omh:heart-rate:2.0, omh:blood-glucose:3.0, omh:data-point:1.0. The
times of creation are those of the readings.
"""

import json
from collections.abc import Iterable

from agent.formats.points import Point, Written, moment, one_subject

MG_DL_PER_KG_M3 = 100
DIGITS = 9

_HEART_RATE, _GLUCOSE = "heart_rate", "glucose"


def render(points: Iterable[Point]) -> Written:
    """The heart rates and glucose levels of one person; other readings have no place here.

    Raises:
        FormatError: none, several persons, or a time that no calendar has.
    """
    found = one_subject(
        (point for point in points if point.number(_HEART_RATE, _GLUCOSE) is not None),
        "heart_rate or glucose",
    )
    data_points = [_data_point(point) for point in found]
    return Written(json.dumps(data_points, indent=1).encode(), len(data_points))


def _data_point(point: Point) -> dict[str, object]:
    name, version, body = _body(point)
    when = moment(point.time_s)
    source = f"{point.component} by milepost, {point.provenance_name}"
    return {
        "header": {
            "id": point.identifier,
            "creation_date_time": when,
            "schema_id": {"namespace": "omh", "name": name, "version": version},
            "user_id": point.subject,
            "acquisition_provenance": {
                "source_name": source,
                "source_creation_date_time": when,
                **({} if point.simulated else {"modality": "sensed"}),
            },
        },
        "body": {**body, "effective_time_frame": {"date_time": when}},
    }


def _body(point: Point) -> tuple[str, str, dict[str, object]]:
    rate = point.number(_HEART_RATE)
    if rate is not None:
        return "heart-rate", "2.0", {_HEART_RATE: {"value": rate, "unit": "beats/min"}}
    level = round((point.number(_GLUCOSE) or 0.0) * MG_DL_PER_KG_M3, DIGITS)
    return "blood-glucose", "3.0", {"blood_glucose": {"value": level, "unit": "mg/dL"}}
