"""Core-deterministic CBOR: one encoding out, a strict profile in.

Source: RFC 8949 section 4.2.1. Definite lengths, shortest heads, shortest floats, map keys sorted
by their encoded bytes. cbor2's `canonical=True` sorts length-first (section 4.2.3), hence our own
encoder for whatever is signed; `encode_uniform` is the fast C one for where both orders are equal.
"""

import math
import struct
from collections.abc import Set as AbstractSet
from typing import cast

import cbor2
from cbor2 import CBORTag as Tag

from ledger_client.errors import EncodingError, LocalError

__all__ = ["DEPTH_MAX", "ITEMS_MAX", "SIZE_MAX", "Tag", "decode", "encode", "encode_uniform"]

SIZE_MAX = 65_536
ITEMS_MAX = 1 << 17
"""Items in one message: more than `SIZE_MAX` bytes can hold, so that only larger ones meet it."""
DEPTH_MAX = 16

_BYTES, _ARRAY, _MAP, _TAG = 2, 4, 5, 6
_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}
_FLOATS = {0xF9: struct.Struct(">e"), 0xFA: struct.Struct(">f"), 0xFB: struct.Struct(">d")}
_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}


def encode(value: object) -> bytes:
    """The one encoding of int, float, str, bytes, bool, None, list, tuple, dict or Tag.

    Raises:
        LocalError: the value has no place in our formats (NaN, a set, more than 64 bits).
    """
    match value:
        case None | bool() | str() | bytes():
            return _scalar(value)
        case int():
            if not -(1 << 64) <= value < 1 << 64:
                raise LocalError(f"cannot encode an integer of {value.bit_length()} bits: 64 fit")
            return _scalar(value)
        case float():
            if math.isnan(value):
                raise LocalError("cannot encode NaN: leave the value out")
            return _scalar(value)
        case list() | tuple():
            return _head(_ARRAY, len(value)) + b"".join(map(encode, value))
        case dict():
            pairs = sorted((encode(key), encode(entry)) for key, entry in value.items())
            return _head(_MAP, len(pairs)) + b"".join(key + entry for key, entry in pairs)
        case Tag():
            return _head(_TAG, value.tag) + encode(value.value)
        case _:
            raise LocalError(f"cannot encode a {type(value).__name__}")


def encode_uniform(value: object) -> bytes:
    """As `encode`, in C, for values of ours whose maps each have keys of one sign and type.

    For such keys length-first order and bytewise order are the same. Nothing is checked.
    """
    return cbor2.dumps(value, canonical=True)


def _scalar(value: object) -> bytes:
    try:
        return cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError as error:
        raise LocalError(f"cannot encode text that is not Unicode: {error.reason}") from error


def _head(major: int, argument: int) -> bytes:
    """The shortest head: major type and argument."""
    if argument < 24:  # noqa: PLR2004  # RFC 8949 section 3: an argument below 24 sits in the byte
        return bytes((major << 5 | argument,))
    size = 1 if argument < 1 << 8 else 2 if argument < 1 << 16 else 4 if argument < 1 << 32 else 8
    return bytes((major << 5 | 23 + size.bit_length(),)) + argument.to_bytes(size, "big")


def decode(
    data: bytes,
    *,
    size_max: int = SIZE_MAX,
    items_max: int = ITEMS_MAX,
    depth_max: int = DEPTH_MAX,
    tags: AbstractSet[int] = frozenset(),
    deterministic: bool = True,
) -> object:
    """The value in `data`: exactly one item, of the strict profile, no tags but `tags`.

    Maps come as dict with keys that are int, str or bytes; arrays as list. `deterministic=False`
    takes long heads, long floats and unsorted maps too: only for messages of other makers, where
    the bytes that were signed are kept as they came.

    Raises:
        EncodingError: anything else, whatever it is.
    """
    if len(data) > size_max:
        raise EncodingError(f"{len(data)} bytes of CBOR, at most {size_max} are taken")
    reader = _Reader(data, tags, items_max, deterministic=deterministic)
    value = reader.item(depth_max)
    if reader.at != len(data):
        raise EncodingError(f"{len(data) - reader.at} bytes after the end of the CBOR item")
    return value


