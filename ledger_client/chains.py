"""The chains of batches on a log, who carries on after whom, and where statements of trust are.

Rows beside the log's own, written in the transaction that appends the statement. A batch must
continue its issuer's chain; after a rotation the new key's chain begins where the old one's ended.
"""

import sqlite3
from dataclasses import dataclass

from ledger_client import batches, trust
from ledger_client.errors import LocalError
from ledger_client.keys import PublicKey
from ledger_client.statements import Statement
from ledger_client.trust import Rotation


@dataclass(frozen=True, slots=True)
class Tip:
    """Where an issuer's chain of batches stands: its last sequence and that statement's digest."""

    sequence: int = 0
    digest: bytes = batches.NO_PREVIOUS


def tip(connection: sqlite3.Connection, issuer: PublicKey) -> Tip:
    """The newest batch of `issuer`; sequence 0 before the first."""
    row = connection.execute(
        "SELECT sequence, digest FROM log_chains WHERE issuer = ? ORDER BY sequence DESC LIMIT 1",
        (issuer.raw,),
    ).fetchone()
    return Tip(*row) if row else Tip()


def successor(connection: sqlite3.Connection, issuer: PublicKey) -> PublicKey | None:
    """The key that carries on after `issuer`, if a rotation named one."""
    row = connection.execute(
        "SELECT new FROM log_rotations WHERE old = ?", (issuer.raw,)
    ).fetchone()
    return PublicKey(row[0]) if row else None


def trust_positions(connection: sqlite3.Connection) -> list[int]:
    """Where the certificates, revocations and rotations stand, in log order."""
    rows = connection.execute("SELECT position FROM log_trust ORDER BY position")
    return [int(position) for (position,) in rows]


def add(connection: sqlite3.Connection, index: int, statement: Statement) -> None:
    """Note the statement at `index`, if chains or trust depend on its kind.

    Raises:
        LocalError: it does not fit what is on the log.
        RemoteError: a certificate, revocation or rotation that breaks a rule.
    """
    match statement.kind:
        case "batch":
            _extend(connection, index, statement)
        case trust.CERTIFICATE | trust.REVOCATION | trust.ROTATION:
            trust.check(statement)
            connection.execute("INSERT INTO log_trust VALUES (?, ?)", (index, statement.kind))
    if statement.kind == trust.ROTATION:
        _hand_over(connection, index, trust.rotated(statement))


def _extend(connection: sqlite3.Connection, index: int, statement: Statement) -> None:
    """Note the batch at `index`; raises LocalError when it does not continue its issuer's chain."""
    issuer, batch = statement.issuer, batches.decode(statement.payload)
    if (follower := successor(connection, issuer)) is not None:
        raise LocalError(f"{issuer.short_id} signs no more: {follower.short_id} carries on")
    newest = tip(connection, issuer)
    if (batch.sequence, batch.previous) != (newest.sequence + 1, newest.digest):
        raise LocalError(
            f"batch {batch.sequence} of {issuer.short_id} does not continue its "
            f"chain: expected sequence {newest.sequence + 1} after {newest.digest.hex()}"
        )
    _note(connection, issuer, Tip(batch.sequence, statement.digest), index)


def _hand_over(connection: sqlite3.Connection, index: int, rotation: Rotation) -> None:
    """Note the rotation at `index`: the new key's chain begins where the old one's ends.

    Raises:
        LocalError: the old chain ends elsewhere or was handed over, or the new key was in use.
    """
    newest, name = tip(connection, rotation.old), rotation.old.short_id
    if (rotation.sequence, rotation.digest) != (newest.sequence, newest.digest):
        raise LocalError(
            f"the rotation of {name} is after sequence {rotation.sequence}, "
            f"its chain ends at {newest.sequence}"
        )
    if _has_rows(connection, rotation.new):
        raise LocalError(f"{rotation.new.short_id} cannot follow {name}: it was in use before")
    try:
        connection.execute(
            "INSERT INTO log_rotations VALUES (?, ?, ?)",
            (rotation.old.raw, rotation.new.raw, index),
        )
    except sqlite3.IntegrityError as error:
        raise LocalError(f"{name} was followed by another key already") from error
    _note(connection, rotation.new, newest, index)


def _has_rows(connection: sqlite3.Connection, key: PublicKey) -> bool:
    found = connection.execute(
        "SELECT 1 FROM log_chains WHERE issuer = ?1"
        " UNION SELECT 1 FROM log_rotations WHERE old = ?1",
        (key.raw,),
    )
    return found.fetchone() is not None


def _note(connection: sqlite3.Connection, issuer: PublicKey, newest: Tip, index: int) -> None:
    connection.execute(
        "INSERT INTO log_chains VALUES (?, ?, ?, ?)",
        (issuer.raw, newest.sequence, newest.digest, index),
    )
