"""Advertisements as they would be heard, and what the profile that claims one reads in it."""

from firmware_bridge.packets import Advert, uuid128
from firmware_bridge.profiles import decode, recognise

ADDRESS = "54:48:E6:8F:80:A5"
SEALED = "41a47266c95f730011223378237214"
"""The worked example of bthome.io: service data of FCD2, encrypted."""
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
"""The key of it."""


def advert(
    manufacturer: dict[int, str] | None = None,
    service: dict[str, str] | None = None,
    address: str = ADDRESS,
    name: str = "",
    services: tuple[str, ...] = (),
) -> Advert:
    return Advert(
        address,
        name,
        {number: bytes.fromhex(data) for number, data in (manufacturer or {}).items()},
        {uuid128(uuid): bytes.fromhex(data) for uuid, data in (service or {}).items()},
        tuple(uuid128(uuid) for uuid in services),
        -60,
        0,
        0,
    )


def read(packet: Advert, key: bytes | None = None) -> list[tuple[str, float | str]]:
    profile = recognise(packet)
    assert profile is not None
    return [(one.quantity, one.value) for one in decode(packet, profile, key)]
