"""The statement that a subject was erased: its readings and key are gone, what was signed stays.

Kind `erasure`, the subject is the urn, payload {1: version}. It speaks for the batches of that urn
that stand before it on the log and are signed by the same key, or by one that it carries on after.
Nobody can prove that nothing was kept: it is the word of the one who held the readings.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger_client import cbor, shapes, statements
from ledger_client.errors import EncodingError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.statements import Statement

KIND = "erasure"

_VERSION = 1
_PAYLOAD = cbor.encode({1: _VERSION})


def sign(key: SigningKey, urn: str, issued_s: int) -> bytes:
    """The statement that what was held of `urn` was destroyed."""
    return statements.sign(key, KIND, urn, _PAYLOAD, issued_s)


def check(statement: Statement) -> None:
    """Return if it is one, and has its one payload; raises EncodingError."""
    if statement.kind != KIND:
        raise EncodingError(f"expected an {KIND} statement, got a {statement.kind} statement")
    pairs = shapes.fields(cbor.decode(statement.payload), KIND, frozenset({1}))
    shapes.integer(pairs[1], f"{KIND} version", _VERSION, _VERSION)


@dataclass(slots=True)
class Erasures:
    """Which readings that nobody sees are erased, by the word of who signed them.

    Statements and batches are told in the order of the log.
    """

    _closed: Counter[tuple[str, PublicKey]] = field(default_factory=Counter)
    _said: dict[tuple[str, PublicKey], dict[PublicKey, int]] = field(default_factory=dict)

    def add(self, statement: Statement) -> None:
        """Note an erasure; other statements are none. Raises EncodingError."""
        if statement.kind != KIND:
            return
        check(statement)
        for (urn, issuer), readings in self._closed.items():
            if urn == statement.subject:
                self._said.setdefault((urn, issuer), {})[statement.issuer] = readings

    def closed(self, batch: Statement, readings: int) -> None:
        """Note so many readings of a batch that are not here."""
        self._closed[batch.subject, batch.issuer] += readings

    def count(self, followed: Mapping[PublicKey, PublicKey]) -> dict[str, int]:
        """Erased readings by urn; `followed` names the key that carries on after another."""
        found: Counter[str] = Counter()
        for (urn, issuer), said in self._said.items():
            heirs = [issuer]
            while (heir := followed.get(heirs[-1])) is not None and heir not in heirs:
                heirs.append(heir)
            found[urn] += max(said.get(key, 0) for key in heirs)
        return {urn: readings for urn, readings in found.items() if readings}
