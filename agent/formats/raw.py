"""Each artefact of a record as a file of its own, for tools that never heard of a record. Pure.

`statement-N.cose` has its receipt attached, `genesis.cose` is statement 0 without one; `keys.cbor`
is a COSE_KeySet (RFC 9052 section 7) of every key that signed something here; `leaves-N.cbor` is
what the owner gives away of batch N, as in a record.
"""

from collections.abc import Iterator

from ledger_client import cbor, checkpoints, cose, disclosure, record, statements
from ledger_client.keys import PublicKey

_KID, _ALG = 2, 3


def files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file; the record or excerpt in `data` was verified before."""
    parts = record.parse(data)
    keys: dict[PublicKey, None] = {}
    for line in parts.lines:
        statement = statements.verify(line.statement)
        keys[statement.issuer] = None
        if line.index == 0:
            yield "genesis.cose", line.statement
        if line.receipt is None:
            yield f"statement-{line.index}.cose", line.statement
        else:
            yield (
                f"statement-{line.index}.cose",
                statements.attach(line.statement, [line.receipt]),
            )
            yield f"receipt-{line.index}.cose", line.receipt
        if line.disclosure is not None:
            yield f"leaves-{line.index}.cbor", cbor.encode(disclosure.encode(line.disclosure))
    keys[checkpoints.parse_vkey(parts.vkey).public] = None
    yield "checkpoint.txt", parts.note.encode()
    yield "log.vkey", f"{parts.vkey}\n".encode()
    yield "keys.cbor", cbor.encode([_cose_key(key) for key in keys])


def _cose_key(key: PublicKey) -> dict[int, int | bytes]:
    return {**key.cose_key(), _KID: key.thumbprint, _ALG: cose.ALGORITHM}
