"""Disclosed readings to order, as the export formats take them."""

import hashlib

from agent.formats.points import Point
from firmware_bridge.readings import QUANTITIES

RUNNER = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"
CAR = "urn:uuid:5a1c6f0e-0d0a-4a57-8f2b-6a1f2c8f7f10"
START_S = 1_767_225_600.0


def point(quantity: str = "heart_rate", value: float | str = 60, **changes: object) -> Point:
    """One reading of the runner's strap at the start of 2026, with what a test changes."""
    parts = {
        "log": "box.example/log",
        "entry": 1,
        "subject": RUNNER,
        "component": "strap",
        "quantity": quantity,
        "value": value,
        "unit": QUANTITIES[quantity].unit if quantity in QUANTITIES else "",
        "time_s": START_S,
        "provenance": 1,
        "profile": "heart-rate/1",
    } | changes
    leaf = hashlib.sha256(repr(parts).encode()).digest()
    return Point(leaf=leaf, **parts)  # type: ignore[arg-type]  # each test changes what it needs
