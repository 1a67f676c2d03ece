import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, uuid128
from firmware_bridge.profiles import (
    BUILTIN,
    bthome,
    by_name,
    decode,
    recognise,
    recognise_device,
)
from firmware_bridge.readings import Provenance

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
V1_SEALED = "fba435e4d3c312fb0011223357d90a99"
V2_SEALED = "41a47266c95f730011223378237214"
RUUVI_5 = "0512fc5394c37c0004fffc040cac364200cdcbb8334c884f"
TYRE = "80eaca10e046000000008a1100004e00"


def advert(
    manufacturer: dict[int, str] | None = None,
    service: dict[str, str] | None = None,
    address: str = ADDRESS,
    name: str = "",
    services: tuple[str, ...] = (),
) -> Advert:
    return Advert(
        address,
        name,
        {number: bytes.fromhex(data) for number, data in (manufacturer or {}).items()},
        {uuid128(uuid): bytes.fromhex(data) for uuid, data in (service or {}).items()},
        tuple(uuid128(uuid) for uuid in services),
        -60,
        0,
        0,
    )


def read(packet: Advert, key: bytes | None = None) -> list[tuple[str, float | str]]:
    profile = recognise(packet)
    assert profile is not None
    return [(one.quantity, one.value) for one in decode(packet, profile, key)]


def v2(data: str) -> list[tuple[str, float | str]]:
    return read(advert(service={"fcd2": data}))


def v1(data: str) -> list[tuple[str, float | str]]:
    return read(advert(service={"181c": data}))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("40", []),
        ("400161", [("battery_level", 97)]),
        ("4002ca09", [("temperature", 25.06)]),
        ("4003bf13", [("humidity", 50.55)]),
        ("4004138a01", [("pressure", 100883)]),
        ("4005138a14", [("illuminance", 13460.67)]),
        ("40065e1f", [("mass", 80.3)]),
        ("40073e1d", [("mass", 74.86 * 0.45359237)]),
        ("400a138a14", [("energy", 1346067 * 3600)]),
        ("400b021b00", [("power", 69.14)]),
        ("400c020c", [("voltage", 3.074)]),
        ("402e23", [("humidity", 35)]),
        ("40400c00", [("distance", 0.012)]),
        ("40414e00", [("distance", 7.8)]),
        ("40434e34", [("current", 13.39)]),
        ("40444e34", [("speed", 133.9)]),
        ("40451101", [("temperature", 27.3)]),
        ("404a020c", [("voltage", 307.4)]),
        ("404d12138a14", [("energy", 344593170 * 3600)]),
        ("40518756", [("acceleration", 22.151)]),
        ("4058ea", [("temperature", -7.7)]),
        ("405c02fbffff", [("power", -12.78)]),
        ("405d02ea", [("current", -5.63)]),
        ("4457ea", [("temperature", -22)]),
        ("42a5808fe648540161", [("battery_level", 97)]),  # with its address in front
        ("4000090f0110013a013c01033f020c5302ffff5401000161", None),
        ("4001613b 02 01 aabb".replace(" ", ""), None),
        ("40400c00414e00", [("distance", 0.012), ("distance", 7.8)]),
        ("400161e001020304", [("battery_level", 97)]),  # an object newer than we are
        ("400161f00102f101020304f2010203", [("battery_level", 97)]),
    ],
)
def test_a_bthome_v2_object_comes_out_in_its_quantity(
    data: str, expected: list[tuple[str, float]] | None
) -> None:
    found = v2(data)

    assert [name for name, _ in found] == [name for name, _ in expected or found]
    for (_, value), (_, wanted) in zip(found, expected or found, strict=True):
        assert value == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "200161",  # version 1
        "600161",  # version 3
        "4001",
        "4002ca",
        "40016103bf",
        "400165",  # 101 %
        "40031127",  # 100.01 %
        "40024c95",  # below absolute zero
        "405302ff",
        "4053",
        "403b",
        "403b01",
        "42a5808fe648",
    ],
)
def test_a_malformed_bthome_v2_payload_is_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        v2(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", []),
        ("0200b40210 00".replace(" ", "") + "030cbe0b", [("voltage", 3.006)]),
        ("2302ca09", [("temperature", 25.06)]),
        ("02 0161".replace(" ", ""), [("battery_level", 97)]),
        ("4302" + struct.pack("<e", 2506).hex(), [("temperature", 25.06)]),
        ("4502" + struct.pack("<f", 2506).hex(), [("temperature", 25.06)]),
        ("4902" + struct.pack("<d", 2506).hex(), [("temperature", 25.06)]),
        ("023a04", []),
        ("86018fe6485402" + "020161", [("battery_level", 97)]),  # an address, then a level
        ("6553616263 64".replace(" ", ""), []),  # text
    ],
)
def test_a_bthome_v1_object_comes_out_in_its_quantity(
    data: str, expected: list[tuple[str, float]]
) -> None:
    assert v1(data) == pytest.approx(expected) if not expected else v1(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        "00",
        "2302ca",
        "23",
        "2102",
        "0101",
        "6302ca09",  # text where a number belongs
        "4402ca0900",  # a float of three bytes
        "4302007e",  # NaN
        "4302007c",  # infinity
        "430c007c",  # infinity, of a quantity without limits
    ],
)
def test_a_malformed_bthome_v1_payload_is_refused(data: str) -> None:
    with pytest.raises(DecodeError):
        v1(data)


