"""Standing orders at work: while the gateway runs, offers are accepted and left by rule.

What is decided, and why, is in the gateway's log and status. The rule is in `agent.choosing`, what
is signed in `agent.taking`; the deed in the home is all that the trade needs to know.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from agent import choosing, parties, taking, topics
from agent.broker import Broker
from agent.choosing import Choice, Order, Past
from agent.config import Config, ConfigError, StandingOrder
from agent.home import HomeError
from agent.offers import Now, Offered
from agent.parties import Party
from agent.running import Connection, Deal
from agent.status import Board, printable
from agent.stores import Stores
from agent.taking import Kept
from ledger_client.errors import RemoteError
from ledger_client.estimates import Window
from ledger_client.offers import Acceptor, Signed

LOOK_EVERY_S = 5.0
CONSIDER_EVERY_S = 900.0
RETRY_S = 900
FAILED_MAX = 1_000
REASONS_MAX = 8
REASON_CHARACTERS_MAX = 300
_DAY_S = 86_400

_log = logging.getLogger(__name__)

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """A standing order: the rule, how many days it looks back, and its limit on agreements."""

    order: Order
    days: int
    acceptances_per_day_max: int


def orders(config: Config, stores: Stores, board: Board, now_s: Now) -> list[Deal]:
    """What acts on the standing orders of the configuration, if there are any.

    Raises:
        ConfigError: a date that is none, or a subject that no component is of.
    """
    subjects = {each.subject for each in stores.components.values()}
    for number, each in enumerate(config.standing_orders):
        if each.subject not in subjects:
            raise ConfigError(
                f"standing_orders[{number}].subject: expected the subject of a component"
                f" ({', '.join(sorted(subjects))}), got {each.subject!r}"
            )
    standing = [_standing(number, each) for number, each in enumerate(config.standing_orders)]
    if not standing:
        return []
    return [Ordering(stores, config.ledger.asset, standing, now_s, board.orders.__setitem__)]


def _standing(number: int, each: StandingOrder) -> Standing:
    try:
        lapses = datetime.fromisoformat(each.lapses).replace(tzinfo=UTC) if each.lapses else None
    except ValueError as error:
        raise ConfigError(
            f"standing_orders[{number}].lapses: expected a date such as 2027-01-31,"
            f" got {each.lapses!r}"
        ) from error
    order = Order(
        subject=each.subject,
        quantities=frozenset(each.quantities),
        least_minor_units=each.least_minor_units,
        period_s=each.period_s,
        never=frozenset(each.never),
        purposes=frozenset(each.purposes),
        provenance_max=each.provenance_max,
        notice_s_max=each.notice_s_max,
        lapses_s=None if lapses is None else int(lapses.timestamp()),
    )
    return Standing(order, each.days, each.acceptances_per_day_max)


class Ordering:
    """Watches the offers, and keeps each subject's agreement the best that its order allows."""

    def __init__(
        self, stores: Stores, asset: str, orders: Sequence[Standing], now_s: Now, tell: Tell
    ) -> None:
        """`tell` is given the subject and, in one line, what was decided and why."""
        self._stores = stores
        self._asset = asset
        self._orders = orders
        self._now_s = now_s
        self._tell = tell
        self._offered = Offered()
        self._failed: dict[bytes, int] = {}
        self._told: dict[str, str] = {}

    async def run(self, connection: Connection) -> None:
        """Trade until cancelled."""
        clock = asyncio.get_running_loop().time
        changed, considered_s = True, float("-inf")
        async with connection.broker.subscribe(topics.offers_of_all()) as said:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        while True:
                            self._offered.take(await anext(said))
                            changed = True
                if changed or clock() - considered_s > CONSIDER_EVERY_S:
                    changed, considered_s = False, clock()
                    for each in self._orders:
                        await self._consider(connection.broker, each)

    async def settle(self) -> None:
        """Nothing is left open."""

    async def _consider(self, broker: Broker, standing: Standing) -> None:
        alias = standing.order.subject
        try:
            line = await self.consider(broker, standing)
        except (RemoteError, HomeError) as error:
            line = f"nothing is agreed: {error}"
        line = printable(line, REASON_CHARACTERS_MAX)
        if self._told.get(alias) != line:
            _log.info("standing order for %s: %s", alias, line)
        self._told[alias] = line
        self._tell(alias, line)

    async def consider(self, broker: Broker, standing: Standing) -> str:
        """Take the best offer if it is better than what there is; says what was done, and why.

        Raises:
            HomeError, LedgerError: what the home holds cannot be read.
        """
        order, now_s = standing.order, self._now_s()
        party = parties.of_stores(self._stores, order.subject)
        held = [
            each
            for each in await asyncio.to_thread(taking.present, party, now_s)
            if not each.held.standing.missing
        ]
        window = Window(now_s - standing.days * _DAY_S, now_s)
        history = await asyncio.to_thread(parties.past, party, window)
        own = next(iter(party.urns()))  # whichever: each purpose gets its own when it is agreed
        acceptor = Acceptor(party.key.public.did, party.ledger, own)
        past = Past(acceptor, self._asset, history, now_s)
        known = [
            each
            for each in self._offered.standing(now_s)
            if now_s - self._failed.get(each.digest, -RETRY_S) >= RETRY_S
        ]
        choice = await asyncio.to_thread(choosing.choose, order, known, past)
        if held and held[-1].signed is None:
            return "there is an agreement that came from no offer: it is left alone"
        if held and not choosing.better(order, _offer(held[-1]), choice, past):
            unfit = choosing.unfit(order, _offer(held[-1]).offer, past)
            if unfit:
                return f"what is agreed is no longer allowed ({unfit}), and nothing else is offered"
            return f"{_offer(held[-1]).reference} stays: {_why(choice)}"
        if choice.best is None:
            return f"nothing is agreed: {_why(choice)}"
        recent = await asyncio.to_thread(taking.accepted_since, party, now_s - _DAY_S)
        if recent >= standing.acceptances_per_day_max:
            return f"{choice.best.reference} must wait: enough was agreed within a day"
        return await self._take(broker, party, choice.best, choice)

    async def _take(self, broker: Broker, party: Party, best: Signed, choice: Choice) -> str:
        me = self._stores.signer.public.short_id
        try:
            taken = await taking.take(broker, me, best, party, self._now_s, switch=True)
        except (RemoteError, TimeoutError) as error:
            if len(self._failed) >= FAILED_MAX:
                self._failed.clear()
            self._failed[best.digest] = self._now_s()
            return f"{best.reference} was chosen, but {str(error) or 'it does not answer'}"
        ended = f", and {len(taken.ended)} ended for it" if taken.ended else ""
        return (
            f"{best.reference} is agreed as {taken.deed.digest.hex()[:16]}{ended}: {_why(choice)}"
        )


def _offer(kept: Kept) -> Signed:
    if kept.signed is None:
        raise HomeError(f"{kept.deed.digest.hex()[:16]}: expected the offer that it came from")
    return kept.signed


def _why(choice: Choice) -> str:
    """The best and its worth, then why the others are not allowed."""
    said = [f"{name} refused, {reason}" for name, reason in choice.refused[:REASONS_MAX]]
    if choice.best is not None:
        said.insert(0, f"best is {choice.best.reference} with {choice.net} minor units net")
    elif not choice.refused:
        said.append("nothing is offered")
    return "; ".join(said)
