"""Atheris target: any bytes, as every kind of packet that one profile decodes.

Run it where atheris is installed: `fuzz_decode.py --all --seconds 60`, or `fuzz_decode.py TARGET`
with a profile's name, or `line` for a line of `milepost decode`; options of libFuzzer may follow.
It starts from the decode vectors. Anything but readings or `DecodeError` is a finding: it ends.
"""

import json
import sys
from pathlib import Path

import running

with running.atheris.instrument_imports(include=["firmware_bridge", "agent.cli.decode"]):
    from agent.cli import decode
    from firmware_bridge import profiles
    from firmware_bridge.errors import DecodeError
    from firmware_bridge.packets import Advert, Answer, Notification, Packet, uuid128
    from firmware_bridge.profiles import bthome, ruuvi, tyre
    from firmware_bridge.profiles.profile import Profile

VECTORS = Path(__file__).parents[1] / "vectors" / "decode" / "examples.jsonl"
BYTES_MAX = 400
KEY = bytes(16)
ADDRESS = "54:48:E6:8F:80:A5"
REQUESTS = ("010C", "010C0D0B1005", "0114", "0100", "03", "0902", "0904")


def packets(profile: Profile, data: bytes) -> list[Packet]:
    """The bytes as each packet that the profile could be handed."""
    found: list[Packet] = [
        Notification(ADDRESS, "", uuid128(characteristic), data, False, 0, 0)
        for characteristic in profile.characteristics
    ]
    if profile.advert:
        companies = {ruuvi.MANUFACTURER: data, tyre.MANUFACTURER: data}
        found += [
            Advert(ADDRESS, "TPMS", companies, {uuid: data}, (), 0, 0, 0)
            for uuid in bthome.VERSIONS
        ]
    if profile.answer:
        text = data[1:].decode("latin-1")
        request = REQUESTS[data[0] % len(REQUESTS)] if data else REQUESTS[0]
        found.append(Answer(ADDRESS, request, text, False, 0, 0))
    return found


def one_profile(profile: Profile, data: bytes) -> None:
    """Decode the bytes with and without a key."""
    for packet in packets(profile, data):
        for key in (None, KEY):
            try:
                profiles.decode(packet, profile, key)
            except DecodeError:
                continue


def one_line(data: bytes) -> None:
    """Answer the bytes as a line, which is an answer whatever they are."""
    for answer in decode.run([data]):
        json.loads(answer)


def seeds(line: str) -> list[bytes]:
    """The payloads of one vector, as the targets take them."""
    given = json.loads(line)["input"]
    payloads = [given.get("hex", "")]
    payloads += given.get("manufacturer_data", {}).values()
    payloads += given.get("service_data", {}).values()
    text = [b"\0" + given["text"].encode()] if "text" in given else []
    return [json.dumps(given).encode(), *text, *(bytes.fromhex(one) for one in payloads if one)]


def target(profile: Profile) -> running.Target:
    """What takes bytes for one profile."""
    return lambda data: one_profile(profile, data)


TARGETS = {each.name: target(each) for each in profiles.BUILTIN} | {"line": one_line}


if __name__ == "__main__":
    sys.exit(
        running.main(
            __file__,
            TARGETS,
            (seed for line in VECTORS.read_text().splitlines() for seed in seeds(line)),
            BYTES_MAX,
        )
    )
