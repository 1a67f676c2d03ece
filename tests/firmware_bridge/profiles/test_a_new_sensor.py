"""The walk-through in docs/a-new-sensor.md is run as it is printed."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.cli import decode as command
from firmware_bridge import profiles
from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, Notification, uuid128
from firmware_bridge.profiles.profile import Profile

PAGE = (Path(__file__).parents[3] / "docs" / "a-new-sensor.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def insole() -> Profile:
    module = ModuleType("insole")
    (source,) = blocks("python")
    exec(compile(source, "insole.py", "exec"), module.__dict__)
    profile = module.__dict__["PROFILE"]
    assert isinstance(profile, Profile)
    return profile


def outcome(profile: Profile, vector: dict[str, Any]) -> object:
    packet: Advert | Notification
    if vector["from"] == "gatt":
        data = bytes.fromhex(vector["hex"])
        packet = Notification("", "", uuid128(vector["characteristic"]), data, False, 0, 0)
    else:
        payloads = {int(k, 16): bytes.fromhex(v) for k, v in vector["manufacturer_data"].items()}
        packet = Advert("", "", payloads, {}, (), 0, 0, 0)
        assert profile.matches_advert is not None
        if not profile.matches_advert(packet):
            return "unsupported"
    try:
        return {one.quantity: one.value for one in profiles.decode(packet, profile)}
    except DecodeError:
        return "error"


@pytest.mark.parametrize("line", "".join(blocks("jsonl")).splitlines())
def test_a_vector_of_the_page_comes_out_as_printed(line: str) -> None:
    vector = json.loads(line)

    assert outcome(insole(), vector) == vector["expect"]


def test_the_profile_of_the_page_is_about_20_lines_of_code() -> None:
    (source,) = blocks("python")

    body = [line for line in source.splitlines() if line.strip() and '"""' not in line]

    assert len(body) <= 32


def test_the_command_of_the_page_answers_as_printed() -> None:
    given, printed = re.findall(r"echo '(.*)' \| milepost decode\n(.*)", PAGE)[0]

    assert list(command.run([given])) == [printed]
