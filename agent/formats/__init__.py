"""Ways out: what a record gives away, in other people's formats. One a file, all pure."""

from collections.abc import Iterable

from agent.formats import fhir, fit, omh, senml, table, vss
from agent.formats.points import FormatError, Point, Written

NAMES = ("senml", "csv", "gpx", "fit", "omh", "fhir", "vss")


def render(name: str, points: Iterable[Point]) -> Written:
    """The points in the format `name`, as far as they have a place in it.

    Raises:
        FormatError: no such format, or the points cannot be written in it.
    """
    match name:
        case "senml":
            written = senml.render(points)
        case "csv":
            written = table.render(points)
        case "fit":
            written = fit.render(points)
        case "omh":
            written = omh.render(points)
        case "fhir":
            written = fhir.render(points)
        case "vss":
            written = vss.render(points)
        case "gpx":
            raise FormatError(
                "gpx wants a position for each point, and no quantity here says where a thing was;"
                " take fit, which holds heart rate, cadence, speed and distance without one"
            )
        case _:
            raise FormatError(f"expected one of {', '.join(NAMES)}, got {name!a}")
    if not written.points:
        raise FormatError("expected readings that are disclosed, this holds none")
    return written
