import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Notification, uuid128
from firmware_bridge.profiles import BUILTIN, decode, differences, recognise
from firmware_bridge.profiles.cgm import crc16
from firmware_bridge.profiles.medical import medfloat16, medfloat32
from firmware_bridge.profiles.profile import Profile
from firmware_bridge.readings import QUANTITIES, Provenance, Reading

DATE = "ea070c06163b13"
CHARACTERISTICS = [(profile, one) for profile in BUILTIN for one in profile.characteristics]


def notification(characteristic: str, data: str | bytes, at_ms: int = 0) -> Notification:
    value = bytes.fromhex(data) if isinstance(data, str) else data
    return Notification("AA", "", uuid128(characteristic), value, False, at_ms, at_ms)


def read(characteristic: str, data: str | bytes) -> list[tuple[str, float | str]]:
    packet = notification(characteristic, data)
    profile = recognise(packet)
    assert profile is not None
    return [(one.quantity, one.value) for one in decode(packet, profile)]


@pytest.mark.parametrize(
    ("characteristic", "data", "expected"),
    [
        ("2a37", "0000", [("heart_rate", 0)]),
        ("2a37", "0255", [("heart_rate", 85)]),  # contact bit without support says nothing
        ("2a37", "0455", [("heart_rate", 85), ("sensor_contact", 0)]),
        ("2a37", "0655", [("heart_rate", 85), ("sensor_contact", 1)]),
        ("2a37", "e055", [("heart_rate", 85)]),  # reserved flags are ignored
        ("2a37", "08550a00", [("heart_rate", 85), ("energy_expended", 10_000)]),
        ("2a37", "1055ffff", [("heart_rate", 85), ("rr_interval", 65535 / 1024)]),
        ("2a5b", "00", []),
        ("2a5b", "020500000c", [("crank_revolutions", 5), ("crank_event_time", 3)]),
        ("2a53", "fc800200", [("speed", 2.5), ("cadence", 0)]),
        ("2a63", "0000d8ff", [("power", -40)]),
        ("2a19", "00", [("battery_level", 0)]),
        ("2a19", "64", [("battery_level", 100)]),
        ("2a6e", "0080", []),
        ("2a6e", "4d95", [("temperature", -273.15)]),
        ("2a6e", "ff7f", [("temperature", 327.67)]),
        ("2a6f", "ffff", []),
        ("2a6f", "1027", [("humidity", 100)]),
        ("2a6d", "ffffffff", [("pressure", 429496729.5)]),
        ("2a1c", "00ffff7f00", []),
        ("2a1e", "00720100ff", [("temperature", 37)]),
        ("2a1c", "01140000ff", [("temperature", (2 - 32) * 5 / 9)]),
        ("2a1c", f"02720100ff{DATE}", [("temperature", 37)]),
        ("2a1c", "0025000000", [("temperature", 37)]),
        ("2a1c", "0001000001", [("temperature", 10)]),
        ("2a9d", "00ffff", []),
        ("2a9d", "00b036", [("mass", 70)]),
        ("2a98", "b036", [("mass", 70)]),
        ("2a98", "ffff", [("mass", 327.675)]),
        ("2a18", f"000100{DATE}", []),
        ("2a18", f"020100{DATE}ff0711", []),
        ("2a18", f"080100{DATE}0000", []),
        ("2a18", f"060100{DATE}32d011", [("glucose", 9.0078)]),
        ("2a18", f"020100{'00' * 4}163b1364b011", [("glucose", 1)]),
        ("2aa7", "060064000000", [("glucose", 1)]),
        ("2aa7", "0600ff070000", []),
        ("2aa7", "060064000000060065000500", [("glucose", 1), ("glucose", 1.01)]),
    ],
    ids=str,
)
def test_a_measurement_comes_out_in_its_quantities(
    characteristic: str, data: str, expected: list[tuple[str, float]]
) -> None:
    assert read(characteristic, data) == expected


def test_every_field_of_a_power_meter_is_passed_over_by_its_length() -> None:
    fields = "01020003000000000405000006" + "07" * 4 + "08" * 4 + "09" * 3 + "0a" * 4

    assert read("2a63", "f50f6400" + fields + "0b00") == [
        ("power", 100),
        ("wheel_revolutions", 3),
        ("wheel_event_time", 0.5),
        ("crank_revolutions", 5),
        ("crank_event_time", 1.5),
        ("energy", 11_000),
    ]


@pytest.mark.parametrize(
    ("characteristic", "data"),
    [
        ("2a37", ""),
        ("2a37", "00"),
        ("2a37", "0155"),
        ("2a37", "005500"),
        ("2a37", "1055"),  # the flag promises at least one interval
        ("2a37", "10550004ff"),
        ("2a37", "085501"),
        ("2a53", "00000000ff"),
        ("2a5b", ""),
        ("2a5b", "0000"),
        ("2a63", "0000d204ff"),
        ("2a19", ""),
        ("2a19", "6400"),
        ("2a19", "ff"),
        ("2a6e", "4c95"),
        ("2a6e", "000000"),
        ("2a6f", "1127"),
        ("2a6d", "0000000000"),
        ("2a1c", "00720100ff00"),
        ("2a1c", "00ff7f00ff00"),
        ("2a1c", "000100007f"),  # 10^127 Cel
        ("2a1c", "0000f0ff00"),  # below absolute zero
        ("2a1c", "02720100ffea070d06163b13"),  # month 13
        ("2a1c", "02720100ffff000106163b13"),  # year 255
        ("2a18", f"020100{DATE}ffff11"),  # a negative concentration
        ("2a18", "020100ea070c20163b1364b011"),  # day 32
        ("2a18", "020100ea070c06183b1364b011"),  # hour 24
        ("2a18", "020100ea070c06163c1364b011"),  # minute 60
        ("2a18", "020100ea070c06163b3c64b011"),  # second 60
        ("2aa7", ""),
        ("2aa7", "00"),
        ("2aa7", "050064000000"),
        ("2aa7", "070064000000"),
        ("2aa7", "07006400000000"),
        ("2aa7", "0600ff0f0000"),
        ("2aa7", "06006400000006"),
        ("2aa7", "08006400000000 00".replace(" ", "")),
        ("2a9d", "00b03600"),
    ],
)
def test_a_malformed_measurement_is_refused(characteristic: str, data: str) -> None:
    with pytest.raises(DecodeError):
        read(characteristic, data)


