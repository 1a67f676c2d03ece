"""BTHome v1 (service data 0x181C, encrypted 0x181E) and v2 (0xFCD2), adverts only.

Source: https://bthome.io/format and https://bthome.io/v1. bthome-ble frames and decrypts, and knows
the size and sign of every object; walking the objects is ours, because a truncated payload has to
be an error here and bthome-ble keeps what stood before. Its replay check is not used either: the
counter is ours (`counter`), strictly rising and kept on disk by the agent.
"""

import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, uuid128
from firmware_bridge.profiles.profile import Fields, Pair, Profile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM
    from habluetooth import BluetoothServiceInfoBleak

NAME = "bthome"

V1_PLAIN, V1_ENCRYPTED, V2 = uuid128("181c"), uuid128("181e"), uuid128("fcd2")
VERSIONS = (V2, V1_ENCRYPTED, V1_PLAIN)

ENCRYPTED, MAC_INCLUDED, VERSION_2 = 1, 2, 2
MAC_SIZE, COUNTER_SIZE, MIC_SIZE, KEY_SIZE = 6, 4, 4, 16
NONCE_AND_TAG_SIZE = COUNTER_SIZE + MIC_SIZE

# Object id -> quantity and the ratio by which its integer becomes the quantity's unit. The others
# (events, binary states, counts, gas, water, dew point, moisture...) have no contract quantity.
QUANTITIES: dict[int, tuple[str, float, int]] = {
    0x01: ("battery_level", 1, 1),
    0x02: ("temperature", 1, 100),
    0x03: ("humidity", 1, 100),
    0x04: ("pressure", 1, 1),  # 0.01 hPa
    0x05: ("illuminance", 1, 100),
    0x06: ("mass", 1, 100),
    0x07: ("mass", 0.45359237, 100),  # lb
    0x0A: ("energy", 3600, 1),  # 0.001 kWh
    0x0B: ("power", 1, 100),
    0x0C: ("voltage", 1, 1000),
    0x2E: ("humidity", 1, 1),
    0x40: ("distance", 1, 1000),
    0x41: ("distance", 1, 10),
    0x43: ("current", 1, 1000),
    0x44: ("speed", 1, 100),
    0x45: ("temperature", 1, 10),
    0x4A: ("voltage", 1, 10),
    0x4D: ("energy", 3600, 1),
    0x51: ("acceleration", 1, 1000),
    0x57: ("temperature", 1, 1),
    0x58: ("temperature", 35, 100),
    0x5C: ("power", 1, 100),
    0x5D: ("current", 1, 1000),
    0x62: ("speed", 1, 1_000_000),
    0x63: ("acceleration", 1, 1_000_000),
}
SIGNED = "signed_integer"  # the others: unsigned_integer
LIMITS = {"battery_level": (0, 100), "humidity": (0, 100), "temperature": (-273.15, 1e9)}

V1_UNSIGNED, V1_SIGNED, V1_FLOAT, V1_ADDRESS = 0, 1, 2, 4
FLOAT_FORMATS = {2: "<e", 4: "<f", 8: "<d"}


def matches(advert: Advert) -> bool:
    """Is there service data of one of the three uuids?"""
    return any(uuid in advert.service_data for uuid in VERSIONS)


def encrypted(advert: Advert) -> bool:
    """Does the payload say that it is encrypted? Only `decode` proves it."""
    uuid, data = _payload(advert)
    return uuid == V1_ENCRYPTED or (uuid == V2 and bool(data) and bool(data[0] & ENCRYPTED))


def counter(advert: Advert) -> int | None:
    """The replay counter (uint32) of an encrypted payload; None for a plain or too short one."""
    data = _payload(advert)[1]
    if not encrypted(advert) or len(data) <= NONCE_AND_TAG_SIZE:
        return None
    return int.from_bytes(data[-NONCE_AND_TAG_SIZE:-MIC_SIZE], "little")


def decode(advert: Advert, key: bytes | None) -> Iterator[Pair]:
    """One pair for each object that has a quantity, in the order of the payload.

    A key (16 bytes) means that the device encrypts: a plain payload under its name is then refused.
    """
    uuid, data = _payload(advert)
    if uuid == V2 and (not data or data[0] >> 5 != VERSION_2):
        raise DecodeError(NAME, "want a device information byte of version 2", data)
    if encrypted(advert):
        payload = _decrypt(advert, data, key)
    elif key is not None:
        raise DecodeError(NAME, "want an encrypted payload: this device has a key", data)
    elif uuid == V2:
        payload = data[1 + MAC_SIZE :] if data[0] & MAC_INCLUDED else data[1:]
        if data[0] & MAC_INCLUDED and len(data) <= MAC_SIZE:
            raise DecodeError(NAME, f"want an address of {MAC_SIZE} bytes", data)
    else:
        payload = data
    yield from _objects_v2(payload) if uuid == V2 else _objects_v1(payload)