class _Reader:
    """A cursor over the bytes of one item."""

    __slots__ = ("_data", "_deterministic", "_left", "_tags", "at")

    def __init__(
        self, data: bytes, tags: AbstractSet[int], items_max: int, *, deterministic: bool
    ) -> None:
        self._data = data
        self._left = items_max
        self._tags = tags
        self._deterministic = deterministic
        self.at = 0

    def item(self, depth: int) -> object:
        """The item at the cursor, which moves behind it; `depth` more levels may open."""
        if self.at >= len(self._data):
            raise EncodingError("CBOR ends where an item should begin")
        first = self._data[self.at]
        if first >= 0xE0:  # noqa: PLR2004  # major type 7
            return self._simple_or_float(first)
        major = first >> 5
        argument = self._argument(first & 31)
        match major:
            case 0:
                value: object = argument
            case 1:
                value = -1 - argument
            case 2 | 3:
                value = self._string(major, argument)
            case _:
                value = self._container(major, argument, depth)
        return value

    def _refuse(self, reason: str) -> EncodingError:
        return EncodingError(f"CBOR at byte {self.at}: {reason}")

    def _take(self, size: int) -> bytes:
        self._room(size)
        self.at += size
        return self._data[self.at - size : self.at]

    def _expect(self, items: int) -> None:
        """So many items follow: no more than bytes are left, nor than are taken in all."""
        self._room(items)
        self._left -= items
        if self._left < 0:
            raise self._refuse("more items than are taken in a message of this size")

    def _room(self, size: int) -> None:
        """Every item takes a byte at least, so no count can be larger than the rest."""
        if size > len(self._data) - self.at:
            raise self._refuse(f"{size} announced, {len(self._data) - self.at} bytes are left")

    def _argument(self, short: int) -> int:
        self.at += 1
        if short < 24:  # noqa: PLR2004  # the argument itself
            return short
        size = _ARGUMENT_BYTES.get(short)
        if size is None:
            raise self._refuse("indefinite or reserved length")
        argument = int.from_bytes(self._take(size), "big")
        if self._deterministic and argument < (24 if size == 1 else 1 << size * 4):
            raise self._refuse(f"{argument} is not in its shortest form")
        return argument

    def _string(self, major: int, size: int) -> bytes | str:
        data = self._take(size)
        if major == _BYTES:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._refuse("text that is not UTF-8") from error

    def _container(self, major: int, argument: int, depth: int) -> object:
        if depth == 0:
            raise self._refuse("nested too deep")
        if major == _ARRAY:
            self._expect(argument)
            return [self.item(depth - 1) for _ in range(argument)]
        if major == _MAP:
            return self._map(argument, depth - 1)
        if argument not in self._tags:
            raise self._refuse(f"tag {argument} has no place here")
        return Tag(argument, self.item(depth - 1))

    def _map(self, count: int, depth: int) -> dict[object, object]:
        self._expect(2 * count)
        pairs: dict[object, object] = {}
        before = b""
        for _ in range(count):
            start = self.at
            key = self.item(depth)
            if type(key) not in {int, str, bytes}:
                raise self._refuse("a map key that is no integer, text or bytes")
            if key in pairs:
                raise self._refuse("the same map key twice")
            encoded = self._data[start : self.at]
            if self._deterministic and encoded < before:
                raise self._refuse("map keys out of order")
            before = encoded
            pairs[key] = self.item(depth)
        return pairs

    def _simple_or_float(self, first: int) -> object:
        self.at += 1
        if first in _SIMPLE:
            return _SIMPLE[first]
        layout = _FLOATS.get(first)
        if layout is None:
            raise self._refuse(f"simple value 0x{first:02x} has no place here")
        data = self._take(layout.size)
        value = cast("float", layout.unpack(data)[0])
        if math.isnan(value):
            raise self._refuse("NaN")
        if self._deterministic and _scalar(value)[1:] != data:
            raise self._refuse("a float that is not in its shortest form")
        return value
