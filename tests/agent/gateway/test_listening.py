"""From a configuration to a radio: each engine by its word, and never the virtual one unasked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, ConfigError, parse, read
from agent.gateway.listening import listening
from firmware_bridge.errors import RadioUnavailableError

CONFIGS = Path(__file__).parents[3] / "configs"


def config(tmp_path: Path, **radio: Any) -> Config:  # noqa: ANN401  # settings as they are
    return parse({"gateway": {"home": str(tmp_path / "home")}, "radio": radio})


@pytest.mark.parametrize("kind", ["auto", "bluez"])
async def test_without_an_adapter_the_radio_says_what_mends_it_and_simulates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")

    with pytest.raises(RadioUnavailableError, match="run: "):
        async with listening(config(tmp_path, kind=kind)):
            pytest.fail("a radio came from nowhere")


@pytest.mark.parametrize("kind", ["auto", "bluez"])
async def test_where_an_adapter_answers_bluez_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def nothing(_: str) -> str:
        await asyncio.sleep(0)
        return ""

    monkeypatch.setattr("firmware_bridge.radio.adapter.what_is_missing", nothing)

    async with listening(config(tmp_path, kind=kind)) as scene:
        assert scene.ears.radio.kind == "bluez"
        assert scene.hood is None


async def test_a_recording_is_played_for_the_components_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = read(CONFIGS / "replay.toml")
    monkeypatch.chdir(CONFIGS.parent)

    async with listening(replay) as scene:
        assert scene.ears.radio.kind == "replay"
        assert len(scene.ears.components) == len(replay.components)

    with pytest.raises(ConfigError, match=r"radio\.replay_file: expected the file"):
        async with listening(config(tmp_path, kind="replay")):
            pytest.fail("nothing to play")


async def test_the_virtual_radio_brings_its_own_components(tmp_path: Path) -> None:
    async with listening(config(tmp_path, kind="virtual")) as scene:
        assert scene.ears.radio.kind == "virtual"
        assert scene.hood is not None
        assert len(scene.ears.components) == 11

    table = {"alias": "x", "kind": "x", "address": "00:00:00:00:00:01", "profile": "tyre"}
    both = parse(
        {
            "gateway": {"home": str(tmp_path)},
            "radio": {"kind": "virtual"},
            "components": [table | {"subject": "car"}],
        }
    )
    with pytest.raises(ConfigError, match="components: expected none"):
        async with listening(both):
            pytest.fail("two kinds of components")


async def test_a_bind_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.hex"
    key.write_text("00" * 16)
    key.chmod(0o644)
    table = {
        "alias": "x",
        "kind": "x",
        "address": "00:00:00:00:00:01",
        "profile": "bthome",
        "subject": "car",
        "bind_key_file": str(key),
    }
    settings = parse(
        {
            "gateway": {"home": str(tmp_path)},
            "radio": {"kind": "replay", "replay_file": str(CONFIGS / "replay.jsonl")},
            "components": [table],
        }
    )

    with pytest.raises(ConfigError, match=f"chmod 600 {key}"):
        async with listening(settings):
            pytest.fail("an open key was used")
    key.chmod(0o600)
    async with listening(settings) as scene:
        (component,) = scene.ears.components

    assert component.key == bytes(16)
    assert "key" not in repr(component)
    assert component.silence_max_ms == component.profile.silence_max_s * 1000
