"""What every command that goes to a broker asks for, and what it makes of that."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from agent.broker import BrokerError
from agent.broker.endpoint import Endpoint
from agent.cli.status import HOMES
from agent.config import Config, read
from agent.gateway import reaching
from agent.gateway.reaching import Way
from agent.home import Home as Folder
from agent.home import HomeError
from agent.status import printable

LINE_CHARACTERS_MAX = 400

HomeOrFound = Annotated[
    Path | None, typer.Option("--home", help="The gateway's home folder; else one that is found.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="The gateway's configuration: its home and broker.")
]
Url = Annotated[str, typer.Option("--broker", help="Another broker: mqtt:// or mqtts://HOST:PORT.")]
User = Annotated[str, typer.Option("--user", help="Who we are there.")]
PasswordFile = Annotated[str, typer.Option("--password-file", help="The file of its password.")]
Ca = Annotated[str, typer.Option("--ca", help="PEM: whose certificates we trust.")]
Cert = Annotated[str, typer.Option("--cert", help="PEM: our certificate.")]
CertKey = Annotated[str, typer.Option("--cert-key", help="PEM: its key.")]


def place(home: Path | None, config: Path | None) -> tuple[Folder, Config | None]:
    """The home that is meant, and its configuration if one is named."""
    settings = read(config) if config else None
    if home is None and settings is not None:
        home = Path(settings.gateway.home)
    if home is None:
        home = next(filter(Path.is_dir, HOMES), None)
    if home is None:
        raise HomeError("expected the home of a gateway; name it with --home or --config")
    return Folder(home), settings


def way_of(folder: Folder, settings: Config | None, way: Way) -> tuple[str, Endpoint]:
    """Our short id there, and how to get to the broker as the gateway of that home."""
    endpoint = reaching.of_gateway(folder, settings, way)
    return endpoint.user, endpoint


def stranger(me: str, way: Way, session: str = "command") -> Endpoint:
    """How to get to the broker that is named as the user `me`."""
    if not way.url:
        raise BrokerError("expected --broker with mqtt://HOST:PORT or mqtts://HOST:PORT")
    return reaching.of_stranger(me, way, session)


def say(lines: Iterable[str]) -> None:
    """Lines in which anything may stand, one each."""
    for line in lines:
        typer.echo(printable(line, LINE_CHARACTERS_MAX))
