"""Who is said to be there, and which alerts last how long."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from agent.attendance import Attendance, Member, Roll, state_of
from agent.presence import Presence
from agent.running import Connection
from agent.status import Board
from firmware_bridge.links import State
from firmware_bridge.packets import Notification
from firmware_bridge.radio import Health, LinkView, Radio, Stamp
from firmware_bridge.readings import Provenance, Reading

if TYPE_CHECKING:
    from agent.broker import Broker

STRAP = "F0:00:00:00:01:03"
WALL_MS = 1_795_000_000_000
ID, GATEWAY = "strapstrapstrap1", "gatewaygateway12"
FINE = Health(0, 0)


def member() -> Member:
    return Member(Presence(ID, "strap", "heart strap", GATEWAY, b"bootboot", "ntp"), STRAP, 10_000)


def roll() -> Roll:
    return Roll(GATEWAY, [member()])


def link(
    state: State, heard_s: float | None = None, since_s: float = 0, error: str = ""
) -> LinkView:
    heard_ms = None if heard_s is None else int(heard_s * 1000)
    return LinkView(STRAP, state, int(since_s * 1000), heard_ms, -60, 0, 1, error)


def at(second: float) -> Stamp:
    return Stamp(WALL_MS + int(second * 1000), int(second * 1000))


def said(
    roll: Roll,
    links: list[LinkView],
    second: float,
    health: Health = FINE,
    board: Board | None = None,
) -> dict[str, dict[str, object] | None]:
    told = roll.call(links, health, board or Board(), at(second))
    return {
        topic.removeprefix("milepost/v1/c/"): json.loads(payload) if payload else None
        for topic, payload in told
    }


def charged(percent: float) -> Board:
    """What is known of the strap when it told how full its battery is."""
    board = Board()
    packet = Notification(STRAP, "", "", b"", bonded=False, wall_ms=0, boottime_ms=0)
    reading = Reading(
        STRAP, "battery_level", percent, Provenance.OBSERVED, "battery/1", 0, 0, b"\0" * 8
    )
    board.heard("strap", packet, [reading])
    return board


@pytest.mark.parametrize("state", list(State))
def test_every_state_of_a_link_has_a_word(state: State) -> None:
    word = state_of(link(state, heard_s=100), 10_000, 101_000, "waiting")

    assert word == {
        State.BROADCASTING: "online",
        State.SUBSCRIBED: "online",
        State.MISSING: "silent",
        State.SILENT: "silent",
        State.BACKING_OFF: "silent",
    }.get(state, "waiting")


def test_while_a_link_is_made_again_the_component_stays_what_it_was() -> None:
    now = roll()

    words = [
        said(now, [link(state, heard_s=1)], 2)[f"{ID}/status"]["state"]  # type: ignore[index]
        for state in (State.SCANNING, State.SUBSCRIBED, State.CONNECTING, State.BACKING_OFF)
    ]

    assert words == ["waiting", "online", "online", "silent"]


def test_a_recording_that_ended_is_not_online_for_ever() -> None:
    assert state_of(link(State.SUBSCRIBED, heard_s=1), 10_000, 16_000, "online") == "online"
    assert state_of(link(State.SUBSCRIBED, heard_s=1), 10_000, 16_001, "online") == "silent"
    assert state_of(link(State.SUBSCRIBED, since_s=9), 10_000, 10_000, "online") == "online"
    assert state_of(None, 10_000, 10_000, "waiting") == "waiting"


def test_silence_is_an_alert_from_when_it_was_last_heard_until_it_is_heard_again() -> None:
    now = roll()
    topic = f"{ID}/alert/silent"

    before = said(now, [link(State.SUBSCRIBED, heard_s=5)], 6)[topic]
    first = said(now, [link(State.BACKING_OFF, heard_s=5, error="it\nfell")], 20)[topic]
    later = said(now, [link(State.SCANNING, heard_s=5)], 30)
    again = said(now, [link(State.MISSING, heard_s=5)], 60)[topic]
    after = said(now, [link(State.SUBSCRIBED, heard_s=61)], 62)[topic]

    assert (before, after) == (None, None)
    assert first is not None
    assert again is not None
    assert first["since"] == again["since"] == WALL_MS // 1000 + 5
    assert (first["why"], again["why"]) == ("it?fell", "not heard for 10 s")
    assert later[f"{ID}/status"]["state"] == "silent"  # type: ignore[index]


def test_a_low_battery_is_an_alert_until_it_is_well_charged() -> None:
    now, levels = roll(), (50, 11, 10, 15, 0, 19, 20, 15)

    told = [
        said(now, [link(State.SUBSCRIBED, heard_s=second)], second, board=charged(percent))
        for second, percent in enumerate(levels)
    ]

    statuses = [each[f"{ID}/status"] or {} for each in told]
    alerts = [each[f"{ID}/alert/battery"] or {} for each in told]
    assert [status["battery"] for status in statuses] == list(levels)
    assert [second for second, alert in enumerate(alerts) if alert] == [2, 3, 4, 5]
    assert {alert["since"] for alert in alerts if alert} == {WALL_MS // 1000 + 2}
    assert alerts[4]["why"] == "its battery is at 0 %"


def test_a_component_without_a_battery_has_no_alert_of_one() -> None:
    told = said(roll(), [link(State.SUBSCRIBED, heard_s=1)], 1)

    assert told[f"{ID}/alert/battery"] is None
    assert "battery" not in (told[f"{ID}/status"] or {})


def test_a_radio_that_hears_nothing_is_an_alert_until_something_is_heard() -> None:
    now = roll()
    topic = f"{GATEWAY}/alert/scanner"
    quiet = [link(State.MISSING, heard_s=1)]

    fine = said(now, quiet, 90)[topic]
    first = said(now, quiet, 91, Health(1, 0, deaf=True))[topic]
    worse = said(now, quiet, 181, Health(2, 1, deaf=True))[topic]
    worst = said(now, quiet, 9_000, Health(6, 3, deaf=True, gave_up=True))[topic]
    after = said(now, quiet, 9_001, Health(6, 3))[topic]
    again = said(now, quiet, 9_100, Health(7, 3, deaf=True))[topic]

    assert (fine, after) == (None, None)
    assert first is not None
    assert worse is not None
    assert worst is not None
    assert again is not None
    assert first["since"] == worse["since"] == worst["since"] == WALL_MS // 1000 + 91
    assert again["since"] == WALL_MS // 1000 + 9_100
    assert (worse["scanner_rebuilds"], worse["adapter_resets"]) == (2, 1)
    assert "not tried again" not in str(worse["why"])
    assert "not tried again" in str(worst["why"])


@dataclass
class Recorder:
    """A Broker that writes down what it is told."""

    connected: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[tuple[str, bytes, bool]] = field(default_factory=list)

    seen: int = 0

    async def more(self) -> int:
        """How much was told since the last time, once there is something and then nothing more."""
        async with asyncio.timeout(8):
            while len(self.told) == self.seen:  # noqa: ASYNC110  # it is told by others
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        before, self.seen = self.seen, len(self.told)
        return self.seen - before

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        await asyncio.sleep(0)
        self.told.append((topic, payload, retain))


class Ear:
    """A radio with one link."""

    kind = "test"
    health = FINE

    def __init__(self) -> None:
        self.state = State.SUBSCRIBED

    def links(self) -> tuple[LinkView, ...]:
        return (link(self.state, heard_s=1),)


def attendance(radio: Radio) -> Attendance:
    return Attendance(roll(), radio, charged(86.6), lambda: at(2))


async def _connected(recorder: Recorder) -> Connection:
    broker: Broker = recorder  # type: ignore[assignment]  # nobody subscribes here
    return Connection(broker, lambda _: None, ())  # type: ignore[arg-type, return-value]  # nor asks the way


async def test_only_what_changed_is_told_and_after_an_outage_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.attendance.LOOK_EVERY_S", 0.01)
    recorder, ear = Recorder(), Ear()
    shell = attendance(ear)  # type: ignore[arg-type]  # it neither runs nor scans

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(shell.run(await _connected(recorder)))
        await asyncio.sleep(0.03)
        before = len(recorder.told)
        recorder.connected.set()
        first = await recorder.more()
        ear.state = State.MISSING
        second = await recorder.more()
        recorder.connected.clear()
        await asyncio.sleep(0.05)
        recorder.connected.set()
        third = await recorder.more()
        task.cancel()

    assert (before, first, second, third) == (0, 4, 2, 4)
    assert json.loads(recorder.told[0][1])["battery"] == 87
    assert all(retained for _, _, retained in recorder.told)


async def test_at_the_end_every_component_is_offline_and_stays_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.attendance.LOOK_EVERY_S", 0.01)
    recorder = Recorder()
    recorder.connected.set()
    shell = attendance(Ear())  # type: ignore[arg-type]  # it neither runs nor scans

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(shell.run(await _connected(recorder)))
        await recorder.more()
        await shell.settle()
        await asyncio.sleep(0.05)

    statuses = [
        json.loads(payload)["state"]
        for topic, payload, _ in recorder.told
        if topic.endswith("status")
    ]
    assert statuses == ["online", "offline"]


async def test_a_gateway_that_never_reached_its_broker_has_nobody_to_tell() -> None:
    await attendance(Ear()).settle()  # type: ignore[arg-type]  # it neither runs nor scans
