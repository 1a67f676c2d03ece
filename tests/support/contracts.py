"""Agreements for tests: four kinds between parties of fixed keys, and acts about them."""

from typing import Any

from ledger_client import agreements, consents
from ledger_client.agreements import ActivationGrant, DataLicence, Ecosystem, MeteredService
from ledger_client.consents import Act
from ledger_client.keys import SigningKey
from ledger_client.statements import Statement, verify

WEARER, BRAND, PLATFORM, OTHER = (SigningKey(bytes([n]) * 32) for n in range(11, 15))
KEYS = {"wearer": WEARER, "brand": BRAND, "platform": PLATFORM}
BEGINS_S, EXPIRES_S = 1_767_225_600, 1_798_761_600
SUBJECT = "urn:uuid:0c6bd0f5-3f0b-4a42-9c9e-0d7f4f1d1c55"

OWN: dict[str, dict[str, Any]] = {
    "data-licence": {
        "subject": SUBJECT,
        "grantor": "wearer",
        "payer": "brand",
        "quantities": ["cadence", "heart_rate"],
        "resolution_s": 0,
        "purpose": "training plans",
        "price": {"per": "reading", "minor_units": 50},
    },
    "metered-service": {
        "provider": "platform",
        "customer": "wearer",
        "meter": "charger at bay 4",
        "prices": [
            {"unit": "J", "per": 3_600_000, "minor_units": 490_000},
            {"unit": "s", "per": 60, "minor_units": 2_000},
        ],
        "deposit_minor_units": 1_000_000,
    },
    "activation-grant": {
        "issuer": "brand",
        "unit": "founder units",
        "pool_units": 1_000,
        "activation_units": 100,
        "further": [
            {"wearable": "heart strap", "units": 20},
            {"wearable": "glucose", "units": 30},
        ],
        "cap_units": 140,
        "cliff_s": 86_400,
        "vesting_s": 864_000,
    },
    "ecosystem": {"debt_minor_units_max": 1_000},
}


def plain(kind: str = "data-licence", /, **changes: object) -> dict[str, Any]:
    """An agreement as its document, with what a test changes."""
    shares = {"wearer": 7_000, "brand": 2_000, "platform": 1_000}
    return {
        "kind": kind,
        "version": 1,
        "ledger": "box.example/log",
        "asset": "EUR/6",
        "parties": [
            {"name": name, "did": KEYS[name].public.did, "share_bps": bps}
            for name, bps in shares.items()
        ],
        "begins_s": BEGINS_S,
        "expires_s": EXPIRES_S,
        "notice_s": 3_600,
        "least_provenance": 1,
        "simulated": False,
        **OWN[kind],
        **changes,
    }


def licence(**changes: object) -> DataLicence:
    agreement = agreements.from_plain(plain("data-licence", **changes))
    assert isinstance(agreement, DataLicence)
    return agreement


def service(**changes: object) -> MeteredService:
    agreement = agreements.from_plain(plain("metered-service", **changes))
    assert isinstance(agreement, MeteredService)
    return agreement


def grant(**changes: object) -> ActivationGrant:
    agreement = agreements.from_plain(plain("activation-grant", **changes))
    assert isinstance(agreement, ActivationGrant)
    return agreement


def ecosystem(**changes: object) -> Ecosystem:
    agreement = agreements.from_plain(plain("ecosystem", **changes))
    assert isinstance(agreement, Ecosystem)
    return agreement


def act(
    key: SigningKey, agreement: agreements.Document, what: Act = Act.SIGN, at_s: int = BEGINS_S
) -> Statement:
    return verify(consents.sign_act(key, agreements.digest(agreement), what, at_s))


def signed(agreement: agreements.Document, at_s: int = BEGINS_S) -> list[Statement]:
    """Everybody's signature."""
    return [act(key, agreement, at_s=at_s) for key in KEYS.values()]
