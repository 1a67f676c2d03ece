"""From one agreement to the next at the same minute: when the old ones end, the new begins. Pure.

An ending is signed with the minute from which it counts, far enough ahead that whoever acts on the
deed has read it by then; its notice runs from there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ledger_client import agreements
from ledger_client.agreements import Document
from ledger_client.consents import Standing

LEAD_MINUTES = 2
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Held:
    """An agreement that somebody signed, and where it stands."""

    agreement: Document
    standing: Standing

    @property
    def digest(self) -> bytes:
        """The agreement's name."""
        return agreements.digest(self.agreement)

    def live(self, now_s: int) -> bool:
        """Whether it holds, will hold, or could once everybody signs."""
        return now_s < self.standing.until_s

    def from_s(self) -> int:
        """When it begins, at the earliest."""
        return self.agreement.begins_s if self.standing.from_s is None else self.standing.from_s


def begins_s(held: Iterable[Held], now_s: int) -> int:
    """When the next agreement of a subject may begin, in Unix seconds.

    With this minute, if nothing holds; else as soon as all that is `held` can be over.
    """
    least_s = (now_s // _MINUTE_S + LEAD_MINUTES) * _MINUTE_S
    latest_s = _minute(now_s)
    for each in held:
        until_s = min(each.standing.until_s, least_s + each.agreement.notice_s)
        if each.live(now_s) and each.from_s() < until_s:
            latest_s = max(latest_s, until_s)
    return latest_s


def endings(held: Iterable[Held], next_from_s: int) -> list[tuple[bytes, int]]:
    """What must be ended, and the Unix second that each ending is dated, so that all fit together.

    What is over by itself when the next begins is left alone. Endings count from whole minutes, so
    after a notice of odd seconds the old one may be over less than a minute before.
    """
    return [
        (each.digest, _minute(next_from_s - each.agreement.notice_s))
        for each in held
        if each.standing.until_s > next_from_s
    ]


def _minute(unix_s: int) -> int:
    return unix_s - unix_s % _MINUTE_S
