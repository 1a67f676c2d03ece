"""Two streets at once: on one everything is defended, on the other the defences are taken away."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import gateway
from agent.admission import Admission, Refusal
from agent.cli.demo import demo_config
from agent.collecting import Collecting
from agent.demo.aircheats import SetClock
from agent.demo.cheats import Outcome
from agent.demo.parties import Parties
from agent.demo.programme import STRANGER
from agent.demo.stage import PATIENCE_S, Stage
from agent.demo.street import Street, street
from agent.desks import SellingDesk
from agent.desks.buying import Accept
from agent.pipeline import Component, Pipeline
from agent.running import Running, Trade
from agent.status import Board, CheatView
from agent.tally import Buyer, Seller
from agent.till import Sale, Till
from agent.topics import Rules
from agent.uplink import Now
from firmware_bridge.neighbourhood.cheats import ELSEWHERE
from firmware_bridge.packets import Packet
from ledger_client import record
from ledger_client.channels import Terms, Voucher
from ledger_client.keys import SigningKey
from ledger_client.messages import Item
from ledger_client.verify import verify_record

pytestmark = pytest.mark.slow

SECONDS = 21.0
TYRE = "tyre-front-left"


class Gullible(Admission):
    """No counter was ever used before."""

    def repeats(self, packet: Packet, digest: bytes, counter: int | None) -> bool:
        del counter
        return super().repeats(packet, digest, None)

    def admit(
        self, packet: Packet, digest: bytes, counter: int | None, readings: int
    ) -> Refusal | None:
        del counter
        return super().admit(packet, digest, None, readings)


class Inattentive(Pipeline):
    """Notices no silence."""

    def _notice_gap(self, component: Component, now_ms: int) -> None:
        del component, now_ms


class Credulous(SellingDesk):
    """Takes everybody's word for a payment."""

    def _known(self, peer: str, channel: bytes) -> Sale:
        del peer
        return self._sale(channel)

    def _credit_voucher(self, sale: Sale, voucher: Voucher) -> None:
        self._till.write_credit(sale, sale.side.credit(voucher.total), voucher)


class Careless(Parties):
    """Sellers that look at no signature, and buyers that look at nothing."""

    def seller(self, key: SigningKey, till: Till, credit: int) -> Seller:
        desk = Credulous(key, till, credit=credit)
        return Seller(desk, till, self.settlement(key), blame=self._blamer(key))

    def buyer(self, key: SigningKey, till: Till, accept: Accept) -> Buyer:
        del accept

        def anything(_terms: Terms, _item: Item) -> bytes:
            return os.urandom(16)

        return super().buyer(key, till, anything)

    def collecting(self, key: SigningKey, till: Till, credit: int, board: Board) -> Collecting:
        made = super().collecting(key, till, credit, board)
        made._seller._selling.__class__ = Credulous
        return made


def open_to_all(trade: Trade, stranger: str) -> Trade:
    """Without the broker's rules for one of its users."""
    return replace(
        trade, guests={**trade.guests, stranger: Rules(("milepost/v1/#",), ("milepost/v1/#",))}
    )


def undefended(running: Running, scene: Street) -> None:
    """Take the gate, the ear for silences, the list of who is known, and the memory of steps."""
    running.pipeline.__class__ = Inattentive
    running.pipeline._admission.__class__ = Gullible
    tyre = next(each for each in scene.ears.components if each.alias == TYRE)
    components: Any = running.pipeline._components
    components[ELSEWHERE] = tyre
    tracks: Any = scene.ears.radio._tracks  # type: ignore[attr-defined]  # the listener's own
    tracks[ELSEWHERE] = tracks[tyre.address]
    honest = running.now

    def forgetful() -> Now:
        return replace(honest(), steps=0)

    running.now = forgetful


