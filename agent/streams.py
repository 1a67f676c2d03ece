"""Under which random urn a subject is recorded: another one for each purpose. FORMATS section 4.

What is recorded for the owner alone has the purpose "". What an agreement is about has that
agreement's purpose, with an urn and a key of its own, so that nothing on the log says that two
streams are of one subject. The journal knows a stream by its name here: the subject's alias, or
for a purpose its urn.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

Governed = Callable[[str, int], bytes | None]
"""Urn and Unix seconds to the digest of an agreement that is in force for it, if there is one."""


class Stream(NamedTuple):
    """One subject's readings for one purpose."""

    subject: str
    purpose: str
    urn: str

    @property
    def name(self) -> str:
        """What the journal calls it."""
        return self.urn if self.purpose else self.subject


class Streams:
    """Every stream that was made here and not erased."""

    def __init__(self, every: Iterable[Stream]) -> None:
        """`every` in the order in which they were made."""
        self.urns: dict[str, str] = {}
        """Urn by name; it goes along with `add`."""
        self._known: dict[str, Stream] = {}
        for stream in every:
            self.add(stream)

    def add(self, stream: Stream) -> None:
        """Know one more."""
        self._known = {**self._known, stream.name: stream}  # the committer's thread reads it
        self.urns[stream.name] = stream.urn

    def aliases(self) -> list[str]:
        """The subjects that there are."""
        return sorted({stream.subject for stream in self._known.values()})

    def of(self, subject: str) -> tuple[Stream, ...]:
        """The streams of one subject, named by its alias, or the one of that urn."""
        return tuple(each for each in self._known.values() if subject in {each.subject, each.urn})

    def find(self, subject: str, purpose: str) -> Stream | None:
        """The subject's stream for a purpose, if it was made."""
        return next((each for each in self.of(subject) if each.purpose == purpose), None)

    def subject(self, name: str) -> str:
        """Whose stream that is: the alias."""
        return self._known[name].subject

    def now(self, subject: str, governed: Governed, now_s: int) -> str:
        """The name of the stream into which readings of `subject` go now.

        That of an agreement in force, of several the one made last; else the owner's own.
        """
        for each in reversed(self.of(subject)):
            if each.purpose and governed(each.urn, now_s) is not None:
                return each.name
        return subject
