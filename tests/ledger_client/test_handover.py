"""One agreement after another: no minute twice, none left out, no reading paid by two."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import contracts
import offering
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_client import consents, dues, handover, offers
from ledger_client.agreements import DataLicence
from ledger_client.consents import Act, Standing, State
from ledger_client.dues import Measured
from ledger_client.handover import Held
from ledger_client.offers import Acceptor

if TYPE_CHECKING:
    from ledger_client.statements import Statement

START_S = contracts.BEGINS_S
WEARER = Acceptor(contracts.WEARER.public.did, "box.example/log", contracts.SUBJECT)
KEYS = (contracts.WEARER, contracts.BRAND)


class Step(NamedTuple):
    """A switch, so many seconds after the last one, to a licence of this notice and price."""

    after_s: int
    notice_s: int
    minor_units: int
    slow_s: int


def licence(step: Step, begins_s: int) -> DataLicence:
    price = {"per": "reading", "minor_units": step.minor_units}
    document = offering.template(notice_s=step.notice_s, price=price)
    filled = offers.filled(offering.signed(document).offer, WEARER, begins_s)
    assert isinstance(filled, DataLicence)
    return filled


class Home:
    """The deeds of one subject, and what was signed about each."""

    def __init__(self) -> None:
        self.held: dict[bytes, tuple[DataLicence, list[Statement]]] = {}

    def standings(self, now_s: int) -> list[Held]:
        return [
            Held(agreement, consents.standing(agreement, acts, now_s))
            for agreement, acts in self.held.values()
        ]

    def switch(self, step: Step, now_s: int) -> None:
        before = self.standings(now_s)
        agreement = licence(step, handover.begins_s(before, now_s))
        acts = [contracts.act(key, agreement, at_s=now_s + step.slow_s) for key in KEYS]
        from_s = consents.standing(agreement, acts, now_s).from_s
        assert from_s is not None
        for digest, at_s in handover.endings(before, from_s):
            ended, its = self.held[digest]
            its.append(contracts.act(contracts.WEARER, ended, Act.END, at_s))
        self.held[Held(agreement, consents.standing(agreement, acts, 0)).digest] = agreement, acts


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 10_000),
        st.sampled_from([0, 60, 3_600]),
        st.integers(1, 9),
        st.sampled_from([0, 30, 400]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda step: (step.notice_s, step.minor_units),
)


def switched(steps: Sequence[Step]) -> tuple[Home, int]:
    home, now_s = Home(), START_S
    for step in steps:
        now_s += step.after_s
        home.switch(step, now_s)
    return home, now_s


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whenever_terms_are_switched_exactly_one_agreement_holds(steps: list[Step]) -> None:
    home, now_s = switched(steps)

    holds = [each.standing for each in home.standings(now_s)]
    first_s = min(each.from_s for each in holds if each.from_s is not None)
    for at_s in range(first_s, now_s + 30_000, 30):
        assert sum(each.covers(at_s) for each in holds) == 1, at_s


@settings(max_examples=40, deadline=None)
@given(STEPS, st.lists(st.integers(START_S - 100, START_S + 60_000), unique=True, max_size=60))
def test_no_reading_is_paid_twice_and_none_that_is_covered_is_left_out(
    steps: list[Step], times: list[int]
) -> None:
    home, now_s = switched(steps)
    readings = [Measured("cadence", at_s, 2) for at_s in times]

    counts = [
        dues.licence_due(agreement, consents.standing(agreement, acts, now_s), readings, demo=False)
        // agreement.price.minor_units
        for agreement, acts in home.held.values()
    ]

    first_s = min(each.standing.from_s or 0 for each in home.standings(now_s))
    assert sum(counts) == sum(at_s >= first_s for at_s in times)


def test_the_new_begins_when_the_notice_of_the_old_is_over() -> None:
    home = Home()
    home.switch(Step(0, 3_600, 1, 0), START_S)
    home.switch(Step(0, 0, 2, 0), START_S + 90)

    old, new = home.standings(START_S + 90)

    assert new.standing.from_s == old.standing.until_s == START_S + 60 + 120 + 3_600
    assert old.live(START_S + 90)
    assert not old.live(START_S + 10_000)


def test_a_notice_of_odd_seconds_leaves_no_overlap() -> None:
    home = Home()
    home.switch(Step(0, 3_630, 1, 0), START_S)
    home.switch(Step(0, 0, 2, 0), START_S + 90)
    home.switch(Step(0, 90, 3, 400), START_S + 10_000)
    home.switch(Step(0, 0, 4, 400), START_S + 20_000)

    ends = [(each.standing.from_s, each.standing.until_s) for each in home.standings(0)]

    assert ends[0][1] == ends[1][0] == START_S + 60 + 120 + 3_630
    assert ends[1][1] == ends[2][0]
    assert 0 <= (ends[3][0] or 0) - ends[2][1] < 60


def test_a_proposal_that_nobody_answered_is_ended_before_it_could_begin() -> None:
    agreement = licence(Step(0, 0, 1, 0), START_S)
    proposed = Held(agreement, Standing(State.PROPOSED, (), ("brand",), None, contracts.EXPIRES_S))

    begins_s = handover.begins_s([proposed], START_S + 30)

    assert begins_s == START_S + 120
    assert handover.endings([proposed], begins_s) == [(proposed.digest, START_S + 120)]
    assert handover.begins_s([], START_S + 30) == START_S
