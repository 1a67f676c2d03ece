"""The history page: one HTML file that carries a record and the checker that judges it, offline.

The checker is `agent/web/verify.html`, a second implementation of `ledger_client.verify` that knows
no network. What it carries stands in a text element that no browser runs: base64 of the record, the
subject that it is about, and the name that its owner calls it by (which nobody signed).
"""

import base64
import binascii
import re
from collections.abc import Iterable
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from agent import witnessed
from agent.export import disclosing, open_journal
from agent.home import Home, HomeError
from agent.registry import Registry
from ledger_client import record
from ledger_client.database import open_database
from ledger_client.disclosure import Disclosure
from ledger_client.errors import EncodingError
from ledger_client.log import Entry, LogReader
from ledger_client.statements import verify

PAGE_BYTES_MAX = record.SIZE_MAX // 3 * 4 + (1 << 20)
"""What a page is at most: the largest record in base64, and the checker."""

_MARK = b"<!-- record -->"
_PAGE = b"<!doctype html"
_CARRIED = re.compile(
    rb'<script type="text/plain" id="record" data-subject="[^"]*" data-name="[^"]*">'
    rb"([A-Za-z0-9+/=]*)</script>"
)


def checker() -> bytes:
    """The page without a record: it takes the one that is dropped on it."""
    return (files("agent") / "web" / "verify.html").read_bytes()


def page(data: bytes, subjects: Iterable[str], name: str) -> bytes:
    """The page that carries the record `data`, opened at whose urns these are, called `name`."""
    urns = " ".join(quote(urn, safe=":") for urn in subjects)
    head = f'<script type="text/plain" id="record" data-subject="{urns}"'
    carried = f'{head} data-name="{quote(name)}">'.encode() + base64.b64encode(data) + b"</script>"
    return checker().replace(_MARK, carried, 1)


def is_page(data: bytes) -> bool:
    """Whether it means to be a page, with a record or without."""
    return data[: len(_PAGE)].lower() == _PAGE


def record_in(data: bytes) -> bytes:
    """The record that a page carries, or `data` as it is when that is no page.

    Raises:
        EncodingError: a page that carries none.
    """
    if not is_page(data):
        return data
    found = _CARRIED.search(data)
    if found is None:
        raise EncodingError("the page carries no record; drop one on it, or verify the record")
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error as error:
        raise EncodingError("the page carries no record, but damaged base64") from error


def history(path: Path, alias: str) -> bytes:
    """The page with the history of one subject of the home at `path`.

    The record is of the whole log, so that the reader sees that no batch was left out; only the
    readings of this subject are in it, under whichever of its urns.

    Raises:
        HomeError: there is no home, or no such subject in it.
        LedgerError: log, keys or journal do not hold together.
    """
    home = Home(path)
    if not home.exists():
        raise HomeError(f"{path}: expected the home folder of a gateway, there is no ledger.db")
    with closing(open_database(home.ledger_db, create=False)) as ledger:
        streams = Registry(ledger).streams()
        urns = [each.urn for each in streams.of(alias)]
        if not urns:
            raise HomeError(f"{alias}: expected one of the subjects {', '.join(streams.aliases())}")
        with closing(open_journal(home)) as journal:
            disclosed = disclosing(journal, home.vault(streams.urns))

            def of_subject(entry: Entry) -> Disclosure | None:
                return disclosed(entry) if verify(entry.statement).subject in urns else None

            log, head = witnessed.head_of(path, LogReader(ledger), asked=False)
            data = record.build(log, of_subject, head)
    return page(data, urns, alias)
