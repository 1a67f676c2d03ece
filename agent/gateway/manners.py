"""From `[trading]` to what desks and shells keep to: credit, dust, budgets, and how often."""

from agent import keyring, pacing
from agent.config import Trading
from agent.credit import Credit
from agent.desks import BuyingRules, SellingRules
from agent.partners import Office
from agent.spending import DAY_S, Budget, certified
from ledger_client.certificates import Grant, Limits
from ledger_client.keys import PublicKey
from ledger_client.settlement import RefusedError
from ledger_client.settlement.allowances import Allowance, Allowances

ITEMS_ON_CREDIT = 2
NOTHING = Allowance(0, None, None)
CLOSING_DELAY_S_MIN = 3_600
"""What a payer's channel has at least, to claim what it promised once it closes."""


def credit(settings: Trading, price_max: int) -> Credit:
    """What a payer may owe, or has to pay ahead, where an item costs at most `price_max`."""
    if settings.prepaid_minor_units:
        first = -max(settings.prepaid_minor_units, price_max)
    else:
        first = max(settings.window_minor_units, ITEMS_ON_CREDIT * price_max)
    return Credit(first, max(settings.credit_minor_units_max, first), settings.credit_growth_bps)


def selling(settings: Trading) -> SellingRules:
    """For every party of ours that is paid."""
    return SellingRules(
        settings.reserve_minor_units,
        settings.item_minor_units_min,
        settings.claim_minor_units_min,
        CLOSING_DELAY_S_MIN,
    )


def buying(settings: Trading, certificate: Allowance | None) -> BuyingRules:
    """For one of ours that pays: what the configuration allows, and what its certificate does."""
    budgets = [Budget(settings.spend_minor_units_max, settings.spend_period_s)]
    if settings.spend_payee_day_minor_units_max is not None:
        budgets.append(Budget(settings.spend_payee_day_minor_units_max, DAY_S, each_payee=True))
    if certificate is not None:
        limits = (certificate.minor_units_max, certificate.period_s, certificate.asset)
        budgets.append(certified(Limits(0, *limits)))
    return BuyingRules(
        tuple(budgets),
        settings.prepaid_minor_units_max,
        settings.item_minor_units_min,
        settings.readings_remembered_max,
    )


def certificate(office: Office, payer: PublicKey) -> Allowance | None:
    """What the newest certificate of `payer` on our log lets it spend.

    Nothing on a gateway whose owner granted it no paying, or no amount. Else None where there is
    none, or none that holds by now: then only the configuration limits it.
    """
    log, signer = office.stores.log, office.stores.signer.public
    above = keyring.known(log).owned(signer)
    if above is not None and not _may_pay(above[-1].grant, office.book.asset):
        return NOTHING
    allowances = Allowances(log, signer)
    try:
        return allowances.of(payer, office.now_s())
    except RefusedError:
        return None


def _may_pay(grant: Grant, asset: str) -> bool:
    """Whether an owner's grant to the gateway lets it spend anything of that asset."""
    limits = grant.limits
    named = bool(limits.minor_units_max) and limits.asset in {None, asset}
    return keyring.PAY in grant.scope and named


def pace(settings: Trading) -> pacing.Limits:
    """How much of what others say is taken, and what waits meanwhile."""
    return pacing.Limits(
        inbox_max=settings.inbox_max,
        in_flight_max=settings.in_flight_max,
        messages_per_s_max=settings.messages_per_s_max,
        retry_most_s=settings.retry_max_s,
    )
