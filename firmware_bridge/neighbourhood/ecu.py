"""An ELM327 with an engine behind it: a line in, the text that such an adapter sends back out.

Sources: ELM327 data sheet 1.4b; SAE J1979 modes 01, 03, 07, 09 on ISO 15765-4 (11 bit, 500 kbit/s).
"""

from collections.abc import Callable, Mapping

from firmware_bridge.neighbourhood.behaviour import Car

VIN = "1M8GDM9AXKP042788"  # the example of the check digit rule; belongs to nobody
STORED_CODES = ("0420",)  # P0420: catalyst below threshold, an old friend
LINE_BYTES_MAX = 64
FRAME_DATA_BYTES = 7

_PIDS: Mapping[int, Callable[[Car], int]] = {
    0x04: lambda car: _share(0.0 if car.engine_per_min == 0 else 0.18 + car.speed_m_s / 60),
    0x05: lambda car: round(car.coolant_cel) + 40,
    0x0B: lambda car: 101 if car.engine_per_min == 0 else round(32 + car.speed_m_s),
    0x0C: lambda car: round(car.engine_per_min * 4),
    0x0D: lambda car: round(car.speed_m_s * 3.6),
    0x0F: lambda car: round(car.intake_cel) + 40,
    0x10: lambda car: round(car.engine_per_min * 0.35),
    0x11: lambda car: _share(0.12 + car.speed_m_s / 80),
    0x1F: lambda car: round(car.run_time_s) & 0xFFFF,
    0x2F: lambda car: _share(car.fuel_share),
    0x33: lambda _car: 101,
    0x42: lambda car: round(car.battery_v * 1_000),
    0x46: lambda car: round(car.AMBIENT_CEL) + 40,
    0xA6: lambda car: round(car.odometer_m / 100),
}
_BYTES = {0x0C: 2, 0x10: 2, 0x1F: 2, 0x42: 2, 0xA6: 4}
_AT_SWITCHES = ("E", "L", "S", "H")


def _share(value: float) -> int:
    return round(min(1.0, max(0.0, value)) * 255)


class Ecu:
    """The adapter's settings and the answers of the one control unit on its bus."""

    HEADER = "7E8"

    def __init__(self, car: Car) -> None:
        self._car = car
        self._on = {"E": True, "L": False, "S": True, "H": False}
        self._found = False

    def answer(self, line: str) -> str:
        """Everything that comes back for one line, echo and prompt included."""
        end = "\r\n" if self._on["L"] else "\r"
        echo = line + end if self._on["E"] else ""
        request = "".join(line.split()).upper()[:LINE_BYTES_MAX]
        lines = self._command(request[2:]) if request.startswith("AT") else self._bus(request)
        return echo + end.join((*lines, "", ">"))

    def _command(self, command: str) -> list[str]:
        if command in {"Z", "D", "WS"}:
            self._on = {"E": True, "L": False, "S": True, "H": False}
            self._found = False
            return ["", "", "ELM327 v1.5"] if command != "D" else ["OK"]
        if command == "I":
            return ["ELM327 v1.5"]
        if command == "RV":
            return [f"{self._car.battery_v:.1f}V"]
        if len(command) == 2 and command[0] in _AT_SWITCHES and command[1] in "01":  # noqa: PLR2004  # a letter and a digit
            self._on[command[0]] = command[1] == "1"
        return ["OK"]

    def _bus(self, request: str) -> list[str]:
        try:
            payload = bytes.fromhex(request)
        except ValueError:
            return ["?"]
        reply = self._reply(payload)
        if reply is None:
            return ["NO DATA"]
        searching = [] if self._found else ["SEARCHING..."]
        self._found = True
        return [*searching, *self._frames(reply)]

    def _reply(self, request: bytes) -> bytes | None:
        match list(request):
            case [0x01, *pids] if pids:
                parts = [self._pid(pid) for pid in pids]
                known = b"".join(part for part in parts if part)
                return b"\x41" + known if known else None
            case [0x03]:
                codes = bytes.fromhex("".join(STORED_CODES))
                return bytes([0x43, len(STORED_CODES)]) + codes
            case [0x07 | 0x0A as service]:
                return bytes([service + 0x40, 0])
            case [0x09, 0x02, *_]:
                return b"\x49\x02\x01" + VIN.encode()
            case _:
                return None

    def _pid(self, pid: int) -> bytes:
        if pid % 0x20 == 0:  # which of the next 32 are there; bit 0 says that there are more
            upper = [other - pid for other in _PIDS if pid < other <= pid + 0x20]
            more = any(other > pid + 0x20 for other in _PIDS)
            mask = sum(1 << (32 - offset) for offset in upper) | more
            return bytes([pid]) + mask.to_bytes(4, "big")
        if pid not in _PIDS:
            return b""
        size = _BYTES.get(pid, 1)
        value = min((1 << 8 * size) - 1, max(0, _PIDS[pid](self._car)))
        return bytes([pid]) + value.to_bytes(size, "big")

    def _frames(self, reply: bytes) -> list[str]:
        """ISO 15765-2: one frame of up to 7 bytes, or a first one and numbered ones."""
        if len(reply) <= FRAME_DATA_BYTES:
            return [self._line(bytes([len(reply)]), reply)]
        first, rest = reply[:6], reply[6:]
        head = (0x1000 | len(reply)).to_bytes(2, "big")
        chunks = [rest[at : at + FRAME_DATA_BYTES] for at in range(0, len(rest), FRAME_DATA_BYTES)]
        if self._on["H"]:
            numbered = [
                self._line(bytes([0x20 | n % 16]), chunk) for n, chunk in enumerate(chunks, 1)
            ]
            return [self._line(head, first), *numbered]
        gap = " " if self._on["S"] else ""
        return [
            f"{len(reply):03X}",
            *(f"{n % 16:X}:{gap}{self._hex(part)}" for n, part in enumerate((first, *chunks))),
        ]

    def _line(self, control: bytes, data: bytes) -> str:
        if not self._on["H"]:
            return self._hex(data)
        gap = " " if self._on["S"] else ""
        return self.HEADER + gap + self._hex(control + data)

    def _hex(self, data: bytes) -> str:
        return (data.hex(" ") if self._on["S"] else data.hex()).upper()
