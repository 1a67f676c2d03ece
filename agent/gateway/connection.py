"""The way to the broker that the configuration names: ours as a child, or any other by its url."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from agent import topics
from agent.broker import BrokerError
from agent.broker.embedded import EmbeddedBroker, User, read_password
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import Limits, MqttBroker
from agent.config import Config
from agent.presence import Presence
from agent.running import Connection, nobody, nothing
from agent.stores import Stores


@dataclass(frozen=True, slots=True)
class Users:
    """Who uses an embedded broker beside the gateway, by short id.

    It speaks for its components and those that are `relayed`. Who is relayed and who is a guest is
    looked at again when the users are refreshed; the `apps` are those of the start.
    """

    relayed: Callable[[], Iterable[str]]
    guests: Callable[[], Mapping[str, topics.Rules]]
    apps: Mapping[str, topics.Rules]


def connector(
    config: Config, stores: Stores, presence: Presence, others: Users
) -> Callable[[asyncio.TaskGroup], Awaitable[Connection]]:
    """Starts the connection when it is called, and an embedded broker before it."""
    settings, random = config.broker, Random()  # noqa: S311  # jitter, not a secret
    gateway, passwords = stores.signer.public.short_id, stores.home.broker_users
    outside = read_password_file(settings.password_file) if settings.password_file else ""

    def users(apps: Mapping[str, topics.Rules]) -> list[User]:
        speaks_for = [*(each.id for each in stores.components.values()), *others.relayed()]
        rules = {**apps, gateway: topics.gateway_rules(gateway, speaks_for), **others.guests()}
        rules |= dict.fromkeys(settings.observers, topics.DASHBOARD)
        return [User(name, read_password(passwords, name), rule) for name, rule in rules.items()]

    def endpoint(url: str, user: str) -> Endpoint:
        """How `user` gets to the broker: by the embedded one's password, or by what is set."""
        if settings.url == "embedded":
            return Endpoint(url, f"milepost-{user}", user, read_password(passwords, user))
        own = user == gateway
        folder = Path(settings.cert_file).parent
        return Endpoint(
            url,
            f"milepost-{user}",
            user=settings.user if own and settings.user else user,
            password=outside if own else "",
            ca=_path(settings.ca_file),
            certificate=_path(settings.cert_file) if own else folder / f"{user}.crt",
            key=_path(settings.key_file) if own else folder / f"{user}.key",
        )

    async def connect(services: asyncio.TaskGroup) -> Connection:
        tasks, url, door = [], settings.url, Door(nobody, nothing)
        if url == "embedded":
            embedded = EmbeddedBroker(
                stores.home.broker,
                users(others.apps),
                random=random,
                port=settings.port,
                websocket_port=settings.websocket_port,
                bytes_max=settings.bytes_max,
            )
            tasks.append(services.create_task(embedded.run()))
            await embedded.ready.wait()
            url, door = embedded.url, _door(embedded, users, others.apps)
        broker = MqttBroker(
            endpoint(url, gateway),
            random=random,
            limits=Limits(settings.in_flight_max, settings.inbox_max),
            will=presence.said("offline"),
            hello=lambda: presence.said("online"),
        )
        carriers = [services.create_task(broker.run()), *tasks]
        return Connection(broker, partial(endpoint, url), carriers, *door)

    return connect


class Door(NamedTuple):
    """The two ways to change who may use the broker, as `Connection` has them."""

    admit: Callable[[Mapping[str, topics.Rules]], Awaitable[None]]
    refresh: Callable[[], Awaitable[None]]


def _door(
    embedded: EmbeddedBroker,
    users: Callable[[Mapping[str, topics.Rules]], list[User]],
    apps: Mapping[str, topics.Rules],
) -> Door:
    """Those of our own broker, one change after the other."""
    latest, one_by_one = [apps], asyncio.Lock()

    async def refresh() -> None:
        async with one_by_one:
            await embedded.admit(users(latest[0]))

    async def admit(fresh: Mapping[str, topics.Rules]) -> None:
        latest[0] = fresh
        await refresh()

    return Door(admit, refresh)


def read_password_file(file: str) -> str:
    """The password in a file; raises BrokerError when it cannot be read."""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(
            f"broker.password_file: expected a readable file with the password at {file}"
        ) from error


def _path(text: str) -> Path | None:
    return Path(text) if text else None
