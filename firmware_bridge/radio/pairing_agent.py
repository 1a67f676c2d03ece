"""The agent that BlueZ asks before it pairs: Just Works, and only with devices that may pair.

Source: BlueZ doc/org.bluez.Agent.rst. Without an agent BlueZ refuses pairing, and the read that
asked for encryption hangs. No passkeys: a gateway has no screen and no keys.
"""

from collections.abc import Collection

from dbus_fast import DBusError
from dbus_fast.annotations import DBusObjectPath, DBusStr, DBusUInt32
from dbus_fast.service import ServiceInterface, dbus_method

AGENT_PATH = "/milepost/pairing"
CAPABILITY = "NoInputNoOutput"
REJECTED = "org.bluez.Error.Rejected"


def address_of(path: str) -> str:
    """The address in a BlueZ object path such as `/org/bluez/hci0/dev_C8_0F_10_00_00_01`."""
    return path.rpartition("/dev_")[2].replace("_", ":").upper()


class PairingAgent(ServiceInterface):
    """`allowed` are the addresses, upper case, that may pair; all others are rejected."""

    def __init__(self, allowed: Collection[str]) -> None:
        super().__init__("org.bluez.Agent1")
        self._allowed = allowed
        self.refused: list[str] = []

    def _allow(self, path: str) -> None:
        address = address_of(path)
        if address in self._allowed:
            return
        if len(self.refused) < REFUSED_MAX:
            self.refused.append(address)
        raise DBusError(REJECTED, f"{address} is not a component that may pair")

    @dbus_method("Release")
    def release(self) -> None:
        """BlueZ will not ask any more."""

    @dbus_method("Cancel")
    def cancel(self) -> None:
        """BlueZ does not need the answer any more."""

    @dbus_method("RequestAuthorization")
    def request_authorization(self, device: DBusObjectPath) -> None:
        """Just Works pairing that the other side began."""
        self._allow(device)

    @dbus_method("RequestConfirmation")
    def request_confirmation(self, device: DBusObjectPath, passkey: DBusUInt32) -> None:  # noqa: ARG002  # nobody here compares it
        """Numeric comparison, which without a screen is Just Works."""
        self._allow(device)

    @dbus_method("AuthorizeService")
    def authorize_service(self, device: DBusObjectPath, uuid: DBusStr) -> None:  # noqa: ARG002  # all of its services
        """A device that is not trusted wants to use a service of ours."""
        self._allow(device)


REFUSED_MAX = 100
