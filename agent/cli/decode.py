"""`milepost decode`: JSON lines of captured packets in, one JSON line of readings out for each.

The contract is FORMATS section 9. Whatever comes in, a line goes out: readings, an error that names
profile and reason, or "unsupported". Nothing here knows a clock, a network or a configuration.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TextIO, TypeVar
from uuid import UUID

from firmware_bridge import profiles
from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, Answer, Notification, Packet, uuid128
from firmware_bridge.readings import Reading

LINE_BYTES_MAX = 262_144
INPUT = "input"  # the "profile" of errors in the line itself

UUID_DIGITS = 32

T = TypeVar("T", int, str)

_COMPANY = re.compile(r"(?:0x)?([0-9A-Fa-f]{4})")
_UUID = re.compile(
    r"(?:0x)?([0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}"
    r"|[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12})"
)


def run(lines: Iterable[str | bytes]) -> Iterator[str]:
    """One line of JSON for each line that is not blank, without line end; never raises."""
    for line in lines:
        if line.strip():
            yield json.dumps(_answer(line), separators=(",", ":"))


def command() -> None:
    """Decode captured packets: JSON lines on standard input, one JSON line out for each."""
    copy(sys.stdin.buffer, sys.stdout)


def copy(source: BinaryIO, sink: TextIO) -> None:
    """Answer each line of `source` on `sink` as soon as it is there, so that it works in a pipe."""
    for line in run(_bounded(source)):
        sink.write(line + "\n")
        sink.flush()


def _bounded(source: BinaryIO) -> Iterator[bytes]:
    """Lines of at most `LINE_BYTES_MAX` bytes; a longer one is cut, and so is an error."""
    while line := source.readline(LINE_BYTES_MAX + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = source.readline(LINE_BYTES_MAX)
        yield line


def _answer(line: str | bytes) -> dict[str, object]:
    name: object = None
    try:
        record, twice = _parse(line)
        name = _echo(record.get("id"))
        if twice:
            raise _error("want each key once in an object")
        packet = _packet(record)
        profile = profiles.recognise(packet) if packet else None
        if packet is None or profile is None:
            return {"id": name, "unsupported": True}
        readings = profiles.decode(packet, profile, _key(record))
        return {"id": name, "readings": [_row(reading) for reading in readings]}
    except DecodeError as error:
        return {"id": name, "error": {"profile": error.profile, "reason": error.reason}}


def _parse(line: str | bytes) -> tuple[dict[str, object], bool]:
    """The object of the line, and whether it or one within it has a key more than once."""
    if len(line) > LINE_BYTES_MAX:
        raise _error(f"want a line of at most {LINE_BYTES_MAX} bytes")
    twice = False

    def read(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal twice
        record = dict(pairs)
        twice = twice or len(record) < len(pairs)
        return record

    try:
        record = json.loads(line, object_pairs_hook=read)
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, a number too long
        raise _error("want one JSON object") from None
    if not isinstance(record, dict):
        raise _error("want one JSON object")
    return record, twice


def _echo(name: object) -> object:
    """The id as it came if it is text or a number; anything else is not an id."""
    if isinstance(name, float):
        return name if math.isfinite(name) else None
    return name if isinstance(name, str | int) else None


def _packet(record: dict[str, object]) -> Packet | None:
    """The packet that the line describes; None for a source that we do not know."""
    match record.get("from"):
        case "gatt":
            service, characteristic = (
                _uuid(record.get("service") or "0000"),
                _uuid(record.get("characteristic")),
            )
            data = _hex(record.get("hex"), "hex")
            bonded = record.get("bonded") is True
            return Notification("", service, characteristic, data, bonded, 0, 0)
        case "advert":
            return _advert(record)
        case "obd":
            request, text = _text(record, "request"), _text(record, "text")
            return Answer("", request, text, bonded=False, wall_ms=0, boottime_ms=0)
        case _:
            return None


def _advert(record: dict[str, object]) -> Advert:
    uuids = record.get("service_uuids") or []
    if not isinstance(uuids, list):
        raise _error("want service_uuids to be an array")
    return Advert(
        address=_text(record, "address", "").upper().replace("-", ":"),
        name=_text(record, "name", ""),
        manufacturer_data=_payloads(record, "manufacturer_data", _company),
        service_data=_payloads(record, "service_data", _uuid),
        service_uuids=tuple(_uuid(uuid) for uuid in uuids),
        rssi_dbm=0,
        wall_ms=0,
        boottime_ms=0,
    )


def _payloads(record: dict[str, object], field: str, name: Callable[[str], T]) -> dict[T, bytes]:
    """The payloads of an advertisement by what `name` makes of their keys."""
    texts = _object(record, field)
    payloads = {name(key): _hex(data, field) for key, data in texts.items()}
    if len(payloads) < len(texts):  # such as fcd2 beside 0000fcd2-...
        raise _error(f"want each sender once in {field}")
    return payloads


def _key(record: dict[str, object]) -> bytes | None:
    key = record.get("key")
    return None if key is None else _hex(key, "key")


def _text(record: dict[str, object], field: str, absent: str | None = None) -> str:
    value = record.get(field)
    value = absent if value is None else value
    if not isinstance(value, str):
        raise _error(f"want {field} to be text")
    return value


def _object(record: dict[str, object], field: str) -> dict[str, object]:
    value = record.get(field) or {}
    if not isinstance(value, dict):
        raise _error(f"want {field} to be an object")
    return value


def _hex(value: object, field: str) -> bytes:
    try:
        return bytes.fromhex(value if isinstance(value, str) else "-")
    except ValueError:
        raise _error(f"want {field} in pairs of hexadecimal digits") from None


def _company(text: str) -> int:
    match = _COMPANY.fullmatch(text)
    if match is None:
        raise _error("want a manufacturer id of four hexadecimal digits")
    return int(match[1], 16)


def _uuid(value: object) -> str:
    match = _UUID.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _error("want a uuid of 4, 8 or 32 hexadecimal digits")
    digits = match[1].replace("-", "")
    return str(UUID(digits)) if len(digits) == UUID_DIGITS else uuid128(digits)


def _row(reading: Reading) -> dict[str, object]:
    return {
        "quantity": reading.quantity,
        "value": reading.value,
        "unit": reading.unit,
        "provenance": int(reading.provenance),
        "profile": reading.profile,
    }


def _error(reason: str) -> DecodeError:
    return DecodeError(INPUT, reason, b"")
