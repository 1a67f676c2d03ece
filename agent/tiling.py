"""The log of a home as files for other people's tools: tiles, and proofs of single entries."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

from agent.export import write_whole
from agent.home import Home, HomeError
from ledger_client import checkpoints, genesis, merkle, proofs, statements, tiles
from ledger_client.checkpoints import Verifier
from ledger_client.database import open_database
from ledger_client.errors import ProofError
from ledger_client.log import LogReader


@contextmanager
def reading(path: Path) -> Iterator[LogReader]:
    """The log of a home at one moment, also while a gateway runs on it.

    Raises:
        HomeError: there is no home.
        StoreError: the log cannot be read.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    with closing(open_database(home.ledger_db, create=False)) as connection:
        log = LogReader(connection)
        with log.snapshot():
            yield log


def verifier(log: LogReader) -> Verifier:
    """Whose signature the checkpoints carry."""
    return genesis.verify(statements.verify(log.statement(0))).verifier


def write_tiles(log: LogReader, folder: Path) -> int:
    """Write what is not there yet, the checkpoint last; returns how many tiles were written.

    A tile never changes, so a folder that a web server shows is brought forward by writing again.

    Raises:
        HomeError: the folder cannot be written.
    """
    head, written = log.head, 0
    for tile in tiles.tiles(head.size):
        path = folder / tile.path
        if not path.exists():
            _publish(path, content(log, tile))
            written += 1
    _publish(folder / "checkpoint", head.note.encode())
    return written


def content(log: LogReader, tile: tiles.Tile) -> bytes:
    """The bytes of a tile that fits the log. An entry is the digest of its statement."""
    if tile.level is not None:
        return tiles.hashes(tile, log.nodes)
    places = range(tile.start, tile.start + tile.width)
    return tiles.bundle(sha256(log.statement(place)).digest() for place in places)


def prove(log: LogReader, index: int, note: str | None = None) -> str:
    """The tlog-proof of entry `index` under the newest head, or under that of a cosigned `note`.

    Raises:
        RemoteError: the note is not of this log, or the entry is not in its head.
    """
    head = log.head
    size = head.size
    if note is not None:
        shown = checkpoints.open_checkpoint(note, verifier(log))
        size = shown.size
        if log.root_at(size) != shown.root:
            raise ProofError(f"this log has no such head of {size} entries")
    path = merkle.inclusion_proof(index, size, log.nodes)
    return proofs.write(index, path, note or head.note)


def leaf(statement: bytes) -> bytes:
    """What the log holds of a statement: its digest, without receipts."""
    return sha256(statements.verify(statement).signed).digest()


def _publish(path: Path, data: bytes) -> None:
    """Write a whole file for everybody: a web server is another user."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
        path.chmod(0o644)
    except OSError as error:
        raise HomeError(f"{path}: cannot be made: {error.strerror}; name another") from error
