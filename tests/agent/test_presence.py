"""What a status says."""

import json

import pytest

from agent import __version__
from agent.presence import Presence

PRESENCE = Presence("shortid", "box", "gateway", "shortid", b"thisboot", "ntp")


def test_a_status_names_speaker_boot_and_clock() -> None:
    topic, payload = PRESENCE.said("online")

    assert topic == "milepost/v1/c/shortid/status"
    assert json.loads(payload) == {
        "state": "online",
        "boot": b"thisboot".hex(),
        "alias": "box",
        "kind": "gateway",
        "gateway": "shortid",
        "version": __version__,
        "clock": "ntp",
    }


@pytest.mark.parametrize(("battery", "said"), [(0.0, 0), (87.6, 88), (100.0, 100)])
def test_a_battery_is_said_in_whole_percent(battery: float, said: int) -> None:
    assert json.loads(PRESENCE.said("online", battery)[1])["battery"] == said
