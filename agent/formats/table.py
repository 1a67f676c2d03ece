"""CSV for spreadsheets and notebooks: a row a reading, a header, UTF-8. Source: RFC 4180."""

import csv
import io
from collections.abc import Iterable

from agent.formats.points import Point, Written, moment

_HEADER = (
    "time",
    "unix_s",
    "subject",
    "component",
    "quantity",
    "value",
    "unit",
    "provenance",
    "profile",
    "log",
    "entry",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(points: Iterable[Point]) -> Written:
    """All points; times in UTC to the millisecond.

    Raises:
        FormatError: a time that no calendar has.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_HEADER)
    count = 0
    for count, point in enumerate(points, start=1):  # noqa: B007  # the last one is what is told
        writer.writerow(
            (
                moment(point.time_s),
                point.time_s,
                _plain(point.subject),
                _plain(point.component),
                _plain(point.quantity),
                _plain(point.value) if isinstance(point.value, str) else point.value,
                _plain(point.unit),
                point.provenance_name,
                _plain(point.profile),
                _plain(point.log),
                point.entry,
            )
        )
    return Written(text.getvalue().encode(), count)


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula: devices and other people's records say it."""
    return f"'{text}" if text.startswith(_FORMULA) else text
