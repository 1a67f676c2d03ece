import io
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import decode
from firmware_bridge.readings import QUANTITIES

VECTORS = Path(__file__).parents[2] / "vectors" / "decode"
EXAMPLES = [json.loads(line) for line in (VECTORS / "examples.jsonl").read_text().splitlines()]
EDGES = [json.loads(line) for line in (VECTORS / "edges.jsonl").read_text().splitlines()]
WHOLE_GATT = [
    one for one in EXAMPLES if one["input"]["from"] == "gatt" and one["class"] != "malformed"
]


def answer(record: object) -> dict[str, Any]:
    (line,) = decode.run([json.dumps(record)])
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def values(output: dict[str, Any]) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for reading in output.get("readings", []):
        found[reading["quantity"]].append(reading["value"])
    return dict(found)


def same(one: object, other: object) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    assert isinstance(one, int | float)
    assert isinstance(other, int | float)
    return math.isclose(one, other, rel_tol=1e-8, abs_tol=1e-12)


def agrees(expect: dict[str, Any], output: dict[str, Any]) -> bool:
    """The judge's rules, as tests/vectors/decode/SOURCES.md words them."""
    found = values(output)
    if "error" in expect:
        return "error" in output
    if "refuse" in expect:
        return not found
    if "any" in expect:
        may = expect.get("may", {})
        return all(value in may.get(name, [value]) for name in found for value in found[name])
    ignored = expect.pop("_ignore", [])
    found = {name: found[name] for name in found if name not in ignored}
    wanted = {name: value if isinstance(value, list) else [value] for name, value in expect.items()}
    return (
        "readings" in output
        and found.keys() == wanted.keys()
        and all(
            len(found[name]) == len(wanted[name])
            and all(same(*pair) for pair in zip(found[name], wanted[name], strict=True))
            for name in wanted
        )
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=[one["id"] for one in EXAMPLES])
def test_an_example_of_the_contract_comes_out_as_expected(example: dict[str, Any]) -> None:
    output = answer(example["input"])

    assert output["id"] == example["id"]
    assert agrees(dict(example["expect"]), output), output


@pytest.mark.parametrize("edge", EDGES, ids=[one["kind"] for one in EDGES])
def test_an_edge_of_a_layout_comes_out_as_its_specification_says(edge: dict[str, Any]) -> None:
    output = answer(edge["input"])

    assert output["id"] == edge["id"]
    assert agrees(dict(edge["expect"]), output), output


@pytest.mark.parametrize("example", WHOLE_GATT, ids=[one["id"] for one in WHOLE_GATT])
def test_a_shortened_example_never_gives_a_number_that_the_whole_does_not(
    example: dict[str, Any],
) -> None:
    whole = values(answer(example["input"]))
    text = example["input"]["hex"]

    for size in range(0, len(text), 2):
        part = values(answer({**example["input"], "hex": text[:size]}))

        for name, found in part.items():
            assert all(value in whole.get(name, []) for value in found)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        "1",
        '"text"',
        "NaN",
        "[" * 100_000,
        "9" * 5_000,
        b"\xff\xfe",
        '{"from":"gatt"}',
        '{"from":"gatt","characteristic":5,"hex":"00"}',
        '{"from":"gatt","characteristic":"2a37","hex":5}',
        '{"from":"gatt","characteristic":"2a37","hex":"0"}',
        '{"from":"gatt","characteristic":"heart","hex":"00"}',
        '{"from":"advert","service_uuids":5}',
        '{"from":"advert","service_uuids":[5]}',
        '{"from":"advert","address":5}',
        '{"from":"advert","manufacturer_data":[1]}',
        '{"from":"advert","manufacturer_data":{"499":""}}',
        '{"from":"advert","manufacturer_data":{"0499":"zz"}}',
        '{"from":"advert","service_data":{"x":""}}',
        '{"from":"advert","service_data":{"fcd2":"40"},"key":7}',
        '{"from":"obd","request":"010C"}',
        '{"from":"obd","request":5,"text":""}',
        '{"a":"' + "x" * decode.LINE_BYTES_MAX + '"}',
    ],
    ids=lambda line: line[:60],
)
def test_a_line_of_another_shape_is_an_error_of_the_input(line: str | bytes) -> None:
    (output,) = map(json.loads, decode.run([line]))

    assert output["id"] is None
    assert output["error"]["profile"] == "input"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"from": None},
        {"from": "serial"},
        {"from": ["gatt"]},
        {"from": "advert"},
        {"from": "advert", "manufacturer_data": {"004c": "0215"}},
        {"from": "advert", "service_data": None, "name": None, "address": None},
        {"from": "gatt", "service": None, "characteristic": "2a38", "hex": "01"},
        {"from": "obd", "request": "ATZ", "text": "ELM327 v1.5\r\r>"},
        {"from": "obd", "request": "04", "text": "44\r\r>"},
    ],
    ids=str,
)
def test_what_no_profile_claims_is_unsupported(record: dict[str, Any]) -> None:
    output = answer({"id": "x", **record})

    assert output == {"id": "x", "unsupported": True}


