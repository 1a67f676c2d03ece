"""Journal -> batch -> statement -> log -> receipt, believed only when it verifies.

Crash-safe by order: the journal names a batch (`seal`) before anything is signed; the log keeps the
statement under that name in one transaction with the issuer's sequence and the head; the journal is
marked last. After a crash a sealed batch is looked up by its name and not signed again.
"""

import hashlib
import os
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from agent import claims
from agent.agreed import Governing, ungoverned
from agent.batching import BatchLimits, due
from agent.clock import Quality, minute_s
from agent.home import Vault
from agent.journal import Batch, Journal
from agent.streams import Streams
from firmware_bridge.radio import Stamp
from ledger_client import batches, merkle, receipts, statements
from ledger_client.errors import ProofError
from ledger_client.keys import PublicKey, SigningKey
from ledger_client.log import Log

BATCH_ID_BYTES = 16


class Proved(NamedTuple):
    """A batch whose receipt was believed."""

    batch: bytes
    number: int
    subject: str
    sequence: int
    readings: int
    log_index: int
    log_size: int


@dataclass(frozen=True, slots=True)
class Now:
    """What the gateway knows of time: `steps` counts how often its wall clock was set so far."""

    stamp: Stamp
    clock: Quality
    boot: bytes
    steps: int


class Boots(Protocol):
    """Tells which boot of the box, counted from 1, had these 8 bytes."""

    def boot_count(self, boot: bytes) -> int:
        """The number of the boot; 0 when it is not known here."""
        ...


class Uplink:
    """Everything that signs readings. `step` blocks for a transaction or two; call it often."""

    def __init__(  # noqa: PLR0913  # the composition root hands over all that signing needs
        self,
        *,
        journal: Journal,
        log: Log,
        vault: Vault,
        signer: SigningKey,
        log_key: PublicKey,
        streams: Streams,
        boots: Boots,
        limits: BatchLimits,
        batches_max: int,
        governing: Governing = ungoverned,
    ) -> None:
        """`streams` tells the urn of each; `batches_max` batches share one head."""
        self._journal = journal
        self._log = log
        self._vault = vault
        self._signer = signer
        self._log_key = log_key
        self._streams = streams
        self._boots = boots
        self._limits = limits
        self._batches_max = batches_max
        self._governing = governing
        self._steps_told = 0

    def step(self, now: Now, *, drain: bool = False) -> list[Proved]:
        """Seal what is due, sign and log what is sealed, believe and mark the receipts."""
        self._seal(now, drain=drain)
        proved: list[Proved] = []
        sealed = self._journal.sealed()
        while sealed:
            proved += self._prove(sealed[: self._batches_max], now)
            sealed = sealed[self._batches_max :]
        if proved:
            self._steps_told = now.steps
        return proved

    def _seal(self, now: Now, *, drain: bool) -> None:
        for name, packs in self._journal.unbatched().items():
            rest = packs
            kin = [each.name for each in self._streams.of(self._streams.subject(name))]
            while chosen := due(rest, self._limits, now.boot, now.stamp.boottime_ms, drain=drain):
                self._journal.seal(chosen, os.urandom(BATCH_ID_BYTES), kin)
                rest = rest[len(chosen) :]

    def _prove(self, sealed: list[Batch], now: Now) -> list[Proved]:
        claimed = {batch.batch: self._claim(batch) for batch in sealed}
        tip = self._log.tip(self._signer.public)
        sequence, previous = tip.sequence, tip.digest
        entries: list[tuple[bytes, bytes]] = []
        for batch in sealed:
            if self._log.find(batch.batch) is not None:
                continue  # logged before a crash: only the mark is missing
            sequence += 1
            payload = self._payload(batch, claimed[batch.batch], now, sequence, previous)
            statement = statements.sign(
                self._signer,
                "batch",
                self._streams.urns[batch.subject],
                payload.encode(),
                minute_s(now.stamp.wall_ms),
            )
            previous = hashlib.sha256(statement).digest()
            entries.append((batch.batch, statement))
        if entries:
            self._log.append(entries, minute_s(now.stamp.wall_ms))
        proved = [self._believe(batch, claimed[batch.batch]) for batch in sealed]
        self._journal.mark(
            (
                each.batch,
                each.log_index,
                self._vault.seal_leaves(each.subject, each.batch, claimed[each.batch].leaves),
            )
            for each in proved
        )
        return proved

    def _claim(self, batch: Batch) -> claims.Claim:
        kept: list[claims.Kept] = []
        for body in self._journal.packs_of(batch.batch):
            kept += claims.unpack(self._vault.open_pack(batch.subject, body))
        key = claims.batch_key(self._vault.subject_key(batch.subject), batch.batch)
        return claims.claim(kept, key)

    def _payload(
        self, batch: Batch, claim: claims.Claim, now: Now, sequence: int, previous: bytes
    ) -> batches.Batch:
        return batches.Batch(
            leaf_count=len(claim.leaves),
            root=merkle.root([merkle.leaf_hash(leaf) for leaf in claim.leaves]),
            first_minute=claim.first_minute,
            last_minute=claim.last_minute,
            clock=batches.Clock(
                state=int(now.clock.state),
                error_max_ms=now.clock.error_max_ms,
                boot=batch.boot,
                boot_count=self._boots.boot_count(batch.boot),
                first_ms=batch.first_ms,
                last_ms=batch.last_ms,
                stepped=now.steps != self._steps_told,
            ),
            previous=previous,
            sequence=sequence,
            provenance=claim.provenance,
            losses=batches.Losses(batch.losses.dropped, batch.losses.rejected, batch.losses.gap),
            profiles=tuple(claim.profiles),
            agreement=self._governing(  # when it was heard: it may be proved after an ending
                self._streams.urns[batch.subject], claim.last_minute * 60
            ),
        )

    def _believe(self, batch: Batch, claim: claims.Claim) -> Proved:
        """Check our own log as a stranger would, before the readings are let go."""
        index = self._log.find(batch.batch)
        if index is None:
            raise ProofError(f"batch {batch.batch.hex()} is not on the log that signed for it")
        statement = self._log.statement(index)
        proof = receipts.verify_inclusion(
            self._log_key, self._log.receipt(index), hashlib.sha256(statement).digest()
        )
        said = batches.decode(statements.verify(statement).payload)
        root = merkle.root([merkle.leaf_hash(leaf) for leaf in claim.leaves])
        if proof.index != index or said.root != root:
            raise ProofError(
                f"entry {index}: the log proves {said.root.hex()} at {proof.index},"
                f" the journal holds {root.hex()}"
            )
        return Proved(
            batch.batch,
            batch.number,
            batch.subject,
            said.sequence,
            len(claim.leaves),
            index,
            proof.tree_size or 0,
        )
