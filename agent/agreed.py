"""The agreements of a home: deeds in its folder, their acts on its log, and which one governs what.

A deed lies in `agreements/<digest>.cbor`. What the folder holds is put onto the log, and from then
on every batch that a data licence governs names it. The folder is looked at while a gateway runs.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.home import Home, HomeError
from ledger_client import agreements, consents, deeds, statements, trust
from ledger_client.agreements import DataLicence, Document
from ledger_client.consents import Standing
from ledger_client.deeds import Deed
from ledger_client.errors import ProofError, RemoteError
from ledger_client.log import Log, LogReader

FOLDER = "agreements"
FILES_MAX = 10_000

_MINUTE_S = 60

_log = logging.getLogger(__name__)

Governing = Callable[[str, int], bytes | None]
"""Subject's urn and Unix seconds to the digest of the agreement under which it is recorded."""


def path_of(home: Home, digest: bytes) -> Path:
    """Where the deed of that agreement lies, or would."""
    return home.path / FOLDER / f"{digest.hex()}.cbor"


def read(path: Path) -> Deed:
    """The deed in a file; raises HomeError when it cannot be read, RemoteError when it is none."""
    try:
        with path.open("rb") as file:
            return deeds.parse(file.read(deeds.SIZE_MAX + 1))
    except OSError as error:
        raise HomeError(f"{path}: expected an agreement: {error.strerror}") from error


def kept(home: Home) -> list[Deed]:
    """Every deed of the home; raises as `read`, or ProofError for one under another's name."""
    return [_named(path, home) for path in sorted((home.path / FOLDER).glob("*.cbor"))]


def _named(path: Path, home: Home) -> Deed:
    deed = read(path)
    if path != path_of(home, deed.digest):
        raise ProofError(f"{path}: it holds another agreement")
    return deed


def publish(log: Log, held: Sequence[Deed], now_s: int) -> int:
    """Put the acts that are not there yet onto the log; returns how many. The documents stay off.

    Those about an agreement for another ledger are not for this one.
    """
    entries = []
    for deed in held:
        if deed.agreement.ledger != log.name:
            continue
        entries += [(act.digest, act.signed) for act in deed.acts if log.find(act.digest) is None]
    if entries:
        log.append(entries, now_s)
    return len(entries)


def publish_activations(log: Log, home: Home, now_s: int) -> int:
    """Put what was attested in the home onto the log, each once; returns how many are new.

    Raises:
        RemoteError: a file that holds no statement.
    """
    attested = [
        statements.verify(path.read_bytes()) for path in sorted((home.path / FOLDER).glob("*.act"))
    ]
    entries = [(each.digest, each.signed) for each in attested if log.find(each.digest) is None]
    if entries:
        log.append(entries, now_s)
    return len(entries)


def owner_changes_s(log: LogReader) -> list[int]:
    """When another owner's certificate came onto the log: what was agreed before is void."""
    changes: list[int] = []
    owner = None
    for position in log.trust_positions():
        statement = statements.verify(log.statement(position))
        if statement.kind != trust.CERTIFICATE:
            continue
        roots = {chain[0].issuer for chain in trust.certified(statement)}
        if statement.issuer in roots:
            continue  # the gateway's own, for its components
        if owner is not None and owner not in roots:
            changes.append(statement.issued_s)
        owner = next(iter(roots))
    return changes


@dataclass(frozen=True, slots=True)
class Holding:
    """A deed of the home, and where it stood when the folder was last looked at."""

    deed: Deed
    digest: bytes
    standing: Standing

    @property
    def agreement(self) -> Document:
        """What was agreed."""
        return self.deed.agreement

    @property
    def kind(self) -> str:
        """The kind's name, such as data-licence."""
        return str(agreements.to_plain(self.deed.agreement)["kind"])


class Shelf:
    """The deeds of a home, read again while the gateway runs: what changes there holds at once.

    A deed for another ledger is held as well; what was signed about it is that ledger's to log.
    """

    def __init__(self, home: Home, log: Log) -> None:
        self._home = home
        self._log = log
        self._seen: dict[Path, tuple[int, int]] = {}
        self._deeds: dict[Path, Deed] = {}
        self._trust = self._minute = -1
        self._holdings: dict[bytes, Holding] = {}

    def open(self, now_s: int) -> None:
        """Read all of it for the first time.

        Raises:
            HomeError: a deed that cannot be read.
            RemoteError: a file that is none, or the deed of another name.
        """
        self._seen = self._files()
        self._deeds = {path: _named(path, self._home) for path in self._seen if _is_deed(path)}
        self._digest(now_s)

    def look(self, now_s: int) -> bool:
        """Read what is new, put its acts onto the log; whether anything may have changed.

        A file that cannot be read or is none says so once, and the deed that it held stays.
        """
        files, minute = self._files(), now_s // _MINUTE_S
        seen = (self._seen, self._trust, self._minute)
        if seen == (files, len(self._log.trust_positions()), minute):
            return False
        for path in [path for path in self._deeds if path not in files]:
            del self._deeds[path]
        for path in files:
            if _is_deed(path) and files[path] != self._seen.get(path):
                try:
                    self._deeds[path] = _named(path, self._home)
                except (HomeError, RemoteError) as error:
                    _log.warning("%s: no deed is taken from it: %s", path.name, error)
        self._seen = files
        try:
            self._digest(now_s)
        except (RemoteError, OSError) as error:
            _log.warning("agreements: what is new does not go onto the log: %s", error)
        return True

    def holdings(self) -> list[Holding]:
        """Every deed, by its agreement's digest."""
        return [holding for _, holding in sorted(self._holdings.items())]

    def find(self, digest: bytes) -> Holding | None:
        """The deed of that agreement, if it is here."""
        return self._holdings.get(digest)

    def governs(self, urn: str, now_s: int) -> bytes | None:
        """Which data licence holds for a subject now; of several the one that began last."""
        found = [
            (holding.standing.from_s or 0, digest)
            for digest, holding in self._holdings.items()
            if isinstance(holding.agreement, DataLicence)
            and holding.agreement.subject == urn
            and holding.agreement.ledger == self._log.name
            and holding.standing.covers(now_s)
        ]
        return max(found)[1] if found else None

    def _files(self) -> dict[Path, tuple[int, int]]:
        """Deeds and attestations with what tells that one was written anew."""
        found = {}
        folder = self._home.path / FOLDER
        for path in sorted([*folder.glob("*.cbor"), *folder.glob("*.act")])[:FILES_MAX]:
            with suppress(FileNotFoundError):
                status = path.stat()
                found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _digest(self, now_s: int) -> None:
        publish(self._log, [*self._deeds.values()], now_s)
        self._trust, self._minute = len(self._log.trust_positions()), now_s // _MINUTE_S
        changes_s = owner_changes_s(self._log)
        holdings = {}
        for deed in self._deeds.values():
            standing = consents.standing(deed.agreement, deed.acts, now_s, changes_s)
            holdings[deed.digest] = Holding(deed, deed.digest, standing)
        self._holdings = holdings  # at once: the committer's thread asks what governs
        publish_activations(self._log, self._home, now_s)


def _is_deed(path: Path) -> bool:
    return path.suffix == ".cbor"


def ungoverned(_urn: str, _now_s: int) -> bytes | None:
    """Where nothing was agreed."""
    return None
