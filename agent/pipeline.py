"""From packets to packs: decode, admit, count, commit. Read top to bottom.

`Intake` is the only queue that may drop; it counts what it drops, by device. `Pipeline` holds every
decision and no I/O; `run` carries packets in and group commits out.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.admission import Admission, Refusal
from agent.claims import Kept, pack
from agent.journal import Journal, Losses, Pack
from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, Notification, Packet
from firmware_bridge.profiles import bthome, decode, differences
from firmware_bridge.profiles.profile import Profile
from firmware_bridge.readings import Reading

_log = logging.getLogger(__name__)
EVIDENCE_MAX = 100  # malformed packets kept for `status`, newest last


@dataclass(frozen=True, slots=True)
class Component:
    """A registered thing: its name in records, whose stream it is in, how it is decoded."""

    alias: str
    kind: str
    address: str
    subject: str
    profile: Profile
    key: bytes | None = field(repr=False)
    silence_max_ms: int
    pair: bool = False


class Intake:
    """The bounded queue behind the radio's callback: at `packets_max` the newest packet is lost."""

    def __init__(self, packets_max: int) -> None:
        self._packets: deque[Packet] = deque()
        self._packets_max = packets_max
        self._dropped: Counter[str] = Counter()
        self.dropped = 0
        """Packets lost since the start."""
        self.filled = asyncio.Event()

    def put(self, packet: Packet) -> None:
        """Take a packet from the radio; never blocks, counts what it cannot hold."""
        if len(self._packets) >= self._packets_max:
            self._dropped[packet.address] += 1
            self.dropped += 1
            return
        self._packets.append(packet)
        self.filled.set()

    def take(self, packets_max: int) -> list[Packet]:
        """The oldest packets, at most `packets_max`."""
        taken = [self._packets.popleft() for _ in range(min(packets_max, len(self._packets)))]
        if not self._packets:
            self.filled.clear()
        return taken

    def take_dropped(self) -> Counter[str]:
        """What was lost by address since the last call."""
        dropped, self._dropped = self._dropped, Counter()
        return dropped


