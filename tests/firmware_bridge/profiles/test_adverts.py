"""Broadcasts of Ruuvi and tyre sensors, and what holds for every broadcast."""

import math

import pytest
from adverts import advert, read
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert
from firmware_bridge.profiles import BUILTIN, by_name, decode, recognise, recognise_device
from firmware_bridge.readings import Provenance

RUUVI_5 = "0512fc5394c37c0004fffc040cac364200cdcbb8334c884f"
TYRE = "80eaca10e046000000008a1100004e00"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # The vectors of docs.ruuvi.com: valid, greatest, least, absent.
        (
            "03291a1ece1efc18f94202ca0b53",
            {"humidity": 20.5, "temperature": 26.3, "pressure": 102766, "voltage": 2.899},
        ),
        (
            "03ff7f63ffff7fff7fff7fffffff",
            {"humidity": 127.5, "temperature": 127.99, "pressure": 115535, "voltage": 65.535},
        ),
        (
            "0300ff6300008001800180010000",
            {"humidity": 0, "temperature": -127.99, "pressure": 50000, "voltage": 0},
        ),
        (
            RUUVI_5,
            {"temperature": 24.3, "humidity": 53.49, "pressure": 100044, "voltage": 2.977},
        ),
        (
            "057ffffffefffe7fff7fff7fffffdefefffecbb8334c884f",
            {"temperature": 163.835, "humidity": 163.835, "pressure": 115534, "voltage": 3.646},
        ),
        (
            "058001000000008001800180010000000000cbb8334c884f",
            {"temperature": -163.835, "humidity": 0, "pressure": 50000, "voltage": 1.6},
        ),
        ("058000ffffffff800080008000ffffffffffffffffffffff", {}),
        (
            "06170c5668c79e007000c90501d900cd004c884f",
            {"temperature": 29.5, "humidity": 55.3, "pressure": 101102, "illuminance": 13026.67},
        ),
        ("068000ffffffffffffffffffffffffffffffffff", {}),
        (
            "e1170c5668c79e0065007004bd11ca00c90a0213e0ac000000decdee110000000000cbb8334c884f",
            {"temperature": 29.5, "humidity": 55.3, "pressure": 101102, "illuminance": 13027},
        ),
        ("e18000" + "ff" * 37, {}),
    ],
)
def test_a_ruuvi_format_comes_out_in_its_quantities(data: str, expected: dict[str, float]) -> None:
    found = read(advert({0x0499: data}))

    assert {name: value for name, value in found if name != "acceleration"} == expected


def test_acceleration_comes_as_three_readings_in_si_units() -> None:
    found = [value for name, value in read(advert({0x0499: RUUVI_5})) if name == "acceleration"]

    assert found == pytest.approx([0.004 * 9.80665, -0.004 * 9.80665, 1.036 * 9.80665])


@pytest.mark.parametrize(
    "data",
    [
        "",
        "03291a1ece1efc18f94202ca0b",
        "03291a64ce1efc18f94202ca0b53",
        RUUVI_5[:-2],
        "06",
        "e1" * 39,
    ],
)
def test_a_malformed_ruuvi_payload_is_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        read(advert({0x0499: data}))


def test_a_ruuvi_payload_may_be_followed_by_what_a_receiver_adds() -> None:
    assert read(advert({0x0499: RUUVI_5 + "c6"})) == read(advert({0x0499: RUUVI_5}))


@pytest.mark.parametrize("data", ["08" + "00" * 23, "c5" + "00" * 17, "00"])
def test_a_ruuvi_format_that_we_do_not_know_is_not_claimed(data: str) -> None:
    assert recognise(advert({0x0499: data})) is None


@pytest.mark.parametrize(
    "packet",
    [
        advert({0x0100: TYRE}),
        advert({0x0100: TYRE.replace("eaca", "0000")}, address="80:00:00:10:E0:46"),
        advert({0x0100: TYRE.replace("eaca", "0000")}, name="TPMS1_10E046"),
        advert({0x0100: TYRE.replace("eaca", "0000")}, services=("fbb0",)),
        advert({0x0100: TYRE.replace("eaca", "0000")}),
    ],
    ids=["by id", "by address", "by name", "by service", "by its values"],
)
def test_a_tyre_sensor_is_known_by_any_of_five_signs(packet: Advert) -> None:
    assert read(packet) == [("tyre_pressure", 0), ("temperature", 44.9), ("battery_level", 78)]


@pytest.mark.parametrize(
    "data",
    [
        "800000" + "10e046000000008a1100004e02",  # no such alarm
        "800000" + "10e046000000008a1100006500",  # 101 %
        "800000" + "10e046ffffff7f8a1100004e00",  # 21 474 bar
        TYRE[:-2],
        "00",
        "",
    ],
)
def test_another_payload_of_that_manufacturer_is_not_claimed(data: str) -> None:
    assert recognise(advert({0x0100: data})) is None


@pytest.mark.parametrize(
    "data",
    [
        "",
        TYRE[:-2],
        TYRE + "00",
        "80eaca10e046000000008a1100006500",  # 101 %
        "80eaca10e046ffffff7f8a1100004e00",  # 21 474 bar
        "80eaca10e046000000808a1100004e00",
        "80eaca10e04600000000ffffff7f4e00",
        "80eaca10e04600000000000000804e00",
    ],
)
def test_a_malformed_tyre_payload_is_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        read(advert({0x0100: data}, name="TPMS1_10E046"))


@given(data=st.binary(max_size=64), key=st.none() | st.binary(min_size=16, max_size=16))
@pytest.mark.parametrize("uuid", ["fcd2", "181c", "181e"])
def test_service_data_survives_any_bytes(uuid: str, data: bytes, key: bytes | None) -> None:
    survives(advert(service={uuid: data.hex()}), key)


@given(first=st.sampled_from([b"", b"\3", b"\5", b"\6", b"\xe1"]), data=st.binary(max_size=48))
@pytest.mark.parametrize("company", [0x0499, 0x0100])
def test_manufacturer_data_survives_any_bytes(company: int, first: bytes, data: bytes) -> None:
    survives(advert({company: (first + data).hex()}, name="TPMS"), None)


def survives(packet: Advert, key: bytes | None) -> None:
    for profile in BUILTIN:
        try:
            readings = decode(packet, profile, key)
        except DecodeError:
            continue
        assert all(isinstance(one.value, float) and math.isfinite(one.value) for one in readings)


def test_a_device_is_known_by_its_payload_or_else_by_its_services() -> None:
    assert recognise_device(advert(services=("180d",))) is by_name("heart-rate")
    assert recognise_device(advert({0x0499: RUUVI_5}, services=("180d",))) is by_name("ruuvi")
    assert recognise_device(advert(services=("fff0",))) is by_name("obd")
    assert recognise_device(advert(services=("fe9f",))) is None


def test_a_broadcast_in_the_clear_is_only_observed() -> None:
    (one, *_) = decode(advert({0x0499: RUUVI_5}), by_name("ruuvi"))

    assert one.provenance is Provenance.OBSERVED


def test_the_names_of_profiles_are_unique_and_an_unknown_one_is_named() -> None:
    names = [profile.name for profile in BUILTIN]

    assert len(set(names)) == len(names)
    assert [by_name(name) for name in names] == list(BUILTIN)
    with pytest.raises(KeyError, match=r"heart-rate.*got 'shoe'"):
        by_name("shoe")


def test_whatever_is_read_once_has_a_decoder() -> None:
    assert all(set(profile.reads) <= set(profile.characteristics) for profile in BUILTIN)
