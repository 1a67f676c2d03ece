"""Takes a subject out of the journal: packs, batches, losses and the counters of its devices."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from agent import scrub
from agent.journal.file import JournalError, open_file


def batched(path: Path, streams: Iterable[str]) -> list[str]:
    """Those of `streams` of which there ever was a batch; raises JournalError."""
    with closing(open_file(path, create=False)) as connection:
        try:
            known = {name for (name,) in connection.execute("SELECT DISTINCT subject FROM batch")}
        except sqlite3.Error as error:
            raise JournalError(f"{path}: cannot be read ({error}); try again") from error
    return [name for name in streams if name in known]


def forget(path: Path, streams: Sequence[str], addresses: Iterable[str]) -> tuple[int, int]:
    """How many batches and how many packs of `streams` were taken out of the journal at `path`.

    Raises:
        JournalError: the disk refuses; nothing or everything was taken out.
        StoreError: the file cannot be written anew; try again.
    """
    with closing(open_file(path, create=False)) as connection:
        try:
            scrub.forgetful(connection)
            connection.execute("BEGIN IMMEDIATE")
            batches, packs, _ = (
                sum(
                    connection.execute(f"DELETE FROM {table} WHERE subject = ?", (name,)).rowcount  # noqa: S608  # our own words only
                    for name in streams
                )
                for table in ("batch", "pack", "loss")
            )
            connection.executemany(
                "DELETE FROM counter WHERE address = ?", [(address,) for address in addresses]
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"{path}: cannot be written ({error}); try again") from error
        scrub.rewrite(connection)
    return batches, packs