def _payload(advert: Advert) -> tuple[str, bytes]:
    """The uuid and the service data; both empty for an advertisement of something else."""
    return next(
        ((uuid, advert.service_data[uuid]) for uuid in VERSIONS if uuid in advert.service_data),
        ("", b""),
    )


def _decrypt(advert: Advert, data: bytes, key: bytes | None) -> bytes:
    """The objects in the clear; AES-CCM with a tag of 4 bytes over address, uuid and counter."""
    if key is None or len(key) != KEY_SIZE:
        raise DecodeError(NAME, f"encrypted: want the device's key of {KEY_SIZE} bytes", data)
    if counter(advert) is None:
        raise DecodeError(NAME, f"want more than {NONCE_AND_TAG_SIZE} bytes, got {len(data)}", data)
    from bthome_ble.parser import BTHomeBluetoothDeviceData, BTHomeData  # noqa: PLC0415  # 20 MB, only where a device encrypts
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # same

    uuid = _payload(advert)[0]
    heard = SimpleNamespace(address=advert.address, service_data={uuid: data})
    frame = BTHomeData(cast("BluetoothServiceInfoBleak", heard))  # it looks at nothing else
    cipher = cast("AESCCM", BTHomeBluetoothDeviceData(bindkey=key).cipher)  # None without a key
    sealed = frame.get_encrypted_payload() + frame.get_mic()
    try:
        return cipher.decrypt(frame.get_nonce(), sealed, frame.get_associated_data())
    except (InvalidTag, ValueError):  # ValueError: an address that is none
        raise DecodeError(NAME, "want a payload sealed with the device's key", data) from None


def _objects_v2(payload: bytes) -> Iterator[Pair]:
    """Object id, value; the id tells size and sign. Ends at an id that is too new for us."""
    from bthome_ble.const import MEAS_TYPES  # noqa: PLC0415  # see above

    fields = Fields(NAME, payload)
    while fields.left:
        kind = fields.u8()
        if kind not in MEAS_TYPES:
            return  # newer objects have greater ids and stand last, by the specification
        layout = MEAS_TYPES[kind]
        if layout.data_format in {"raw", "string"}:
            fields.skip(fields.u8())
        elif layout.data_format == "command":
            fields.skip(1 + (fields.u8() & 0x1F))
        else:
            value = fields.take(layout.data_length)
            yield from _pair(
                fields, kind, int.from_bytes(value, "little", signed=layout.data_format == SIGNED)
            )


def _objects_v1(payload: bytes) -> Iterator[Pair]:
    """Size (5 bits, object id included) and format (3 bits), object id, value.

    An address has no object id: its bytes follow at once.
    """
    fields = Fields(NAME, payload)
    while fields.left:
        head = fields.u8()
        size, form = head & 0x1F, head >> 5
        if not size:
            raise fields.error("want an object of at least 1 byte")
        if form == V1_ADDRESS:
            fields.skip(size)
            continue
        kind = fields.u8()
        value = fields.take(size - 1)
        if kind in QUANTITIES:
            yield from _pair(fields, kind, _number(fields, form, value))


def _number(fields: Fields, form: int, value: bytes) -> float:
    if form in {V1_UNSIGNED, V1_SIGNED} and value:
        return int.from_bytes(value, "little", signed=form == V1_SIGNED)
    if form == V1_FLOAT and len(value) in FLOAT_FORMATS:
        return float(struct.unpack(FLOAT_FORMATS[len(value)], value)[0])
    raise fields.error(f"want a number, got format {form} of {len(value)} bytes")


def _pair(fields: Fields, kind: int, word: float) -> Iterator[Pair]:
    if kind in QUANTITIES:
        quantity, factor, divisor = QUANTITIES[kind]
        value = word * factor / divisor
        least, most = LIMITS.get(quantity, (value, value))
        if not least <= value <= most:
            raise fields.error(f"want {quantity} of {least} to {most}, got {value}")
        yield quantity, value


PROFILE = Profile(
    NAME,
    matches_advert=matches,
    advert=decode,
    authenticates=encrypted,
    silence_max_s=900,
)
