"""The log as a service over HTTP: registration of statements, receipts, keys, and the tree itself.

    POST /entries                          a statement in, its receipt out (201)
    GET  /entries/{sha256 of a statement}  its receipt under the newest head
    GET  /.well-known/scitt-keys[/{kid}]   the key of the receipts as COSE_KeySet (or COSE_Key)
    GET  /checkpoint, /tile/...            the newest head and the tree, as C2SP tlog-tiles has them

Follows draft-ietf-scitt-scrapi. The registration policy: a statement of ours in form, signed by one
of `issuers`, of a kind that does not speak for this log itself, and next in its issuer's chain.
"""

import base64
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from agent.httpd import CBOR, COSE, problem
from agent.tiling import content
from ledger_client import cbor, cose, genesis, statements, tiles
from ledger_client.errors import EncodingError, LocalError, RemoteError, StoreError
from ledger_client.keys import PublicKey
from ledger_client.log import Log
from ledger_client.settlement import accounts
from ledger_client.statements import Statement

OUR_KINDS = frozenset({genesis.KIND, accounts.KIND})
DIGEST_HEX = 64
_KID = 2


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    """A request that is answered with problem details."""

    def __init__(self, title: str, detail: str, status: int = 400) -> None:
        super().__init__(title)
        self.title, self.detail, self.status = title, detail, status


class Service:
    """What the routes do with the log. `now_s` is Unix time as it may stand on the log."""

    def __init__(
        self,
        log: Log,
        log_key: PublicKey,
        issuers: Iterable[PublicKey],
        now_s: Callable[[], int],
        note: Callable[[], str] | None = None,
    ) -> None:
        """`note` gives the checkpoint that is shown, with the cosignatures that there are."""
        self._log = log
        self._log_key = log_key
        self._issuers = frozenset(issuers)
        self._now_s = now_s
        self._note = note or (lambda: log.head.note)

    def routes(self) -> list[web.RouteDef]:
        """For a Door."""
        return [
            web.post("/entries", _refusing(self._register)),
            web.get("/entries/{entry}", _refusing(self._resolve)),
            web.get("/.well-known/scitt-keys", _refusing(self._keys)),
            web.get("/.well-known/scitt-keys/{kid}", _refusing(self._key)),
            web.get("/checkpoint", _refusing(self._checkpoint)),
            web.get("/{path:tile/.+}", _refusing(self._tile)),
        ]

    async def _register(self, request: web.Request) -> web.Response:
        if request.content_type != COSE:
            raise Refused("Malformed request", f"Content-Type must be {COSE}", 415)
        digest, new = self._admit(await request.read())
        return web.Response(
            status=201 if new else 200,
            body=self._receipt(digest),
            content_type=COSE,
            headers={"Location": f"/entries/{digest.hex()}"},
        )

    def _admit(self, data: bytes) -> tuple[bytes, bool]:
        """The digest of a statement that is on the log now, and whether it was not before."""
        statement = _statement(data)
        if self._log.find_digest(statement.digest) is not None:
            return statement.digest, False
        if statement.issuer not in self._issuers:
            raise _rejected(f"{statement.issuer.did} may not register here")
        if statement.kind in OUR_KINDS:
            raise _rejected(f"a {statement.kind} statement is for the log itself to make")
        try:
            self._log.append([(statement.digest, statement.signed)], self._now_s())
        except StoreError:
            raise
        except (LocalError, RemoteError) as error:
            raise _rejected(str(error)) from error
        return statement.digest, True

    def _receipt(self, digest: bytes) -> bytes:
        index = self._log.find_digest(digest)
        if index is None or self._log.head.size == 1:  # RFC 9942 has no receipt of an only entry
            raise Refused("Not Found", f"Receipt with entry ID {digest.hex()} not known", 404)
        return self._log.receipt(index)

    async def _resolve(self, request: web.Request) -> web.Response:
        entry = request.match_info["entry"]
        try:
            digest = bytes.fromhex(entry)
        except ValueError:
            digest = b""
        if len(entry) != DIGEST_HEX or digest.hex() != entry:
            raise Refused("Invalid locator", "Expected the SHA-256 of a statement, in lower case")
        location = {"Location": f"/entries/{entry}"}
        return web.Response(body=self._receipt(digest), content_type=COSE, headers=location)

    def _cose_key(self) -> dict[int, object]:
        return {**self._log_key.cose_key(), _KID: self._log_key.thumbprint}

    async def _keys(self, _: web.Request) -> web.Response:
        return web.Response(body=cbor.encode([self._cose_key()]), content_type=CBOR)

    async def _key(self, request: web.Request) -> web.Response:
        kid = base64.urlsafe_b64encode(self._log_key.thumbprint).decode().rstrip("=")
        if request.match_info["kid"] != kid:
            raise Refused("No such key", "No key could be found for this kid value", 404)
        return web.Response(body=cbor.encode(self._cose_key()), content_type=CBOR)

    async def _checkpoint(self, _: web.Request) -> web.Response:
        return web.Response(text=self._note(), headers={"Cache-Control": "no-cache"})

    async def _tile(self, request: web.Request) -> web.Response:
        try:
            tile = tiles.parse(request.match_info["path"])
        except EncodingError as error:
            raise Refused("Not Found", str(error), 404) from error
        if not tiles.fits(tile, self._log.head.size):
            raise Refused("Not Found", "The log has not grown into this tile", 404)
        return web.Response(
            body=content(self._log, tile),
            content_type="application/octet-stream",
            headers={"Cache-Control": "max-age=31536000, immutable"},
        )


def _statement(data: bytes) -> Statement:
    """The statement in a request.

    Raises:
        Refused: by what is wrong, in the words of the draft.
    """
    try:
        message = cose.parse_sign1(data, size_max=statements.SIZE_MAX)
    except RemoteError as error:
        raise Refused("Malformed request", f"The request could not be parsed: {error}") from error
    if message.payload is None:
        raise Refused("Payload Missing", "Signed Statement payload must be present")
    if message.protected.get(cose.ALG) not in cose.ALGORITHMS_TAKEN:
        raise Refused("Bad Signature Algorithm", "Expected alg -8 or -19 (Ed25519)")
    try:
        return statements.verify(data)
    except RemoteError as error:
        raise _rejected(str(error)) from error


def _rejected(why: str) -> Refused:
    policy = "Signed Statement not accepted by the current Registration Policy"
    return Refused("Rejected", f"{policy}: {why}")


def _refusing(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Refused as refused:
            return problem(refused.status, refused.title, refused.detail)

    return answer
