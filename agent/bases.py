"""Where the counters of metered services stood when each began here: a table in ledger.db."""

import sqlite3
from collections.abc import Callable

from ledger_client.database import migrate

_TABLE = (
    "CREATE TABLE bases_counter (agreement BLOB NOT NULL, unit TEXT NOT NULL, base REAL NOT NULL,"
    " PRIMARY KEY (agreement, unit)) STRICT, WITHOUT ROWID"
)


def open_bases(connection: sqlite3.Connection) -> Callable[[bytes, str, float], float]:
    """What keeps the first value that was given for an agreement and unit, and returns it."""
    migrate(connection, "bases", ((_TABLE,),))

    def base(agreement: bytes, unit: str, value: float) -> float:
        connection.execute(
            "INSERT INTO bases_counter VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (agreement, unit, value),
        )
        ((kept,),) = connection.execute(
            "SELECT base FROM bases_counter WHERE agreement = ? AND unit = ?", (agreement, unit)
        )
        return float(kept)

    return base
