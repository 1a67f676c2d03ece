"""A small HTTP door: bounded in size, rate, time and connections; refusals are problem details.

Every error is one CBOR map {-1: title, -2: detail} (RFC 9290). It imports aiohttp, so it is itself
imported only where a service is switched on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

from aiohttp import web

from agent.rate import Bucket
from ledger_client import cbor
from ledger_client.errors import StoreError

PROBLEM = "application/concise-problem-details+cbor"
COSE = "application/cose"
CBOR = "application/cbor"
KEEPALIVE_S = 15.0
DETAIL_CHARACTERS_MAX = 400

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one door. Beyond `connections_max` a connection is closed at once."""

    body_bytes_max: int = 65_536
    requests_per_s_max: int = 20
    connections_max: int = 32
    request_max_s: float = 10.0


def problem(status: int, title: str, detail: str) -> web.Response:
    """An error as concise problem details."""
    body = cbor.encode({-1: title, -2: detail[:DETAIL_CHARACTERS_MAX]})
    return web.Response(status=status, body=body, content_type=PROBLEM)


class Door:
    """Serves `routes` on one address. A store that fails ends it: nothing goes on without a log."""

    def __init__(self, routes: Sequence[web.RouteDef], limits: Limits) -> None:
        self._routes = routes
        self._limits = limits
        self._bucket = Bucket(limits.requests_per_s_max)
        self._failure: asyncio.Future[None] | None = None
        self.ready = asyncio.Event()
        self.port = 0
        """Where it listens, once `ready`; 0 was any."""

    async def serve(self, host: str, port: int) -> None:
        """Answer until cancelled.

        Raises:
            OSError: the address cannot be had.
            StoreError: the database failed while a request was answered.
        """
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        app = web.Application(
            middlewares=[self._guard], client_max_size=self._limits.body_bytes_max
        )
        app.add_routes(self._routes)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_S)
        await runner.setup()
        try:
            server = runner.server
            if server is None:
                raise RuntimeError("aiohttp made no server")
            listening = await loop.create_server(lambda: self._accept(server), host, port)
            async with listening:
                self.port = listening.sockets[0].getsockname()[1]
                self.ready.set()
                await self._failure
        finally:
            await runner.cleanup()

    def _accept(self, server: web.Server) -> asyncio.Protocol:
        if len(server.connections) >= self._limits.connections_max:
            return _Closing()
        return server()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        wait_s = self._bucket.take(asyncio.get_running_loop().time())
        if wait_s:
            most = self._limits.requests_per_s_max
            answer = problem(
                429, "Too Many Requests", f"Only {most} requests per second are allowed"
            )
            answer.headers["Retry-After"] = str(ceil(wait_s))
            return answer
        try:
            async with asyncio.timeout(self._limits.request_max_s):
                return await handler(request)
        except TimeoutError:
            return problem(408, "Request Timeout", "The request took too long to arrive")
        except web.HTTPException as error:
            return problem(error.status, error.reason, HTTPStatus(error.status).description)
        except StoreError as error:
            if self._failure is not None and not self._failure.done():
                self._failure.set_exception(error)
            return problem(503, "Service Unavailable", "The log cannot be used")


class _Closing(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()
