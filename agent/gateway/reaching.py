"""One command's way to a broker: as the gateway of a home or as anybody else, for a moment.

The session is another than that of a gateway that runs. Where a broker binds one session to a
certificate, the two take turns: let standing orders accept there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agent import keyring
from agent.broker import BrokerError
from agent.broker.embedded import LOOPBACK, read_password
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import MqttBroker
from agent.config import Broker, Config
from agent.gateway.connection import read_password_file
from agent.home import Home

CONNECT_MAX_S = 8.0


@dataclass(frozen=True, slots=True)
class Way:
    """What a command line says about the way; what is empty is the gateway's own."""

    url: str = ""
    user: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


def of_gateway(home: Home, config: Config | None, way: Way) -> Endpoint:
    """As the gateway of a home, to the broker of its configuration or the embedded one."""
    settings = config.broker if config else Broker()
    me = home.own_key(keyring.GATEWAY).public.short_id
    if settings.url != "embedded" and not way.url:
        own = Way(
            settings.url,
            settings.user,
            settings.password_file,
            settings.ca_file,
            settings.cert_file,
            settings.key_file,
        )
        return of_stranger(me, own)
    if way.url and (way.user or way.password_file or way.cert_file):
        return of_stranger(me, way)
    url = way.url or f"mqtt://{LOOPBACK}:{settings.port}"
    return Endpoint(url, f"milepost-{me}-command", me, read_password(home.broker_users, me))


def of_stranger(me: str, way: Way, session: str = "command") -> Endpoint:
    """As the user `me`, or whom the way names; each `session` is one connection at a time."""
    password = read_password_file(way.password_file) if way.password_file else ""
    return Endpoint(
        way.url,
        f"milepost-{me}-{session}",
        way.user or me,
        password,
        _path(way.ca_file),
        _path(way.cert_file),
        _path(way.key_file),
    )


@asynccontextmanager
async def reached(
    endpoint: Endpoint,
    will: tuple[str, bytes] | None = None,
    hello: Callable[[], tuple[str, bytes]] | None = None,
) -> AsyncIterator[MqttBroker]:
    """A connection that answers, until the context ends.

    Raises:
        BrokerError: it refuses us, or there is none.
    """
    random = Random()  # noqa: S311  # jitter, not a secret
    broker = MqttBroker(endpoint, random=random, will=will, hello=hello)
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(broker.run())
            await _answering(broker, endpoint)
            yield broker
            task.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        raise group.exceptions[0] from None


async def _answering(broker: MqttBroker, endpoint: Endpoint) -> None:
    try:
        async with asyncio.timeout(CONNECT_MAX_S):
            await broker.connected.wait()
    except TimeoutError as error:
        raise BrokerError(
            f"expected a broker at {endpoint.url}, none answers; start it (milepost run has one of"
            " its own), or name another with --broker or --config"
        ) from error


def _path(text: str) -> Path | None:
    return Path(text) if text else None