def test_a_record_with_a_checksum_is_believed_only_if_it_holds() -> None:
    record = bytes.fromhex("080064000000")
    good = record + crc16(record).to_bytes(2, "little")

    assert crc16(b"123456789") == 0x6F91  # CRC-16/MCRF4XX
    assert crc16(bytes.fromhex("6e9e0116")) == 0xC18A  # a published CGM feature
    assert read("2aa7", good) == [("glucose", 1)]
    with pytest.raises(DecodeError, match="CRC"):
        read("2aa7", good[:-1] + bytes([good[-1] ^ 1]))


@pytest.mark.parametrize("word", [0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801])
def test_a_special_medfloat16_is_no_value(word: int) -> None:
    assert medfloat16(word) is None


@pytest.mark.parametrize("word", [0x7FFFFF, 0x800000, 0x7FFFFE, 0x800002, 0x800001])
def test_a_special_medfloat32_is_no_value(word: int) -> None:
    assert medfloat32(word) is None


@given(mantissa=st.integers(-2045, 2045), exponent=st.integers(-8, 7))
def test_a_medfloat16_is_its_decimal_number(mantissa: int, exponent: int) -> None:
    value = medfloat16((exponent & 0xF) << 12 | mantissa & 0xFFF)

    assert value is not None
    assert float(value) == float(f"{mantissa}e{exponent}")


@given(mantissa=st.integers(-(2**23) + 3, 2**23 - 3), exponent=st.integers(-128, 127))
def test_a_medfloat32_is_its_decimal_number(mantissa: int, exponent: int) -> None:
    value = medfloat32((exponent & 0xFF) << 24 | mantissa & 0xFFFFFF)

    assert value is not None
    assert float(value) == float(f"{mantissa}e{exponent}")


@pytest.mark.parametrize(
    ("profile", "characteristic"),
    CHARACTERISTICS,
    ids=[f"{p.name}-{c}" for p, c in CHARACTERISTICS],
)
@given(data=st.binary(max_size=64))
def test_a_characteristic_survives_any_bytes(
    profile: Profile, characteristic: str, data: bytes
) -> None:
    try:
        readings = decode(notification(characteristic, data), profile)
    except DecodeError:
        return

    assert all(one.quantity in QUANTITIES and isinstance(one.value, float) for one in readings)


@pytest.mark.parametrize("uuid", ["2a38", "6e400003-b5a3-f393-e0a9-e50e24dcca9e"])
def test_a_characteristic_of_somebody_else_says_nothing(uuid: str) -> None:
    packet = notification(uuid, "01")

    assert recognise(packet) is None
    assert decode(packet, BUILTIN[0]) == []


def cycling(*values: str, gap_s: float = 1) -> list[float | str]:
    earlier, later = (
        notification("2a5b", value, int(1000 * gap_s * n)) for n, value in enumerate(values)
    )
    profile = recognise(later)
    assert profile is not None
    found = differences(profile, decode(earlier, profile), later, decode(later, profile))
    assert all(one.quantity == "cadence" for one in found)
    return [one.value for one in found]


def test_cadence_is_the_difference_of_two_measurements() -> None:
    assert cycling("0205000008", "020600000c") == [60]


def test_cadence_is_right_across_the_wrap_of_both_counters() -> None:
    assert cycling("02ffff00fe", "0200000002") == [60]


@pytest.mark.parametrize(
    ("earlier", "later", "gap_s"),
    [
        ("0205000008", "0205000008", 1),  # nothing turned
        ("0205000008", "020600000c", 64),  # the event time may have wrapped unseen
        ("0205000008", "020600000c", -1),  # another order
        ("0205000008", "020700010 8".replace(" ", ""), 1),  # faster than legs
        ("0205000008", "0206000008", 1),  # a turn in no time
        ("0205000008", "0204000009", 1),  # a counter that was reset
        ("0205000008", "00", 1),
        ("00", "0205000008", 1),
        ("010100000000 04".replace(" ", ""), "0205000008", 1),
    ],
)
def test_cadence_says_nothing_where_the_difference_is_not_certain(
    earlier: str, later: str, gap_s: float
) -> None:
    assert cycling(earlier, later, gap_s=gap_s) == []


def test_a_profile_without_differences_has_none() -> None:
    packet = notification("2a37", "0055")
    profile = recognise(packet)
    assert profile is not None
    readings = decode(packet, profile)

    assert differences(profile, readings, packet, readings) == []


def test_a_reading_says_when_by_whom_and_how_surely() -> None:
    packet = Notification("AA", "", uuid128("2a37"), b"\0\x55", True, 5, 7)
    simulated = Notification("AA", "", uuid128("2a37"), b"\0\x55", True, 5, 7, simulated=True)

    (one,) = decode(packet, BUILTIN[0])
    (other,) = decode(simulated, BUILTIN[0])

    assert one == Reading(
        "AA", "heart_rate", 85.0, Provenance.BONDED, "heart-rate/1", 5, 7, packet.digest()
    )
    assert other.provenance is Provenance.SIMULATED
