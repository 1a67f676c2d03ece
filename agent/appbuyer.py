"""A milepost that buys elsewhere, as an app: on another gateway's ledger, with its credentials.

All that a buyer at home checks is checked here: signatures, the receipt of the log, every leaf,
price and sum; and nothing is promised before it is on disk.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.broker import Broker
from agent.broker.endpoint import Endpoint
from agent.desks import BuyingDesk
from agent.goods import ReadingsWanted
from agent.home import HomeError
from agent.marks import Readings
from agent.remote import Ledger, RemoteSettlement
from agent.status import printable
from agent.tally import Buyer
from agent.till import Till
from ledger_client import cbor, disclosure, leaves, shapes
from ledger_client.channels import SALT_BYTES, Terms
from ledger_client.errors import RemoteError
from ledger_client.keys import KEY_BYTES, PublicKey, SigningKey
from ledger_client.leaves import Leaf
from ledger_client.messages import BODY_BYTES_MAX, Item

CLOSING_DELAY_S = 86_400
TOP_UP_EVERY_S = 60.0
FILE_BYTES_MAX = 1 << 16

Hex = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]
Units = Annotated[int, Meta(ge=1)]
Told = Callable[[Leaf, int], None]
"""Told each reading that was found good, and its price."""

_log = logging.getLogger(__name__)


class Credentials(msgspec.Struct, frozen=True):
    """What `milepost app grant` printed, as far as a buyer needs it."""

    id: str
    seed: Hex
    host: str
    port: int
    tls: bool
    password: str
    gateway: str
    gateway_key: Hex
    seller_key: Hex
    log_key: Hex
    ledger: str
    demo: bool
    asset: str
    price: Units
    most: Units

    @property
    def endpoint(self) -> Endpoint:
        """Where its broker is, by password."""
        url = f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"
        return Endpoint(url, f"milepost-{self.id}", self.id, self.password)


def read(path: Path) -> Credentials:
    """The credentials in a file; raises HomeError if there are none."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Credentials)
    except OSError as error:
        raise HomeError(f"{path}: expected credentials: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HomeError(f"{path}: expected what milepost app grant wrote: {error}") from error


class AppBuyer:
    """Buys with the `credentials` into `till`; says each reading to `told`."""

    def __init__(self, credentials: Credentials, till: Till, told: Told) -> None:
        key = SigningKey(bytes.fromhex(credentials.seed))
        gateway, seller, log = (
            PublicKey.enrol(bytes.fromhex(each))
            for each in (credentials.gateway_key, credentials.seller_key, credentials.log_key)
        )
        ledger = Ledger(credentials.gateway, credentials.ledger, credentials.demo)
        self._most = credentials.most
        self._wanted = ReadingsWanted(gateway, log, credentials.price, 0)
        self._told = told
        self._settlement = RemoteSettlement(key, ledger)
        desk = BuyingDesk(key, till, accept=self._accept)
        self._buyer = Buyer(desk, till, self._settlement, blame=_blame)
        self._terms = Terms(
            ledger=credentials.ledger,
            payer=key.public,
            signer=key.public,
            payee=seller,
            asset=credentials.asset,
            delay_s=CLOSING_DELAY_S,
            salt=os.urandom(SALT_BYTES),
            simulated=credentials.demo,
        )

    async def run(self, broker: Broker) -> None:
        """Buy until cancelled: the budget is in the channel, and more of it as time passes."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settlement.run(broker))
            tasks.create_task(self._buyer.run(broker))
            due = max((held.side.due for held in self._buyer.channels()), default=0)
            spendable = max(1, self._most - due)
            while True:
                with suppress(RemoteError):  # the ledger says no, or nothing, for now
                    await self._buyer.open(self._terms, spendable)
                    spendable = self._most
                await asyncio.sleep(TOP_UP_EVERY_S)

    def _accept(self, terms: Terms, item: Item) -> Readings:
        found = self._wanted.accept(terms, item)
        _, value = shapes.array(cbor.decode(item.body, size_max=BODY_BYTES_MAX), "readings", 2)
        given = disclosure.parse(value)
        every = (
            [each.leaf for each in given.chosen] if isinstance(given, disclosure.Part) else given
        )
        for leaf in every or ():
            self._told(leaves.parse(leaf), self._wanted.price)
        return found


def _blame(speaker: str, error: RemoteError) -> None:
    _log.warning("%s: %s", printable(speaker), printable(str(error)))
