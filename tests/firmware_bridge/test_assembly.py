import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.assembly import ANSWER_BYTES_MAX, Message, PromptFramer, messages
from firmware_bridge.errors import DecodeError

VIN_11_BIT = (
    "7E8 10 14 49 02 01 31 44 34",
    "7E8 21 47 50 30 30 52 35 35",
    "7E8 22 42 31 32 33 34 35 36",
)
VIN = bytes.fromhex("490201") + b"1D4GP00R55B123456"


def isotp(header: str, data: bytes, *, padding: bytes = b"\xaa") -> list[str]:
    """The lines that an adapter with headers on prints for a message."""
    if len(data) < 8:
        frames = [bytes([len(data)]) + data]
    else:
        parts = [data[at : at + 7] for at in range(6, len(data), 7)]
        frames = [(0x1000 | len(data)).to_bytes(2, "big") + data[:6]]
        frames += [bytes([0x20 | n % 16]) + part for n, part in enumerate(parts, 1)]
    return [header + frame.ljust(8, padding).hex().upper() for frame in frames]


def numbered(data: bytes) -> list[str]:
    """The lines that an adapter with headers off prints for a message of several frames."""
    parts = [data[:6], *(data[at : at + 7] for at in range(6, len(data), 7))]
    lines = [f"{n % 16:X}:{part.hex().upper()}" for n, part in enumerate(parts)]
    return [f"{len(data):03X}", *lines]


def test_an_answer_is_complete_at_the_prompt_however_the_link_cuts_it() -> None:
    framer = PromptFramer()

    assert framer.feed(b"41 0C 1A") == []
    assert framer.feed(b" F8\r\r>41 0D 2") == ["41 0C 1A F8\r\r>"]
    assert framer.feed(b"0\0\r\r>NO DATA\r\r>") == ["41 0D 20\r\r>", "NO DATA\r\r>"]


def test_an_answer_without_end_is_refused_and_forgotten() -> None:
    framer = PromptFramer(bytes_max=8)

    with pytest.raises(DecodeError, match="at most 8 bytes, got 9"):
        framer.feed(b"41 0C 1A ")

    assert framer.feed(b"NO\r>") == ["NO\r>"]


def test_a_half_answer_is_forgotten_on_reset() -> None:
    framer = PromptFramer()
    framer.feed(b"41 0C")

    framer.reset()

    assert framer.feed(b"NO DATA>") == ["NO DATA>"]


@given(text=st.text(st.sampled_from("0123456789ABCDEF \r>"), max_size=60), data=st.data())
def test_the_cuts_of_the_link_do_not_change_the_answers(text: str, data: st.DataObject) -> None:
    whole = PromptFramer().feed(text.encode())
    framer = PromptFramer()
    cut = data.draw(st.integers(0, len(text)))

    parts = framer.feed(text[:cut].encode()) + framer.feed(text[cut:].encode())

    assert parts == whole


@pytest.mark.parametrize(
    "text",
    [
        "41 0C 1A F8 \r\r>",
        "410c1af8\r\r>",
        "\r\n41 0C 1A F8\r\n\r\n>",
        "010C\r41 0C 1A F8\r\r>",
        "01 0C\r41 0C 1A F8\r\r>",
        "010C41 0C 1A F8\r\r>",
        "010CSEARCHING...\r410C1AF8\r\r>",
        "SEARCHING...\r41 0C 1A F8\r\r>",
        "SEARCHING...41 0C 1A F8\r\r>",
        "SEARCHING...\r...\r41 0C 1A F8\r\r>",
        "BUS INIT: OK\r41 0C 1A F8\r\r>",
        "BUS INIT: ...OK\r41 0C 1A F8\r\r>",
        ">41 0C 1A F8\r\r>",
        "41 0C\0 1A F8\r\r>",
        "\t41  0C 1A F8\r>",
        "41 0C 1A F8",
    ],
    ids=repr,
)
def test_what_stands_around_a_message_is_dropped(text: str) -> None:
    assert messages("010C", text) == [Message("", bytes.fromhex("410C1AF8"))]


