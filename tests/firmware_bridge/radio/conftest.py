"""A private D-Bus daemon with as much of BlueZ behind it as the BlueZ radio asks for."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from dbus_fast import DBusError, Message, MessageType, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import (
    DBusBool,
    DBusBytes,
    DBusDict,
    DBusInt16,
    DBusObjectPath,
    DBusSignature,
    DBusStr,
    DBusUInt16,
)
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from firmware_bridge.packets import uuid128
from firmware_bridge.radio import Clock, Stamp

ADAPTER_PATH = "/org/bluez/hci0"
STRAP_ADDRESS = "C8:0F:10:00:00:01"
STRAP_PATH = f"{ADAPTER_PATH}/dev_C8_0F_10_00_00_01"
SERVICE_PATH = f"{STRAP_PATH}/service0010"
BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow own="*"/>
<allow eavesdrop="true"/></policy></busconfig>
"""
READ = PropertyAccess.READ
Uuids = Annotated[list[str], DBusSignature("as")]
Companies = Annotated[dict[int, Variant], DBusSignature("a{qv}")]


class FakeAdapter(ServiceInterface):
    """org.bluez.Adapter1: records what it is told, and can refuse."""

    def __init__(self) -> None:
        super().__init__("org.bluez.Adapter1")
        self.powered = False
        self.blocked = False
        self.power_log: list[bool] = []
        self.filters: list[dict[str, Any]] = []
        self.scans = 0

    @dbus_property(name="Powered")
    def powered_property(self) -> DBusBool:
        return self.powered

    @powered_property.setter
    def set_powered(self, value: DBusBool) -> None:
        if self.blocked:
            raise DBusError("org.bluez.Error.Blocked", "Blocked through rfkill")
        self.powered = value
        self.power_log.append(value)

    @dbus_property(READ, name="Address")
    def address(self) -> DBusStr:
        return "00:00:00:00:00:00"

    @dbus_method("SetDiscoveryFilter")
    def set_discovery_filter(self, properties: DBusDict) -> None:
        self.filters.append(properties)

    @dbus_method("StartDiscovery")
    def start_discovery(self) -> None:
        self.scans += 1

    @dbus_method("StopDiscovery")
    def stop_discovery(self) -> None:
        pass


class FakeAgentManager(ServiceInterface):
    """org.bluez.AgentManager1: remembers who registered, so that it can be asked."""

    def __init__(self) -> None:
        super().__init__("org.bluez.AgentManager1")
        self.registered: list[tuple[str, str]] = []
        self.default: list[str] = []

    @dbus_method("RegisterAgent")
    def register(self, agent: DBusObjectPath, capability: DBusStr) -> None:
        self.registered.append((agent, capability))

    @dbus_method("RequestDefaultAgent")
    def request_default(self, agent: DBusObjectPath) -> None:
        self.default.append(agent)


class FakeDevice(ServiceInterface):
    """org.bluez.Device1 of a heart strap that wants to be paired with."""

    def __init__(self, fake: "FakeBluez") -> None:
        super().__init__("org.bluez.Device1")
        self._fake = fake
        self.connected = False
        self.paired = False
        self.trusted = False
        self.heard_rssi = -60

    @dbus_property(READ, name="Address")
    def address(self) -> DBusStr:
        return STRAP_ADDRESS

    @dbus_property(READ, name="AddressType")
    def address_type(self) -> DBusStr:
        return "random"

    @dbus_property(READ, name="Name")
    def device_name(self) -> DBusStr:
        return "Strap"

    @dbus_property(READ, name="Alias")
    def alias(self) -> DBusStr:
        return "Strap"

    @dbus_property(READ, name="Adapter")
    def adapter(self) -> DBusObjectPath:
        return ADAPTER_PATH

    @dbus_property(READ, name="UUIDs")
    def uuids(self) -> Uuids:
        return [uuid128("180d")]

    @dbus_property(READ, name="RSSI")
    def rssi(self) -> DBusInt16:
        return self.heard_rssi

    @dbus_property(READ, name="ManufacturerData")
    def manufacturer_data(self) -> Companies:
        return {0x0123: Variant("ay", b"\x01\x02")}

    @dbus_property(READ, name="Connected")
    def is_connected(self) -> DBusBool:
        return self.connected

    @dbus_property(READ, name="ServicesResolved")
    def services_resolved(self) -> DBusBool:
        return self.connected

    @dbus_property(READ, name="Paired")
    def is_paired(self) -> DBusBool:
        return self.paired

    @dbus_property(name="Trusted")
    def is_trusted(self) -> DBusBool:
        return self.trusted

    @is_trusted.setter
    def set_trusted(self, value: DBusBool) -> None:
        self.trusted = value

    @dbus_method("Connect")
    def connect(self) -> None:
        self.change(connected=True)

    @dbus_method("Disconnect")
    def disconnect(self) -> None:
        self.change(connected=False)

    @dbus_method("Pair")
    async def pair(self) -> None:
        await self._fake.ask_agent()
        self.paired = True
        self.emit_properties_changed({"Paired": True})

    def change(self, *, connected: bool) -> None:
        self.connected = connected
        self.emit_properties_changed({"Connected": connected, "ServicesResolved": connected})

    def advertise(self) -> None:
        self.heard_rssi = -60 if self.heard_rssi != -60 else -61
        self.emit_properties_changed({"RSSI": self.heard_rssi})