@pytest.mark.parametrize(("uuid", "data"), [("181e", V1_SEALED), ("fcd2", V2_SEALED)])
def test_an_encrypted_payload_opens_with_its_key_and_says_so(uuid: str, data: str) -> None:
    packet = advert(service={uuid: data})

    readings = decode(packet, bthome.PROFILE, KEY)

    assert [(one.quantity, one.value) for one in readings] == [
        ("temperature", 25.06),
        ("humidity", 50.55),
    ]
    assert {one.provenance for one in readings} == {Provenance.AUTHENTICATED}
    assert bthome.counter(packet) == 0x33221100


@pytest.mark.parametrize(("uuid", "data"), [("181e", V1_SEALED), ("fcd2", V2_SEALED)])
def test_an_encrypted_payload_stays_shut_when_any_bit_differs(uuid: str, data: str) -> None:
    whole = bytes.fromhex(data)
    start = 1 if uuid == "fcd2" else 0

    for bit in range(8 * start, 8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            read(advert(service={uuid: flipped.hex()}), KEY)


@pytest.mark.parametrize(
    ("packet", "key"),
    [
        (advert(service={"fcd2": V2_SEALED}), None),
        (advert(service={"fcd2": V2_SEALED}), KEY[:15]),
        (advert(service={"fcd2": V2_SEALED}), bytes(16)),
        (advert(service={"fcd2": V2_SEALED}, address="54:48:E6:8F:80:A6"), KEY),
        (advert(service={"fcd2": V2_SEALED}, address="no address"), KEY),
        (advert(service={"fcd2": V2_SEALED}, address=""), KEY),
        (advert(service={"fcd2": "41" + "00" * 8}), KEY),
        (advert(service={"fcd2": "4100"}), KEY),
        (advert(service={"181e": "00" * 8}), KEY),
        (advert(service={"fcd2": "400161"}), KEY),  # plain, from a device that encrypts
        (advert(service={"181c": "020161"}), KEY),
    ],
    ids=str,
)
def test_a_payload_that_its_key_does_not_open_is_refused(packet: Advert, key: bytes | None) -> None:
    with pytest.raises(DecodeError) as caught:
        read(packet, key)

    assert caught.value.profile == "bthome"


@pytest.mark.parametrize("data", ["", "400161", "41", "41" + "00" * 7])
def test_a_plain_or_too_short_payload_has_no_counter(data: str) -> None:
    assert bthome.counter(advert(service={"fcd2": data})) is None


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
