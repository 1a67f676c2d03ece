"""Makes the urns and keys under which a subject is recorded: its own, and one for each purpose."""

import uuid

from agent.home import Home, HomeError
from agent.registry import Registry
from agent.streams import Stream

PURPOSE_CHARACTERS_MAX = 200
PURPOSES_MAX = 64


def make_stream(home: Home, registry: Registry, subject: str, purpose: str) -> Stream:
    """A new random urn of `subject` for `purpose` ("": the owner's own), with a key of its own.

    The key is on disk before anything names it.

    Raises:
        HomeError: a purpose of no or too many characters, or too many purposes.
        LocalError: there is no such subject, or it has that purpose.
    """
    stream = Stream(subject, purpose, uuid.uuid4().urn)
    if not purpose:
        home.create_subject_key(stream.urn)
        registry.add_subject(subject, stream.urn)
        return stream
    if len(purpose) > PURPOSE_CHARACTERS_MAX:
        raise HomeError(
            f"expected a purpose of at most {PURPOSE_CHARACTERS_MAX} characters, got {len(purpose)}"
        )
    if len(registry.streams().of(subject)) > PURPOSES_MAX:
        raise HomeError(f"{subject}: it has {PURPOSES_MAX} purposes, the most that there can be")
    home.create_subject_key(stream.urn)
    registry.add_purpose(stream)
    return stream
