"""Evidence of other gateways in a home: verified on the way in, kept byte for byte.

Each is a file in `imported/`, named by its own hash, for the owner alone. Their proofs need nothing
of this gateway: its keys never sign for what another one heard.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.home import Home, HomeError
from ledger_client import merkle, pins, record, statements
from ledger_client.errors import ProofError, RemoteError
from ledger_client.pins import Pin
from ledger_client.report import Report, moment
from ledger_client.verify import verify_record

RECORDS_MAX = 64
FOLDER = "imported"

_NAME_CHARACTERS = 32
_SUFFIX = ".record"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A verified record or excerpt, and where it lies in the home."""

    path: Path
    data: bytes
    report: Report

    @property
    def name(self) -> str:
        """The start of its hash, as in its file's name."""
        return self.path.stem


def line(name: str, report: Report) -> str:
    """One piece of evidence, for people."""
    return (
        f"imported     {report.log} (key {report.vkey.split('+')[1]}): {report.shown} of"
        f" {report.size} entries, {report.disclosed} of {report.readings} readings, signed"
        f" {moment(report.signed_s)}; {FOLDER}/{name}{_SUFFIX}"
    )


def imported(home: Home) -> Iterator[Evidence]:
    """What was imported into the home, verified anew, by name; what else lies there is refused.

    Raises:
        HomeError: a file cannot be read.
        RemoteError: one was changed since it came.
    """
    for path in sorted((home.path / FOLDER).glob(f"*{_SUFFIX}")):
        try:
            evidence = _evidence(home, read_record(path))
            if evidence.path != path:
                raise ProofError(f"expected the bytes that its name hashes, got {evidence.name}")
        except RemoteError as error:
            raise type(error)(f"{path}: {error}; take it away, and import it again") from error
        yield evidence


def accept(home: Home, own_roots: Mapping[int, bytes], own_vkey: str, data: bytes) -> Evidence:
    """The evidence in `data`, verified and not in conflict with what is here; where to put it.

    `own_roots` are the heads of the home's own log by size, whose verifier key is `own_vkey`.

    Raises:
        HomeError: there is no room for more.
        RemoteError: it does not verify, or it and something here cannot both be true.
    """
    fresh = _evidence(home, data)
    report = fresh.report
    if report.vkey == own_vkey and own_roots.get(report.size) != bytes.fromhex(report.root):
        raise ProofError(
            f"{report.log} is the log of this very home, which never had a head of {report.size}"
            " entries with that root: one of the two is a restored copy or a fork; keep both, sign"
            " nothing more, and compare them"
        )
    count = 0
    for held in imported(home):
        if held.path == fresh.path:
            return fresh
        if held.report.vkey == report.vkey:
            _expect_agreement(held, fresh)
        count += 1
    if count >= RECORDS_MAX:
        raise HomeError(
            f"{home.path / FOLDER}: it holds {count} records, at most {RECORDS_MAX} are kept;"
            " export them and take the oldest away"
        )
    return fresh


def _evidence(home: Home, data: bytes) -> Evidence:
    report = verify_record(data)
    name = hashlib.sha256(data).hexdigest()[:_NAME_CHARACTERS]
    return Evidence(home.path / FOLDER / f"{name}{_SUFFIX}", data, report)


def read_record(path: Path) -> bytes:
    """The bytes of a file that should be a record.

    Raises:
        HomeError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(record.SIZE_MAX + 1)
    except OSError as error:
        raise HomeError(f"{path}: expected a record: {error.strerror}") from error


def _expect_agreement(one: Evidence, other: Evidence) -> None:
    """Two records of one log tell one history, as far as they can be compared."""
    short, long = sorted((one, other), key=lambda evidence: evidence.report.size)
    if short.report.size == long.report.size:
        found = long.report.root
    elif long.report.shown == long.report.size:
        hashes = [
            merkle.leaf_hash(statements.verify(line.statement).digest)
            for line in record.parse(long.data).lines[: short.report.size]
        ]
        found = merkle.root(hashes).hex()
    else:
        return
    if found != short.report.root:
        raise ProofError(
            f"{one.report.log} signed two histories: this one contradicts {one.path}; keep both,"
            " they prove it"
        )


def read_pins(path: Path) -> dict[str, Pin]:
    """The heads that `--pin` keeps in a file; raises HomeError, or EncodingError when damaged."""
    try:
        with path.open(encoding="utf-8") as file:
            return pins.parse(file.read(pins.BYTES_MAX))
    except (OSError, UnicodeDecodeError) as error:
        raise HomeError(f"{path}: expected a file of pins: {error}") from error
