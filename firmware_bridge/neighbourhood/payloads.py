"""The bytes that virtual things send, each after its published layout. The other way of `profiles`.

Sources: Heart Rate Service 1.0, Running Speed and Cadence Service 1.0, Continuous Glucose
Monitoring Service 1.0.2 (medfloat16: IEEE 11073-20601), https://bthome.io/format and /encryption,
and the tyre layout of docs/formats.
"""

import struct
from collections.abc import Sequence

from bumble.core import UUID, AdvertisingData
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

BTHOME_UUID = 0xFCD2
BTHOME_ENCRYPTED_V2 = 0x41
BTHOME_MIC_BYTES = 4
NAME_BYTES_MAX = 20


def heart_rate(rate_per_min: float, energy_j: float, beats_s: Sequence[float]) -> bytes:
    """Heart Rate Measurement: 8-bit rate, contact, energy in kJ, RR intervals in 1/1024 s."""
    flags = 0x1E if beats_s else 0x0E
    head = struct.pack("<BBH", flags, round(rate_per_min), min(0xFFFF, round(energy_j / 1_000)))
    return head + b"".join(struct.pack("<H", round(beat_s * 1_024)) for beat_s in beats_s[:8])


def running(speed_m_s: float, strides_per_min: float, distance_m: float) -> bytes:
    """RSC Measurement with stride length in cm and total distance in 1/10 m."""
    strides = round(strides_per_min)
    stride_cm = round(speed_m_s * 60 / strides * 100)
    return struct.pack(
        "<BHBHI", 0x07, round(speed_m_s * 256), strides, stride_cm, round(distance_m * 10)
    )


def glucose(mg_dl: float, offset_min: int) -> bytes:
    """CGM Measurement: one record of 6 bytes, tenths of mg/dL as a medfloat16."""
    mantissa = round(mg_dl * 10) & 0x0FFF
    return struct.pack("<BBHH", 6, 0, 0xF000 | mantissa, offset_min)


def tyre(
    identity: bytes, pressure_pa: float, temperature_cel: float, battery_percent: int
) -> bytes:
    """The 16 bytes under manufacturer 0x0100; `identity` is six bytes."""
    centi_cel = round(temperature_cel * 100)
    return struct.pack("<6siiBB", identity, round(pressure_pa), centi_cel, battery_percent, 0)


def bthome(objects: bytes, address: str, key: bytes, counter: int) -> bytes:
    """Encrypted BTHome v2 service data: AES-CCM, the nonce binds address and counter."""
    uuid = struct.pack("<H", BTHOME_UUID)
    tail = struct.pack("<I", counter)
    nonce = bytes.fromhex(address.replace(":", "")) + uuid + bytes([BTHOME_ENCRYPTED_V2]) + tail
    sealed = AESCCM(key, tag_length=BTHOME_MIC_BYTES).encrypt(nonce, objects, None)
    cipher, mic = sealed[:-BTHOME_MIC_BYTES], sealed[-BTHOME_MIC_BYTES:]
    return bytes([BTHOME_ENCRYPTED_V2]) + cipher + tail + mic


def battery_objects(percent: int, voltage_v: float, current_a: float) -> bytes:
    """BTHome objects 01 battery, 0C voltage 0.001 V, 5D current 0.001 A (signed)."""
    return struct.pack(
        "<BBBHBh", 0x01, percent, 0x0C, round(voltage_v * 1_000), 0x5D, round(current_a * 1_000)
    )


def charger_objects(energy_j: float, power_w: float, voltage_v: float) -> bytes:
    """BTHome: 0B power 0.01 W, 43 current 0.001 A, 4A voltage 0.1 V, 4D energy 0.001 kWh."""
    power = round(power_w * 100).to_bytes(3, "little")
    current_ma, tenth_v = round(power_w / voltage_v * 1_000), round(voltage_v * 10)
    energy_wh = int(energy_j / 3_600) & 0xFFFF_FFFF
    return (
        b"\x0b" + power + struct.pack("<BHBHBI", 0x43, current_ma, 0x4A, tenth_v, 0x4D, energy_wh)
    )


def advertising(
    name: str,
    services: Sequence[int] = (),
    *,
    manufacturer: bytes = b"",
    service_data: bytes = b"",
) -> bytes:
    """Advertising data of at most 31 bytes; the first two bytes of each part name whose it is."""
    parts: list[tuple[int, bytes]] = [(AdvertisingData.FLAGS, b"\x06")]
    if services:
        uuids = b"".join(UUID.from_16_bits(service).to_bytes() for service in services)
        parts.append((AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, uuids))
    if manufacturer:
        parts.append((AdvertisingData.MANUFACTURER_SPECIFIC_DATA, manufacturer))
    if service_data:
        parts.append((AdvertisingData.SERVICE_DATA_16_BIT_UUID, service_data))
    size = sum(2 + len(value) for _kind, value in parts)
    room = min(NAME_BYTES_MAX, 31 - size - 2)
    if room > 0:
        parts.append((AdvertisingData.COMPLETE_LOCAL_NAME, name.encode()[:room]))
    return b"".join(bytes([len(value) + 1, kind]) + value for kind, value in parts)
