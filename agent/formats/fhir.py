"""FHIR R4 Observations of heart rate and glucose, as a JSON Bundle of type collection.

Source: hl7.org/fhir/R4 observation, bundle and the vital signs profile "heartrate". Codes are
LOINC, units UCUM. The subject is a logical reference: no name is known here. Simulated readings
carry the tag HTEST (v3-ActReason: test health data).
"""

import json
from collections.abc import Iterable

from agent.formats.points import Point, Written, moment, one_subject

MG_DL_PER_KG_M3 = 100
DIGITS = 9

_HEART_RATE, _GLUCOSE = "heart_rate", "glucose"
_UCUM = "http://unitsofmeasure.org"
_URI = "urn:ietf:rfc:3986"
_TEST = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "code": "HTEST",
    "display": "test health data",
}
_VITAL_SIGNS = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "vital-signs",
        }
    ]
}
_RATE_CODE = ("8867-4", "Heart rate")
# A continuous monitor sits between the cells; of a meter only the profile's name is known.
_LEVEL_CODES = {"cgm": ("99504-3", "Glucose [Mass/volume] in Interstitial fluid")}
_BLOOD_CODE = ("2339-0", "Glucose [Mass/volume] in Blood")


def render(points: Iterable[Point]) -> Written:
    """The heart rates and glucose levels of one person; other readings have no place here.

    Raises:
        FormatError: none, several persons, or a time that no calendar has.
    """
    found = one_subject(
        (point for point in points if point.number(_HEART_RATE, _GLUCOSE) is not None),
        "heart_rate or glucose",
    )
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": f"urn:uuid:{point.identifier}", "resource": _observation(point)}
            for point in found
        ],
    }
    return Written(json.dumps(bundle, indent=1).encode(), len(found))


def _observation(point: Point) -> dict[str, object]:
    rate = point.number(_HEART_RATE)
    if rate is not None:
        code, quantity = _RATE_CODE, _quantity(rate, "beats/minute", "/min")
    else:
        level = round((point.number(_GLUCOSE) or 0.0) * MG_DL_PER_KG_M3, DIGITS)
        code = _LEVEL_CODES.get(point.profile.partition("/")[0], _BLOOD_CODE)
        quantity = _quantity(level, "mg/dL", "mg/dL")
    return {
        "resourceType": "Observation",
        **({"meta": {"tag": [_TEST]}} if point.simulated else {}),
        "identifier": [{"system": _URI, "value": f"urn:uuid:{point.identifier}"}],
        "status": "final",
        **({} if rate is None else {"category": [_VITAL_SIGNS]}),
        "code": {
            "coding": [{"system": "http://loinc.org", "code": code[0], "display": code[1]}],
            "text": code[1],
        },
        "subject": {"type": "Patient", "identifier": {"system": _URI, "value": point.subject}},
        "effectiveDateTime": moment(point.time_s),
        "valueQuantity": quantity,
        "device": {"display": point.component or "milepost"},
        "note": [
            {
                "text": f"{point.provenance_name}; entry {point.entry} of the log {point.log},"
                f" leaf {point.leaf.hex()}"
            }
        ],
    }


def _quantity(value: float, unit: str, code: str) -> dict[str, object]:
    return {"value": value, "unit": unit, "system": _UCUM, "code": code}
