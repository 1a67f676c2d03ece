"""Commands to another milepost and their results, JSON on the topics in/{to}/cmd and in/{to}/res.

`add-checkpoint` carries the body of the C2SP tlog-witness request and its status; `checkpoint` asks
for the newest head of the log named in the body. `head` and `ping` are notes to oneself: a result
that nobody asked for.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

BODY_CHARACTERS_MAX = 65_536
COMMANDS = frozenset({"add-checkpoint", "checkpoint"})

Text = Annotated[str, Meta(max_length=BODY_CHARACTERS_MAX)]
Id = Annotated[str, Meta(max_length=32)]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a witness; `id` comes back with the result."""

    command: Literal["add-checkpoint", "checkpoint"]
    id: Id
    body: Text


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of it: an HTTP status, and the body that HTTP would answer with."""

    command: Literal["add-checkpoint", "checkpoint", "head", "ping"]
    id: Id
    status: int
    body: Text


def encode(message: Command | Result) -> bytes:
    """The payload of a message."""
    return msgspec.json.encode(message)


def parse_command(payload: bytes) -> Command:
    """The command in a payload; ValueError if it is none of these."""
    return msgspec.json.decode(payload, type=Command)


def parse_result(payload: bytes) -> Result:
    """The result in a payload; ValueError if it is none of these."""
    return msgspec.json.decode(payload, type=Result)
