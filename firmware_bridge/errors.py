"""What can go wrong between bytes on the air and a reading."""


class BridgeError(Exception):
    """Base of every error that this package raises on purpose."""


class DecodeError(BridgeError):
    """A payload that a profile claims is malformed: the sender's fault.

    `data` is the evidence, at most `EVIDENCE_BYTES_MAX` bytes of it.
    """

    EVIDENCE_BYTES_MAX = 256

    def __init__(self, profile: str, reason: str, data: bytes) -> None:
        """Keep who refused what, and why, apart from the message."""
        self.profile = profile
        self.reason = reason
        self.data = data[: self.EVIDENCE_BYTES_MAX]
        super().__init__(f"{profile}: {reason} (got {self.data.hex() or 'nothing'})")


class RadioUnavailableError(BridgeError):
    """No radio of the kind that the configuration names answers here."""


class LinkLostError(BridgeError):
    """The link to a device broke or never came up; the listener backs off and tries again."""


class PairingRefusedError(BridgeError):
    """The device, or our allow-list, refused to pair."""


class ForbiddenRequestError(BridgeError):
    """Somebody asked the OBD transport for a service outside 01 03 07 09 0A: our own fault."""
