"""A FIT activity: heart rate, cadence, speed and distance of one person, a record each second.

Source: Garmin's FIT protocol (file header, definition and data messages, CRC) and profile. Times
are seconds since 1989-12-31, dates only from 2^28 on; what no field holds is the field's invalid
value. A silence of `SILENCE_S` ends a session and begins the next. The sport is generic, so cadence
is as it was signed, in 1/min: neither halved nor doubled. Where two things measure the same (two
shoes), the one that said it more often counts. FIT has no word for simulated: the product name
says it.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from agent.formats.points import FormatError, Point, Written, one_subject

SILENCE_S = 600

_EPOCH_S = 631_065_600
_TIME_MIN, _TIME_MAX = 0x1000_0000, 0xFFFF_FFFE
_PROTOCOL, _PROFILE = 0x10, 2_140
_CRC_TABLE = (
    *(0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401),
    *(0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400),
)
_DEFINITION = 0x40
_ACTIVITY_FILE, _DEVELOPMENT = 4, 255
_TIMER, _LAP, _SESSION, _ACTIVITY = 0, 9, 8, 26
_START, _STOP, _STOP_ALL = 0, 1, 4
_GENERIC, _MANUAL = 0, 0
_QUANTITIES = ("heart_rate", "cadence", "speed", "distance")
_CM, _MM, _MS = 100, 1_000, 1_000


class _Field(NamedTuple):
    """Number and base type of a field; the base type gives size, layout and invalid value."""

    number: int
    base: int


class _Base(NamedTuple):
    layout: str
    invalid: int


_ENUM, _UINT8, _UINT16, _UINT32, _STRING = 0x00, 0x02, 0x84, 0x86, 0x07
_BASES = {
    _ENUM: _Base("B", 0xFF),
    _UINT8: _Base("B", 0xFF),
    _UINT16: _Base("H", 0xFFFF),
    _UINT32: _Base("I", 0xFFFF_FFFF),
}
_NAME_BYTES = 24


class _Message(NamedTuple):
    """A local type, the global number that it stands for, and its fields in order."""

    local: int
    number: int
    fields: tuple[_Field, ...]

    @property
    def layout(self) -> str:
        """As `struct` wants it."""
        return "<B" + "".join(
            f"{_NAME_BYTES}s" if field.base == _STRING else _BASES[field.base].layout
            for field in self.fields
        )

    def definition(self) -> bytes:
        """What stands before the first message of this type."""
        head = struct.pack("<BBBHB", _DEFINITION | self.local, 0, 0, self.number, len(self.fields))
        return head + b"".join(
            bytes((field.number, _size(field.base), field.base)) for field in self.fields
        )

    def data(self, *values: int | bytes | None) -> bytes:
        """One message; a value that is None or does not fit is written as invalid."""
        packed = [
            value if isinstance(value, bytes) else _fitting(value, field.base)
            for value, field in zip(values, self.fields, strict=True)
        ]
        return struct.pack(self.layout, self.local, *packed)


def _size(base: int) -> int:
    return _NAME_BYTES if base == _STRING else struct.calcsize(_BASES[base].layout)


def _fitting(value: int | None, base: int) -> int:
    invalid = _BASES[base].invalid
    return value if value is not None and 0 <= value < invalid else invalid


_WHEN = _Field(253, _UINT32)
_FILE_ID = _Message(
    0,
    0,
    (
        _Field(0, _ENUM),  # type
        _Field(1, _UINT16),  # manufacturer
        _Field(2, _UINT16),  # product
        _Field(4, _UINT32),  # time created
        _Field(8, _STRING),  # product name
    ),
)
_EVENT = _Message(1, 21, (_WHEN, _Field(0, _ENUM), _Field(1, _ENUM)))
_RECORD = _Message(
    2,
    20,
    (
        _WHEN,
        _Field(3, _UINT8),  # heart rate, 1/min
        _Field(4, _UINT8),  # cadence, 1/min
        _Field(6, _UINT16),  # speed, mm/s
        _Field(5, _UINT32),  # distance, cm
    ),
)
_SUMMARY = (
    _WHEN,
    _Field(0, _ENUM),  # event
    _Field(1, _ENUM),  # event type
    _Field(2, _UINT32),  # start time
    _Field(7, _UINT32),  # total elapsed time, ms
    _Field(8, _UINT32),  # total timer time, ms
    _Field(9, _UINT32),  # total distance, cm
    _Field(16, _UINT8),  # average heart rate, 1/min
    _Field(17, _UINT8),  # greatest heart rate, 1/min
)
_LAP_MESSAGE = _Message(3, 19, (*_SUMMARY, _Field(25, _ENUM)))  # sport
_SESSION_MESSAGE = _Message(
    4,
    18,
    (
        *_SUMMARY,
        _Field(5, _ENUM),  # sport
        _Field(25, _UINT16),  # first lap
        _Field(26, _UINT16),  # laps
    ),
)
_ACTIVITY_MESSAGE = _Message(
    5,
    34,
    (
        _WHEN,
        _Field(0, _UINT32),  # total timer time, ms
        _Field(1, _UINT16),  # sessions
        _Field(2, _ENUM),  # type
        _Field(3, _ENUM),  # event
        _Field(4, _ENUM),  # event type
    ),
)
_MESSAGES = (_FILE_ID, _EVENT, _RECORD, _LAP_MESSAGE, _SESSION_MESSAGE, _ACTIVITY_MESSAGE)


class _Second(NamedTuple):
    """What was measured in one second, in the units of the file; None where nothing was."""

    at: int
    heart_rate: int | None
    cadence: int | None
    speed_mm_s: int | None
    distance_cm: int | None


def render(points: Iterable[Point]) -> Written:
    """The activity in the points of one person; other readings have no place here.

    Raises:
        FormatError: none that FIT knows and can date, or several persons.
    """
    found = one_subject(
        (point for point in points if point.number(*_QUANTITIES) is not None),
        " or ".join(_QUANTITIES),
    )
    chosen = _chosen(found)
    if not chosen:
        raise FormatError(
            "expected times from July 1998 on, which FIT can hold; the clock was not"
            " set when these readings were taken: export them as csv or senml"
        )
    seconds = list(_seconds(chosen))
    simulated = any(point.simulated for point in chosen)
    name = b"milepost, simulated" if simulated else b"milepost"
    body = b"".join(message.definition() for message in _MESSAGES)
    body += _FILE_ID.data(_ACTIVITY_FILE, _DEVELOPMENT, 0, seconds[0].at, name)
    sessions = list(_sessions(seconds))
    for number, session in enumerate(sessions):
        body += b"".join(_session(number, session))
    timer_ms = sum(_elapsed_ms(session) for session in sessions)
    last = (seconds[-1].at, timer_ms, len(sessions), _MANUAL, _ACTIVITY, _STOP)
    return Written(_framed(body + _ACTIVITY_MESSAGE.data(*last)), len(chosen))


def _chosen(points: Sequence[Point]) -> list[Point]:
    """Of each quantity the points of the component that said most, in order of time."""
    counts = Counter((point.quantity, point.component) for point in points)
    best: dict[str, str] = {}
    for (quantity, component), _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        best.setdefault(quantity, component)
    return sorted(
        (
            point
            for point in points
            if best[point.quantity] == point.component
            and _TIME_MIN <= point.time_s - _EPOCH_S <= _TIME_MAX
        ),
        key=lambda point: point.time_s,
    )


def _seconds(points: Sequence[Point]) -> Iterator[_Second]:
    """One value a second of each quantity, the last; distance from where it began."""
    metres, before = 0.0, None
    at, now = 0, dict[str, int]()
    for point in points:
        if int(point.time_s) - _EPOCH_S != at:
            if now:
                yield _second(at, now)
            at, now = int(point.time_s) - _EPOCH_S, {}
        value = point.number(point.quantity) or 0.0
        if point.quantity == "distance":
            if before is not None and value > before:  # a sensor that restarts begins at 0 again
                metres += value - before
            before, value = value, metres
        now[point.quantity] = round(value * {"speed": _MM, "distance": _CM}.get(point.quantity, 1))
    yield _second(at, now)


def _second(at: int, now: dict[str, int]) -> _Second:
    return _Second(at, *(now.get(quantity) for quantity in _QUANTITIES))


def _sessions(seconds: Sequence[_Second]) -> Iterator[list[_Second]]:
    session = [seconds[0]]
    for second in seconds[1:]:
        if second.at - session[-1].at >= SILENCE_S:
            yield session
            session = []
        session.append(second)
    yield session


def _session(number: int, seconds: Sequence[_Second]) -> Iterator[bytes]:
    """Timer start, records, timer stop, and the sums of it as a lap and as a session."""
    first, last = seconds[0].at, seconds[-1].at
    yield _EVENT.data(first, _TIMER, _START)
    for second in seconds:
        yield _RECORD.data(*second)
    yield _EVENT.data(last, _TIMER, _STOP_ALL)
    rates = [second.heart_rate for second in seconds if second.heart_rate is not None]
    metres = [second.distance_cm for second in seconds if second.distance_cm is not None]
    elapsed_ms = _elapsed_ms(seconds)
    sums = (
        first,
        elapsed_ms,
        elapsed_ms,
        metres[-1] - metres[0] if metres else None,
        round(sum(rates) / len(rates)) if rates else None,
        max(rates, default=None),
        _GENERIC,
    )
    yield _LAP_MESSAGE.data(last, _LAP, _STOP, *sums)
    yield _SESSION_MESSAGE.data(last, _SESSION, _STOP, *sums, number, 1)


def _elapsed_ms(seconds: Sequence[_Second]) -> int:
    return (seconds[-1].at - seconds[0].at) * _MS


def _framed(body: bytes) -> bytes:
    head = struct.pack("<BBHI4s", 14, _PROTOCOL, _PROFILE, len(body), b".FIT")
    data = head + crc(head).to_bytes(2, "little") + body
    return data + crc(data).to_bytes(2, "little")


def crc(data: bytes) -> int:
    """The 16 bits that FIT puts after the header and after the file."""
    value = 0
    for byte in data:
        for nibble in (byte & 0xF, byte >> 4):
            value = (value >> 4) ^ _CRC_TABLE[value & 0xF] ^ _CRC_TABLE[nibble]
    return value
