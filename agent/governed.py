"""What each agreement of a home governs now, for people: status, list. Pure."""

from datetime import UTC, datetime

from agent.agreed import Holding
from agent.status import Governed
from agent.streams import Streams
from ledger_client.agreements import DataLicence, Document, MeteredService


def view(holding: Holding, streams: Streams, now_s: int) -> Governed:
    """One agreement as it stands at this Unix second."""
    standing = holding.standing
    return Governed(
        agreement=holding.digest.hex(),
        kind=holding.kind,
        state=standing.state.value,
        about=_about(holding.agreement, streams),
        governs=standing.covers(now_s),
        until_s=standing.until_s,
    )


def line(each: Governed) -> str:
    """It, on one line."""
    try:
        until = datetime.fromtimestamp(each.until_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        until = f"Unix second {each.until_s}"
    told = f"{each.agreement[:16]}  {each.kind}  {each.state}"
    when = f" until {until}" if each.governs else ""
    return f"{told}{when}: {each.about}"


def _about(agreement: Document, streams: Streams) -> str:
    match agreement:
        case DataLicence():
            whose = next((each.subject for each in streams.of(agreement.subject)), "somebody else")
            return f"{', '.join(agreement.quantities)} of {whose}, paid by {agreement.payer}"
        case MeteredService():
            return f"{agreement.meter}, paid by {agreement.customer} to {agreement.provider}"
        case _:
            return ", ".join(party.name for party in agreement.parties)
