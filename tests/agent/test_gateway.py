"""The composition root: what the configuration says becomes parts, or one clear line."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent import gateway
from agent.broker import BrokerError
from agent.config import Config, ConfigError, parse
from agent.gateway.connection import Users, connector
from agent.presence import Presence

TYRE = {
    "alias": "tyre",
    "kind": "tyre sensor",
    "address": "F0:00:00:00:00:02",
    "profile": "tyre",
    "subject": "car",
}
METER = TYRE | {"alias": "meter", "address": "F0:00:00:00:00:03", "profile": "bthome"}
HERE = Presence("shortid", "box", "gateway", "shortid", b"thisboot", "ntp")
NOBODY = Users(tuple, dict, {})


def config(home: Path, **more: Any) -> Config:  # noqa: ANN401  # tables of the file
    return parse({"gateway": {"home": str(home)}, **more})


def test_a_component_takes_its_silence_from_the_profile_unless_it_has_its_own(
    tmp_path: Path,
) -> None:
    own = METER | {"silence_max_s": 5.0, "alias": "own", "address": "F0:00:00:00:00:04"}

    meter, patient = gateway.read_components(config(tmp_path, components=[own, METER]))

    assert (meter.silence_max_ms, patient.silence_max_ms) == (5_000, 900_000)


def test_a_bind_key_is_read_from_its_file_and_is_in_no_repr(tmp_path: Path) -> None:
    file = tmp_path / "meter.key"
    file.touch(mode=0o600)
    file.write_text("231d39c1d7cc1ab1aee224cd096db932\n")

    (meter,) = gateway.read_components(
        config(tmp_path, components=[METER | {"bind_key_file": str(file)}])
    )

    assert meter.key == bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
    assert repr(meter.key) not in repr(meter)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not hexadecimal", "expected a readable file of 32 hex digits"),
        ("é", "expected a readable file of 32 hex digits"),
        ("00" * 15, "expected 32 hex digits .* got 15 bytes"),
        (None, "expected a readable file of 32 hex digits"),
    ],
)
def test_a_bind_key_that_is_none_is_named_without_being_shown(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    file = tmp_path / "meter.key"
    if content is not None:
        file.touch(mode=0o600)
        file.write_text(content, encoding="utf-8")
    wanted = config(tmp_path, components=[METER | {"bind_key_file": str(file)}])

    with pytest.raises(
        ConfigError, match=rf"components\[0\]\.bind_key_file: {complaint}"
    ) as caught:
        gateway.read_components(wanted)

    assert content is None or content not in str(caught.value)


def test_a_profile_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    wanted = config(tmp_path, components=[TYRE | {"profile": "tire"}])

    with pytest.raises(ConfigError, match=r"components\[0\]\.profile: .*tyre.*'tire'"):
        gateway.read_components(wanted)


def test_a_password_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    settings = {"url": "mqtt://127.0.0.1:1", "password_file": str(tmp_path / "nowhere")}
    wanted = config(tmp_path / "home", broker=settings)
    stores = gateway.open_home(wanted, [])

    try:
        with pytest.raises(BrokerError, match=r"broker\.password_file: expected a readable file"):
            connector(wanted, stores, HERE, NOBODY)
    finally:
        stores.close()


async def test_another_broker_is_reached_with_what_the_configuration_says(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    wanted = config(
        tmp_path / "home",
        broker={
            "url": "mqtt://127.0.0.1:1",
            "user": "me",
            "password_file": str(password),
            "ca_file": "ca.crt",
            "cert_file": "certs/me.crt",
            "key_file": "certs/me.key",
        },
    )
    stores = gateway.open_home(wanted, [])
    try:
        async with asyncio.TaskGroup() as tasks:
            connection = await connector(wanted, stores, HERE, NOBODY)(tasks)
            ours = connection.endpoint(stores.signer.public.short_id)
            theirs = connection.endpoint("brand")
            for task in connection.tasks:
                task.cancel()
    finally:
        stores.close()

    assert (ours.user, ours.password, ours.certificate) == ("me", "secret", Path("certs/me.crt"))
    assert (theirs.user, theirs.password) == ("brand", "")
    assert (theirs.certificate, theirs.key) == (Path("certs/brand.crt"), Path("certs/brand.key"))
