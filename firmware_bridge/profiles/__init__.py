"""Device profiles: one family a file, pure; and the three doors by which the agent uses them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from firmware_bridge.errors import DecodeError
from firmware_bridge.packets import Advert, Answer, Notification, Packet
from firmware_bridge.profiles import (
    battery,
    bthome,
    cgm,
    cycling,
    environment,
    glucose,
    heart_rate,
    obd,
    power,
    running,
    ruuvi,
    thermometer,
    tyre,
    weight,
)
from firmware_bridge.profiles.profile import Decoder, Pair, Profile, uuid16
from firmware_bridge.readings import Provenance, Reading

BUILTIN: tuple[Profile, ...] = (
    heart_rate.PROFILE,
    running.PROFILE,
    cycling.PROFILE,
    power.PROFILE,
    cgm.PROFILE,
    glucose.PROFILE,
    thermometer.PROFILE,
    environment.PROFILE,
    weight.PROFILE,
    bthome.PROFILE,
    ruuvi.PROFILE,
    tyre.PROFILE,
    obd.PROFILE,
    battery.PROFILE,
)

_BY_NAME: Mapping[str, Profile] = {profile.name: profile for profile in BUILTIN}

# The last profile that decodes a characteristic: `battery`, which stands last, for 2a19.
_BY_CHARACTERISTIC: Mapping[str, Profile] = {
    characteristic: profile for profile in BUILTIN for characteristic in profile.characteristics
}

PAIRS_MAX = 512
"""More pairs than any packet can hold; a decoder that yields more is broken."""


def by_name(name: str) -> Profile:
    """The built-in profile of that name; raises `KeyError` naming those that there are."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"want one of {', '.join(sorted(_BY_NAME))}, got {name!r}") from None


def recognise(packet: Packet) -> Profile | None:
    """The profile that claims this packet's payload, whoever sent it; None where none does."""
    match packet:
        case Advert():
            return next((profile for profile in BUILTIN if _claims(profile, packet)), None)
        case Notification():
            return _BY_CHARACTERISTIC.get(uuid16(packet.characteristic))
        case Answer():
            return obd.PROFILE if obd.understands(packet.request) else None
        case _:
            assert_never(packet)


def recognise_device(advert: Advert) -> Profile | None:
    """The profile for the device that advertises: by its payload, or by the services it names."""
    if profile := recognise(advert):
        return profile
    services = {uuid16(uuid) for uuid in advert.service_uuids}
    return next((profile for profile in BUILTIN if services & set(profile.services)), None)


def decode(packet: Packet, profile: Profile, key: bytes | None = None) -> list[Reading]:
    """The readings that a packet of a device of that profile carries, in its order.

    Empty where the profile has nothing to say about it. `key` is the device's, for adverts that
    come encrypted. Raises `DecodeError` for a malformed payload that the profile claims.
    """
    match packet:
        case Advert():
            claimed = profile.advert is not None and _claims(profile, packet)
            pairs = profile.advert(packet, key) if profile.advert and claimed else ()
        case Notification():
            decoder: Decoder | None = profile.characteristics.get(uuid16(packet.characteristic))
            pairs = decoder(packet.data) if decoder else ()
        case Answer():
            pairs = profile.answer(packet.request, packet.text) if profile.answer else ()
        case _:
            assert_never(packet)
    return _readings(pairs, packet, profile, _provenance(packet, profile))


def differences(
    profile: Profile, earlier: Sequence[Reading], packet: Packet, later: Sequence[Reading]
) -> list[Reading]:
    """What two successive packets of one device give together, such as cadence; often nothing.

    `earlier` and `later` are what `decode` returned for them; `packet` is the later one.
    """
    if profile.derive is None or not earlier or not later:
        return []
    elapsed_s = (later[0].boottime_ms - earlier[0].boottime_ms) / 1000
    pairs = profile.derive(_numbers(earlier), _numbers(later), elapsed_s)
    return _readings(pairs, packet, profile, _provenance(packet, profile))


def _claims(profile: Profile, advert: Advert) -> bool:
    return profile.matches_advert is not None and profile.matches_advert(advert)


def _numbers(readings: Sequence[Reading]) -> dict[str, float]:
    return {one.quantity: one.value for one in readings if not isinstance(one.value, str)}


def _provenance(packet: Packet, profile: Profile) -> Provenance:
    if packet.simulated:
        return Provenance.SIMULATED
    if isinstance(packet, Advert):
        proved = profile.authenticates is not None and profile.authenticates(packet)
        return Provenance.AUTHENTICATED if proved else Provenance.OBSERVED
    return Provenance.BONDED if packet.bonded else Provenance.OBSERVED


def _readings(
    pairs: Iterable[Pair], packet: Packet, profile: Profile, provenance: Provenance
) -> list[Reading]:
    digest, label = packet.digest(), profile.label
    readings = [
        Reading(
            packet.address,
            quantity,
            value if isinstance(value, str) else float(value),
            provenance,
            label,
            packet.wall_ms,
            packet.boottime_ms,
            digest,
        )
        for quantity, value in pairs
    ]
    for reading in readings:
        if not isinstance(reading.value, str) and not math.isfinite(reading.value):
            raise DecodeError(profile.name, f"{reading.quantity} is {reading.value}", digest)
    return readings
