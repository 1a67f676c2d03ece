"""One Bluetooth adapter as BlueZ shows it on D-Bus: is it there, is it on, who may pair.

Source: BlueZ doc/org.bluez.Adapter.rst and org.bluez.AgentManager.rst. Every failure is a
RadioUnavailableError that ends in the command that mends it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dbus_fast import AuthError, BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from firmware_bridge.errors import RadioUnavailableError
from firmware_bridge.radio.pairing_agent import AGENT_PATH, CAPABILITY, PairingAgent

BLUEZ = "org.bluez"
INTERFACE = "org.bluez.Adapter1"
CALL_MAX_S = 10.0
OFF_S = 1.0

NO_BUS = "no D-Bus system bus answers; run: sudo apt install dbus && sudo systemctl start dbus"
NO_BLUEZ = (
    "BlueZ does not answer; run: sudo apt install bluez && sudo systemctl enable --now bluetooth"
)
NO_RIGHT = "BlueZ refuses this user; run: sudo usermod -aG bluetooth $USER, then log in again"
BLOCKED = "the adapter is off and does not go on; run: sudo rfkill unblock bluetooth"
ABSENT = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")
DENIED = ("org.freedesktop.DBus.Error.AccessDenied", "org.bluez.Error.NotPermitted")


class Adapter:
    """An adapter by its name, such as `hci0`, over an open connection to the system bus."""

    def __init__(self, bus: MessageBus, name: str) -> None:
        self._bus = bus
        self._name = name
        self._path = f"/org/bluez/{name}"

    async def find(self) -> None:
        """Nothing when the adapter is there; raises RadioUnavailableError."""
        message = Message(
            destination=BLUEZ,
            path="/",
            interface="org.freedesktop.DBus.ObjectManager",
            member="GetManagedObjects",
        )
        objects: dict[str, dict[str, Any]] = (await self._call(message))[0]
        adapters = [path for path, interfaces in objects.items() if INTERFACE in interfaces]
        if self._path not in adapters:
            found = ", ".join(path.rpartition("/")[2] for path in adapters) or "none"
            raise RadioUnavailableError(
                f"there is no adapter {self._name} (there is: {found}); run: milepost doctor, "
                "plug one in, or set radio.adapter to one that is there"
            )

    async def power(self, *, on: bool) -> None:
        """Switch it on or off."""
        message = Message(
            destination=BLUEZ,
            path=self._path,
            interface="org.freedesktop.DBus.Properties",
            member="Set",
            signature="ssv",
            body=[INTERFACE, "Powered", Variant("b", on)],
        )
        await self._call(message)

    async def reset(self) -> None:
        """Switch it off and on: every link is cut, and a scanner that stopped scans again."""
        await self.power(on=False)
        await asyncio.sleep(OFF_S)
        await self.power(on=True)

    async def register(self, agent: PairingAgent) -> None:
        """Make `agent` the one that is asked whether a device may pair."""
        self._bus.export(AGENT_PATH, agent)
        await self._manage("RegisterAgent", "os", [AGENT_PATH, CAPABILITY])
        await self._manage("RequestDefaultAgent", "o", [AGENT_PATH])

    async def _manage(self, member: str, signature: str, body: list[Any]) -> None:
        message = Message(
            destination=BLUEZ,
            path="/org/bluez",
            interface="org.bluez.AgentManager1",
            member=member,
            signature=signature,
            body=body,
        )
        await self._call(message)

    async def _call(self, message: Message) -> list[Any]:
        try:
            async with asyncio.timeout(CALL_MAX_S):
                reply = await self._bus.call(message)
        except (TimeoutError, OSError, EOFError) as error:
            raise RadioUnavailableError(f"{NO_BLUEZ} ({message.member}: no answer)") from error
        if reply.message_type is not MessageType.ERROR:
            return reply.body
        name = reply.error_name or ""
        what = f"{message.member}: {name} {' '.join(map(str, reply.body))}".strip()
        if name in ABSENT:
            raise RadioUnavailableError(f"{NO_BLUEZ} ({what})")
        if name in DENIED:
            raise RadioUnavailableError(f"{NO_RIGHT} ({what})")
        if message.member == "Set":
            raise RadioUnavailableError(f"{BLOCKED} ({what})")
        raise RadioUnavailableError(f"BlueZ refuses; run: systemctl restart bluetooth ({what})")


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Adapter]:
    """The adapter `name` over a connection of its own; raises RadioUnavailableError."""
    try:
        bus = MessageBus(bus_type=BusType.SYSTEM)
    except OSError as error:
        raise RadioUnavailableError(f"{NO_BUS} ({error})") from error
    try:
        try:
            async with asyncio.timeout(CALL_MAX_S):
                await bus.connect()
        except (OSError, EOFError, TimeoutError, AuthError) as error:
            raise RadioUnavailableError(f"{NO_BUS} ({error})") from error
        adapter = Adapter(bus, name)
        await adapter.find()
        yield adapter
    finally:
        bus.disconnect()


async def what_is_missing(name: str) -> str:
    """What keeps the adapter from being used, and the command that mends it; empty for nothing.

    Changes nothing: an adapter that is merely off is switched on when the radio starts.
    """
    try:
        async with opened(name):
            return ""
    except RadioUnavailableError as error:
        return str(error)
