"""Somebody else's decoded CBOR to typed values: each function returns one or says what is wrong.

`what` names the field in the error. Booleans are no integers here.
"""

from ledger_client.errors import EncodingError

INT_MAX = (1 << 63) - 1


def integer(value: object, what: str, least: int = 0, most: int = INT_MAX) -> int:
    """`value` as an integer from `least` to `most`, both included."""
    if type(value) is not int or not least <= value <= most:
        raise EncodingError(f"{what}: expected an integer {least}..{most}, got {_show(value)}")
    return value


def octets(value: object, what: str, size: int | None = None, most: int = 65_536) -> bytes:
    """`value` as bytes, exactly `size` of them, or at most `most`."""
    if not isinstance(value, bytes) or (len(value) > most if size is None else len(value) != size):
        limit = f"at most {most}" if size is None else f"{size}"
        raise EncodingError(f"{what}: expected {limit} bytes, got {_show(value)}")
    return value


def text(value: object, what: str, most: int = 256) -> str:
    """`value` as printable text of at most `most` characters."""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise EncodingError(
            f"{what}: expected printable text of at most {most}, got {_show(value)}"
        )
    return value


def boolean(value: object, what: str) -> bool:
    """`value` as true or false."""
    if not isinstance(value, bool):
        raise EncodingError(f"{what}: expected true or false, got {_show(value)}")
    return value


def array(value: object, what: str, count: int | None = None) -> list[object]:
    """`value` as an array, of exactly `count` entries if that is given."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        expected = "an array" if count is None else f"an array of {count}"
        raise EncodingError(f"{what}: expected {expected}, got {_show(value)}")
    return value


def mapping(value: object, what: str) -> dict[object, object]:
    """`value` as a map."""
    if not isinstance(value, dict):
        raise EncodingError(f"{what}: expected a map, got {_show(value)}")
    return value


def fields(
    value: object, what: str, required: frozenset[int], optional: frozenset[int] = frozenset()
) -> dict[object, object]:
    """`value` as a map that has all of `required`, perhaps some of `optional`, nothing else."""
    pairs = mapping(value, what)
    if not required <= pairs.keys() <= required | optional:
        raise EncodingError(
            f"{what}: expected the labels {sorted(required)} (and perhaps {sorted(optional)}), "
            f"got {_show(list(pairs))}"
        )
    return pairs


def _show(value: object) -> str:
    """The kind of a value and little of it: it may be private, long or hostile."""
    match value:
        case bytes():
            return f"{len(value)} bytes"
        case str():
            return f"text of {len(value)}"
        case dict():
            return f"a map of {len(value)}"
        case list() if not all(type(entry) is int for entry in value) or len(value) > 16:  # noqa: PLR2004  # what fits on a line
            return f"an array of {len(value)}"
        case _:
            return repr(value)
