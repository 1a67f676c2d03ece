"""Fragments to messages for an ELM327: link bytes to answers, an answer's lines to messages.

Source: ELM327 data sheet (DSL), "Interpreting Trouble Codes", "Multiline Responses", "Error
Messages and Alerts"; ISO 15765-2 (ISO-TP) for frames; ISO 15031-5 for the headers of the older
buses.

What may stand around the data is dropped: echo, SEARCHING, BUS INIT, prompts, empty lines. Anything
else that is not a complete message is a `DecodeError`: half a message is worth nothing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from firmware_bridge.errors import DecodeError

NAME = "obd"

PROMPT = b">"
ANSWER_BYTES_MAX = 16_384  # ISO-TP carries 4095 bytes, 3 characters each, and line heads


class Message(NamedTuple):
    """One message of one control unit: service byte first, padding cut where its length is known.

    `ecu` is the header by which the unit is known; empty where the adapter printed none.
    """

    ecu: str
    data: bytes


class PromptFramer:
    """Cuts what an ELM327 link delivers, in chunks of any size, into answers up to the prompt."""

    def __init__(self, bytes_max: int = ANSWER_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[str]:
        """The answers that are complete now, prompt included.

        Raises `DecodeError` when an answer grows past `bytes_max`; what was kept of it is dropped.
        """
        self._buffer += chunk.replace(b"\0", b"")  # the adapter may insert NUL, by its data sheet
        *answers, rest = self._buffer.split(PROMPT)
        self._buffer = bytearray(rest)
        longest = max(map(len, (*answers, rest)))
        if longest > self._bytes_max:
            evidence = bytes(self._buffer)
            self._buffer.clear()
            raise DecodeError(
                NAME, f"want an answer of at most {self._bytes_max} bytes, got {longest}", evidence
            )
        return [(answer + PROMPT).decode("latin-1") for answer in answers]

    def reset(self) -> None:
        """Forget a half answer: the link was lost, or the request timed out."""
        self._buffer.clear()


def messages(request: str, text: str) -> list[Message]:
    """The messages in the raw text that answered `request`, in order of their first line.

    Empty for NO DATA. Raises `DecodeError` for an adapter's error, an incomplete or inconsistent
    message, or text that is no answer.
    """
    reply = _Reply(text)
    plain: list[Message] = []
    can: dict[str, list[bytes]] = {}
    order: list[str] = []
    blocks: list[_Block] = []
    for line in reply.lines(request):
        if ":" in line or len(line) == LENGTH_DIGITS:
            _add_block(reply, blocks, line)
            continue
        header, data = reply.frame(line)
        if header is None:
            plain.append(_without_old_header(Message("", data)))
            continue
        if header not in can:
            order.append(header)
        can.setdefault(header, []).append(data)
    assembled = [
        Message(header, data) for header in order for data in reply.isotp(header, can[header])
    ]
    return [*plain, *(Message("", block.data(reply)) for block in blocks), *assembled]


LENGTH_DIGITS = 3
_ECHO_END = re.compile(r"4[1379A]|7[EF]|18DA|SEARCHING|BUS|NODATA|UNABLE|CAN|\?")
_CHATTER = re.compile(r"^(?:SEARCHING\.*|BUSINIT:?\.*(?:OK)?|\.+)+")
_BYTES = r"(?:[0-9A-F]{2} )*[0-9A-F]{2}"
_NUMBERED = rf"[0-9A-F]: ?{_BYTES}"
_SPACED = re.compile(
    rf"(?:[0-9A-F]{{3}}(?:[0-9A-F]{{5}})? )?(?:{_BYTES}|{_NUMBERED}(?: {_NUMBERED})*)"
)
_UNSPACED = re.compile(r"[0-9A-F:]+")
_FRAMES = re.compile(r"([0-9A-F]):((?:[0-9A-F]{2})*)(?=[0-9A-F]:|$)")
_BLOCK = re.compile(r"([0-9A-F]{3})?((?:[0-9A-F]:(?:[0-9A-F]{2})*)+)")
_CAN_11_BIT = re.compile(r"7E[89A-F]")
_CAN_29_BIT = re.compile(r"18DAF1[0-9A-F]{2}")
_NO_DATA = "NODATA"

CAN_BYTES_MAX = 8
FIRST_SIZE, NEXT_SIZE = 6, 7
SINGLE_MAX = 7
SEQUENCE_WRAP = 16


class _Reply:
    """The text of one answer; every error carries it as evidence."""

    def __init__(self, text: str) -> None:
        self._text = text

    def error(self, reason: str) -> DecodeError:
        return DecodeError(NAME, reason, self._text.encode("utf-8", "replace"))

    def lines(self, request: str) -> Iterator[str]:
        """The lines that carry data, in capitals, without spaces."""
        text = self._text.replace("\0", "").strip("> \t\r\n").upper()
        if ">" in text:
            raise self.error("want one answer, got several prompts")
        found: list[str] = []
        silent = False
        for number, part in enumerate(re.split(r"[\r\n]+", text)):
            raw = " ".join(part.split())
            line = self._without_chatter(request, raw, first=number == 0)
            if line == _NO_DATA:
                silent = True
            elif line:
                found.append(line)
        if silent and found:
            raise self.error("want data or NO DATA, got both")
        yield from found

    def _without_chatter(self, request: str, raw: str, *, first: bool) -> str:
        line = raw.replace(" ", "")
        echo = request.replace(" ", "").upper()
        if line == echo:
            return ""
        # An adapter without line feeds runs echo and answer together.
        merged = first and bool(echo) and line.startswith(echo)
        if merged and _ECHO_END.match(line, len(echo)):
            line = line[len(echo) :]
            raw = line
        chatter = _CHATTER.match(line)
        if chatter:
            line = line[chatter.end() :]
            raw = line
        if not line or line == _NO_DATA:
            return line
        if not _UNSPACED.fullmatch(line):
            raise self.error(f"want hexadecimal digits, got {_printable(raw)!r}")
        if " " in raw and not _SPACED.fullmatch(raw):
            raise self.error(f"want digits in pairs, got {_printable(raw)!r}")
        return line

    def frame(self, line: str) -> tuple[str | None, bytes]:
        """CAN header, or None where the adapter prints none, and the bytes after it."""
        size = 0
        if len(line) % 2:
            size = 3
            if not _CAN_11_BIT.match(line):
                raise self.error("want an even number of digits, or a header of 7E8 to 7EF")
        elif _CAN_29_BIT.match(line):
            size = 8
        data = bytes.fromhex(line[size:])
        if size and not 1 < len(data) <= CAN_BYTES_MAX:
            raise self.error(f"want a CAN frame of 2 to {CAN_BYTES_MAX} bytes, got {len(data)}")
        return line[:size] or None, data

    def isotp(self, header: str, frames: list[bytes]) -> list[bytes]:
        """The messages of one control unit, from its frames with their PCI byte."""
        done: list[bytes] = []
        at = 0
        while at < len(frames):
            kind, low = frames[at][0] >> 4, frames[at][0] & 0xF
            if kind == 0 and 0 < low < len(frames[at]) and low <= SINGLE_MAX:
                done.append(frames[at][1 : 1 + low])
                at += 1
                continue
            if kind != 1 or len(frames[at]) != CAN_BYTES_MAX:
                raise self.error(f"{header}: want a single or a first frame")
            size = low << 8 | frames[at][1]
            following = frames[at + 1 : at + 1 + self.frames_after_first(size)]
            if any(frame[0] >> 4 != 2 for frame in following):  # noqa: PLR2004  # consecutive frame
                raise self.error(f"{header}: want a consecutive frame")
            numbered = [(frame[0] & 0xF, frame[1:]) for frame in following]
            done.append(self.join(size, frames[at][2:], numbered))
            at += 1 + len(following)
        return done

    def frames_after_first(self, size: int) -> int:
        """How many consecutive frames a message of `size` bytes has after its first frame."""
        if size <= SINGLE_MAX:
            raise self.error(f"want a message of more than {SINGLE_MAX} bytes in several frames")
        return -(-(size - FIRST_SIZE) // NEXT_SIZE)

    def join(self, size: int, first: bytes, following: list[tuple[int, bytes]]) -> bytes:
        """The message, cut to its size; frames out of order are put back where that is certain.

        Sequence numbers are 1 to F, then 0 and on, so that order is certain up to 15 frames.
        """
        count = self.frames_after_first(size)
        if count < SEQUENCE_WRAP:
            following = sorted(following)
        wanted = [number % SEQUENCE_WRAP for number in range(1, count + 1)]
        if [number for number, _ in following] != wanted:
            raise self.error(f"want {count} frames after the first, numbered from 1")
        parts = [first, *(data for _, data in following)]
        full = [FIRST_SIZE] + [NEXT_SIZE] * (count - 1)
        if [len(part) for part in parts[:-1]] != full or len(parts[-1]) > NEXT_SIZE:
            raise self.error("want full frames up to the last one")
        data = b"".join(parts)
        if len(data) < size:
            raise self.error(f"want {size} bytes, got {len(data)}")
        return data[:size]


class _Block:
    """A message in the form without headers: its length, then numbered lines."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._frames: list[tuple[int, bytes]] = []

    def add(self, number: int, data: bytes) -> None:
        self._frames.append((number, data))

    def data(self, reply: _Reply) -> bytes:
        if not self._frames or self._frames[0][0] != 0:
            raise reply.error("want frame 0 after the length")
        return reply.join(self._size, self._frames[0][1], self._frames[1:])


