"""Standard agreements: one document each, canonical CBOR named by its SHA-256. FORMATS section 7.

A document is plain maps, lists, texts and whole numbers with text keys, so that the same document
is JSON for people and their tools; `schemas/` has a JSON Schema for each kind. The text that people
read is in `wording`, who signed and until when it holds in `consents`, amounts in `dues`.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger_client import cbor
from ledger_client.channels import MONEY_MAX
from ledger_client.errors import EncodingError, SignatureError
from ledger_client.keys import PublicKey
from ledger_client.shares import WHOLE_BPS

SIZE_MAX = 16_384
SIMULATED = 9
SECONDS_MAX = 1 << 40
NOTICE_S_MAX = 366 * 86_400

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$", description="A party of this one.")]
Words = Annotated[str, Meta(min_length=1, max_length=200)]
Did = Annotated[str, Meta(pattern=r"^did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{40,50}$")]
Urn = Annotated[str, Meta(pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Asset = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9]{2,11}/([0-9]|1[0-8])$")]
Quantity = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Second = Annotated[int, Meta(ge=0, le=SECONDS_MAX)]
Amount = Annotated[int, Meta(ge=0, le=MONEY_MAX)]
Price = Annotated[int, Meta(ge=1, le=MONEY_MAX)]
Units = Annotated[int, Meta(ge=1, le=MONEY_MAX)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A map with exactly these keys."""


class Party(Strict, frozen=True):
    """Who signs; `share_bps` is its part of what is earned, in basis points."""

    name: Name
    did: Did
    share_bps: Annotated[int, Meta(ge=0, le=WHOLE_BPS)]


class Agreement(Strict, frozen=True, tag_field="kind"):
    """What every kind says. Times are Unix seconds; what is not in between earns nothing.

    `notice_s` lies between an ending and its effect. Readings below `least_provenance` (0 observed
    to 3 signed by the sensor) earn nothing; simulated ones only if `simulated`, on a demo ledger.
    """

    version: Literal[1]
    ledger: Words
    asset: Asset
    parties: Annotated[tuple[Party, ...], Meta(min_length=2, max_length=32)]
    begins_s: Second
    expires_s: Second
    notice_s: Annotated[int, Meta(ge=0, le=NOTICE_S_MAX)]
    least_provenance: Annotated[int, Meta(ge=0, le=3)]
    simulated: bool

    @property
    def shares_bps(self) -> tuple[int, ...]:
        """The parts of the parties, in their order."""
        return tuple(party.share_bps for party in self.parties)

    @property
    def grantors(self) -> tuple[str, ...]:
        """The names of the parties whose consent it needs beside their signature."""
        return ()

    def pays_for(self, provenance: int, *, demo: bool) -> bool:
        """Whether a reading of this provenance earns anything on such a ledger."""
        if provenance == SIMULATED:
            return self.simulated and demo
        return provenance >= self.least_provenance

    def key_of(self, name: str) -> PublicKey:
        """The key of the party of that name; raises EncodingError when there is none."""
        for party in self.parties:
            if party.name == name:
                return PublicKey.from_did(party.did)
        raise EncodingError(f"agreement: expected the name of a party, got {name!a}")

    def check(self) -> None:
        """Raise EncodingError for what contradicts itself though each field is in order."""
        names = [party.name for party in self.parties]
        if len(set(names)) != len(names) or len({each.did for each in self.parties}) != len(names):
            raise EncodingError("agreement: expected parties of different names and keys")
        if sum(self.shares_bps) != WHOLE_BPS:
            raise EncodingError(
                f"agreement: expected shares of {WHOLE_BPS} in all, got {sum(self.shares_bps)}"
            )
        if self.begins_s >= self.expires_s:
            raise EncodingError("agreement: expected it to begin before it expires")
        for party in self.parties:
            try:
                PublicKey.enrol(PublicKey.from_did(party.did).raw)
            except SignatureError as error:
                raise EncodingError(f"agreement: {party.name}: {error}") from error
        for role in self._roles():
            self.key_of(role)

    def _roles(self) -> tuple[str, ...]:
        return ()


class PerReading(Strict, frozen=True, tag_field="per", tag="reading"):
    """So much for each reading."""

    minor_units: Price


class PerPeriod(Strict, frozen=True, tag_field="per", tag="period"):
    """So much for each period in which there is at least one reading."""

    minor_units: Price
    period_s: Annotated[int, Meta(ge=60, le=NOTICE_S_MAX)]


class DataLicence(Agreement, frozen=True, tag="data-licence"):
    """Readings of one subject for a purpose; what `payer` pays is shared.

    `grantor` consents for the subject. At most one reading of a quantity in `resolution_s` earns;
    0: each one.
    """

    subject: Urn
    grantor: Name
    payer: Name
    quantities: Annotated[tuple[Quantity, ...], Meta(min_length=1, max_length=64)]
    resolution_s: Annotated[int, Meta(ge=0, le=86_400)]
    purpose: Words
    price: PerReading | PerPeriod

    @property
    def grantors(self) -> tuple[str, ...]:
        """The one who consents for the subject."""
        return (self.grantor,)

    @property
    def collector(self) -> str:
        """Who is paid, for all who have a share: the first party that is not the payer."""
        return next(party.name for party in self.parties if party.name != self.payer)

    def _roles(self) -> tuple[str, ...]:
        return (self.grantor, self.payer)

    def check(self) -> None:
        """As every agreement, and no quantity twice."""
        super().check()
        if len(set(self.quantities)) != len(self.quantities):
            raise EncodingError("data-licence: a quantity is named twice")


