"""The tables of a log, version by version. Triggers refuse every change of what is written."""

from collections.abc import Iterator

_LOG = """
CREATE TABLE log_entries (
    position INTEGER PRIMARY KEY,
    identity BLOB NOT NULL UNIQUE CHECK (length(identity) BETWEEN 16 AND 32),
    statement BLOB NOT NULL) STRICT;
CREATE TABLE log_nodes (
    level INTEGER, position INTEGER, hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, position)) STRICT, WITHOUT ROWID;
CREATE TABLE log_heads (
    size INTEGER PRIMARY KEY, root BLOB NOT NULL, issued_s INTEGER NOT NULL,
    receipt BLOB NOT NULL, note TEXT NOT NULL) STRICT
"""
_CHAINS = """
CREATE TABLE log_chains (
    issuer BLOB, sequence INTEGER, digest BLOB NOT NULL,
    position INTEGER NOT NULL REFERENCES log_entries,
    PRIMARY KEY (issuer, sequence)) STRICT, WITHOUT ROWID
"""
_ROTATIONS = """
CREATE TABLE log_rotations (
    old BLOB PRIMARY KEY, new BLOB NOT NULL UNIQUE,
    position INTEGER NOT NULL REFERENCES log_entries) STRICT, WITHOUT ROWID
"""
_TRUST = """
CREATE TABLE log_trust (
    position INTEGER PRIMARY KEY REFERENCES log_entries, kind TEXT NOT NULL) STRICT
"""


def _append_only(*tables: str) -> Iterator[str]:
    for table in tables:
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}"
                " BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END"
            )


VERSIONS = (
    (
        *_LOG.split(";"),
        _CHAINS,
        *_append_only("log_entries", "log_nodes", "log_heads", "log_chains"),
    ),
    (_ROTATIONS, _TRUST, *_append_only("log_rotations", "log_trust")),
    ("CREATE INDEX log_leaves ON log_nodes (hash) WHERE level = 0",),
)
