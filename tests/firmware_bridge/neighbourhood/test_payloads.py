import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.neighbourhood import payloads
from firmware_bridge.packets import Advert, Notification, Packet, uuid128
from firmware_bridge.profiles import by_name, decode

ADDRESS = "D4:F4:B9:EF:81:A6"
KEY = bytes.fromhex("68557cda6d480a937138efd0b3519278")


def said(packet: Packet, profile: str, key: bytes | None = None) -> dict[str, float | str]:
    return {one.quantity: one.value for one in decode(packet, by_name(profile), key)}


def notified(characteristic: str, data: bytes) -> Notification:
    return Notification(ADDRESS, "", uuid128(characteristic), data, False, 0, 0, simulated=True)


def advertised(service_data: bytes = b"", manufacturer: bytes = b"") -> Advert:
    return Advert(
        ADDRESS,
        "",
        {0x0100: manufacturer} if manufacturer else {},
        {uuid128("fcd2"): service_data} if service_data else {},
        (),
        -50,
        0,
        0,
        simulated=True,
    )


def test_bthome_seals_the_bytes_of_a_known_frame() -> None:
    captured = bytes.fromhex("41ea70e92b5fcdeca26ad355f62b8323545b802364")
    counter = int.from_bytes(captured[-8:-4], "little")
    objects = bytes.fromhex("011e 02440f 03e807 041b8401")  # 30 %, 39.08 Cel, 20.24 %RH, 99355 Pa

    sealed = payloads.bthome(objects, ADDRESS, KEY, counter)

    assert sealed == captured


@given(
    rate=st.integers(30, 250),
    energy_kj=st.integers(0, 0xFFFF),
    beats=st.lists(st.floats(0.25, 2), max_size=8),
)
def test_a_heart_rate_reads_back_as_it_was(rate: int, energy_kj: int, beats: list[float]) -> None:
    data = payloads.heart_rate(rate, energy_kj * 1_000, beats)

    values = decode(notified("2a37", data), by_name("heart-rate"))

    assert values[0].value == rate
    assert [v.value for v in values if v.quantity == "rr_interval"] == pytest.approx(
        beats, abs=1 / 1_024
    )
    assert [v.value for v in values if v.quantity == "energy_expended"] == [energy_kj * 1_000]


@given(speed=st.floats(0.5, 8), strides=st.floats(50, 120), distance=st.floats(0, 400_000_000))
def test_a_stride_reads_back_as_it_was(speed: float, strides: float, distance: float) -> None:
    values = said(notified("2a53", payloads.running(speed, strides, distance)), "running")

    assert values["speed"] == pytest.approx(speed, abs=1 / 256)
    assert values["cadence"] == pytest.approx(strides, abs=0.5)
    assert values["stride_length"] == pytest.approx(speed * 60 / round(strides), abs=0.01)
    assert values["distance"] == pytest.approx(distance, abs=0.1)


@given(mg_dl=st.floats(20, 200))
def test_glucose_reads_back_as_it_was(mg_dl: float) -> None:
    values = said(notified("2aa7", payloads.glucose(mg_dl, 5)), "cgm")

    assert values["glucose"] == pytest.approx(mg_dl / 100, abs=0.0006)


@given(pressure=st.floats(0, 500_000), temperature=st.floats(-40, 120), percent=st.integers(0, 100))
def test_a_tyre_reads_back_as_it_was(pressure: float, temperature: float, percent: int) -> None:
    data = payloads.tyre(b"\x80\xea\xca\x10\xe0\x46", pressure, temperature, percent)

    values = said(advertised(manufacturer=data), "tyre")

    assert values["tyre_pressure"] == pytest.approx(pressure, abs=1)
    assert values["temperature"] == pytest.approx(temperature, abs=0.01)
    assert values["battery_level"] == percent


@given(
    energy_wh=st.integers(0, 0xFFFF_FFFF),
    power=st.floats(0, 24_000),
    counter=st.integers(0, 0xFFFF_FFFF),
)
def test_a_charger_reads_back_as_it_was(energy_wh: int, power: float, counter: int) -> None:
    objects = payloads.charger_objects(energy_wh * 3_600, power, 400)
    sealed = payloads.bthome(objects, ADDRESS, KEY, counter)

    values = said(advertised(sealed), "bthome", KEY)

    assert values["energy"] == energy_wh * 3_600
    assert values["power"] == pytest.approx(power, abs=0.01)
    assert values["current"] == pytest.approx(power / 400, abs=0.001)
    assert values["voltage"] == 400
    assert len(payloads.advertising("", service_data=b"\xd2\xfc" + sealed)) <= 31


def test_a_battery_reads_back_as_it_was() -> None:
    sealed = payloads.bthome(payloads.battery_objects(83, 14.112, -4.649), ADDRESS, KEY, 1)

    values = said(advertised(sealed), "bthome", KEY)

    assert values == {"battery_level": 83, "voltage": 14.112, "current": -4.649}


def test_an_advertisement_never_exceeds_31_bytes_and_cuts_its_name() -> None:
    name = "a name that is far too long for it"

    data = payloads.advertising(name, [0x180D], manufacturer=b"\0\1" + bytes(8))

    assert len(data) == 31
    assert data.endswith(b"\x0b\x09a name tha")
