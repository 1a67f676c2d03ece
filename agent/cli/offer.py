"""`milepost offer`: an agreement with one place open, published, countersigned and withdrawn."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agent import topics
from agent.cli.artefacts import now_s
from agent.cli.reaching import Ca, Cert, CertKey, PasswordFile, Url, User, say, stranger
from agent.gateway.reaching import Way, reached
from agent.home import HomeError
from agent.offering import Offering
from agent.offers import Command
from ledger_client import estimates, offers, wording
from ledger_client.keys import SigningKey, read_key

FORM_BYTES_MAX = 64 << 10

app = typer.Typer(no_args_is_help=True, help="Offer an agreement to whoever accepts it.")

Form = Annotated[Path, typer.Argument(help="The offer as JSON; see docs/offers.md.")]
Keys = Annotated[
    list[Path], typer.Option("--key", help="Who offers: its key file; repeat it for co-signers.")
]


@app.command()
def show(form: Form, key: Keys) -> None:
    """The text of what would be offered; nothing is published."""
    signed = _signed(form, [read_key(path) for path in key])
    head, *text = wording.text(signed.sample(now_s())).splitlines()
    say([f"{head.partition('  ')[0]}  whoever accepts fills in what is marked with dots"])
    say(offers.dotted(line) for line in text)
    say(["", *(f"{what}: {how}" for what, how in estimates.lines(signed) if "fee" in what)])


@app.command()
def publish(  # noqa: PLR0913, PLR0917  # the options of a command line
    form: Form,
    key: Keys,
    broker: Url = "",
    user: User = "",
    password_file: PasswordFile = "",
    ca: Ca = "",
    cert: Cert = "",
    cert_key: CertKey = "",
    deeds: Annotated[Path, typer.Option("--deeds", help="The folder for what is agreed.")] = Path(
        "deeds"
    ),
) -> None:
    """Publish an offer and countersign it until it lapses, is withdrawn, or Ctrl-C."""
    keys = [read_key(path) for path in key]
    offering = Offering(_signed(form, keys), keys, deeds, now_s, lambda line: say([line]))
    way = Way(broker, user, password_file, ca, cert, cert_key)
    asyncio.run(_publish(offering, way))


async def _publish(offering: Offering, way: Way) -> None:
    endpoint = stranger(offering.me, way, f"offer-{offering.signed.offer.name}")
    loop = asyncio.get_running_loop()
    async with (
        reached(endpoint, offering.will, lambda: offering.hello) as connection,
        asyncio.TaskGroup() as tasks,
    ):
        task = tasks.create_task(offering.run(connection))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        say([f"{offering.signed.reference} is offered at {endpoint.url}; Ctrl-C takes it back"])
        await asyncio.wait([task])


@app.command()
def withdraw(  # noqa: PLR0913, PLR0917  # the options of a command line
    form: Form,
    key: Keys,
    broker: Url = "",
    user: User = "",
    password_file: PasswordFile = "",
    ca: Ca = "",
    cert: Cert = "",
    cert_key: CertKey = "",
) -> None:
    """Take an offer back, whoever publishes it now. What was accepted stays agreed."""
    signed = _signed(form, [read_key(path) for path in key])
    way = Way(broker, user, password_file, ca, cert, cert_key)
    asyncio.run(_withdraw(signed.issuer.short_id, signed.offer.name, way))
    say([f"{signed.reference} is withdrawn"])


async def _withdraw(me: str, name: str, way: Way) -> None:
    command = msgspec.json.encode(Command("withdraw", "withdraw", name))
    async with reached(stranger(me, way)) as connection:
        await connection.publish(topics.command(me, me), command)
        await connection.publish(topics.offer(me, name), b"", retain=True)


def _signed(form: Path, keys: list[SigningKey]) -> offers.Signed:
    try:
        with form.open(encoding="utf-8") as file:
            plain = json.loads(file.read(FORM_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise HomeError(f"{form}: expected an offer as JSON: {error}") from error
    offer = offers.from_form(_with_ours(plain, keys[0]))
    return offers.verify(offers.sign(keys[0], offer, now_s()))


def _with_ours(plain: Any, key: SigningKey) -> Any:  # noqa: ANN401  # what a person wrote
    """The form, with the did of the one party that is not open filled in where it is empty."""
    try:
        parties = plain["document"]["parties"]
        empty = [each for each in parties if each["name"] != plain["open"] and not each["did"]]
        if len(empty) == 1:
            empty[0]["did"] = key.public.did
    except (KeyError, TypeError):
        pass  # no form at all: whoever parses it says why
    return plain
