"""Who is paired with this gateway: subjects, components, and the count of its boots.

Tables in ledger.db, on the connection that the log uses, so that one transaction can span them.
A component that leaves the configuration stays here: its history still names it.
"""

import sqlite3
from dataclasses import dataclass

from agent.streams import Stream, Streams
from ledger_client.database import migrate, transaction
from ledger_client.errors import LocalError

_SCHEMA = """
CREATE TABLE registry_subject (
    alias TEXT PRIMARY KEY, urn TEXT NOT NULL UNIQUE) STRICT, WITHOUT ROWID;
CREATE TABLE registry_component (
    alias TEXT PRIMARY KEY, kind TEXT NOT NULL, address TEXT NOT NULL UNIQUE, profile TEXT NOT NULL,
    subject TEXT NOT NULL REFERENCES registry_subject, id TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE registry_boot (
    number INTEGER PRIMARY KEY, boot BLOB NOT NULL, starts INTEGER NOT NULL) STRICT
"""
_ERASED = "CREATE TABLE registry_erased (urn TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"
_PURPOSE = """
CREATE TABLE registry_purpose (
    number INTEGER PRIMARY KEY, subject TEXT NOT NULL REFERENCES registry_subject,
    purpose TEXT NOT NULL, urn TEXT NOT NULL UNIQUE, UNIQUE (subject, purpose)) STRICT
"""
_VERSIONS = (_SCHEMA.split(";"), (_ERASED,), (_PURPOSE,))


@dataclass(frozen=True, slots=True)
class Registered:
    """A component as the registry knows it: `id` is the short id of its key."""

    alias: str
    kind: str
    address: str
    profile: str
    subject: str
    id: str


class Registry:
    """What this gateway may hear, and under which names it speaks of it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def create(self) -> None:
        """Make the tables where they are missing; raises StoreError when they are of another."""
        migrate(self._db, "registry", _VERSIONS)

    def add_subject(self, alias: str, urn: str) -> None:
        """Note the random urn:uuid of a subject, whose key is on disk already."""
        self._db.execute("INSERT INTO registry_subject VALUES (?, ?)", (alias, urn))

    def add_purpose(self, stream: Stream) -> None:
        """Note the random urn:uuid of a subject for a purpose, whose key is on disk already.

        Raises:
            LocalError: there is no such subject, or it has that purpose.
        """
        try:
            self._db.execute(
                "INSERT INTO registry_purpose (subject, purpose, urn) VALUES (?, ?, ?)", stream
            )
        except sqlite3.IntegrityError as error:
            raise LocalError(
                f"{stream.subject}: expected a subject that has no urn for this purpose: {error}"
            ) from error

    def streams(self) -> Streams:
        """Every subject that ever was here and was not erased, with its urn for each purpose."""
        own = self._db.execute("SELECT alias, '', urn FROM registry_subject ORDER BY alias")
        streams = Streams(Stream(*row) for row in own)
        for row in self._db.execute(
            "SELECT subject, purpose, urn FROM registry_purpose ORDER BY number"
        ):
            streams.add(Stream(*row))
        return streams

    def erased(self) -> frozenset[str]:
        """The urns whose readings and keys were destroyed; the log still names them."""
        return frozenset(urn for (urn,) in self._db.execute("SELECT urn FROM registry_erased"))

    def mark_erased(self, urn: str) -> None:
        """Note that the readings of `urn` are about to go."""
        self._db.execute("INSERT INTO registry_erased VALUES (?) ON CONFLICT DO NOTHING", (urn,))

    def forget(self, alias: str) -> None:
        """Take out a subject, its purposes and components: no alias, no address of theirs stays."""
        with transaction(self._db):
            self._db.execute("DELETE FROM registry_purpose WHERE subject = ?", (alias,))
            self._db.execute("DELETE FROM registry_component WHERE subject = ?", (alias,))
            self._db.execute("DELETE FROM registry_subject WHERE alias = ?", (alias,))

    def enrol(self, component: Registered) -> None:
        """Note a component; the same alias may move to a new address, never to a new key.

        Raises:
            LocalError: the alias has another key, or the address belongs to another alias.
        """
        row = self._db.execute(
            "SELECT id FROM registry_component WHERE alias = ?", (component.alias,)
        ).fetchone()
        if row is not None and row[0] != component.id:
            raise LocalError(
                f"component {component.alias}: expected key {row[0]}, got {component.id};"
                " restore keys/ from the copy that belongs to this home"
            )
        try:
            self._db.execute(
                "INSERT INTO registry_component VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (alias)"
                " DO UPDATE SET kind = excluded.kind, address = excluded.address,"
                " profile = excluded.profile, subject = excluded.subject",
                (
                    component.alias,
                    component.kind,
                    component.address,
                    component.profile,
                    component.subject,
                    component.id,
                ),
            )
        except sqlite3.IntegrityError as error:
            raise LocalError(
                f"component {component.alias}: its address is that of another component;"
                " give each its own, or keep the other's alias"
            ) from error

    def components(self) -> list[Registered]:
        """Every component that ever was here, by alias."""
        return [
            Registered(*row)
            for row in self._db.execute(
                "SELECT alias, kind, address, profile, subject, id FROM registry_component"
                " ORDER BY alias"
            )
        ]

    def boot_count(self, boot: bytes) -> int:
        """The number of the boot of this box that had these 8 bytes; 0 when it is not known."""
        row = self._db.execute(
            "SELECT number FROM registry_boot WHERE boot = ?", (boot,)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def boot(self, boot: bytes) -> tuple[int, int]:
        """Count a start of the gateway: (boots of the box so far, starts within this boot)."""
        last = self._db.execute(
            "SELECT number, boot FROM registry_boot ORDER BY number DESC LIMIT 1"
        ).fetchone()
        if last is not None and last[1] == boot:
            self._db.execute(
                "UPDATE registry_boot SET starts = starts + 1 WHERE number = ?", (last[0],)
            )
        else:
            self._db.execute("INSERT INTO registry_boot (boot, starts) VALUES (?, 1)", (boot,))
        number, starts = self._db.execute(
            "SELECT number, starts FROM registry_boot ORDER BY number DESC LIMIT 1"
        ).fetchone()
        return number, starts