@pytest.mark.parametrize(
    "text", ["NO DATA\r\r>", "SEARCHING...\rNO DATA\r\r>", "010C\rNO DATA\r>", "\r\r>", ">", ""]
)
def test_silence_of_the_vehicle_is_no_message(text: str) -> None:
    assert messages("010C", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "UNABLE TO CONNECT\r\r>",
        "?\r\r>",
        "STOPPED\r>",
        "CAN ERROR\r>",
        "BUS INIT: ERROR\r>",
        "BUS INIT: ...ERROR\r>",
        "BUFFER FULL\r>",
        "41 0C 1A F8\r<DATA ERROR\r>",
        "41 0C 1A F8 <RX ERROR\r>",
        "41 0C 1A F8\rNO DATA\r>",
        "41 0C 1A F8>41 0C 1A F8>",
        "4 1 0 C 1 A F 8\r>",
        "\\t41 0C 1A F8\r>",
        "41 0C 1A F\r>",
        "410C1AF\r>",
        "41 0C 1A F8é\r>",
        "\uff17E8 04 41 0C 1A F8\r>",
    ],
    ids=repr,
)
def test_an_error_of_the_adapter_or_text_that_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        messages("010C", text)

    assert caught.value.profile == "obd"
    assert caught.value.data


@pytest.mark.parametrize(
    "text",
    [
        "\r".join(VIN_11_BIT),
        "\r".join(VIN_11_BIT).replace(" ", ""),
        "\r".join((VIN_11_BIT[0], VIN_11_BIT[2], VIN_11_BIT[1])),
    ],
    ids=["spaces", "no spaces", "frames out of order"],
)
def test_frames_with_an_11_bit_header_are_joined(text: str) -> None:
    assert messages("0902", text + "\r\r>") == [Message("7E8", VIN)]


@pytest.mark.parametrize("spaces", [True, False])
def test_frames_with_a_29_bit_header_are_joined(*, spaces: bool) -> None:
    lines = isotp("18DAF110", VIN)
    if spaces:
        lines = [bytes.fromhex(line).hex(" ").upper() for line in lines]

    assert messages("0902", "\r".join(lines)) == [Message("18DAF110", VIN)]


@pytest.mark.parametrize(
    "text",
    [
        "014\r0: 49 02 01 31 44 34\r1: 47 50 30 30 52 35 35\r2: 42 31 32 33 34 35 36\r\r>",
        "014\r0:490201314434\r1:47503030523535\r2:42313233343536\r\r>",
        "0140:4902013144341:475030305235352:42313233343536",
        "014\r0:490201314434\r2:42313233343536\r1:47503030523535\r\r>",
    ],
    ids=["spaces", "no spaces", "one line", "frames out of order"],
)
def test_numbered_lines_are_joined_and_cut_to_their_length(text: str) -> None:
    assert messages("0902", text) == [Message("", VIN)]


def test_frames_of_several_control_units_are_told_apart_by_their_headers() -> None:
    one, other = isotp("7E8", VIN), isotp("7E9", VIN[::-1])
    lines = [line for pair in zip(one, other, strict=True) for line in pair]

    found = messages("0902", "\r".join([*lines, "7EA0341001F"]))

    assert found == [
        Message("7E8", VIN),
        Message("7E9", VIN[::-1]),
        Message("7EA", b"\x41\x00\x1f"),
    ]


