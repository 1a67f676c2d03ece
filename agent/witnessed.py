"""The newest head that witnesses cosigned, in a file of the home: exports carry it along.

JSON {"note": checkpoint with the cosignatures, "witnesses": [verifier key...] in their order}. It
is no secret, and nothing is lost with it.
"""

import json
import os
from pathlib import Path

from agent.home import HomeError
from ledger_client import checkpoints
from ledger_client.errors import RemoteError
from ledger_client.log import LogReader
from ledger_client.record import Head

FILE = "witnessed"
_BYTES_MAX = 65_536


def keep(folder: Path, note: str, witnesses: tuple[str, ...]) -> None:
    """Remember a cosigned head; the file appears whole or not at all. Raises HomeError."""
    path = folder / FILE
    fresh = path.with_name(f".{FILE}.new")
    try:
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump({"note": note, "witnesses": witnesses}, file)
        fresh.replace(path)
    except OSError as error:
        raise HomeError(f"{path}: cannot be written: {error.strerror}") from error


def head_of(folder: Path, log: LogReader, *, asked: bool) -> tuple[LogReader, Head]:
    """The log and head to export under: with cosignatures if its newest head has them.

    If they are `asked` for, the log as it was under the newest head that has them.

    Raises:
        HomeError: they are asked for, and no head of this log was ever cosigned.
    """
    found = _read(folder)
    size = 0 if found is None else checkpoints.parse(found.note.rpartition("\n\n")[0] + "\n").size
    if found is not None and size == log.head.size and found.note.startswith(log.head.note):
        return log, found
    if not asked:
        return log, Head()
    if found is None or log.root_at(size) is None:
        raise HomeError(
            f"{folder}: no head of this log was cosigned; name witnesses in ledger.witnesses"
        )
    return log.at(size), found


def _read(folder: Path) -> Head | None:
    """What was kept; None when nothing was, or it is damaged: it can be had again."""
    try:
        with (folder / FILE).open(encoding="utf-8") as file:
            value = json.loads(file.read(_BYTES_MAX))
        note, witnesses = value["note"], tuple(value["witnesses"])
        checkpoints.parse(note.rpartition("\n\n")[0] + "\n")
        return Head(note, witnesses)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RemoteError):
        return None
