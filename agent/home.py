"""The home folder: one process at a time, its keys, and the keys of the subjects it serves.

A folder holds ledger.db and head (its newest checkpoint), journal.db, keys/ and broker/. Keys are
made here and never leave.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path

from agent import scrub
from agent.claims import batch_key
from ledger_client import cbor, durable, shapes
from ledger_client.cose import NONCE_BYTES, decrypt0, encrypt0
from ledger_client.errors import LocalError
from ledger_client.keys import (
    SigningKey,
    create_key,
    create_secret,
    hkdf_sha256,
    read_key,
    read_secret,
)

SEALED_BYTES_MAX = 64 << 20
PARTY = "party-"


class HomeError(Exception):
    """The home folder cannot be used: what came, and what to do."""


class Home:
    """Paths and keys under one folder. `lock` first; it holds until the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger_db = path / "ledger.db"
        self.journal_db = path / "journal.db"
        self.mark = path / "head"
        self.pending = path / "pending"
        self.damaged = path / "damaged"
        self.broker = path / "broker"
        self.broker_users = path / "broker" / "users"
        self.socket = path / "status.sock"
        self._lock = -1

    def peer_till(self, name: str) -> Path:
        """The till of a stranger whom the demo plays."""
        return self.path / "peers" / name / "till.db"

    def create(self) -> None:
        """Make the folder and its parts, for the owner alone; raises HomeError."""
        try:
            for folder in (self.path, self.path / "keys", self.path / "keys" / "subjects"):
                durable.make_folder(folder)
        except OSError as error:
            raise HomeError(
                f"{self.path}: expected a folder that can be written, got: {error.strerror};"
                " name another with gateway.home or --home"
            ) from error

    def exists(self) -> bool:
        """Whether a gateway ever kept anything here."""
        return self.ledger_db.exists()

    def lock(self) -> None:
        """Be the one process that writes here; raises HomeError when another one is."""
        try:
            self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise HomeError(
                f"{self.path}: another milepost is running on this home;"
                " stop it first, or name another home"
            ) from error
        except OSError as error:
            raise HomeError(f"{self.path}: cannot be locked: {error.strerror}") from error

    def unlock(self) -> None:
        """Let another process have the home."""
        os.close(self._lock)

    def key_path(self, name: str) -> Path:
        """Where the signing key `name` lies, or would."""
        return self.path / "keys" / f"{name}.key"

    def key_names(self) -> list[str]:
        """The signing keys that are here."""
        return sorted(path.stem for path in (self.path / "keys").glob("*.key"))

    def parties(self) -> dict[str, SigningKey]:
        """The keys of the parties for whom this home signs agreements, by name."""
        names = [name for name in self.key_names() if name.startswith(PARTY)]
        return {name: read_key(self.key_path(name)) for name in names}

    def subject_key_count(self) -> int:
        """How many subjects' keys are here."""
        return sum(1 for _ in (self.path / "keys" / "subjects").glob("*.key"))

    def key(self, name: str) -> SigningKey:
        """The signing key `name`, made when it is asked for the first time."""
        path = self.key_path(name)
        return read_key(path) if path.exists() else create_key(path)

    def own_key(self, name: str) -> SigningKey:
        """A key that is as old as the home: made before ledger.db, and never again.

        Raises:
            LocalError: it is gone; another in its place would contradict what was signed.
        """
        path = self.key_path(name)
        if self.exists() and not path.exists():
            raise LocalError(
                f"{path}: expected the key that signed for this home, it is gone;"
                " restore keys/ from the copy that belongs to this home"
            )
        return self.key(name)

    def create_subject_key(self, urn: str) -> None:
        """Make K_subject, 32 bytes, for a new subject: with it die its salts and readings."""
        create_secret(self._subject_path(urn))

    def vault(self, subjects: Mapping[str, str]) -> "Vault":
        """What opens the readings of `subjects` (urn by stream) whose key is there; makes none.

        Raises:
            LocalError: a key file is damaged, or an urn is none.
        """
        try:
            paths = {name: self._subject_path(urn) for name, urn in subjects.items()}
        except (TypeError, ValueError) as error:  # text, or NULL
            raise LocalError(f"{self.ledger_db}: the urn of a subject is damaged") from error
        return Vault({name: read_secret(path) for name, path in paths.items() if path.exists()})

    def subject_key(self, urn: str) -> bytes:
        """K_subject of that urn; raises LocalError when the file is gone or damaged."""
        return read_secret(self._subject_path(urn))

    def destroy_subject_key(self, urn: str) -> None:
        """Overwrite and remove K_subject; one that is gone already is fine."""
        scrub.destroy(self._subject_path(urn))

    def retire_key(self, name: str, parties: Collection[str]) -> Path | None:
        """Destroy a signing key, or keep it under its short id if that is one of `parties`."""
        path = self.key_path(name)
        if not path.exists():
            return None
        short_id = read_key(path).public.short_id
        if short_id not in parties:
            scrub.destroy(path)
            return None
        retired = path.rename(path.with_name(f"retired-{short_id}.key"))
        durable.sync_folder(path.parent)
        return retired

    def _subject_path(self, urn: str) -> Path:
        return self.path / "keys" / "subjects" / f"{uuid.UUID(urn)}.key"


