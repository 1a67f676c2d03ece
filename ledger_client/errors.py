"""What can go wrong with evidence and money, and whose fault it is."""


class LedgerError(Exception):
    """Base of every error that this package raises on purpose."""


class LocalError(LedgerError):
    """Our own mistake, or a damaged store of ours: stop, do not sign."""


class RemoteError(LedgerError):
    """Somebody else's bytes break a rule: keep them as evidence, count them, carry on."""


class EncodingError(RemoteError):
    """Bytes that are not the one strict encoding that the format allows."""


class SignatureError(RemoteError):
    """A signature, key or header that does not hold."""


class ProofError(RemoteError):
    """A Merkle proof, receipt or checkpoint that does not lead where it says."""


class StoreError(LocalError):
    """A database that is damaged, of another version, or contradicts its own signed head."""


class DamageError(StoreError):
    """A database that lost or changed what it held, or an old copy of one: keep it as evidence."""