class FakeService(ServiceInterface):
    """org.bluez.GattService1: heart rate."""

    def __init__(self) -> None:
        super().__init__("org.bluez.GattService1")

    @dbus_property(READ, name="UUID")
    def uuid(self) -> DBusStr:
        return uuid128("180d")

    @dbus_property(READ, name="Device")
    def device(self) -> DBusObjectPath:
        return STRAP_PATH

    @dbus_property(READ, name="Primary")
    def primary(self) -> DBusBool:
        return True


class FakeCharacteristic(ServiceInterface):
    """org.bluez.GattCharacteristic1. As BlueZ does, a read tells the subscribers as well."""

    def __init__(self, uuid: str, flags: list[str], value: bytes) -> None:
        super().__init__("org.bluez.GattCharacteristic1")
        self._uuid, self._flags, self._value = uuid128(uuid), flags, value
        self.notifying = False

    @dbus_property(READ, name="UUID")
    def uuid(self) -> DBusStr:
        return self._uuid

    @dbus_property(READ, name="Service")
    def service(self) -> DBusObjectPath:
        return SERVICE_PATH

    @dbus_property(READ, name="Flags")
    def flags(self) -> Uuids:
        return self._flags

    @dbus_property(READ, name="MTU")
    def mtu(self) -> DBusUInt16:
        return 185

    @dbus_method("StartNotify")
    def start_notify(self) -> None:
        self.notifying = True

    @dbus_method("StopNotify")
    def stop_notify(self) -> None:
        self.notifying = False

    @dbus_method("ReadValue")
    def read_value(self, options: DBusDict) -> DBusBytes:  # noqa: ARG002  # none are used
        if self.notifying:
            self.say(self._value)
        return self._value

    @dbus_property(READ, name="Value")
    def value(self) -> DBusBytes:
        return self._value

    def say(self, value: bytes) -> None:
        self._value = value
        self.emit_properties_changed({"Value": value})


class FakeBluez:
    """The service org.bluez on a bus of its own."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self.adapter = FakeAdapter()
        self.agents = FakeAgentManager()
        self.strap = FakeDevice(self)
        self.heart = FakeCharacteristic("2a37", ["notify"], b"\0")
        self.battery = FakeCharacteristic("2a19", ["read", "notify"], bytes([87]))
        self.client = ""

    async def start(self, *, with_adapter: bool = True) -> None:
        self._bus.add_message_handler(self._note_client)
        self._bus.export("/org/bluez", self.agents)
        if with_adapter:
            self._bus.export(ADAPTER_PATH, self.adapter)
            self._bus.export(STRAP_PATH, self.strap)
            self._bus.export(SERVICE_PATH, FakeService())
            self._bus.export(f"{SERVICE_PATH}/char0011", self.heart)
            self._bus.export(f"{SERVICE_PATH}/char0014", self.battery)
        await self._bus.request_name("org.bluez")

    def _note_client(self, message: Message) -> None:
        if message.member == "RegisterAgent":
            self.client = message.sender or ""

    async def ask_agent(self, path: str = STRAP_PATH) -> None:
        """What BlueZ does before it pairs; raises what it would answer to Pair."""
        if not self.agents.default:
            raise DBusError("org.bluez.Error.AuthenticationFailed", "No agent")
        reply = await self._bus.call(
            Message(
                destination=self.client,
                path=self.agents.default[-1],
                interface="org.bluez.Agent1",
                member="RequestAuthorization",
                signature="o",
                body=[path],
            )
        )
        if reply.message_type is MessageType.ERROR:
            raise DBusError("org.bluez.Error.AuthenticationRejected", str(reply.body[0]))


@pytest.fixture
def system_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a private daemon that stands for the system bus."""
    daemon = shutil.which("dbus-daemon")
    if daemon is None:
        pytest.skip("dbus-daemon is not installed (Debian: dbus-daemon)")
    path, config = tmp_path / "bus", tmp_path / "bus.conf"
    config.write_text(BUS_CONFIG.format(socket=path))
    with subprocess.Popen([daemon, "--nofork", f"--config-file={config}"]) as process:
        while not answers(path) and process.poll() is None:
            time.sleep(0.01)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
        yield f"unix:path={path}"
        process.terminate()


def answers(path: Path) -> bool:
    """Whether somebody listens there; the file alone comes a moment earlier."""
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


@pytest.fixture
async def bluez(system_bus: str) -> AsyncIterator[FakeBluez]:
    """BlueZ with one adapter and one heart strap."""
    bus = await MessageBus(bus_address=system_bus).connect()
    fake = FakeBluez(bus)
    await fake.start()
    yield fake
    bus.disconnect()
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    """The monotonic clock as both: tests look at distances only."""

    def now() -> Stamp:
        now_ms = int(time.monotonic() * 1_000)
        return Stamp(1_790_000_000_000 + now_ms, now_ms)

    return now
