"""The text of an agreement, for people: every field of the document, and nothing that is not in it.

Pure; made from the document alone, so whoever has its digest reads the same words.
"""

from datetime import UTC, datetime
from typing import assert_never

from ledger_client import agreements
from ledger_client.agreements import (
    ActivationGrant,
    DataLicence,
    Document,
    Ecosystem,
    MeteredService,
    PerReading,
)
from ledger_client.channels import exponent

PROVENANCES = ("merely observed", "from a bonded device", "authenticated", "signed by the sensor")
_DAY_S = 86_400


def text(agreement: Document) -> str:
    """The whole agreement as lines of text."""
    kind = str(agreements.to_plain(agreement)["kind"]).replace("-", " ")
    simulated = "count on a demo ledger" if agreement.simulated else "never count"
    lines = [
        f"{kind.upper()}  {agreements.digest(agreement).hex()}",
        f"on the ledger {agreement.ledger}, in {agreement.asset} (amounts are exact)",
        "",
        "Parties, and what each has of what is earned:",
        *(
            f"  {party.name}  {party.share_bps / 100:g} %  {party.did}"
            for party in agreement.parties
        ),
        "  Parts are rounded down, the remainder is the first party's.",
        "",
        *_own(agreement),
        "",
        f"It holds from {day(agreement.begins_s)} until before {day(agreement.expires_s)}.",
        (
            "Any party may end it; that takes effect"
            f" {span(agreement.notice_s) + ' later' if agreement.notice_s else 'at once'}."
        ),
        "It is void when what it is about changes its owner.",
        (
            "Readings count when they are at least"
            f" {PROVENANCES[agreement.least_provenance]}; simulated ones {simulated}."
        ),
    ]
    return "\n".join(lines)


def _own(agreement: Document) -> list[str]:
    match agreement:
        case DataLicence():
            return _licence(agreement)
        case MeteredService():
            return _service(agreement)
        case ActivationGrant():
            return _grant(agreement)
        case Ecosystem():
            return _ecosystem(agreement)
        case _:
            assert_never(agreement)


def money(minor_units: int, asset: str) -> str:
    """Minor units as an exact amount, such as 0.000050 EUR."""
    decimals = exponent(asset)
    whole, part = divmod(abs(minor_units), 10**decimals)
    tail = f".{part:0{decimals}d}" if decimals else ""
    return f"{'-' if minor_units < 0 else ''}{whole}{tail} {asset.partition('/')[0]}"


def _licence(licence: DataLicence) -> list[str]:
    price, asset = licence.price, licence.asset
    if isinstance(price, PerReading):
        paid = f"{money(price.minor_units, asset)} for each reading"
        if licence.resolution_s:
            paid += f", at most one of a quantity in {span(licence.resolution_s)}"
    else:
        paid = f"{money(price.minor_units, asset)} for each {span(price.period_s)} with a reading"
    return [
        f"{licence.payer} pays {paid}.",
        f"What is licensed: {', '.join(licence.quantities)} of {licence.subject}.",
        f"For this purpose and no other: {licence.purpose}",
        f"Resolution: {span(licence.resolution_s) if licence.resolution_s else 'each reading'}.",
        f"By signing, {licence.grantor} consents. The consent may be withdrawn at any time, and",
        "the agreement ends with it at once.",
    ]


def _service(service: MeteredService) -> list[str]:
    names = {
        ("J", 3_600_000): "kWh", ("m", 1_000): "km", ("s", 60): "minute", ("use", 1): "use"
    }  # fmt: skip
    return [
        f"{service.provider} serves {service.customer}, by this meter: {service.meter}",
        *(
            f"  {money(each.minor_units, service.asset)} for each"
            f" {names.get((each.unit, each.per), f'{each.per} {each.unit}')}"
            for each in service.prices
        ),
        "  Only whole ones that have passed cost.",
        f"Deposit: {money(service.deposit_minor_units, service.asset)}.",
        "  It counts towards the bill; what is left goes back.",
    ]


def _grant(grant: ActivationGrant) -> list[str]:
    return [
        f"{grant.issuer} grants, from a pool of {grant.pool_units} {grant.unit}:",
        f"  {grant.activation_units} for activating a device, once for each device",
        *(
            f"  {each.units} for pairing also: {each.wearable}, once for each holder"
            for each in grant.further
        ),
        f"At most {grant.cap_units} for one holder.",
        f"They vest evenly over {span(grant.vesting_s)}, none before {span(grant.cliff_s)}.",
        "These are entries in a register of entitlements. They are not securities.",
    ]


def _ecosystem(ecosystem: Ecosystem) -> list[str]:
    limit = money(ecosystem.debt_minor_units_max, ecosystem.asset)
    return [
        "Value that one brand gives a common customer is redeemed at any of them.",
        "Who gave it owes it to the brand where it is redeemed. What they owe is netted between",
        f"them, so that each stands where it stood; none may owe more than {limit}.",
        "Each knows the customer by a name of its own, which the others cannot link to theirs.",
    ]


def day(unix_s: int) -> str:
    """A time as a date and minute; one that no calendar here has stays a number."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"Unix second {unix_s}"


def span(seconds: int) -> str:
    """Seconds in the largest unit that divides them, such as 30 days."""
    for size, name in ((_DAY_S, "day"), (3_600, "hour"), (60, "minute")):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {name}{'s' if seconds != size else ''}"
    return f"{seconds} s"