class Vault:
    """Seals what the journal keeps, under keys derived from the subject's own."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """`keys` is K_subject by the name of its stream in the journal."""
        self._keys: dict[str, bytes] = {}
        self._pack_keys: dict[str, bytes] = {}
        for name, key in keys.items():
            self.add(name, key)

    def add(self, name: str, key: bytes) -> None:
        """Open and seal for one more stream."""
        self._keys[name] = key
        self._pack_keys[name] = hkdf_sha256(key, b"pack")

    def subject_key(self, subject: str) -> bytes:
        """K_subject of the stream; raises LocalError when it was never made or is destroyed."""
        return self._known(self._keys, subject)

    def seal_pack(self, subject: str, data: bytes) -> bytes:
        """One pack under the subject's pack key, with a random nonce."""
        return encrypt0(self._known(self._pack_keys, subject), os.urandom(NONCE_BYTES), data)

    def open_pack(self, subject: str, sealed: bytes) -> bytes:
        """What `seal_pack` sealed; raises SignatureError when a byte changed."""
        return decrypt0(self._known(self._pack_keys, subject), sealed, size_max=SEALED_BYTES_MAX)

    def seal_leaves(self, subject: str, batch: bytes, leaves: list[bytes]) -> bytes:
        """The leaves of a batch under a key of that batch alone."""
        return encrypt0(
            self._leaves_key(subject, batch), os.urandom(NONCE_BYTES), cbor.encode_uniform(leaves)
        )

    def open_leaves(self, subject: str, batch: bytes, sealed: bytes) -> list[bytes]:
        """What `seal_leaves` sealed; raises SignatureError when a byte changed."""
        data = decrypt0(self._leaves_key(subject, batch), sealed, size_max=SEALED_BYTES_MAX)
        leaves = cbor.decode(data, size_max=SEALED_BYTES_MAX)
        return [shapes.octets(leaf, "leaf") for leaf in shapes.array(leaves, "leaves")]

    def _leaves_key(self, subject: str, batch: bytes) -> bytes:
        return hkdf_sha256(batch_key(self.subject_key(subject), batch), b"leaves")

    @staticmethod
    def _known(keys: dict[str, bytes], subject: str) -> bytes:
        try:
            return keys[subject]
        except KeyError:
            raise LocalError(f"no key for subject {subject}: it was erased or never made") from None


def boot_identity(secret: bytes, kernel_boot_id: str) -> bytes:
    """8 bytes that name this boot of this box to those who have another statement of it."""
    return hashlib.sha256(secret + kernel_boot_id.encode()).digest()[:8]
