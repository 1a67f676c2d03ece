"""cbor: published malformed input, RFC 8949 examples, the bombs of the lab, and round trips."""

import json
import math
import sys
import tracemalloc
from pathlib import Path
from types import FrameType

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client import cbor
from ledger_client.errors import EncodingError, LocalError

VECTORS = Path(__file__).parents[1] / "vectors"
MALFORMED = [
    json.loads(line) for line in (VECTORS / "cbor.malformed.jsonl").read_text().splitlines()
]

# Values and the one encoding that the rules of RFC 8949 give them.
EXAMPLES: list[tuple[object, str]] = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (100, "1864"),
    (1000, "1903e8"),
    (1_000_000, "1a000f4240"),
    (1_000_000_000_000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"),
    (-18446744073709551616, "3bffffffffffffffff"),
    (-1, "20"),
    (-1000, "3903e7"),
    (0.0, "f90000"),
    (-0.0, "f98000"),
    (1.0, "f93c00"),
    (1.1, "fb3ff199999999999a"),
    (1.5, "f93e00"),
    (65504.0, "f97bff"),
    (100000.0, "fa47c35000"),
    (3.4028234663852886e38, "fa7f7fffff"),
    (1.0e300, "fb7e37e43c8800759c"),
    (5.960464477539063e-8, "f90001"),
    (-4.1, "fbc010666666666666"),
    (math.inf, "f97c00"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"\x01\x02\x03\x04", "4401020304"),
    ("", "60"),
    ("\u00fc", "62c3bc"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ({1: 2, 3: 4}, "a201020304"),
    ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
]

# Section 4.2.1 orders bytewise; cbor2's canonical mode orders these length-first.
ORDER = {10: 0, 100: 0, -1: 0, "z": 0, "aa": 0, b"": 0}

BOMBS = {
    "nest_1e3": b"\x81" * 1000 + b"\x00",
    "nest_1e5": b"\x81" * 100000 + b"\x00",
    "tag_nest": b"\xc1" * 100000 + b"\x00",
    "biglen_bytes": bytes.fromhex("5b7fffffffffffffff"),
    "biglen_arr": bytes.fromhex("9b0000ffffffffffff"),
    "arr_4G": bytes.fromhex("9affffffff00"),
    "map_dup": bytes.fromhex("a2616101616102"),
    "indef_str_nested": bytes.fromhex("5f5f4100ffff"),
    "bignum_1MB": bytes.fromhex("c25a00100000") + b"\xff" * 0x100000,
    "decfrac_huge_exp": bytes.fromhex("c4821b7fffffffffffffff01"),
    "bigfloat_huge_exp": bytes.fromhex("c5821b00000000ffffffff01"),
    "rational0": bytes.fromhex("d81e820100"),
    "sharedref_cycle": bytes.fromhex("d81c81d81d00"),
    "tag_regex": b"\xd8\x23\x78\x1c" + b"(a+)+$".ljust(28, b"a"),
    "nan_key": bytes.fromhex("a1f97e0001"),
    "datetime_str": bytes.fromhex("c06161"),
    "epoch_huge": bytes.fromhex("c11b7fffffffffffffff"),
    "trailing": b"\x00\x00",
    "invalid_utf8": bytes.fromhex("62fffe"),
    "stringref": bytes.fromhex("d90100825f41614161ffd81900"),
    "ipaddr": bytes.fromhex("d9010441ff"),
    "unhashable_key": bytes.fromhex("a18001"),
}

NOT_DETERMINISTIC = {
    "1803": "a long head",
    "190018": "a longer head",
    "1a0000ffff": "four bytes where two do",
    "1b00000000ffffffff": "eight bytes where four do",
    "5801aa": "a long length",
    "fa3fc00000": "a float of 4 bytes where 2 do",
    "fb3ff8000000000000": "a float of 8 bytes where 2 do",
    "a201020001": "keys out of order",
}

KEYS = st.integers(-(1 << 64), (1 << 64) - 1) | st.text(max_size=8) | st.binary(max_size=8)
VALUES = st.recursive(
    KEYS | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.builds(cbor.Tag, st.sampled_from([18, 61]), inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case["id"])
def test_every_published_malformed_item_is_refused(case: dict[str, str]) -> None:
    data = bytes.fromhex(case["hex"])

    for deterministic in (True, False):
        with pytest.raises(EncodingError):
            cbor.decode(data, deterministic=deterministic)


@pytest.mark.parametrize(("value", "encoded"), EXAMPLES, ids=[hex_ for _, hex_ in EXAMPLES])
def test_the_examples_of_rfc_8949_come_out_and_go_in(value: object, encoded: str) -> None:
    assert cbor.encode(value).hex() == encoded
    assert repr(cbor.decode(bytes.fromhex(encoded))) == repr(value)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_few_steps_and_little_memory(name: str) -> None:
    """Steps and bytes, not milliseconds: they do not depend on what else the machine does."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    bomb = BOMBS[name]
    tracemalloc.start()
    sys.setprofile(count)
    try:
        with pytest.raises(EncodingError):
            cbor.decode(bomb, size_max=1 << 21)
    finally:
        sys.setprofile(None)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert len(BOMBS) == 22
    assert calls < 200
    assert peak_bytes < 100_000


@pytest.mark.parametrize("item", ["00", "80", "a0", "8100", "a10000", "f90000", "40", "60"])
def test_a_large_message_has_a_limit_of_items_and_so_of_memory(item: str) -> None:
    data = bytes.fromhex(item)
    message = cbor.encode([b""] * 70_000).replace(b"\x40", data)

    tracemalloc.start()
    with pytest.raises(EncodingError, match="more items"):
        cbor.decode(message, size_max=1 << 24, items_max=1_000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 100_000
    assert cbor.decode(message, size_max=1 << 24, items_max=300_000)


@pytest.mark.parametrize("encoded", NOT_DETERMINISTIC, ids=NOT_DETERMINISTIC.values())
def test_a_second_encoding_is_refused_unless_the_maker_is_another(encoded: str) -> None:
    data = bytes.fromhex(encoded)

    with pytest.raises(EncodingError):
        cbor.decode(data)
    assert cbor.decode(data, deterministic=False) == cbor2.loads(data)


@pytest.mark.parametrize(
    "encoded",
    ["", "18", "f97e00", "fb7ff8000000000001", "f7", "e0", "f818", "9f00ff", "a1f401", "a1f60100"],
)
def test_what_the_profile_leaves_out_is_refused(encoded: str) -> None:
    for deterministic in (True, False):
        with pytest.raises(EncodingError):
            cbor.decode(bytes.fromhex(encoded), deterministic=deterministic)


def test_map_keys_are_sorted_by_their_encoded_bytes_and_not_by_length() -> None:
    encoded = cbor.encode(ORDER)

    assert encoded.hex() == "a60a0018640020004000617a0062616100"
    assert encoded != cbor2.dumps(ORDER, canonical=True)
    assert cbor.decode(encoded) == ORDER


def test_size_and_depth_have_limits() -> None:
    assert cbor.decode(b"\x81" * 16 + b"\x00") is not None
    with pytest.raises(EncodingError, match="deep"):
        cbor.decode(b"\x81" * 17 + b"\x00")
    with pytest.raises(EncodingError, match="at most 3"):
        cbor.decode(cbor.encode("abcd"), size_max=3)


def test_only_the_named_tags_are_taken_and_never_interpreted() -> None:
    encoded = cbor.encode(cbor.Tag(1, 1767225600))

    assert cbor.decode(encoded, tags={1}) == cbor.Tag(1, 1767225600)
    with pytest.raises(EncodingError, match="tag 1"):
        cbor.decode(encoded, tags={18})


@pytest.mark.parametrize("value", [math.nan, 1 << 64, -(1 << 64) - 1, {1}, "\ud800", object()])
def test_a_value_without_a_place_in_our_formats_is_our_own_fault(value: object) -> None:
    with pytest.raises(LocalError):
        cbor.encode(value)


@given(value=VALUES)
def test_what_is_encoded_decodes_to_the_same_and_back(value: object) -> None:
    encoded = cbor.encode(value)

    decoded = cbor.decode(encoded, tags={18, 61})

    assert decoded == value
    assert cbor.encode(decoded) == encoded


@given(data=st.binary(max_size=64))
def test_whatever_is_taken_prints_back_the_same(data: bytes) -> None:
    try:
        value = cbor.decode(data, tags={18})
    except EncodingError:
        return

    assert cbor.encode(value) == data


@given(
    salt=st.binary(min_size=16, max_size=16),
    record=st.dictionaries(
        st.integers(0, 7), st.floats(allow_nan=False) | st.text() | st.integers(0, 1 << 53)
    ),
    provenance=st.integers(0, 9),
)
def test_the_fast_encoder_gives_the_same_bytes_for_leaves(
    salt: bytes, record: dict[int, object], provenance: int
) -> None:
    leaf = [salt, record, provenance, 0, salt[:8]]

    assert cbor.encode_uniform(leaf) == cbor.encode(leaf)


@given(
    value=st.dictionaries(st.integers(0, 1 << 63), st.integers())
    | st.dictionaries(st.integers(-(1 << 63), -1), st.none())
    | st.dictionaries(st.text(max_size=40), st.none())
)
def test_the_fast_encoder_gives_the_same_bytes_for_keys_of_one_kind(value: object) -> None:
    try:
        encoded = cbor.encode(value)
    except LocalError:
        return

    assert cbor.encode_uniform(value) == encoded