class UnitPrice(Strict, frozen=True):
    """`minor_units` for every whole `per` of a unit: 3600000 J is a kWh, 1000 m a km, 60 s."""

    unit: Literal["J", "m", "s", "use"]
    per: Units
    minor_units: Price


class MeteredService(Agreement, frozen=True, tag="metered-service"):
    """What `customer` uses of a service is measured by `meter`; a deposit counts towards it."""

    provider: Name
    customer: Name
    meter: Words
    prices: Annotated[tuple[UnitPrice, ...], Meta(min_length=1, max_length=4)]
    deposit_minor_units: Amount

    @property
    def collector(self) -> str:
        """Who is paid, for all who have a share."""
        return self.provider

    @property
    def payer(self) -> str:
        """Who pays."""
        return self.customer

    def _roles(self) -> tuple[str, ...]:
        return (self.provider, self.customer)

    def check(self) -> None:
        """As every agreement, two parties, and each unit has one price."""
        super().check()
        if self.provider == self.customer:
            raise EncodingError("metered-service: expected a provider that is not the customer")
        if len({price.unit for price in self.prices}) != len(self.prices):
            raise EncodingError("metered-service: a unit has two prices")


class Further(Strict, frozen=True):
    """Units for a further kind of wearable that is paired, once for each holder."""

    wearable: Words
    units: Units


class ActivationGrant(Agreement, frozen=True, tag="activation-grant"):
    """Units of a pool for activating a device: entitlements in a register, never securities.

    A holder has at most `cap_units`. They vest in whole units, evenly over `vesting_s` from the
    activation, none before `cliff_s`.
    """

    issuer: Name
    unit: Words
    pool_units: Units
    activation_units: Units
    further: Annotated[tuple[Further, ...], Meta(max_length=16)]
    cap_units: Units
    cliff_s: Second
    vesting_s: Second

    def _roles(self) -> tuple[str, ...]:
        return (self.issuer,)

    def check(self) -> None:
        """As every agreement, each wearable once, and a cliff that is within the vesting."""
        super().check()
        if len({each.wearable for each in self.further}) != len(self.further):
            raise EncodingError("activation-grant: a wearable is named twice")
        if self.cliff_s > self.vesting_s:
            raise EncodingError("activation-grant: expected a cliff within the time of vesting")


class Ecosystem(Agreement, frozen=True, tag="ecosystem"):
    """Brands with common customers: value that one gave is redeemed at another, and netted.

    Nobody may owe more than `debt_minor_units_max` when it is netted.
    """

    debt_minor_units_max: Amount


Document = DataLicence | MeteredService | ActivationGrant | Ecosystem
KINDS: dict[str, type[Document]] = {
    "data-licence": DataLicence,
    "metered-service": MeteredService,
    "activation-grant": ActivationGrant,
    "ecosystem": Ecosystem,
}


def encode(agreement: Document) -> bytes:
    """The one encoding of an agreement; raises EncodingError for what `parse` would refuse."""
    data = cbor.encode(msgspec.to_builtins(agreement))
    parse(data)
    return data


@lru_cache(maxsize=256)
def digest(agreement: Document) -> bytes:
    """The agreement's name: SHA-256 of its encoding, 32 bytes. The latest are remembered."""
    return sha256(encode(agreement)).digest()


def parse(data: bytes) -> Document:
    """The agreement in its one encoding.

    Raises:
        EncodingError: no agreement of this version, or one that contradicts itself.
    """
    return from_plain(cbor.decode(data, size_max=SIZE_MAX, depth_max=6))


def from_plain(value: object) -> Document:
    """The agreement in a document of JSON or CBOR; raises EncodingError naming the field."""
    try:
        agreement: Document = msgspec.convert(value, Document)
    except msgspec.ValidationError as error:
        raise EncodingError(f"agreement: {error}") from error
    if not _printable(value):
        raise EncodingError("agreement: expected printable text")
    agreement.check()
    return agreement


def to_plain(agreement: Document) -> dict[str, object]:
    """The agreement as plain maps and lists, for JSON."""
    plain: dict[str, object] = msgspec.json.decode(msgspec.json.encode(agreement))
    return plain


def schema(kind: str) -> dict[str, object]:
    """The JSON Schema (2020-12) of one kind; what it cannot say, `Agreement.check` does."""
    found: dict[str, object] = msgspec.json.schema(KINDS[kind])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _printable(value: object) -> bool:
    match value:
        case str():
            return value.isprintable()
        case dict():
            return all(map(_printable, value.values()))
        case list() | tuple():
            return all(map(_printable, value))
        case _:
            return True
