"""Where a broker is, who we are there, and how its TLS refuses us."""

import asyncio
import ssl
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from agent.broker import BrokerError

PROBE_MAX_S = 1.0
PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`mqtt://HOST:PORT` or `mqtts://HOST:PORT`, and what we show there; BrokerError if it is not.

    `ca`, `certificate` and `key` are PEM files and go with `mqtts`; without `ca` the system's
    authorities are trusted.
    """

    url: str
    client_id: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        try:
            usable = bool(self.host and self.port)
        except (KeyError, ValueError):
            usable = False
        if not usable:
            raise BrokerError(f"expected mqtt://HOST:PORT or mqtts://HOST:PORT, got {self.url!r}")

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port, by default that of the scheme."""
        where = urlsplit(self.url)
        return where.port or PORTS[where.scheme]

    @property
    def session(self) -> str:
        """The client id, made such that who has no password of ours cannot take the session over.

        With certificates the broker has to bind it to the user: see configs/mosquitto.
        """
        if not self.password:
            return self.client_id
        return f"{self.client_id}-{sha256(self.password.encode()).hexdigest()[:16]}"

    def tls(self) -> ssl.SSLContext | None:
        """Load the certificate files of an `mqtts` endpoint; BrokerError if they are unusable."""
        if urlsplit(self.url).scheme == "mqtt":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise BrokerError(
                f"cannot use ca {self.ca}, certificate {self.certificate} and key {self.key}:"
                f" {error}"
            ) from error
        return context

    async def tls_refusal(self, tls: ssl.SSLContext) -> str:
        """Ask once more what the broker's TLS has against us, or ours against it; empty if nothing.

        That it wants another certificate comes, in TLS 1.3, with the first byte after the
        handshake, and paho keeps that to itself.
        """
        try:
            async with asyncio.timeout(PROBE_MAX_S):
                reader, writer = await asyncio.open_connection(self.host, self.port, ssl=tls)
                try:
                    await reader.read(1)
                finally:
                    writer.transport.abort()
        except ssl.SSLError as refusal:
            return str(refusal)
        except (OSError, TimeoutError):
            return ""
        return ""
