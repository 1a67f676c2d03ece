"""Cheats on the air: clones, replays, a strap on another chest, a silence, and a clock set back."""

import asyncio

from agent.admission import Refusal
from agent.demo.cheats import Cheat, Finding, Outcome, Shown, until
from agent.demo.guests import Onlooker
from agent.running import Connection
from firmware_bridge.links import State
from firmware_bridge.neighbourhood.cheats import CHARGER, ELSEWHERE, STRAP, Rogue, Sent
from firmware_bridge.radio import Clock, Stamp

QUIET = "tyre-rear-right"
QUIET_S = 9.5
QUIET_MAX_S = 3.0
"""How long that sensor may say nothing, in a demo with cheats."""
SCAN_S = 1.5
WAIT_MAX_S = 6.0
OLD_AFTER_S = 3.0
LENT_S = 2.5
BACK_S = 3_600
BACK_FOR_S = 3.0


class SetClock:
    """The gateway's clock in somebody else's hand: `back_s` seconds behind the true one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.back_s = 0

    def __call__(self) -> Stamp:
        """Both clocks; nobody can set the boot clock."""
        now = self._clock()
        return Stamp(now.wall_ms - self.back_s * 1000, now.boottime_ms)


class _Packet:
    """What the cheats by one packet share: the air, and what was sent."""

    def __init__(self, rogue: Rogue) -> None:
        self._rogue = rogue
        self._sent: Sent | None = None


class CloneElsewhere(_Packet):
    """A tyre's advert from an address of the cheat's own."""

    name = "a tyre cloned under another address"
    after_s = 4.0
    _heard = False

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Broadcast while the same radio that the gateway listens with scans."""
        del connection
        async with asyncio.TaskGroup() as tasks:
            scan = tasks.create_task(shown.running.radio.scan(SCAN_S))
            for _ in range(3):
                await asyncio.sleep(SCAN_S / 4)
                self._sent = self._rogue.clone_tyre(ELSEWHERE)
        self._heard = any(advert.address == ELSEWHERE for advert in scan.result())

    def judge(self, shown: Shown) -> Finding:
        """It was on the air; is it on the log?"""
        if self._sent is None:
            return Finding(Outcome.UNSEEN)
        places = shown.traces.packets(self._sent.fingerprint)
        evidence: dict[str, object] = {"heard_by_a_scan": self._heard, "on_the_log": len(places)}
        if places:
            return Finding(Outcome.TAKEN, f"it is in entry {places[0].entry}", evidence)
        if not self._heard:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        says = f"by the radio's listener: nobody registered {ELSEWHERE}; on the log 0 times"
        return Finding(Outcome.REFUSED, says, evidence)


class CloneInPlace(_Packet):
    """A tyre's advert with its address and id, and a believable pressure."""

    name = "a tyre imitated, address and all"
    after_s = 5.0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Broadcast it once."""
        del connection, shown
        self._sent = self._rogue.clone_tyre(self._rogue.first_tyre)

    def judge(self, shown: Shown) -> Finding:
        """Nothing in the packet tells it from the tyre's own: so what does its record say?"""
        places = shown.traces.packets(self._sent.fingerprint) if self._sent else []
        if not places:
            return Finding(Outcome.UNSEEN)
        place = places[0]
        says = (
            f"entry {place.entry} has it like the tyre's own, provenance {place.provenance}"
            " (on a real radio 0, observed: anybody could have sent it)"
        )
        evidence: dict[str, object] = {"entry": place.entry, "provenance": place.provenance}
        return Finding(Outcome.UNDETECTABLE, says, evidence)


class ReplayedBeat(_Packet):
    """A heart beat from before, said again by somebody in the middle of an unencrypted link."""

    name = "a heart beat replayed on its open link"
    after_s = 3.0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Overhear one that was recorded, wait, say it again."""
        del connection
        await until(lambda: _subscribed(shown, self._rogue.address(STRAP)), WAIT_MAX_S)
        before = self._rogue.overheard(STRAP)
        await until(lambda: self._rogue.overheard(STRAP) != before, OLD_AFTER_S)
        beat = self._rogue.overheard(STRAP)
        await asyncio.sleep(OLD_AFTER_S)
        self._sent = await self._rogue.replay_beat(beat)

    def judge(self, shown: Shown) -> Finding:
        """Its fingerprint is on the log twice, which no other beat's is."""
        places = shown.traces.packets(self._sent.fingerprint) if self._sent else []
        if not places:
            return Finding(Outcome.UNSEEN)
        others = shown.traces.repeated(STRAP, but=self._sent.fingerprint if self._sent else b"")
        entries = sorted({place.entry for place in places})
        evidence: dict[str, object] = {
            "entries": entries,
            "times": len(places),
            "other_packets_said_twice": others,
        }
        if len(places) == 1:
            return Finding(Outcome.UNSEEN, f"once, in entry {entries[0]}", evidence)
        where = ", ".join(map(str, entries))
        says = (
            f"one fingerprint {len(places)} times, entries {where}; of the strap's other packets"
            f" {others} came twice"
        )
        return Finding(Outcome.MARKED, says, evidence)


