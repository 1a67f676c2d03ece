"""The shape of a device profile, and the cursor that its decoders read bytes with.

A profile is a value: names, uuids and pure functions. It has no radio, no log and no clock. What it
yields is converted to the units of `firmware_bridge.readings.QUANTITIES`; a special value ("not
available", NaN) yields nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert

Pair = tuple[str, float | str]
"""A quantity and its value, in the unit of the quantity."""

Decoder = Callable[[bytes], Iterable[Pair]]
"""The value of one characteristic in, pairs out; raises `DecodeError`."""

BASE_UUID_END = "-0000-1000-8000-00805f9b34fb"


@dataclass(frozen=True, slots=True)
class Profile:
    """One family of devices: how it is recognised, and how its bytes become readings.

    Attributes:
        name: lower case with hyphens; appears in readings and in signed statements.
        version: rises when the same bytes would give other readings.
        services: GATT services, 4 lower-case hex digits or a whole uuid, by which a device is
            recognised; may be empty (adverts only).
        characteristics: 4 lower-case hex digits -> decoder. Subscribe to those that notify or
            indicate.
        reads: characteristics to read once after connecting; each has a decoder as well.
        matches_advert: does this profile claim the advertisement's payload?
        advert: decodes the payload of a claimed advertisement; the second argument is its key.
        authenticates: did the advertisement come encrypted (so that decoding proves the key)?
        answer: OBD: request and raw text of the reply -> pairs.
        derive: pairs that only two successive values of one characteristic give (cadence): earlier
            values, later values, seconds between them on the gateway's clock.
        pair: the device wants a bonded link before it speaks.
        silence_max_s: seconds without a word after which the link counts as dead.
    """

    name: str
    version: int = 1
    services: tuple[str, ...] = ()
    characteristics: Mapping[str, Decoder] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    matches_advert: Callable[[Advert], bool] | None = None
    advert: Callable[[Advert, bytes | None], Iterable[Pair]] | None = None
    authenticates: Callable[[Advert], bool] | None = None
    answer: Callable[[str, str], Iterable[Pair]] | None = None
    derive: Callable[[Mapping[str, float], Mapping[str, float], float], Iterable[Pair]] | None = (
        None
    )
    pair: bool = False
    silence_max_s: float = 30.0

    @property
    def label(self) -> str:
        """Name and version as readings carry them, such as `heart-rate/1`."""
        return f"{self.name}/{self.version}"


def uuid16(uuid: str) -> str:
    """The 4 lower-case hex digits of a Bluetooth SIG uuid; any other uuid unchanged, lower case."""
    text = uuid.lower()
    if len(text) == 36 and text.startswith("0000") and text.endswith(BASE_UUID_END):  # noqa: PLR2004  # length of a printed uuid
        return text[4:8]
    return text


class Fields:
    """Takes little-endian fields off the front of a payload, in order; never reads past its end."""

    __slots__ = ("_at", "_data", "_profile")

    def __init__(self, profile: str, data: bytes) -> None:
        self._profile = profile
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes; raises `DecodeError` when fewer are left."""
        end = self._at + size
        if end > len(self._data):
            raise self.error(f"want at least {end} bytes, got {len(self._data)}")
        start, self._at = self._at, end
        return self._data[start:end]

    def skip(self, size: int) -> None:
        """Pass over bytes that have no quantity, but must be there."""
        self.take(size)

    def u8(self) -> int:
        """One unsigned byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Two bytes, unsigned."""
        return int.from_bytes(self.take(2), "little")

    def s16(self) -> int:
        """Two bytes, two's complement."""
        return int.from_bytes(self.take(2), "little", signed=True)

    def u32(self) -> int:
        """Four bytes, unsigned."""
        return int.from_bytes(self.take(4), "little")

    def s32(self) -> int:
        """Four bytes, two's complement."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def end(self) -> None:
        """Refuse bytes after the last field: what they mean is unknown, so nothing is believed."""
        if self.left:
            raise self.error(f"want {self._at} bytes, got {len(self._data)}")

    def error(self, reason: str) -> DecodeError:
        """A `DecodeError` with the whole payload as evidence."""
        return DecodeError(self._profile, reason, self._data)
