"""Atheris target: any bytes, as every kind of packet that one profile decodes.

Run it where atheris is installed: `python tests/fuzz/fuzz_decode.py PROFILE -max_total_time=60`.
PROFILE is a built-in profile's name, or `line` for a line of `milepost decode`. Anything but
readings or `DecodeError` is a finding.
"""

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # in the fuzzing environment only

with atheris.instrument_imports(include=["firmware_bridge", "agent"]):
    from agent.cli import decode
    from firmware_bridge import profiles
    from firmware_bridge.errors import DecodeError
    from firmware_bridge.packets import Advert, Answer, Notification, Packet, uuid128
    from firmware_bridge.profiles import bthome, ruuvi, tyre
    from firmware_bridge.profiles.profile import Profile

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


def main(arguments: list[str]) -> None:
    """Fuzz what the first argument names; the others are libFuzzer's."""
    name = arguments.pop(1)
    if name == "line":
        atheris.Setup(arguments, lambda data: list(decode.run([data])))
    else:
        profile = profiles.by_name(name)
        atheris.Setup(arguments, lambda data: one_profile(profile, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
