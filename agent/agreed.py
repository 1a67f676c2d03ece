"""The agreements of a home: deeds in its folder, their acts on its log, and which one governs what.

A deed lies in `agreements/<digest>.cbor`. What the folder holds is put onto the log at the start,
and from then on every batch that a data licence governs names it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from agent.home import Home, HomeError
from ledger_client import consents, deeds, statements, trust
from ledger_client.agreements import DataLicence
from ledger_client.deeds import Deed
from ledger_client.errors import ProofError
from ledger_client.log import Log, LogReader

FOLDER = "agreements"

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
    found = []
    for path in sorted((home.path / FOLDER).glob("*.cbor")):
        deed = read(path)
        if path != path_of(home, deed.digest):
            raise ProofError(f"{path}: it holds another agreement")
        found.append(deed)
    return found


def publish(log: Log, held: Sequence[Deed], now_s: int) -> int:
    """Put the acts that are not there yet onto the log; returns how many. The documents stay off.

    Raises:
        ProofError: an agreement for another ledger.
    """
    entries = []
    for deed in held:
        if deed.agreement.ledger != log.name:
            raise ProofError(
                f"agreement {deed.digest.hex()[:16]} is for the ledger"
                f" {deed.agreement.ledger!a}, this is {log.name!a}"
            )
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


def governing(held: Sequence[Deed], changes_s: Sequence[int]) -> Governing:
    """What tells which data licence holds for a subject; of several the one that began last."""
    licences = []
    for deed in held:
        if isinstance(deed.agreement, DataLicence):
            standing = consents.standing(deed.agreement, deed.acts, 0, changes_s)
            licences.append((deed.digest, deed.agreement.subject, standing))

    def governs(urn: str, now_s: int) -> bytes | None:
        found = [
            (standing.from_s or 0, digest)
            for digest, subject, standing in licences
            if subject == urn and standing.covers(now_s)
        ]
        return max(found)[1] if found else None

    return governs


def ungoverned(_urn: str, _now_s: int) -> bytes | None:
    """Where nothing was agreed."""
    return None
