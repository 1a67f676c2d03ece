"""Who is there and who is not: a status for each component, and alerts while something is wrong.

Everything is retained and told only when it changes: `c/{id}/status` of each component, whose
gateway speaks for it, `c/{id}/alert/silent` while a component is not heard, `c/{id}/alert/battery`
while its battery is low, and `c/{gateway}/alert/scanner` while the radio hears nothing at all.
Never a value that was measured, except how full a battery is.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from agent import topics
from agent.broker import Broker
from agent.presence import Presence
from agent.running import Connection
from agent.status import Board, printable
from firmware_bridge.links import State
from firmware_bridge.radio import Health, LinkView, Radio, Stamp

LOOK_EVERY_S = 1.0
GRACE_MS = 5_000
BATTERY_LOW_PERCENT, BATTERY_ENOUGH_PERCENT = 10, 20
ONLINE, SILENT, WAITING, OFFLINE = "online", "silent", "waiting", "offline"

_HEARD = frozenset({State.BROADCASTING, State.SUBSCRIBED})
_GONE = frozenset({State.MISSING, State.SILENT, State.BACKING_OFF})

Message = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Member:
    """A component as its status speaks of it."""

    presence: Presence
    address: str
    silence_max_ms: int


def state_of(link: LinkView | None, silence_max_ms: int, now_ms: int, before: str) -> str:
    """The word of the status topic; while a link is being made it stays what it was `before`."""
    if link is None:
        return before
    if link.state in _GONE:
        return SILENT
    if link.state not in _HEARD:
        return before
    heard_ms = link.since_ms if link.heard_ms is None else link.heard_ms
    return ONLINE if now_ms - heard_ms <= silence_max_ms + GRACE_MS else SILENT


class Roll:
    """What there is to say now. Holds since when each alert lasts; time is an argument."""

    def __init__(self, gateway: str, members: Iterable[Member]) -> None:
        self._gateway = gateway
        self._members = tuple(members)
        self._states = {member.address: WAITING for member in self._members}
        self._silent_since: dict[str, int] = {}
        self._low_since: dict[str, int] = {}
        self._deaf_since_ms: int | None = None

    def call(
        self, links: Sequence[LinkView], health: Health, board: Board, now: Stamp
    ) -> list[Message]:
        """Every status and alert topic as it should be; an empty payload clears an alert."""
        by_address = {link.address: link for link in links}
        messages: list[Message] = []
        for member in self._members:
            link = by_address.get(member.address)
            before = self._states[member.address]
            state = state_of(link, member.silence_max_ms, now.boottime_ms, before)
            self._states[member.address] = state
            newest = board.newest(member.presence.alias, "battery_level")
            percent = None if newest is None else newest[0]
            messages.append(member.presence.said(state, percent))
            messages.append(self._silence(member, link, state, now))
            messages.append(self._battery(member, percent, now))
        messages.append(self._scanner(health, now))
        return messages

    def farewell(self) -> list[Message]:
        """Each component's status when nobody listens to it any more."""
        return [member.presence.said(OFFLINE) for member in self._members]

    def _silence(self, member: Member, link: LinkView | None, state: str, now: Stamp) -> Message:
        topic = topics.alert(member.presence.id, "silent")
        if state != SILENT or link is None:
            if state == ONLINE:
                self._silent_since.pop(member.address, None)
            return topic, b""
        heard_ms = link.since_ms if link.heard_ms is None else link.heard_ms
        since_ms = self._silent_since.setdefault(
            member.address, now.wall_ms - max(0, now.boottime_ms - heard_ms)
        )
        return topic, _json(
            code="silent",
            alias=member.presence.alias,
            since=since_ms // 1000,
            why=printable(link.error) or f"not heard for {member.silence_max_ms / 1000:g} s",
            mend="is it near, switched on and charged? `milepost scan` shows what is on the air",
        )

    def _battery(self, member: Member, percent: float | None, now: Stamp) -> Message:
        topic = topics.alert(member.presence.id, "battery")
        if percent is None or percent >= BATTERY_ENOUGH_PERCENT:
            self._low_since.pop(member.address, None)
        elif percent <= BATTERY_LOW_PERCENT:
            self._low_since.setdefault(member.address, now.wall_ms)
        if percent is None or member.address not in self._low_since:
            return topic, b""
        return topic, _json(
            code="battery",
            alias=member.presence.alias,
            since=self._low_since[member.address] // 1000,
            why=f"its battery is at {round(percent)} %",
            mend=f"charge it or change the battery: above {BATTERY_ENOUGH_PERCENT} % this ends",
        )

    def _scanner(self, health: Health, now: Stamp) -> Message:
        topic = topics.alert(self._gateway, "scanner")
        if not health.deaf:
            self._deaf_since_ms = None
            return topic, b""
        if self._deaf_since_ms is None:
            self._deaf_since_ms = now.wall_ms
        return topic, _json(
            code="scanner",
            since=self._deaf_since_ms // 1000,
            why=f"the radio {health.words}",
            scanner_rebuilds=health.scanner_rebuilds,
            adapter_resets=health.adapter_resets,
            mend="milepost doctor",
        )


class Attendance:
    """The shell: looks once a second, and publishes what differs from what the broker was told."""

    def __init__(self, roll: Roll, radio: Radio, board: Board, clock: Callable[[], Stamp]) -> None:
        self._roll = roll
        self._radio = radio
        self._board = board
        self._clock = clock
        self._told: dict[str, bytes] = {}
        self._broker: Broker | None = None
        self._ended = False

    async def run(self, connection: Connection) -> None:
        """Tell until cancelled; after an outage everything once more."""
        broker = self._broker = connection.broker
        while not self._ended:
            if not broker.connected.is_set():
                self._told.clear()
                await broker.connected.wait()
            await self._tell(
                broker,
                self._roll.call(
                    self._radio.links(), self._radio.health, self._board, self._clock()
                ),
            )
            await asyncio.sleep(LOOK_EVERY_S)

    async def settle(self) -> None:
        """The radio has ended: nobody hears the components any more."""
        self._ended = True
        if self._broker is not None:
            await self._tell(self._broker, self._roll.farewell(), last=True)

    async def _tell(
        self, broker: Broker, messages: Iterable[Message], *, last: bool = False
    ) -> None:
        for topic, payload in messages:
            if self._ended and not last:
                return
            if self._told.get(topic) != payload:
                await broker.publish(topic, payload, retain=True)
                self._told[topic] = payload


def _json(**fields: str | float) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
