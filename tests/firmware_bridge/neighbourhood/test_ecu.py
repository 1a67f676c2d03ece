import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.neighbourhood.behaviour import Car
from firmware_bridge.neighbourhood.ecu import VIN, Ecu
from firmware_bridge.packets import Answer
from firmware_bridge.profiles import by_name, decode, obd

SETTINGS = [
    ("ATZ", *switches)
    for switches in (
        (),
        ("ATE0",),
        ("ATE0", "ATS0"),
        ("ATE0", "ATH1"),
        ("ATE0", "ATS0", "ATH1"),
        ("ATE0", "ATL1", "ATS0", "ATH1"),
    )
]


def ecu(commands: Iterable[str] = obd.INIT, car: Car | None = None) -> Ecu:
    adapter = Ecu(car or Car(random.Random(1)))
    for command in commands:
        adapter.answer(command)
    return adapter


def said(adapter: Ecu, request: str) -> list[tuple[str, float | str]]:
    packet = Answer("", request, adapter.answer(request), False, 0, 0, simulated=True)
    return [(one.quantity, one.value) for one in decode(packet, by_name("obd"))]


@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
def test_every_setting_of_the_adapter_reads_the_same(settings: tuple[str, ...]) -> None:
    adapter = ecu(settings)

    assert said(adapter, "0902") == [("vin", VIN)]
    assert said(adapter, "03") == [("dtc", "P0420")]
    assert said(adapter, "07") == []
    assert said(adapter, "0142") == [("control_voltage", 13.9)]
    assert said(adapter, "01A6") == [("odometer", 48_213_400)]


@pytest.mark.parametrize("poll", obd.POLL, ids=lambda poll: poll.request)
def test_every_polled_request_is_answered_or_has_no_data(poll: obd.Poll) -> None:
    adapter = ecu()

    text = adapter.answer(poll.request)

    assert text.endswith(">")
    assert ("NO DATA" in text) == (poll.request == "0131")
    assert said(adapter, poll.request) or poll.request in {"07", "0131"}


def test_the_first_answer_is_searched_for() -> None:
    adapter = ecu()

    assert adapter.answer("010D").startswith("SEARCHING...\r")
    assert "SEARCHING" not in adapter.answer("010D")


def test_the_supported_parameters_are_told_and_true() -> None:
    adapter = ecu(("ATZ", "ATE0", "ATS0"))
    adapter.answer("0100")
    mask = int(adapter.answer("0100")[4:12], 16)

    told = [pid for pid in range(1, 0x20) if mask >> (32 - pid) & 1]

    assert told == [0x04, 0x05, 0x0B, 0x0C, 0x0D, 0x0F, 0x10, 0x11, 0x1F]
    assert mask & 1
    assert all(f"41{pid:02X}" in adapter.answer(f"01{pid:02X}") for pid in told)


def test_what_it_does_not_know_is_a_question_mark_or_no_data() -> None:
    adapter = ecu()

    assert adapter.answer("HELLO") == "?\r\r>"
    assert adapter.answer("01FF") == "NO DATA\r\r>"
    assert adapter.answer("04") == "NO DATA\r\r>"
    assert "ELM327" in adapter.answer("ATI")
    assert adapter.answer("ATRV") == "13.9V\r\r>"
    assert adapter.answer("ATD").startswith("OK")


@given(line=st.text(max_size=80))
def test_any_line_gives_text_up_to_a_prompt(line: str) -> None:
    assert ecu().answer(line).endswith(">")