@dataclass(slots=True)
class Group:
    """What the next commit writes: kept packets by subject, counters moved, losses counted."""

    kept: dict[str, list[Kept]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    lost: dict[str, Counter[str]] = field(default_factory=dict)
    readings: int = 0
    opened_ms: int = 0

    def lose(self, subject: str, kind: str, count: int = 1) -> None:
        """Count a loss of `kind` (dropped, rejected, gap) for the subject's next statement."""
        self.lost.setdefault(subject, Counter())[kind] += count

    @property
    def losses(self) -> dict[str, Losses]:
        """The counted losses as the journal takes them."""
        return {
            subject: Losses(count["dropped"], count["rejected"], count["gap"])
            for subject, count in self.lost.items()
        }


class Pipeline:
    """Decides packet by packet; `heard` is told of every reading that passes."""

    def __init__(
        self,
        components: Mapping[str, Component],
        admission: Admission,
        heard: Callable[[str, Packet, list[Reading]], None],
    ) -> None:
        self._components = components
        self._admission = admission
        self._heard = heard
        self._last_ms: dict[str, int] = {}
        self._earlier: dict[tuple[str, str], list[Reading]] = {}
        self.refused: Counter[str] = Counter()
        self.repeats = 0
        self.readings = 0
        self.evidence: deque[DecodeError] = deque(maxlen=EVIDENCE_MAX)
        self.group = Group()

    def feed(self, packet: Packet) -> None:
        """Decode and admit one packet into the open group."""
        component = self._components.get(packet.address)
        if component is None:
            self.refused[Refusal.UNKNOWN] += 1
            return
        digest = packet.digest()
        counter = bthome.counter(packet) if isinstance(packet, Advert) and component.key else None
        if self._admission.repeats(packet, digest, counter):
            self.repeats += 1
            self._notice_gap(component, packet.boottime_ms)  # it speaks: that is no silence
            return
        try:
            readings = decode(packet, component.profile, component.key)
        except DecodeError as error:
            self.evidence.append(error)
            self._refuse(component, Refusal.MALFORMED)
            return
        refusal = self._admission.admit(packet, digest, counter, len(readings))
        if refusal is not None:
            self._refuse(component, refusal)
            return
        self._notice_gap(component, packet.boottime_ms)
        if counter is not None:
            self.group.counters[packet.address] = counter
        if readings:
            self._keep(component, packet, readings + self._differences(component, packet, readings))

    def dropped(self, by_address: Mapping[str, int]) -> None:
        """Count what the intake lost, for the statements of the subjects concerned."""
        for address, count in by_address.items():
            component = self._components.get(address)
            if component is not None:
                self.group.lose(component.subject, "dropped", count)

    def close_group(self) -> Group:
        """The open group; a new one begins."""
        group, self.group = self.group, Group()
        return group

    def _keep(self, component: Component, packet: Packet, readings: list[Reading]) -> None:
        first = readings[0]
        group = self.group
        if not group.readings:
            group.opened_ms = packet.boottime_ms
        group.readings += len(readings)
        self.readings += len(readings)
        group.kept.setdefault(component.subject, []).append(
            Kept(
                component.alias,
                first.profile,
                first.provenance,
                packet.wall_ms,
                packet.boottime_ms,
                first.packet,
                tuple((reading.quantity, reading.value) for reading in readings),
            )
        )
        self._heard(component.alias, packet, readings)

    def _differences(
        self, component: Component, packet: Packet, later: list[Reading]
    ) -> list[Reading]:
        """What this value and the one before it of the same characteristic give together."""
        if component.profile.derive is None or not isinstance(packet, Notification):
            return []
        stream = (packet.address, packet.characteristic)
        earlier = self._earlier.get(stream, [])
        self._earlier[stream] = later
        return differences(component.profile, earlier, packet, later)

    def _notice_gap(self, component: Component, now_ms: int) -> None:
        last_ms = self._last_ms.get(component.address, now_ms)
        self._last_ms[component.address] = now_ms
        if now_ms - last_ms > component.silence_max_ms:
            self.group.lose(component.subject, "gap")

    def _refuse(self, component: Component, refusal: Refusal) -> None:
        self.refused[refusal] += 1
        self.group.lose(component.subject, "rejected")


@dataclass(frozen=True, slots=True)
class CommitLimits:
    """A group is committed at `age_max_s` or `readings_max`, whichever comes first."""

    age_max_s: float
    readings_max: int


class Committer:
    """The shell: carries packets from the intake through the pipeline into the journal."""

    def __init__(
        self,
        intake: Intake,
        pipeline: Pipeline,
        journal: Journal,
        limits: CommitLimits,
        seal: Callable[[str, bytes], bytes],
        stream: Callable[[str], str] = str,
    ) -> None:
        """`stream` tells into which of a subject's streams its readings go now."""
        self._intake = intake
        self._pipeline = pipeline
        self._journal = journal
        self._limits = limits
        self._seal = seal
        self._stream = stream
        self._begun = 0
        self.commits = 0
        """Groups that the disk has taken."""

    @property
    def waiting(self) -> bool:
        """Whether something that was heard is not on disk yet."""
        gathered = self._pipeline.group.readings > 0
        return self._intake.filled.is_set() or gathered or self._begun != self.commits

    async def run(self, boot: bytes, boottime_ms: Callable[[], int]) -> None:
        """Until cancelled; on cancellation all that waits in the intake is still committed.

        Raises:
            JournalError: the disk refused a group, which is lost then.
        """
        try:
            while True:
                await self._gather()
                await self._commit_aside(boot, boottime_ms())
        finally:
            while self._drain():
                self._commit(self._close_group(), boot, boottime_ms())
            self._commit(self._close_group(), boot, boottime_ms())

    async def _commit_aside(self, boot: bytes, now_ms: int) -> None:
        """Commit in a thread; a group that was begun is written, even when we are cancelled."""
        group = self._close_group()
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(None, self._commit, group, boot, now_ms)
        try:
            await asyncio.shield(writing)
        finally:
            await asyncio.wait([writing])
            writing.result()

    async def _gather(self) -> None:
        await self._intake.filled.wait()
        try:
            async with asyncio.timeout(self._limits.age_max_s * 0.8):
                while not self._drain():
                    await asyncio.sleep(self._limits.age_max_s / 8)
                    await self._intake.filled.wait()
        except TimeoutError:
            self._drain()

    def _drain(self) -> bool:
        """Feed what waits; True when the group is full."""
        pipeline, readings_max = self._pipeline, self._limits.readings_max
        pipeline.dropped(self._intake.take_dropped())
        while pipeline.group.readings < readings_max:
            packets = self._intake.take(16)
            if not packets:
                return False
            for packet in packets:
                pipeline.feed(packet)
        return True

    def _close_group(self) -> Group:
        self._begun += 1
        group = self._pipeline.close_group()
        group.kept = {self._stream(subject): kept for subject, kept in group.kept.items()}
        return group

    def _commit(self, group: Group, boot: bytes, now_ms: int) -> None:
        packs = [self._pack(subject, boot, kept) for subject, kept in group.kept.items()]
        if packs or group.counters or group.lost:
            self._journal.put(packs, group.counters, group.losses, now_ms)
        self.commits += 1

    def _pack(self, subject: str, boot: bytes, kept: list[Kept]) -> Pack:
        return Pack(
            subject=subject,
            boot=boot,
            readings=sum(len(each.readings) for each in kept),
            first_ms=kept[0].boottime_ms,
            last_ms=kept[-1].boottime_ms,
            body=self._seal(subject, pack(kept)),
        )
