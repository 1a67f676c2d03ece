"""Every configuration that we ship loads, and names what there is."""

from pathlib import Path

import pytest

from agent.config import read
from firmware_bridge.profiles import by_name
from firmware_bridge.radio.recording import from_line

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_configuration_loads_and_every_profile_is_there(path: Path) -> None:
    config = read(path)

    assert all(by_name(each.profile) for each in config.components)
    assert path.read_text(encoding="utf-8").startswith("#"), "it tells its user what it is for"


def test_the_four_examples_are_there() -> None:
    assert {path.stem for path in CONFIGS.glob("*.toml")} == {
        "car",
        "demo",
        "replay",
        "wearables",
    }


def test_the_recording_is_of_the_components_of_its_configuration() -> None:
    config = read(CONFIGS / "replay.toml")
    lines = (CONFIGS.parent / config.radio.replay_file).read_text(encoding="utf-8").splitlines()

    heard = {from_line(line).address for line in lines}

    assert heard == {each.address for each in config.components}
