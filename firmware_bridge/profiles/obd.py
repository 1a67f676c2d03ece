"""Vehicles by an ELM327 adapter: live data (01), trouble codes (03, 07, 0A), VIN (09 02).

Source: SAE J1979 / ISO 15031-5; ELM327 data sheet. Requests that write, clear or control do not
exist here: `check_request` knows five services that read, and the transport asks it each time.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from firmware_bridge import assembly
from firmware_bridge.assembly import Message
from firmware_bridge.errors import DecodeError, ForbiddenRequestError
from firmware_bridge.profiles.pids import SCALES, SIZES
from firmware_bridge.profiles.profile import Pair, Profile

NAME = assembly.NAME

LIVE, INFORMATION = 0x01, 0x09
TROUBLE_CODES = (0x03, 0x07, 0x0A)

UART_SERVICE, UART_NOTIFY, UART_WRITE = "fff0", "fff1", "fff2"
# Other services by which an adapter can be recognised. Those of general UART modules (FFE0, Nordic,
# Microchip) are understood too, once the configuration says that the device is an adapter.
OTHER_SERVICES = ("18f0", "e7810a71-73ae-499d-8c15-faa9aef0c3f2")

# Reset, then: no echo, no line feeds, no spaces, headers (so that several control units can be told
# apart), protocol found by the adapter.
INIT: tuple[str, ...] = ("ATZ", "ATE0", "ATL0", "ATS0", "ATH1", "ATSP0")


class Poll(NamedTuple):
    """One request and how often it is sent."""

    request: str
    period_s: float


POLL: tuple[Poll, ...] = (
    Poll("010C", 1),
    Poll("010D", 1),
    Poll("0104", 5),
    Poll("0111", 5),
    Poll("0110", 5),
    Poll("010B", 5),
    Poll("0105", 15),
    Poll("010F", 15),
    Poll("0142", 15),
    Poll("011F", 60),
    Poll("0146", 60),
    Poll("012F", 60),
    Poll("0133", 60),
    Poll("0131", 60),
    Poll("01A6", 60),
    Poll("03", 300),
    Poll("07", 300),
    Poll("0902", 3600),
)

# A last odd digit tells the adapter how many answers to wait for.
_REQUEST = re.compile(r"(?:01(?:[0-9A-F]{2}){1,31}|09[0-9A-F]{2}|03|07|0A)[0-9A-F]?")
TYPES_MAX = 6  # parameters in one CAN request; only longer answers than that are decoded

NEGATIVE, PENDING = 0x7F, 0x78
POSITIVE = 0x40

VIN_TYPE = 0x02
VIN = re.compile(rb"[A-HJ-NPR-Z0-9]{17}")
VIN_LINES = (1, 2, 3, 4, 5)
OLD_LINE_SIZE = 7  # before CAN a message carries 7 bytes
OLD_CODES_SIZE = 6


class Request(NamedTuple):
    """A service, and the parameters or information types asked of it."""

    service: int
    types: tuple[int, ...]


def check_request(request: str) -> str:
    """The request as it may go to the adapter, in capitals and without spaces.

    Raises `ForbiddenRequestError` for anything but services 01, 03, 07, 09 and 0A, well formed.
    """
    text = request.replace(" ", "").upper()
    if not understands(text) or len(_parse(text).types) > TYPES_MAX:
        raise ForbiddenRequestError(
            f"want service 01, 03, 07, 09 or 0A, of up to {TYPES_MAX} parameters,"
            f" got {request[:20]!r}"
        )
    return text


def understands(request: str) -> bool:
    """Is it a request whose answer this profile claims?"""
    return _REQUEST.fullmatch(request.replace(" ", "").upper()) is not None


def answer(request: str, text: str) -> Iterator[Pair]:
    """What the vehicle said: one pair for each value of each control unit that answered."""
    if not understands(request):
        raise _error("want a request for service 01, 03, 07, 09 or 0A", request.encode())
    service, types = _parse(request)
    found: list[bytes] = []
    for message in assembly.messages(request, text):
        data = message.data
        if data[:2] == bytes([NEGATIVE, service]) and len(data) == 3:  # noqa: PLR2004  # 7F service reason
            continue  # refused, or "pending" with the answer in another message: nothing is said
        if not data or data[0] != POSITIVE | service:
            raise _error(f"want an answer to service {service:02X}", data)
        if service == LIVE:
            yield from _live(types, data[1:])
        elif service == INFORMATION:
            found += _information(types[0], data)
        else:
            yield from _trouble_codes(message)
    if found:
        yield from _vins(found)


def _parse(request: str) -> Request:
    text = request.replace(" ", "")
    body = bytes.fromhex(text[: len(text) & ~1])
    return Request(body[0], tuple(body[1:]))


def _live(asked: tuple[int, ...], data: bytes) -> Iterator[Pair]:
    """Parameter, value, parameter, value...: only those asked for, each at most once."""
    if len(asked) == 1 and asked[0] not in SCALES:
        if data[:1] != bytes(asked):
            raise _error(f"want parameter {asked[0]:02X}", data)
        return  # no quantity, so whatever its length is, nothing wrong can be said
    if not data:
        raise _error("want at least one parameter", data)
    left = list(asked)
    at = 0
    while at < len(data):
        pid = data[at]
        if not left and pid == POSITIVE | LIVE:  # a second answer on the same line
            left = list(asked)
            at += 1
            continue
        if pid not in left:
            raise _error(f"parameter {pid:02X} was not asked for, or came twice", data)
        if pid not in SIZES:
            raise _error(f"length of parameter {pid:02X} is not known", data)
        value = data[at + 1 : at + 1 + SIZES[pid]]
        if len(value) != SIZES[pid]:
            raise _error(f"want {SIZES[pid]} bytes for {pid:02X}, got {len(value)}", data)
        if pid in SCALES:
            yield SCALES[pid].quantity, SCALES[pid].value(value)
        left.remove(pid)
        at += 1 + len(value)


def _trouble_codes(message: Message) -> Iterator[Pair]:
    """On CAN a count and then the codes; before it six bytes, filled up with 0000.

    Zeros after the codes that were counted are believed only where there are more of them than the
    older form could have left when its end was lost: there 01 is no count but half a code.
    """
    body = message.data[1:]
    if len(body) % 2:
        count, body = body[0], body[1:]
        codes, rest = body[: 2 * count], body[2 * count :]
        cut_short = bool(codes and rest) and len(body) < OLD_CODES_SIZE
        if len(codes) != 2 * count or any(rest) or cut_short:
            raise _error(f"want {count} codes", message.data)
    elif len(body) != OLD_CODES_SIZE or message.ecu.startswith(("7E", "18DA")):
        raise _error("want a count and codes, or three codes", message.data)
    else:
        codes = body
    for at in range(0, len(codes), 2):
        if word := int.from_bytes(codes[at : at + 2], "big"):
            yield "dtc", f"{'PCBU'[word >> 14]}{word >> 12 & 3}{word & 0xFFF:03X}"


def _information(kind: int, data: bytes) -> list[bytes]:
    """What an answer says of the VIN: all of it, or lines of 4 characters, numbered from 1."""
    if data[1:2] != bytes([kind]):
        raise _error(f"want information type {kind:02X}", data)
    if kind != VIN_TYPE:
        return []
    head = data[:2]
    lines = [data[at : at + OLD_LINE_SIZE] for at in range(0, len(data), OLD_LINE_SIZE)]
    if all(line[:2] == head and len(line) == OLD_LINE_SIZE for line in lines):
        return [line[2:] for line in lines]
    return [data[2:]]


def _vins(found: list[bytes]) -> Iterator[Pair]:
    """Each VIN once, however many units know it; lines of the older buses make one together."""
    lines = [part for part in found if len(part) == OLD_LINE_SIZE - 2]
    whole = [part for part in found if part not in lines]
    if lines:
        lines.sort()  # the line number comes first
        if tuple(line[0] for line in lines) != VIN_LINES:
            raise _error(f"want lines 1 to {VIN_LINES[-1]} of the VIN, once", b"".join(lines))
        whole.append(b"\x01" + b"".join(line[1:] for line in lines))
    for part in dict.fromkeys(whole):
        vin = part[1:].strip(b"\0")
        if part[:1] != b"\x01" or VIN.fullmatch(vin) is None:
            raise _error("want a VIN of 17 characters", part)
        yield "vin", vin.decode("ascii")


def _error(reason: str, data: bytes) -> DecodeError:
    return DecodeError(NAME, reason, data)


PROFILE = Profile(NAME, services=(UART_SERVICE, *OTHER_SERVICES), answer=answer)
