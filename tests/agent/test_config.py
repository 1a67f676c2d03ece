"""The configuration: every wrong word is named, with what was expected and what came."""

from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, ConfigError, parse, read

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
STRAP = {
    "alias": "strap",
    "kind": "heart strap",
    "address": "F0:00:00:00:00:01",
    "profile": "heart-rate",
    "subject": "runner",
}


def tables(**more: Any) -> dict[str, Any]:  # noqa: ANN401  # a table of the file
    return {"gateway": {"home": "/var/lib/milepost"}, **more}


def test_a_home_is_all_that_must_be_said() -> None:
    config = parse(tables())

    assert config.gateway.home == "/var/lib/milepost"
    assert (config.radio.kind, config.broker.url) == ("auto", "embedded")


def test_components_and_trading_are_read() -> None:
    config = parse(tables(components=[STRAP], trading={"funded_minor_units": 7}))

    assert (config.components[0].alias, config.trading.funded_minor_units) == ("strap", 7)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configurations_that_we_ship_are_right(path: Path) -> None:
    assert isinstance(read(path), Config)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, ["gateway", "expected a value", "none"]),
        ({"gateway": {}}, ["gateway.home", "expected a value", "none"]),
        ({"gateway": 5}, ["gateway", "object", "5"]),
        ({"gateway": {"home": 5}}, ["gateway.home", "str", "5"]),
        (tables(rdaio={}), ["rdaio", "radio", "unknown"]),
        (
            tables(radio={"kind": "wifi"}),
            ["radio.kind", "auto, bluez, none, replay, virtual", "'wifi'"],
        ),
        (tables(radio={"connections_max": 0}), ["radio.connections_max", ">= 1", "0"]),
        (tables(journal={"commit_age_max_s": 9}), ["journal.commit_age_max_s", "<= 0.25", "9"]),
        (tables(journal={"bytes_max": 5}), ["journal.bytes_max", ">= 65536", "5"]),
        (tables(batch={"readings_max": 70_000}), ["batch.readings_max", "<= 65536", "70000"]),
        (tables(broker={"url": "http://x"}), ["broker.url", "mqtts?", "'http://x'"]),
        (tables(broker={"port": "x" * 300}), ["broker.port", "int", "x" * 60]),
        (tables(broker={"observers": ["ok", "No"]}), ["broker.observers[1]", "regex", "'No'"]),
        (tables(ledger={"asset": "euro"}), ["ledger.asset", "[A-Z]{3}", "'euro'"]),
        (tables(components={"a": 1}), ["components", "array", "a table"]),
        (tables(broker={"observers": {"a": 1}}), ["broker.observers", "array", "a table"]),
        (tables(gateway={"home": ["/x"]}), ["gateway.home", "str", "an array"]),
        (tables(components=[STRAP | {"alias": "A B"}]), ["components[0].alias", "'A B'"]),
        (tables(components=[STRAP | {"address": "f0"}]), ["components[0].address", "'f0'"]),
        (
            tables(components=[STRAP, STRAP | {"alias": "other"}]),
            ["components.address", "once", "F0:00:00:00:00:01"],
        ),
        (
            tables(components=[STRAP, STRAP | {"address": "F0:00:00:00:00:02"}]),
            ["components.alias", "once", "strap"],
        ),
        (
            tables(components=[{k: v for k, v in STRAP.items() if k != "profile"}]),
            ["components[0].profile", "expected a value", "none"],
        ),
        (tables(trading={"window_minor_units": 0}), ["trading.window_minor_units", ">= 1", "0"]),
    ],
)
def test_a_wrong_word_is_named_with_what_was_expected_and_what_came(
    wrong: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(wrong)

    assert str(caught.value).startswith(words[0])
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "wrong",
    [
        tables(broker={"password": "hunter2"}),
        tables(broker={"password_file": ["hunter2"]}),
        tables(broker={"key_file": {"hunter2": 1}}),
        tables(components=[STRAP | {"bind_key": "hunter2"}]),
        tables(components=[{"bind_key_file": "hunter2"}]),
        tables(components={"bind_key": "hunter2"}),
        {"gateway": {"secret": "hunter2"}},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(wrong)

    assert "hunter2" not in str(caught.value)


def test_a_file_that_cannot_be_read_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot read.*--config FILE"):
        read(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xfe", "expected UTF-8"),
        (b"[gateway\n", "line 1"),
        (b"[gateway]\nhome = 5\n", r"gateway\.home: expected `str`, got 5"),
    ],
)
def test_a_file_with_something_wrong_is_named(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "box.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=rf"box\.toml: .*{complaint}"):
        read(path)