def _add_block(reply: _Reply, blocks: list[_Block], line: str) -> None:
    """A length, numbered frames, or both run together into one line."""
    if len(line) == LENGTH_DIGITS and ":" not in line:
        blocks.append(_Block(int(line, 16)))
        return
    match = _BLOCK.fullmatch(line)
    if match is None:
        raise reply.error(f"want numbered frames, got {_printable(line)!r}")
    if match[1]:
        blocks.append(_Block(int(match[1], 16)))
    if not blocks:
        raise reply.error("want the length before frame 0")
    for number, data in _FRAMES.findall(match[2]):
        blocks[-1].add(int(number, 16), bytes.fromhex(data))


_OLD_HEADERS = (b"\x48\x6b", b"\x41\x6b")  # ISO 9141-2 and J1850 VPW; J1850 PWM
_OLD_HEADER_SIZE = 3
_KWP_TO_TESTER = 0xF1


def _without_old_header(message: Message) -> Message:
    """Three header bytes and a checksum off, where the checksum proves that they are there."""
    data = message.data
    body = data[_OLD_HEADER_SIZE:-1]
    if not body:
        return message
    kwp = data[0] == 0x80 | len(body) and data[1] == _KWP_TO_TESTER
    checks = {sum(data[:-1]) & 0xFF} if kwp else {sum(data[:-1]) & 0xFF, _j1850_crc(data[:-1])}
    if (kwp or data[:2] in _OLD_HEADERS) and data[-1] in checks:
        return Message(data[:_OLD_HEADER_SIZE].hex().upper(), body)
    return message


def _j1850_crc(data: bytes) -> int:
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x1D if crc & 0x80 else 0)) & 0xFF
    return crc ^ 0xFF


def _printable(text: str) -> str:
    """The words of a line, for a reason: digits could be a VIN, other characters are hostile."""
    return re.sub(r"[^ -~]", "?", re.sub(r"[0-9]", "#", text[:40]))