@pytest.mark.parametrize("name", ["text", 5, 2.5, None, True, "\ud800"])
def test_an_id_comes_back_as_it_was(name: object) -> None:
    output = answer({"id": name})

    assert output["id"] == name


@pytest.mark.parametrize("line", ['{"id":[1]}', '{"id":{"a":1}}', '{"id":NaN}', '{"id":1e999}'])
def test_an_id_that_is_neither_text_nor_a_number_comes_back_as_null(line: str) -> None:
    (output,) = map(json.loads, decode.run([line]))

    assert output["id"] is None


@pytest.mark.parametrize(
    "line",
    [
        '{"id":7,"from":"gatt","characteristic":"2a19","hex":"20","hex":"21"}',
        '{"id":7,"from":"advert","manufacturer_data":{"0499":"00","0499":"01"}}',
        '{"id":7,"from":"advert","service_data":{"fcd2":"400120","0000FCD2":"400121"}}',
        '{"id":7,"from":"advert","manufacturer_data":{"0499":"00","0x0499":"01"}}',
    ],
)
def test_of_two_values_for_one_thing_neither_is_believed(line: str) -> None:
    (output,) = map(json.loads, decode.run([line]))

    assert output["id"] == 7
    assert output["error"]["profile"] == "input"


@pytest.mark.parametrize(
    "uuid",
    [
        "2a37",
        "2A37",
        "0x2A37",
        "00002A37-0000-1000-8000-00805F9B34FB",
        "00002a3700001000800000805f9b34fb",
    ],
)
def test_a_characteristic_is_known_by_every_form_of_its_uuid(uuid: str) -> None:
    output = answer({"id": 1, "from": "gatt", "characteristic": uuid, "hex": "0055"})

    assert values(output) == {"heart_rate": [85]}


def test_a_reading_carries_unit_provenance_and_profile() -> None:
    record = {"id": 1, "from": "gatt", "characteristic": "2a37", "hex": "0055", "bonded": True}

    assert answer(record)["readings"] == [
        {
            "quantity": "heart_rate",
            "value": 85,
            "unit": "beat/min",
            "provenance": 1,
            "profile": "heart-rate/1",
        }
    ]


def test_blank_lines_are_passed_over() -> None:
    assert list(decode.run(["", " \n", b"\r\n"])) == []


def test_the_command_answers_each_line_and_cuts_one_without_end() -> None:
    endless = b"x" * (2 * decode.LINE_BYTES_MAX + 7)
    source = io.BytesIO(b'{"id":1}\n' + endless + b'\n{"id":2}\n' + endless)
    sink = io.StringIO()

    decode.copy(source, sink)

    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [line["id"] for line in lines] == [1, None, 2, None]


def test_the_command_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"id":7}\n')))

    decode.command()

    assert json.loads(capsys.readouterr().out) == {"id": 7, "unsupported": True}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=8,
)
FIELDS = ("id", "service", "characteristic", "hex", "address", "name", "key", "request", "text")
OBJECTS = ("manufacturer_data", "service_data", "service_uuids")


@given(
    record=st.fixed_dictionaries(
        {"from": st.sampled_from(["gatt", "advert", "obd"])},
        optional=dict.fromkeys((*FIELDS, *OBJECTS), JSON),
    )
)
def test_any_object_gives_one_line_of_known_shape(record: dict[str, Any]) -> None:
    (line,) = decode.run([json.dumps(record)])

    output = json.loads(line)
    assert len(output) == 2
    assert "id" in output
    assert {"readings", "error", "unsupported"} & output.keys()
    assert all(reading["quantity"] in QUANTITIES for reading in output.get("readings", []))


@given(line=st.binary(max_size=200) | st.text(max_size=200))
def test_any_line_gives_at_most_one_line_and_no_exception(line: str | bytes) -> None:
    lines = list(decode.run([line]))

    assert len(lines) == (1 if line.strip() else 0)
    assert all("\n" not in one for one in lines)
