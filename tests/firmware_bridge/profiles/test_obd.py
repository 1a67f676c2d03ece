import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import DecodeError, ForbiddenRequestError
from firmware_bridge.packets import Answer
from firmware_bridge.profiles import by_name, decode, obd, recognise
from firmware_bridge.profiles.pids import SCALES, SIZES
from firmware_bridge.readings import QUANTITIES


def ask(request: str, text: str) -> list[tuple[str, float | str]]:
    packet = Answer("AA", request, text, False, 0, 0)
    return [(one.quantity, one.value) for one in decode(packet, by_name("obd"))]


@pytest.mark.parametrize(
    ("request_", "text", "expected"),
    [
        ("0104", "4104FF", ("engine_load", 1)),
        ("0105", "410500", ("coolant_temperature", -40)),
        ("010A", "410A64", ("fuel_pressure", 300_000)),
        ("010B", "410BFF", ("manifold_pressure", 255_000)),
        ("010C", "410CFFFF", ("engine_speed", 16383.75)),
        ("010D", "410DFF", ("speed", 255 / 3.6)),
        ("010E", "410EFF", ("timing_advance", 63.5)),
        ("010F", "410FFF", ("intake_temperature", 215)),
        ("0110", "4110FFFF", ("mass_air_flow", 0.65535)),
        ("0111", "411180", ("throttle_position", 128 / 255)),
        ("0114", "4114FF80", ("oxygen_voltage", 1.275)),
        ("011B", "411B64FF", ("oxygen_voltage", 0.5)),
        ("011F", "411FFFFF", ("run_time", 65535)),
        ("0121", "41210001", ("distance", 1000)),
        ("012F", "412F33", ("fuel_level", 0.2)),
        ("0131", "41310001", ("distance", 1000)),
        ("0133", "413365", ("pressure", 101_000)),
        ("0142", "414230D4", ("control_voltage", 12.5)),
        ("0146", "41463C", ("ambient_temperature", 20)),
        ("01A6", "41A6FFFFFFFF", ("odometer", 429_496_729_500)),
    ],
)
def test_a_parameter_comes_out_in_its_quantity(
    request_: str, text: str, expected: tuple[str, float]
) -> None:
    ((quantity, value),) = ask(request_, text)

    assert quantity == expected[0]
    assert value == pytest.approx(expected[1], rel=1e-12)


def test_every_scale_has_a_quantity_and_a_length() -> None:
    assert all(scale.quantity in QUANTITIES for scale in SCALES.values())
    assert all(scale.size <= SIZES[pid] for pid, scale in SCALES.items())


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ("0100", "4100BE3EA813"),
        ("0101", "41010007E100"),
        ("0145", "4145FFFF"),  # of no quantity, so its length does not matter
        ("0904", "49040135363032"),
        ("010C", "7F0112"),
        ("010C", "7F0178"),
        ("010C", "NO DATA"),
        ("03", "4300"),
        ("03", "43000000000000"),
        ("03", "7E8 02 43 00 00 00 00 00 00"),
        ("07", "47 00"),
        ("0A", "NO DATA"),
    ],
)
def test_an_answer_without_a_quantity_gives_no_reading(request_: str, text: str) -> None:
    assert ask(request_, text + "\r\r>") == []


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ("010C", "410C1A"),
        ("010C", "410C1AF800"),
        ("010D", "410DFFFF"),
        ("010D", "410D"),
        ("010D", "41"),
        ("010D", "420D20"),
        ("010D", "410C1AF8"),  # a late answer to another request
        ("010D", "7F0312"),
        ("010D", "7F01"),
        ("010D", "7F011200"),
        ("0100", "410C1AF8"),
        ("010C0D", "410C1AF80D"),
        ("010C0D", "410C1AF80C1AF8"),
        ("010C55", "410C1AF85580"),  # 55 is two bytes long, on some vehicles one
        ("010C55", "4155800C1AF8"),
        ("010C7F", "410C1AF87F00"),  # of no length that we know
        ("03", "43"),
        ("03", "4302013301"),
        ("03", "430101330196"),
        ("03", "43010133 0196".replace(" ", "")),
        ("03", "43 01 33"),
        ("03", "43 01 33 00 00 00"),  # P0133 before CAN, its end lost; or a padded P3300
        ("03", "7E8 07 43 01 33 00 00 00 00"),
        ("03", "47 01 01 33"),
        ("0902", "49 04 01"),
        ("0902", "49 02"),
        ("0902", "49 02 01 31"),
        ("0902", "49020100000031\r49020244344750"),
        ("0902", "49020100000031\r49020100000031"),
        ("0902", "014\r0:490202314434\r1:47503030523535\r2:42313233343536"),
        ("0902", "014\r0:490201314F34\r1:47503030523535\r2:42313233343536"),  # an O
        ("0902", "014\r0:490201316434\r1:47503030523535\r2:42313233343536"),  # small letter
        ("0902", "014\r0:490201004434\r1:47503030523535\r2:42313233343536"),  # 16 characters
    ],
)
def test_an_answer_that_does_not_fit_its_request_is_refused(request_: str, text: str) -> None:
    with pytest.raises(DecodeError):
        ask(request_, text + "\r\r>")


