"""What came of each agreement of the street by now, by looking: tills, the ledger, the log."""

from agent.demo.market import Market
from agent.status import AgreementView
from ledger_client import consents, values
from ledger_client.agreements import to_plain
from ledger_client.deeds import Deed
from ledger_client.wording import money


def views(market: Market) -> tuple[AgreementView, ...]:
    """The four agreements, each with its parties, where it stands, and what came of it."""
    deeds = market.deeds
    return (
        _view(market, deeds.licence, *_licence(market)),
        _view(market, deeds.service, *_service(market)),
        _view(market, deeds.grant, *_grant(market)),
        _view(market, deeds.ecosystem, *_ecosystem(market)),
    )


def _view(market: Market, deed: Deed, says: str, facts: dict[str, object]) -> AgreementView:
    standing = consents.standing(deed.agreement, deed.acts, market.parties.now_s())
    return AgreementView(
        kind=str(to_plain(deed.agreement)["kind"]),
        digest=deed.digest.hex(),
        parties=tuple(party.name for party in deed.agreement.parties),
        state=standing.state.value,
        says=says,
        facts=facts,
    )


def _licence(market: Market) -> tuple[str, dict[str, object]]:
    """The sum of the runner's channels under it, and what the ledger gave the maker of it."""
    licence, book = market.deeds.data, market.parties.book
    sales = [
        sale
        for sale in market.parties.stores.till.sales(market.runner.public)
        if sale.terms.agreement == market.licence
    ]
    promised = sum(sale.side.best for sale in sales)
    earned = sum(sale.side.claimed for sale in sales)
    made = {
        party.name: book.balance(licence.key_of(party.name).thumbprint)
        for party in licence.parties
        if party.share_bps and party.name != licence.grantor
    }
    shares = {licence.grantor: earned - sum(made.values()), **made} if any(made.values()) else {}
    divided = ", ".join(
        f"{name} {_percent(market, name)} {money(part, licence.asset).partition(' ')[0]}"
        for name, part in shares.items()
    )
    says = f"{money(promised, licence.asset)} promised"
    facts: dict[str, object] = {"promised": promised, "settled": earned, "shares": shares}
    return f"{says}; {divided}" if divided else says, facts


def _percent(market: Market, name: str) -> str:
    (bps,) = (party.share_bps for party in market.deeds.data.parties if party.name == name)
    return f"{bps / 100:g} %"


def _service(market: Market) -> tuple[str, dict[str, object]]:
    view = market.accounts[1].view()
    asset = market.parties.book.asset
    says = f"{view.items_paid} of {view.items} units paid, {money(view.paid, asset)}"
    facts: dict[str, object] = {
        "units": view.items,
        "units_paid": view.items_paid,
        "promised": view.paid,
        "settled": view.settled,
    }
    return says, facts


def _grant(market: Market) -> tuple[str, dict[str, object]]:
    now_s = market.parties.now_s()
    grant = market.deeds.activation
    entitlements = market.activating.entitlements(now_s)
    units = sum(each.units for each in entitlements)
    vested = sum(each.vested(grant, now_s) for each in entitlements)
    says = f"{units} {grant.unit} by {len(entitlements)} activations on the log, {vested} vested"
    facts: dict[str, object] = {
        "activations": len(entitlements),
        "units": units,
        "vested": vested,
        "holders": len({each.holder for each in entitlements}),
    }
    return says, facts


def _ecosystem(market: Market) -> tuple[str, dict[str, object]]:
    loyalty, asset = market.loyalty, market.parties.book.asset
    names = values.names_of(market.deeds.brands)
    given = sum(len(desk.given) for desk in loyalty.desks.values())
    taken = len(loyalty.wallet.taken)
    made = loyalty.netted
    facts: dict[str, object] = {
        "notes_given": given,
        "notes_taken": taken,
        "pseudonyms": len(loyalty.wallet.ids),
        "owed": {
            f"{names[debtor]} to {name}": total
            for name, desk in loyalty.desks.items()
            for debtor, (total, _) in desk.owed.items()
        },
        "positions": dict(made.positions) if made else {},
        "payments": [[p.debtor, p.creditor, p.amount] for p in made.payments] if made else [],
    }
    says = f"{given} notes given, {taken} redeemed"
    if made is None:
        return says, facts
    paid = ", ".join(
        f"{p.debtor} pays {p.creditor} {money(p.amount, asset)}" for p in made.payments
    )
    return f"{says}; {len(made.debts)} debts netted: {paid or 'nothing to pay'}", facts
