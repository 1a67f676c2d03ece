"""Atheris target: any bytes, as every kind of packet that one profile decodes.

Run it where atheris is installed: `fuzz_decode.py --all --seconds 60`, or `fuzz_decode.py TARGET`
with a profile's name, or `line` for a line of `milepost decode`; options of libFuzzer may follow.
It starts from the decode vectors. Anything but readings or `DecodeError` is a finding: it ends.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris")  # in the fuzzing environment only

with atheris.instrument_imports(include=["firmware_bridge", "agent.cli.decode"]):
    from agent.cli import decode
    from firmware_bridge import profiles
    from firmware_bridge.errors import DecodeError
    from firmware_bridge.packets import Advert, Answer, Notification, Packet, uuid128
    from firmware_bridge.profiles import bthome, ruuvi, tyre
    from firmware_bridge.profiles.profile import Profile

VECTORS = Path(__file__).parents[1] / "vectors" / "decode" / "examples.jsonl"
LINE = "line"
TARGETS = (*(profile.name for profile in profiles.BUILTIN), LINE)
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


def fuzz(target: str, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process, with 0 when nothing was found."""
    arguments = [sys.argv[0], f"-max_len={BYTES_MAX}", "-verbosity=0", *options]
    if target == LINE:
        atheris.Setup(arguments, one_line)
    else:
        profile = profiles.by_name(target)
        atheris.Setup(arguments, lambda data: one_profile(profile, data))
    atheris.Fuzz()


def main() -> int:
    """Fuzz each target in a process of its own, because libFuzzer does not return."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--all", action="store_true", help="every target, one after another")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen, options = parser.parse_known_args()
    if bool(chosen.target) is chosen.all:
        parser.error("want a target or --all")
    if chosen.inside:
        fuzz(chosen.target, options)
    for target in TARGETS if chosen.all else (chosen.target,):
        print(f"{target}: {chosen.seconds} s", flush=True)  # noqa: T201  # a script for people
        with tempfile.TemporaryDirectory() as corpus:
            for number, line in enumerate(VECTORS.read_text().splitlines()):
                for part, seed in enumerate(seeds(line)):
                    Path(corpus, f"{number}-{part}").write_bytes(seed)
            limit = f"-max_total_time={chosen.seconds}"
            run = [sys.executable, __file__, "--inside", target, limit, *options, corpus]
            if status := subprocess.run(run, check=False).returncode:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