def test_each_control_unit_that_answers_gives_its_own_reading() -> None:
    text = "7E8 04 41 0C 1A F8 AA AA\r7E9 04 41 0C 1A FC AA AA\r7EA 03 7F 01 12\r\r>"

    assert ask("010C", text) == [("engine_speed", 1726), ("engine_speed", 1727)]
    assert ask("010D", "410D20\r410D21\r>") == ask("010D", "410D20410D21\r>")


def test_several_parameters_may_come_in_any_order_with_some_missing() -> None:
    assert ask("010C0D0504", "41 05 3C 0C 1A F8 04 00") == [
        ("coolant_temperature", 20),
        ("engine_speed", 1726),
        ("engine_load", 0),
    ]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("43 01 33 00 00 00 00", ["P0133"]),
        ("43 01 33 44 55 C1 00\r43 83 66 00 00 00 00", ["P0133", "C0455", "U0100", "B0366"]),
        ("43 01 01 33", ["P0133"]),
        ("43 01 01 33 00 00 00 00", ["P0133"]),
        ("43 00 00 00", []),
        ("7E8 04 43 01 04 20\r7E9 04 43 01 C1 00", ["P0420", "U0100"]),
        ("00A\r0:430401080118\r1:011901200000", ["P0108", "P0118", "P0119", "P0120"]),
        ("48 6B 10 43 01 33 00 00 00 00 3A", ["P0133"]),
    ],
)
def test_trouble_codes_come_out_one_by_one(text: str, codes: list[str]) -> None:
    assert ask("03", text + "\r\r>") == [("dtc", code) for code in codes]


@pytest.mark.parametrize(
    "text",
    [
        "7E8 10 14 49 02 01 31 44 34\r7E8 21 47 50 30 30 52 35 35\r7E8 22 42 31 32 33 34 35 36",
        "014\r0: 49 02 01 31 44 34\r1: 47 50 30 30 52 35 35\r2: 42 31 32 33 34 35 36",
        "49020100000031\r49020244344750\r49020330305235\r49020435423132\r49020533343536",
        "4902010000003149020244344750490203303052354902043542313249020533343536",
        "014 0: 49 02 01 31 44 34 1: 47 50 30 30 52 35 35 2: 42 31 32 33 34 35 36",
        "0140:4902013144341:475030305235352:42313233343536",
    ],
    ids=[
        "CAN with headers",
        "CAN without headers",
        "older buses",
        "older buses in one line",
        "CAN in one line",
        "CAN in one line without spaces",
    ],
)
def test_a_vin_is_read_from_every_form_of_answer(text: str) -> None:
    assert ask("0902", text + "\r\r>") == [("vin", "1D4GP00R55B123456")]


def test_units_that_agree_on_the_vin_give_it_once() -> None:
    unit = "10 14 49 02 01 31 44 34\r{0} 21 47 50 30 30 52 35 35\r{0} 22 42 31 32 33 34 35 36"
    text = "\r".join(f"{header} {unit.format(header)}" for header in ("7E8", "7E9"))

    assert ask("0902", text) == [("vin", "1D4GP00R55B123456")]


def test_an_answer_to_more_parameters_than_we_would_ask_for_is_decoded() -> None:
    request = "01040B0C0D0F1105"

    found = ask(request, "410400 0BFF 0C0000 0D00 0F00 1100 0500".replace(" ", ""))

    assert len(found) == 7
    with pytest.raises(ForbiddenRequestError):
        obd.check_request(request)


def test_a_request_that_the_profile_does_not_know_is_no_answer_of_a_vehicle() -> None:
    with pytest.raises(DecodeError):
        ask("0400", "44")


@pytest.mark.parametrize("request_", ["010C", "01 0c", "010C1", "0104050B0C0D11", "03", "0902"])
def test_a_request_that_only_reads_may_leave(request_: str) -> None:
    assert obd.check_request(request_) == request_.replace(" ", "").upper()


@pytest.mark.parametrize(
    "request_",
    [
        *("04", "041", "02", "0200", "05", "06", "08", "0800", "2F", "22F190", "3E00", "1101"),
        *("", "01", "011", "09", "0", "ATZ", "AT SP 0", "STI", "010C\r04"),
        *("01 0C\n04", "0x010C", "010G", "\uff10\uff13", "03\r", "0302", "AT"),
    ],
)
def test_a_request_that_could_change_anything_never_leaves(request_: str) -> None:
    with pytest.raises(ForbiddenRequestError):
        obd.check_request(request_)
    assert recognise(Answer("", request_, "", False, 0, 0)) is None


@given(service=st.integers(0, 255), rest=st.binary(max_size=8))
def test_only_five_services_pass(service: int, rest: bytes) -> None:
    request = bytes([service]).hex() + rest.hex()

    if obd.understands(request):
        assert service in {0x01, 0x03, 0x07, 0x09, 0x0A}


def test_everything_that_is_polled_passes_and_is_decoded() -> None:
    for poll in obd.POLL:
        assert obd.check_request(poll.request) == poll.request
        assert ask(poll.request, "NO DATA\r\r>") == []


@given(
    request=st.sampled_from(["010C", "010C0D0B10", "0100", "03", "07", "0A", "0902", "0904"]),
    text=st.text(st.sampled_from("0123456789ABCDEF:\r >"), max_size=80),
)
def test_any_text_gives_known_quantities_or_a_decode_error(request: str, text: str) -> None:
    try:
        found = ask(request, text)
    except DecodeError:
        return

    assert all(name in QUANTITIES for name, _ in found)
