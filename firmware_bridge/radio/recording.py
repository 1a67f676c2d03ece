"""Packets as JSON lines: the shapes of `milepost decode`, with address, time and link added."""

from typing import assert_never

import msgspec

from firmware_bridge.errors import BridgeError
from firmware_bridge.packets import Advert, Answer, Notification, Packet, uuid128

LINE_BYTES_MAX = 65_536


class RecordingError(BridgeError):
    """A line of a recording is not a packet: what was expected and what came."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from"):
    """What every line says: from whom, and when in milliseconds."""

    address: str
    wall_ms: int
    boottime_ms: int


class _Advert(_Line, frozen=True, tag="advert"):
    name: str = ""
    manufacturer_data: dict[str, str] = {}
    service_data: dict[str, str] = {}
    service_uuids: tuple[str, ...] = ()
    rssi_dbm: int = -127


class _Gatt(_Line, frozen=True, tag="gatt"):
    service: str
    characteristic: str
    hex: str
    bonded: bool = False


class _Obd(_Line, frozen=True, tag="obd"):
    request: str
    text: str
    bonded: bool = False


_DECODER = msgspec.json.Decoder(_Advert | _Gatt | _Obd)


def to_line(packet: Packet) -> str:
    """One line, without its end. Whether it was simulated is not said: a replay always is."""
    address, wall_ms, boottime_ms = packet.address, packet.wall_ms, packet.boottime_ms
    line: _Line
    match packet:
        case Advert():
            companies = {f"{key:04x}": data.hex() for key, data in packet.manufacturer_data.items()}
            services = {uuid: data.hex() for uuid, data in packet.service_data.items()}
            line = _Advert(
                address,
                wall_ms,
                boottime_ms,
                packet.name,
                companies,
                services,
                packet.service_uuids,
                packet.rssi_dbm,
            )
        case Notification():
            value = packet.data.hex()
            line = _Gatt(
                address,
                wall_ms,
                boottime_ms,
                packet.service,
                packet.characteristic,
                value,
                packet.bonded,
            )
        case Answer():
            line = _Obd(address, wall_ms, boottime_ms, packet.request, packet.text, packet.bonded)
        case _:
            assert_never(packet)
    return msgspec.json.encode(line).decode()


def from_line(text: str) -> Packet:
    """The packet that a line says, marked as simulated: a file proves nothing about a device.

    Raises RecordingError.
    """
    if len(text) > LINE_BYTES_MAX:
        raise RecordingError(f"expected at most {LINE_BYTES_MAX} characters, came {len(text)}")
    try:
        return _packet(_DECODER.decode(text.encode()))
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordingError(f"expected a packet: {error}; came {text[:80]!r}") from error


def _packet(line: _Advert | _Gatt | _Obd) -> Packet:
    address, wall_ms, boottime_ms = line.address.upper(), line.wall_ms, line.boottime_ms
    match line:
        case _Advert():
            return Advert(
                address,
                line.name,
                {int(key, 16): bytes.fromhex(data) for key, data in line.manufacturer_data.items()},
                {uuid128(uuid): bytes.fromhex(data) for uuid, data in line.service_data.items()},
                tuple(map(uuid128, line.service_uuids)),
                line.rssi_dbm,
                wall_ms,
                boottime_ms,
                simulated=True,
            )
        case _Gatt():
            return Notification(
                address,
                uuid128(line.service),
                uuid128(line.characteristic),
                bytes.fromhex(line.hex),
                line.bonded,
                wall_ms,
                boottime_ms,
                simulated=True,
            )
        case _Obd():
            return Answer(
                address, line.request, line.text, line.bonded, wall_ms, boottime_ms, simulated=True
            )
        case _:
            assert_never(line)
