"""Heads that a verifier remembers: a log may only grow from the last one that was seen.

As a file JSON: {log name: {"vkey": verifier key, "note": checkpoint}}. A pin holds the key too, so
that another log of the same name is noticed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from ledger_client import checkpoints
from ledger_client.checkpoints import Checkpoint
from ledger_client.errors import EncodingError, ProofError, RemoteError

BYTES_MAX = 1 << 20

RootOf = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Pin:
    """The last head that was seen of a log, as its key signed it."""

    vkey: str
    note: str

    @property
    def checkpoint(self) -> Checkpoint:
        """What the key signed; raises RemoteError when it did not."""
        return checkpoints.open_checkpoint(self.note, checkpoints.parse_vkey(self.vkey))

    def expect(self, log: str, vkey: str) -> None:
        """Raise ProofError if the log of this name has another key than the pinned one."""
        if self.vkey != vkey:
            raise ProofError(f"{log} was pinned with the key {self.vkey}, this is another log")


Pins = Mapping[str, Pin]


def parse(text: str) -> dict[str, Pin]:
    """The pins in a file, each signed by its key.

    Raises:
        EncodingError: not such a file, or a pin that does not hold.
    """
    try:
        value = json.loads(text)
        pins = {name: Pin(**pin) for name, pin in value.items()}
        for name, pin in pins.items():
            _expect_name(name, pin)
    except (ValueError, TypeError, AttributeError, RecursionError, RemoteError) as error:
        raise EncodingError(
            f"pins: expected what --pin wrote, it is damaged ({error}); pin anew in another file,"
            " from a record that you trust"
        ) from error
    return pins


def render(pins: Pins) -> str:
    """The text of a file with these pins."""
    plain = {name: {"vkey": pin.vkey, "note": pin.note} for name, pin in pins.items()}
    return json.dumps(plain, indent=1, sort_keys=True) + "\n"


def follow(old: Checkpoint, head: Checkpoint, root_of: RootOf | None) -> bool:
    """Whether a verified head is shown to be or to continue the pinned one, `old`, of the same log.

    `root_of` gives the root of the log's first entries; None where that cannot be known: then a
    larger head is neither shown to continue the pin nor refused.

    Raises:
        ProofError: an older head, or another history.
    """
    if old.size > head.size:
        raise ProofError(
            f"the pinned head has {old.size} entries, this one {head.size}: an older copy, or a"
            " log that was rewritten"
        )
    if old.size == head.size:
        found = head.root
    elif root_of is None:
        return False
    else:
        found = root_of(old.size)
    if found != old.root:
        raise ProofError(
            f"the first {old.size} entries have root {found.hex()}, pinned is {old.root.hex()}: the"
            " log was rewritten; keep both files, they prove it"
        )
    return True


def _expect_name(name: str, pin: Pin) -> None:
    texts = cast("tuple[object, object]", (pin.vkey, pin.note))
    if not all(isinstance(text, str) for text in texts):
        raise EncodingError("a pin is of text")
    if pin.checkpoint.origin != name:
        raise EncodingError(f"the pin of {name!a} is of {pin.checkpoint.origin!a}")
