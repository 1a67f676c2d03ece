"""Health data in the words of medicine, judged by others: Open mHealth's schemas, fhir.resources.

The published Open mHealth schemas refer to smaller ones that are not among the vectors. What stands
in for those here is ours, and is itself judged by the published test data.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from sample import CAR, RUNNER, START_S, point

from agent.formats import fhir, omh
from agent.formats.points import FormatError

jsonschema = pytest.importorskip("jsonschema")
referencing = pytest.importorskip("referencing")
bundle = pytest.importorskip("fhir.resources.R4B.bundle")

VECTORS = Path(__file__).parents[2] / "vectors" / "openmhealth"
TEST_DATA = [json.loads(line) for line in (VECTORS / "test-data.jsonl").read_text().splitlines()]
PUBLISHED = {"heart-rate-2.0", "blood-glucose-3.0"}

MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
INTERVAL = {
    "type": "object",
    "properties": {"start_date_time": MOMENT, "end_date_time": MOMENT},
    "required": ["start_date_time", "end_date_time"],
}
STAND_INS: dict[str, dict[str, object]] = {
    "unit-value-1.x.json": {
        "type": "object",
        "properties": {"value": {"type": "number"}, "unit": {"type": "string"}},
        "required": ["value", "unit"],
    },
    "time-frame-1.x.json": {
        "type": "object",
        "oneOf": [
            {"properties": {"date_time": MOMENT}, "required": ["date_time"]},
            {"properties": {"time_interval": INTERVAL}, "required": ["time_interval"]},
        ],
    },
    "descriptive-statistic-1.x.json": {"enum": ["average", "maximum", "minimum", "median"]},
    "specimen-source-2.x.json": {"enum": ["capillary blood", "interstitial fluid"]},
    "temporal-relationship-to-meal-1.x.json": {"enum": ["fasting", "before meal", "after meal"]},
    "temporal-relationship-to-sleep-1.x.json": {
        "enum": ["before sleeping", "during sleep", "on waking"]
    },
    "temporal-relationship-to-physical-activity-1.x.json": {"enum": ["at rest", "active"]},
}


def judge(schema: str, body: object) -> None:
    """Raises jsonschema.ValidationError."""
    draft = referencing.jsonschema.DRAFT7
    resources = {name: draft.create_resource(value) for name, value in STAND_INS.items()}
    registry = referencing.Registry().with_resources(resources.items())
    published = json.loads((VECTORS / f"{schema}.json").read_text())
    jsonschema.Draft7Validator(published, registry=registry).validate(body)


@pytest.mark.parametrize("case", TEST_DATA, ids=lambda case: f"{case['schema']} {case['id']}")
def test_the_schemas_judge_their_test_data_as_published(case: dict[str, Any]) -> None:
    if case["valid"]:
        judge(case["schema"], case["body"])
        return
    with pytest.raises(jsonschema.ValidationError):
        judge(case["schema"], case["body"])


def test_open_mhealth_data_points_validate() -> None:
    points = [
        point("heart_rate", 61),
        point("glucose", 0.95, component="cgm", time_s=START_S + 0.5),
        point("cadence", 80),
    ]

    written = omh.render(points)

    found = json.loads(written.data)
    assert written.points == len(found) == 2
    for each in found:
        schema = f"{each['header']['schema_id']['name']}-{each['header']['schema_id']['version']}"
        assert schema in PUBLISHED
        judge(schema, each["body"])
    assert found[0]["body"] == {
        "heart_rate": {"value": 61, "unit": "beats/min"},
        "effective_time_frame": {"date_time": "2026-01-01T00:00:00.000Z"},
    }
    assert found[1]["body"]["blood_glucose"] == {"value": 95.0, "unit": "mg/dL"}
    assert found[1]["header"]["user_id"] == RUNNER
    assert found[1]["header"]["acquisition_provenance"] == {
        "source_name": "cgm by milepost, bonded",
        "source_creation_date_time": "2026-01-01T00:00:00.500Z",
        "modality": "sensed",
    }


def test_fhir_observations_validate() -> None:
    points = [
        point("heart_rate", 61),
        point("glucose", 0.95, component="cgm", profile="cgm/1"),
        point("glucose", 1.2, component="", profile="glucose/1"),
        point("speed", 3),
    ]

    written = fhir.render(points)

    model = bundle.Bundle.model_validate_json(written.data)
    assert written.points == len(model.entry) == 3
    rate, level, blood = (entry.resource for entry in model.entry)
    assert (rate.code.coding[0].code, float(rate.valueQuantity.value)) == ("8867-4", 61)
    assert (rate.valueQuantity.code, rate.category[0].coding[0].code) == ("/min", "vital-signs")
    assert (level.code.coding[0].code, float(level.valueQuantity.value)) == ("99504-3", 95)
    assert (level.valueQuantity.code, level.category) == ("mg/dL", None)
    assert (blood.code.coding[0].code, float(blood.valueQuantity.value)) == ("2339-0", 120)
    assert rate.subject.identifier.value == RUNNER
    assert rate.effectiveDateTime.timestamp() == START_S
    assert rate.meta is None
    assert points[0].leaf.hex() in rate.note[0].text
    assert len({entry.fullUrl for entry in model.entry}) == 3


def test_simulated_health_data_is_marked_as_no_persons() -> None:
    simulated = [point(provenance=9)]

    (entry,) = bundle.Bundle.model_validate_json(fhir.render(simulated).data).entry
    (data_point,) = json.loads(omh.render(simulated).data)

    assert entry.resource.meta.tag[0].code == "HTEST"
    provenance = data_point["header"]["acquisition_provenance"]
    assert "modality" not in provenance
    assert provenance["source_name"].endswith("simulated")


def test_the_same_reading_has_the_same_identifier_each_time() -> None:
    assert omh.render([point()]) == omh.render([point()])
    assert point().identifier != point(value=61).identifier


@pytest.mark.parametrize("render", [omh.render, fhir.render])
def test_health_data_is_of_one_person_and_has_a_date(render: Any) -> None:  # noqa: ANN401  # either
    with pytest.raises(FormatError, match="expected heart_rate or glucose, there are none"):
        render([point("speed", 3)])
    with pytest.raises(FormatError, match="one with --subject"):
        render([point(), point(subject=CAR)])
    with pytest.raises(FormatError, match="no calendar"):
        render([point(time_s=-1e14)])
