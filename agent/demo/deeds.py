"""What the parties of the demo's street agreed on: one agreement of each kind, signed by all.

The licence governs the runner's batches, the brand pays for no other, and the maker of the shoes
has its part of it. The service is the charger's tariff. The grant gives units for activations, and
three brands take each other's value from a customer whom each knows by another name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from agent import agreed
from agent.export import write_whole
from agent.home import Home
from ledger_client import agreements, consents
from ledger_client.agreements import ActivationGrant, DataLicence, Ecosystem, MeteredService
from ledger_client.consents import Act
from ledger_client.deeds import Deed
from ledger_client.errors import LocalError
from ledger_client.keys import SigningKey

YEAR_S = 365 * 86_400
QUANTITIES = ("cadence", "distance", "glucose", "heart_rate", "speed", "stride_length")
PAIR_UNITS = 100
STRAP, GLUCOSE = "heart strap", "glucose"
PURPOSE = "the brand's training plans, and nothing else"

_Kind = TypeVar("_Kind")


class Prices(NamedTuple):
    """Minor units for a reading, and for so many joules."""

    asset: str
    reading: int
    unit_j: int
    unit: int


@dataclass(frozen=True, slots=True)
class Deeds:
    """The street's four."""

    licence: Deed
    service: Deed
    grant: Deed
    ecosystem: Deed

    @property
    def brands(self) -> Ecosystem:
        """The ecosystem as a document."""
        return _document(self.ecosystem, Ecosystem)

    @property
    def activation(self) -> ActivationGrant:
        """The grant as a document."""
        return _document(self.grant, ActivationGrant)

    @property
    def data(self) -> DataLicence:
        """The licence as a document."""
        return _document(self.licence, DataLicence)


def signed(
    home: Home,
    ledger: str,
    subject: str,
    keys: Mapping[str, SigningKey],
    prices: Prices,
    now_s: int,
) -> Deeds:
    """The four agreements; the first time, all are signed and kept.

    `keys` are those of runner, maker, brand, car, charger and insurer; `subject` is the runner's
    urn for the licence's purpose.
    """
    ids = {key.public.did for key in keys.values()}
    known = [
        deed for deed in agreed.kept(home) if {party.did for party in deed.agreement.parties} <= ids
    ]
    if not any(isinstance(deed.agreement, DataLicence) for deed in known):
        known = [
            _signed(document, keys, now_s)
            for document in _documents(ledger, subject, keys, prices, now_s - now_s % 60)
        ]
        (home.path / agreed.FOLDER).mkdir(mode=0o700, exist_ok=True)
        for deed in reversed(known):  # the licence last: it is what a second start looks for
            write_whole(agreed.path_of(home, deed.digest), deed.encode())
    of = {type(deed.agreement): deed for deed in known}
    return Deeds(of[DataLicence], of[MeteredService], of[ActivationGrant], of[Ecosystem])


def _document(deed: Deed, kind: type[_Kind]) -> _Kind:
    if not isinstance(deed.agreement, kind):
        raise LocalError(f"expected an agreement of another kind than {type(deed.agreement)}")
    return deed.agreement


def _signed(document: dict[str, object], keys: Mapping[str, SigningKey], now_s: int) -> Deed:
    agreement = agreements.from_plain(document)
    digest = agreements.digest(agreement)
    return Deed(agreement).joined(
        consents.sign_act(keys[party.name], digest, Act.SIGN, now_s) for party in agreement.parties
    )


def _documents(
    ledger: str, subject: str, keys: Mapping[str, SigningKey], prices: Prices, begins_s: int
) -> list[dict[str, object]]:
    def common(kind: str, **shares_bps: int) -> dict[str, object]:
        return {
            "kind": kind,
            "version": 1,
            "ledger": ledger,
            "asset": prices.asset,
            "parties": [
                {"name": name, "did": keys[name].public.did, "share_bps": bps}
                for name, bps in shares_bps.items()
            ],
            "begins_s": begins_s,
            "expires_s": begins_s + YEAR_S,
            "notice_s": 0,
            "least_provenance": 1,
            "simulated": True,
        }

    return [
        common("data-licence", runner=7_000, maker=3_000, brand=0)
        | {
            "subject": subject,
            "grantor": "runner",
            "payer": "brand",
            "quantities": QUANTITIES,
            "resolution_s": 0,
            "purpose": PURPOSE,
            "price": {"per": "reading", "minor_units": prices.reading},
        },
        common("metered-service", charger=10_000, car=0)
        | {
            "provider": "charger",
            "customer": "car",
            "meter": keys["charger"].public.did,
            "prices": [{"unit": "J", "per": prices.unit_j, "minor_units": prices.unit}],
            "deposit_minor_units": 0,
        },
        common("activation-grant", brand=0, runner=10_000)
        | {
            "issuer": "brand",
            "unit": "founder units",
            "pool_units": 1_000_000,
            "activation_units": PAIR_UNITS,
            "further": [
                {"wearable": STRAP, "units": PAIR_UNITS // 5},
                {"wearable": GLUCOSE, "units": PAIR_UNITS // 5},
            ],
            "cap_units": 2 * PAIR_UNITS,
            "cliff_s": 30 * 86_400,
            "vesting_s": YEAR_S,
        },
        common("ecosystem", brand=3_400, charger=3_300, insurer=3_300)
        | {"debt_minor_units_max": 10_000_000},
    ]