def test_control_units_without_headers_may_follow_one_another() -> None:
    text = "\r".join(["43010420", *numbered(VIN), *numbered(VIN[::-1])])

    assert [message.data for message in messages("03", text)] == [
        b"\x43\x01\x04\x20",
        VIN,
        VIN[::-1],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "014\r0:490201314434\r1:47503030523535",
        "014\r0:490201314434\r1:47503030523535\r1:47503030523535",
        "014\r0:490201314434\r1:47503030523535\r3:42313233343536",
        "014\r0:490201314434\r1:475030305235\r2:42313233343536",
        "014\r0:4902013144\r1:47503030523535\r2:42313233343536",
        "014\r0:490201314434\r1:47503030523535\r2:423132333435",
        "014\r0:490201314434\r1:47503030523535\r2:4231323334353637",
        "014\r014\r0:490201314434\r0:490201314434\r1:47503030523535\r1:47503030523535",
        "014\r1:47503030523535\r2:42313233343536",
        "014",
        "007\r0:490201314434\r1:47",
        "0:490201314434\r1:47503030523535\r2:42313233343536",
        "014\r0:49020131443\r1:47503030523535\r2:42313233343536",
        "014\r00:490201314434",
        "014\r:490201314434",
    ],
)
def test_numbered_lines_that_do_not_make_the_message_are_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        messages("0902", text)


@pytest.mark.parametrize(
    "text",
    [
        "7E8 04 41 0C 1A",
        "7E8 00",
        "7E8 08 41 0C 1A F8 00 00 00",
        "7E8 04 41 0C 1A F8 00 00 00 00",
        "7E8",
        "7E8 04",
        "7F0 04 41 0C 1A F8",
        "7E8 30 00 00",
        "7E8 21 47 50 30 30 52 35 35",
        "7E8 10 14 49 02 01 31 44 34",
        "7E8 10 14 49 02 01 31 44 34\r7E8 21 47 50 30 30 52 35 35\r7E8 03 41 0D 00",
        "7E8 10 14 49 02 01 31 44\r7E8 21 47 50 30 30 52 35 35\r7E8 22 42 31 32 33 34 35 36",
        "7E8 10 05 49 02 01 31 44 34",
        "18DAF110",
    ],
)
def test_frames_that_do_not_make_a_message_are_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        messages("010C", text)


@pytest.mark.parametrize(
    ("line", "ecu", "data"),
    [
        ("48 6B 10 41 0C 1A F8 22", "486B10", "410C1AF8"),  # ISO 9141-2, sum
        ("48 6B 10 41 00 BE 3E B8 11 FA", "486B10", "4100BE3EB811"),  # ELM327 data sheet
        ("84 F1 11 41 0C 1F 40 32", "84F111", "410C1F40"),  # KWP2000
        ("48 6B 10 41 0C 1A F8 23", "", "486B10410C1AF823"),  # a checksum that does not hold
        ("84 F1 11 41 0C 1F 40 33", "", "84F111410C1F4033"),
        ("41 6B 10 20", "", "416B1020"),
    ],
)
def test_older_headers_come_off_only_with_a_checksum_that_holds(
    line: str, ecu: str, data: str
) -> None:
    assert messages("010C", line) == [Message(ecu, bytes.fromhex(data))]


@given(
    size=st.integers(1, 300),
    header=st.sampled_from(["7E8", "7EF", "18DAF1A0"]),
    fill=st.binary(min_size=1, max_size=1),
)
def test_any_message_survives_its_frames(size: int, header: str, fill: bytes) -> None:
    data = bytes(range(256))[:size] + bytes(max(0, size - 256))

    with_headers = messages("010C", "\r".join(isotp(header, data, padding=fill)))
    without = messages("010C", "\r".join(numbered(data))) if size > 7 else [Message("", data)]

    assert with_headers == [Message(header, data)]
    assert without == [Message("", data)]


@given(text=st.text(st.sampled_from("0123456789ABCDEFabc:>\r\n\0 .?SEARCHINGNO DATA"), max_size=80))
def test_any_text_gives_messages_or_a_decode_error(text: str) -> None:
    try:
        found = messages("010C", text)
    except DecodeError:
        return

    assert sum(len(message.data) for message in found) <= len(text) <= ANSWER_BYTES_MAX
