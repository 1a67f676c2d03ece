"""Which agreement governs what, as people read it."""

import contracts
from contracts import BEGINS_S

from agent import governed
from agent.agreed import Holding
from agent.streams import Stream, Streams
from ledger_client import agreements, consents
from ledger_client.agreements import Document
from ledger_client.deeds import Deed

STREAMS = Streams([Stream("runner", "", contracts.SUBJECT)])


def told(agreement: Document, now_s: int, *, signed: bool = True) -> str:
    acts = contracts.signed(agreement) if signed else []
    standing = consents.standing(agreement, acts, now_s)
    deed = Deed(agreement).joined(act.signed for act in acts)
    line = governed.line(governed.view(Holding(deed, deed.digest, standing), STREAMS, now_s))
    return line.removeprefix(agreements.digest(agreement).hex()[:16])


def test_each_kind_says_what_it_is_about_and_until_when() -> None:
    licence = contracts.licence()

    assert told(licence, BEGINS_S) == (
        "  data-licence  in force until 2027-01-01 00:00 UTC:"
        " cadence, heart_rate of runner, paid by brand"
    )
    assert told(licence, BEGINS_S, signed=False) == (
        "  data-licence  proposed: cadence, heart_rate of runner, paid by brand"
    )
    other = contracts.licence(subject=f"urn:uuid:{'1' * 8}-1111-1111-1111-{'1' * 12}")
    assert "of somebody else" in told(other, BEGINS_S)
    assert "charger at bay 4, paid by wearer to platform" in told(contracts.service(), BEGINS_S)
    assert told(contracts.ecosystem(), BEGINS_S).endswith(": wearer, brand, platform")


def test_a_time_that_no_calendar_has_stays_a_number() -> None:
    for_ever = contracts.licence(expires_s=1 << 40)

    assert f"until Unix second {1 << 40}" in told(for_ever, BEGINS_S)
