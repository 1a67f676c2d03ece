"""What stops the start of a broker or of a connection to one, and who may read its files."""
# ruff: noqa: ANN401  # what a conftest yields cannot be imported in importlib mode

import asyncio
import socket
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent import topics
from agent.broker import BrokerError
from agent.broker.embedded import EmbeddedBroker, User, read_password
from agent.broker.endpoint import Endpoint


async def test_a_busy_port_is_one_clear_error(open_nats: Any) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        server = open_nats(port=busy.getsockname()[1])

        with pytest.raises(BrokerError, match=r"cannot have port \d+ of 127.0.0.1: .*in use"):
            await asyncio.wait_for(server.run(), 10)


async def test_a_folder_that_cannot_be_used_is_one_clear_error(
    open_nats: Any, tmp_path: Path
) -> None:
    (tmp_path / "site").write_text("a file")

    with pytest.raises(BrokerError, match="cannot write"):
        await asyncio.wait_for(open_nats().run(), 10)


async def test_a_server_that_does_not_start_says_why(open_nats: Any, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "store").write_text("a file where the store belongs")

    with pytest.raises(BrokerError, match=r"nats-server ended with 1: .*storage directory"):
        await asyncio.wait_for(open_nats().run(), 15)


async def test_configuration_and_passwords_are_for_us_only(started: Any) -> None:
    async with started() as server:
        conf = server._folder / "nats.json"
        assert conf.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(server._users)


def test_a_password_is_made_once_and_stays(tmp_path: Path) -> None:
    first = read_password(tmp_path / "passwords", "gateway")

    assert read_password(tmp_path / "passwords", "gateway") == first
    assert len(first) == 32
    assert (tmp_path / "passwords" / "gateway").stat().st_mode & 0o777 == 0o600


def test_a_spoilt_password_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("")

    with pytest.raises(BrokerError, match="delete it"):
        read_password(tmp_path, "gateway")


def test_a_password_that_the_configuration_cannot_hold_is_refused(tmp_path: Path) -> None:
    user = User("gateway", 'a"b', topics.component_rules("gateway"))

    with pytest.raises(BrokerError, match="password of gateway"):
        asyncio.run(EmbeddedBroker(tmp_path, [user], random=Random(1)).run())


@pytest.mark.parametrize("url", ["http://here", "mqtt://", "mqtts://host:port", "127.0.0.1:1883"])
def test_a_bad_url_is_one_clear_error(url: str) -> None:
    with pytest.raises(BrokerError, match="expected mqtt://HOST:PORT"):
        Endpoint(url, "gateway")


def test_a_missing_certificate_is_one_clear_error(tmp_path: Path) -> None:
    endpoint = Endpoint("mqtts://127.0.0.1", "gateway", ca=tmp_path / "ca.crt")

    with pytest.raises(BrokerError, match="cannot use ca"):
        endpoint.tls()
