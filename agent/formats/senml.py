"""SenML JSON, application/senml+json. Source: RFC 8428 sections 4 and 5.

Base name is the subject, times are absolute. Two labels of our own, which every reader may ignore
(section 4.4): `prov`, how the reading was heard, and `prof`, the profile that decoded it.
"""

import json
from collections.abc import Iterable

from agent.formats.points import Point, Written


def render(points: Iterable[Point]) -> Written:
    """One pack of records, each reading one, in the order of the log."""
    records: list[dict[str, object]] = []
    subject = ""
    for point in points:
        entry: dict[str, object] = {"n": f"{point.component}/{point.quantity}", "t": point.time_s}
        if point.subject != subject:
            subject = point.subject
            entry["bn"] = f"{subject}:"
        if point.unit:
            entry["u"] = point.unit
        entry["vs" if isinstance(point.value, str) else "v"] = point.value
        records.append(entry | {"prov": point.provenance_name, "prof": point.profile})
    return Written(json.dumps(records, indent=0).encode(), len(records))