async def perform(home: Path, *, defended: bool) -> "Performed":
    """One demo with cheats, to its end."""
    config, clock, stop = demo_config(home), SetClock(gateway.clock), asyncio.Event()
    async with street(clock, 1, config.radio.connections_max, 0.0, PATIENCE_S) as scene:
        stores = gateway.open_home(config, scene.ears.components)
        try:
            board = Board()
            parties = (Parties if defended else Careless)(stores, clock)
            stage = Stage(parties, board, scene, clock)
            trade = stage.trade()
            if not defended:
                trade = open_to_all(trade, parties.key(STRANGER).public.short_id)
            running = gateway.compose(config, stores, scene.ears, board, trade, clock)
            if not defended:
                undefended(running, scene)
            stage.watch(running)
            asyncio.get_running_loop().call_later(SECONDS, stop.set)
            await running.run(stop, lambda: None)
            stage.judge()
            kept = record.build(stores.log, lambda _: None)
            return stage, running, kept
        finally:
            stores.close()


Performed = tuple[Stage, Running, bytes]
Found = dict[str, CheatView]
Streets = tuple[Found, Found, Performed]


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Streets:
    """What is found on the defended street, on the other one, and what the first one kept."""

    async def both() -> tuple[Performed, Performed]:
        folder = tmp_path_factory.mktemp("streets")
        return await asyncio.gather(
            perform(folder / "defended", defended=True),
            perform(folder / "undefended", defended=False),
        )

    defended, robbed = asyncio.run(both())

    def found(stage: Stage) -> Found:
        return {view.name: view for view in stage.cheats()}

    return found(defended[0]), found(robbed[0]), defended


EXPECTED = {
    "a tyre cloned under another address": Outcome.REFUSED,
    "a tyre imitated, address and all": Outcome.UNDETECTABLE,
    "a heart beat replayed on its open link": Outcome.MARKED,
    "an encrypted charger frame replayed": Outcome.REFUSED,
    "the strap on somebody else's chest": Outcome.UNDETECTABLE,
    "a tyre sensor silent for a while": Outcome.MARKED,
    "the gateway's clock set back an hour": Outcome.MARKED,
    "messages forged under another's topic": Outcome.REFUSED,
    "a voucher that the payer did not sign": Outcome.REFUSED,
    "a stale voucher published again": Outcome.REFUSED,
    "the same readings sold twice to one buyer": Outcome.REFUSED,
    "the same readings sold to a second buyer": Outcome.REFUSED,
}
DEFENCELESS = {
    "a tyre cloned under another address": Outcome.TAKEN,
    "an encrypted charger frame replayed": Outcome.TAKEN,
    "a tyre sensor silent for a while": Outcome.UNSEEN,
    "the gateway's clock set back an hour": Outcome.TAKEN,
    "messages forged under another's topic": Outcome.TAKEN,
    "a voucher that the payer did not sign": Outcome.TAKEN,
    "the same readings sold twice to one buyer": Outcome.TAKEN,
    "the same readings sold to a second buyer": Outcome.TAKEN,
}


def test_each_cheat_is_refused_or_marked_or_said_to_be_undetectable(streets: Streets) -> None:
    found, _, _ = streets

    assert {name: view.outcome for name, view in found.items()} == {
        name: outcome.value for name, outcome in EXPECTED.items()
    }, found
    assert all(view.says and view.evidence for view in found.values())


@pytest.mark.parametrize("name", DEFENCELESS)
def test_without_its_defence_a_cheat_comes_out_otherwise(streets: Streets, name: str) -> None:
    _, robbed, _ = streets

    assert robbed[name].outcome == DEFENCELESS[name].value, robbed[name]


def test_who_is_cheated_loses_no_reading_and_keeps_a_record_that_holds(streets: Streets) -> None:
    _, _, (_, running, kept) = streets

    report = verify_record(kept)

    assert running.intake.dropped == 0
    assert running.proved_readings == running.pipeline.readings
    assert report.size > running.proved
