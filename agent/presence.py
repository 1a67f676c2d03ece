"""Who is there: the status topic of the gateway and of each component (FORMATS section 8).

Retained JSON. The gateway's last will says offline with the same boot, so that a late will of an
earlier connection can be told from news.
"""

import json
from dataclasses import dataclass

from agent import __version__, topics


@dataclass(frozen=True, slots=True)
class Presence:
    """What a status says of its speaker; `battery` is a percentage or None."""

    id: str
    alias: str
    kind: str
    gateway: str
    boot: bytes
    clock: str

    def said(self, state: str, battery: float | None = None) -> tuple[str, bytes]:
        """Topic and payload of one status."""
        status: dict[str, str | int] = {
            "state": state,
            "boot": self.boot.hex(),
            "alias": self.alias,
            "kind": self.kind,
            "gateway": self.gateway,
            "version": __version__,
            "clock": self.clock,
        }
        if battery is not None:
            status["battery"] = round(battery)
        return topics.status(self.id), json.dumps(status, separators=(",", ":")).encode()
