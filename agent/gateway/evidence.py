"""From the configuration to the log's place among others: its HTTP service and its witnesses.

A witness of its own (`milepost witness`) is put together here too. What is not switched on is not
imported.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from agent import topics, witnessed
from agent.broker.endpoint import Endpoint
from agent.broker.mqtt import Limits as MqttLimits
from agent.broker.mqtt import MqttBroker
from agent.config import Config, ConfigError
from agent.gateway.connection import read_password_file
from agent.home import Home
from agent.running import Connection, Deal
from agent.stores import Stores
from ledger_client import checkpoints
from ledger_client.checkpoints import COSIGNATURE, ED25519, Verifier
from ledger_client.database import open_database
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey

if TYPE_CHECKING:
    from aiohttp import web

    from agent.cosigning import Cosigner
    from agent.httpd import Door


def cosigner(config: Config, stores: Stores) -> "Cosigner | None":
    """Who asks what others remember of our log; None where nobody outside this home could know."""
    chosen = config.ledger.witnesses
    if not chosen and config.broker.url == "embedded":
        return None
    from agent.cosigning import Cosigner, Known  # noqa: PLC0415  # only where somebody is asked

    witnesses = [
        Known(_verifier(f"ledger.witnesses[{number}].vkey", each.vkey, COSIGNATURE), each.url)
        for number, each in enumerate(chosen)
    ]
    me = stores.signer.public.short_id
    keep = partial(witnessed.keep, stores.home.path)
    return Cosigner(stores.log, stores.mark, me, witnesses, keep)


def witness_rules(config: Config) -> Mapping[str, topics.Rules]:
    """What the witnesses that come over MQTT may do on an embedded broker, by short id."""
    ids = [
        _verifier("ledger.witnesses", each.vkey, COSIGNATURE).public.short_id
        for each in config.ledger.witnesses
        if each.url == "mqtt"
    ]
    return {each: topics.witness_rules(each) for each in ids}


def log_service(
    config: Config, stores: Stores, now_s: Callable[[], int], asking: "Cosigner | None"
) -> list[Deal]:
    """The log over HTTP, if it is on."""
    settings = config.ledger.service
    if not settings.enabled:
        return []
    from agent.httpd import Door, Limits  # noqa: PLC0415  # heavy: aiohttp
    from agent.scrapi import Service  # noqa: PLC0415  # heavy: aiohttp

    issuers = [PublicKey.from_did(did) for did in settings.issuers]
    note = asking.note if asking else None
    service = Service(stores.log, stores.log_key, issuers, now_s, note)
    limits = Limits(settings.body_bytes_max, settings.requests_per_s_max, settings.connections_max)
    where = f"ledger.service: {settings.host} port {settings.port}"
    return [_Served(Door(service.routes(), limits), settings.host, settings.port, where)]


class _Served:
    """A door as a part of the running gateway."""

    def __init__(self, door: "Door", host: str, port: int, where: str) -> None:
        self._door = door
        self._host, self._port, self._where = host, port, where

    async def run(self, _: Connection) -> None:
        """Answer until cancelled; raises ConfigError when the address cannot be had."""
        await serve(self._door, self._host, self._port, self._where)

    async def settle(self) -> None:
        """Requests are answered to the end."""


async def serve(door: "Door", host: str, port: int, where: str) -> None:
    """Answer on one address until cancelled.

    Raises:
        ConfigError: it cannot be had; `where` names the table of the configuration.
    """
    try:
        await door.serve(host, port)
    except OSError as error:
        raise ConfigError(
            f"{where}: expected an address that is free, got: {error.strerror or error}"
        ) from error


def witness_verifier(config: Config) -> Verifier:
    """The verifier key of the witness of the configuration; its key is made if there is none yet.

    Raises:
        ConfigError: the witness has no name.
        HomeError: the home cannot be had.
    """
    name, home = config.witness.name, Home(Path(config.gateway.home))
    if not name:
        raise ConfigError('witness: expected name = "DOMAIN/NAME", which is part of its key')
    home.create()
    return Verifier(name, home.key("witness").public, COSIGNATURE)


async def witness(
    config: Config, now_s: Callable[[], int], stop: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Cosign for the logs of the configuration until `stop`, over MQTT and, if it is on, HTTP.

    Raises:
        ConfigError: no name, no logs, or neither a broker to go to nor HTTP.
        HomeError, LedgerError, BrokerError: as everywhere.
    """
    from agent.witness import Desk  # noqa: PLC0415  # only for this command
    from ledger_client.witness import Witness  # noqa: PLC0415  # only for this command

    settings, home = config.witness, Home(Path(config.gateway.home))
    logs = [
        _verifier(f"witness.logs[{number}]", text, ED25519)
        for number, text in enumerate(settings.logs)
    ]
    over_mqtt = config.broker.url != "embedded"
    if not logs or not settings.name or not (over_mqtt or settings.enabled):
        raise ConfigError(
            "witness: expected a name, the verifier keys of logs, and broker.url or"
            " witness.enabled = true, got less"
        )
    home.create()
    home.lock()
    try:
        key = home.key("witness")
        with closing(open_database(home.path / "witness.db")) as connection:
            one = Witness(connection, key, settings.name, logs)
            one.create()
            desk, me = Desk(one, now_s), key.public.short_id
            say(f"{me} cosigns for {len(logs)} logs as {one.verifier.vkey}")
            async with asyncio.TaskGroup() as tasks:
                work = []
                if over_mqtt:
                    broker = _broker(config, me)
                    work += [
                        tasks.create_task(broker.run()),
                        tasks.create_task(desk.run(broker, me, watch=settings.watch)),
                    ]
                if settings.enabled:
                    work.append(tasks.create_task(_serve_witness(config, desk.routes())))
                await stop.wait()
                for task in work:
                    task.cancel()
    finally:
        home.unlock()


async def _serve_witness(config: Config, routes: "Iterable[web.RouteDef]") -> None:
    from agent.httpd import Door, Limits  # noqa: PLC0415  # heavy: aiohttp

    settings = config.witness
    limits = Limits(
        requests_per_s_max=settings.requests_per_s_max, connections_max=settings.connections_max
    )
    where = f"witness: {settings.host} port {settings.port}"
    await serve(Door(list(routes), limits), settings.host, settings.port, where)


def _broker(config: Config, me: str) -> MqttBroker:
    settings = config.broker
    endpoint = Endpoint(
        settings.url,
        f"milepost-{me}",
        user=settings.user or me,
        password=read_password_file(settings.password_file) if settings.password_file else "",
        ca=Path(settings.ca_file) if settings.ca_file else None,
        certificate=Path(settings.cert_file) if settings.cert_file else None,
        key=Path(settings.key_file) if settings.key_file else None,
    )
    limits = MqttLimits(settings.in_flight_max, settings.inbox_max)
    return MqttBroker(endpoint, random=Random(), limits=limits)  # noqa: S311  # jitter, not a secret


def _verifier(where: str, text: str, kind: int) -> Verifier:
    try:
        verifier = checkpoints.parse_vkey(text)
    except EncodingError as error:
        raise ConfigError(f"{where}: {error}, got {text[:120]!r}") from error
    if verifier.kind != kind:
        wanted = "a witness (type 04)" if kind == COSIGNATURE else "a log (type 01)"
        raise ConfigError(f"{where}: expected the verifier key of {wanted}, got another kind")
    return verifier