class ReplayedFrame(_Packet):
    """An encrypted frame of the charger from before, broadcast again bit by bit."""

    name = "an encrypted charger frame replayed"
    after_s = 3.5
    _before = 0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Overhear one, wait, broadcast it again."""
        del connection
        address = self._rogue.address(CHARGER)
        await until(lambda: _heard(shown, address), WAIT_MAX_S)
        frame = self._rogue.overheard(CHARGER)
        await asyncio.sleep(OLD_AFTER_S)
        self._before = shown.running.pipeline.refused[Refusal.REPLAYED]
        self._sent = self._rogue.replay_frame(frame)

    def judge(self, shown: Shown) -> Finding:
        """The gate counts it, the next batch says so, and the log has the frame but once."""
        if self._sent is None:
            return Finding(Outcome.UNSEEN)
        refused = shown.running.pipeline.refused[Refusal.REPLAYED] - self._before
        places = shown.traces.packets(self._sent.fingerprint)
        rejecting = [each.entry for each in shown.traces.told if each.batch.losses.rejected]
        evidence: dict[str, object] = {
            "refused": refused,
            "on_the_log": len(places),
            "entries_that_count_it": rejecting,
        }
        if len(places) > 1:
            return Finding(Outcome.TAKEN, f"it is on the log {len(places)} times", evidence)
        if not refused:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        counted = f"; counted as rejected in entry {rejecting[0]}" if rejecting else ""
        return Finding(
            Outcome.REFUSED, f"by the gate: its counter was used before{counted}", evidence
        )


class OtherChest(_Packet):
    """The runner's strap worn by somebody else for a while."""

    name = "the strap on somebody else's chest"
    after_s = 7.0

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Lend it, and remember what it said there."""
        del connection, shown
        self._rogue.lend_strap(seed=1_009)
        await asyncio.sleep(LENT_S)
        self._sent = self._rogue.beat(self._rogue.overheard(STRAP))
        self._rogue.return_strap()

    def judge(self, shown: Shown) -> Finding:
        """The strap's own words, as true as all others: about another heart."""
        places = shown.traces.packets(self._sent.fingerprint) if self._sent else []
        if not places:
            return Finding(Outcome.UNSEEN)
        says = f"entry {places[0].entry} has that heart: a strap proves a heart, not whose"
        return Finding(Outcome.UNDETECTABLE, says, {"entry": places[0].entry})


class Silence:
    """A sensor that is carried away, and comes back as if nothing had been."""

    name = "a tyre sensor silent for a while"
    after_s = 3.0

    def __init__(self, rogue: Rogue, onlooker: Onlooker, clock: Clock) -> None:
        self._rogue = rogue
        self._onlooker = onlooker
        self._clock = clock
        self._back_ms: int | None = None
        self._topic = ""

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Take it away once it was heard, and bring it back."""
        del connection
        address = self._rogue.address(QUIET)
        await until(lambda: _heard(shown, address), WAIT_MAX_S)
        self._topic = f"c/{shown.running.stores.components[QUIET].id}/alert/silent"
        self._rogue.take_away(QUIET)
        await asyncio.sleep(QUIET_S)
        self._rogue.bring_back(QUIET)
        self._back_ms = self._clock().boottime_ms

    def judge(self, shown: Shown) -> Finding:
        """The first batch after its return counts a gap; meanwhile an alert said so."""
        if self._back_ms is None:
            return Finding(Outcome.UNSEEN)
        gaps = [each.entry for each in shown.traces.after(self._back_ms) if each.batch.losses.gap]
        alerts = sum(topic.endswith(self._topic) for topic, _ in self._onlooker.noticed)
        evidence: dict[str, object] = {"entries_with_a_gap": gaps, "alerts": alerts}
        if not gaps:
            return Finding(Outcome.UNSEEN, evidence=evidence)
        told = "; an alert was told" if alerts else ""
        return Finding(Outcome.MARKED, f"entry {gaps[0]} is signed with a gap{told}", evidence)


class ClockBack:
    """The gateway's clock set back an hour, and forward again."""

    name = "the gateway's clock set back an hour"
    after_s = 8.0

    def __init__(self, clock: SetClock) -> None:
        self._clock = clock
        self._from: int | None = None

    async def act(self, connection: Connection, shown: Shown) -> None:
        """Long enough for a batch to be signed by that clock."""
        del connection
        self._from = shown.running.stores.log.head.size
        self._clock.back_s = BACK_S
        await asyncio.sleep(BACK_FOR_S)
        self._clock.back_s = 0

    def judge(self, shown: Shown) -> Finding:
        """Which batches say that their clock was stepped; whether the boot clock still rises."""
        if self._from is None:
            return Finding(Outcome.UNSEEN)
        later = [each for each in shown.traces.told if each.entry >= self._from]
        stepped = [each.entry for each in later if each.batch.clock.stepped]
        true_minute = self._clock().wall_ms // 60_000
        early = [each for each in later if each.batch.first_minute < true_minute - BACK_S // 120]
        evidence: dict[str, object] = {
            "entries_stepped": stepped,
            "entries_an_hour_early": [each.entry for each in early],
            "of_those_sold": sum(each.batch.agreement is not None for each in early),
        }
        if stepped:
            where = ", ".join(map(str, stepped))
            says = f"signed as after a step in entries {where}; order is by the boot clock"
            return Finding(Outcome.MARKED, says, evidence)
        if early:
            return Finding(Outcome.TAKEN, f"entry {early[0].entry} is an hour early", evidence)
        return Finding(Outcome.UNSEEN, evidence=evidence)


def _heard(shown: Shown, address: str) -> bool:
    """Whether the gateway has heard that device."""
    links = shown.running.radio.links()
    return any(link.heard_ms is not None for link in links if link.address == address)


def _subscribed(shown: Shown, address: str) -> bool:
    """Whether the gateway hears that device by a link."""
    links = shown.running.radio.links()
    return any(link.state == State.SUBSCRIBED for link in links if link.address == address)


def on_the_air(rogue: Rogue, onlooker: Onlooker, clock: SetClock) -> list[Cheat]:
    """All of them."""
    return [
        CloneElsewhere(rogue),
        CloneInPlace(rogue),
        ReplayedBeat(rogue),
        ReplayedFrame(rogue),
        OtherChest(rogue),
        Silence(rogue, onlooker, clock),
        ClockBack(clock),
    ]
