"""BTHome, versions 1 and 2, plain and encrypted."""

import struct

import pytest
from adverts import KEY, SEALED, advert, read

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert
from firmware_bridge.profiles import bthome, decode
from firmware_bridge.readings import Provenance

V1_SEALED = "fba435e4d3c312fb0011223357d90a99"


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


@pytest.mark.parametrize(("uuid", "data"), [("181e", V1_SEALED), ("fcd2", SEALED)])
def test_an_encrypted_payload_opens_with_its_key_and_says_so(uuid: str, data: str) -> None:
    packet = advert(service={uuid: data})

    readings = decode(packet, bthome.PROFILE, KEY)

    assert [(one.quantity, one.value) for one in readings] == [
        ("temperature", 25.06),
        ("humidity", 50.55),
    ]
    assert {one.provenance for one in readings} == {Provenance.AUTHENTICATED}
    assert bthome.counter(packet) == 0x33221100


@pytest.mark.parametrize(("uuid", "data"), [("181e", V1_SEALED), ("fcd2", SEALED)])
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
        (advert(service={"fcd2": SEALED}), None),
        (advert(service={"fcd2": SEALED}), KEY[:15]),
        (advert(service={"fcd2": SEALED}), bytes(16)),
        (advert(service={"fcd2": SEALED}, address="54:48:E6:8F:80:A6"), KEY),
        (advert(service={"fcd2": SEALED}, address="no address"), KEY),
        (advert(service={"fcd2": SEALED}, address=""), KEY),
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
