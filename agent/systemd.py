"""Tell systemd that we are ready, alive or stopping. Source: sd_notify(3), sd_watchdog_enabled(3).

Without systemd, or in a unit without `Type=notify`, everything here does nothing.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

STATUS_CHARACTERS_MAX = 200


class Notifier:
    """Speaks to the socket that systemd names in `environment`."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environment)
        """How often `watch` has to speak at the least; 0 means that nobody waits for it."""

    def ready(self, status: str = "") -> None:
        """Say that we serve now; what systemctl shows is `status`, one line."""
        self._say("READY=1", _status(status))

    def status(self, status: str) -> None:
        """Change the line that systemctl shows."""
        self._say(_status(status))

    def stopping(self) -> None:
        """Say that we drain and go."""
        self._say("STOPPING=1")

    async def watch(self, alive: Callable[[], bool]) -> None:
        """Feed the watchdog at half its time while `alive` says so, until cancelled.

        A hung event loop or an `alive` that turns false both end in a restart by systemd.
        """
        while self.watchdog_s and self._address:
            if alive():
                self._say("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)

    def _say(self, *assignments: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1)
            try:
                sender.connect(self._address)
                sender.send("\n".join(assignments).encode())
            except OSError:  # a manager that is not there can wait for nothing
                return


def _status(text: str) -> str:
    line = "".join(mark if mark.isprintable() else " " for mark in text)
    return f"STATUS={line[:STATUS_CHARACTERS_MAX]}"


def _watchdog_s(environment: Mapping[str, str]) -> float:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() else 0.0
