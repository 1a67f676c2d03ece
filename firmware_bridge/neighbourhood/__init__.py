"""Virtual things with behaviour: what a demo, a test and a soak hear instead of hardware."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Thing:
    """One virtual peripheral, as somebody would write it into a configuration.

    `subject` is `runner` or `car`; `key` is the 16-byte bind key of an encrypted broadcast.
    """

    alias: str
    kind: str
    address: str
    profile: str
    subject: str
    key: bytes | None = field(default=None, repr=False)
    pair: bool = False
    silence_max_s: float = 30.0
