"""What is shown of a running gateway: the newest values, and no text that paints the screen."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from agent.cli import view
from agent.status import (
    AccountView,
    AgreementView,
    BatchView,
    Board,
    CheatView,
    ComponentView,
    Snapshot,
    printable,
)
from firmware_bridge.packets import Advert, Notification
from firmware_bridge.readings import Reading

HEARD = Notification("F0:00:00:00:00:01", "", "", b"", False, 1, 2_000)


def reading(quantity: str, value: float | str) -> Reading:
    return Reading("F0", quantity, value, 0, "obd/1", 1, 2_000, b"packet!!")


def test_a_component_that_was_not_heard_is_waited_for() -> None:
    shown = Board().view("strap", "id", "heart strap", "runner")

    assert (shown.state, shown.heard_ms, shown.values) == ("waiting", None, {})


def test_the_newest_value_of_each_quantity_is_shown() -> None:
    board = Board()

    board.heard("strap", HEARD, [reading("heart_rate", 60.0), reading("rr_interval", 1.0)])
    board.heard("strap", HEARD, [reading("heart_rate", 61.0)])

    shown = board.view("strap", "id", "heart strap", "runner")
    assert (shown.state, shown.heard_ms, shown.readings) == ("heard", 2_000, 3)
    assert shown.values == {"heart_rate": 61.0, "rr_interval": 1.0}
    assert board.number("strap", "heart_rate") == 61.0


def test_an_advert_tells_the_signal_too() -> None:
    board = Board()

    board.heard("tyre", Advert("F0", "", {}, {}, (), -71, 1, 2), [])

    assert board.view("tyre", "id", "tyre", "car").rssi_dbm == -71


def test_a_number_that_was_not_heard_or_is_none_counts_as_nothing() -> None:
    board = Board()
    board.heard("obd", HEARD, [reading("vin", "text")])

    assert [board.number(*names) for names in (("obd", "vin"), ("obd", "speed"), ("x", "y"))] == [
        0.0,
        0.0,
        0.0,
    ]


def test_text_of_a_device_is_stripped_before_anybody_sees_it() -> None:
    board = Board()

    board.heard("obd", HEARD, [reading("vin", "\x1b[2J\u202etext")])

    assert board.view("obd", "id", "obd", "car").values == {"vin": "?[2J?text"}


@given(text=st.text(), limit=st.integers(0, 50))
def test_printable_text_is_bounded_and_has_no_control_characters(text: str, limit: int) -> None:
    shown = printable(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable()


def snapshot(**changes: object) -> Snapshot:
    component = ComponentView(
        "obd",
        "abcdefghij",
        "OBD",
        "car",
        "subscribed",
        -60,
        1_000,
        3,
        {"dtc": "[red]P0301", "speed": 5.0},
    )
    waiting = ComponentView("tyre", "klmnop", "tyre", "car", "backing off", None, None, 0, {})
    facts: dict[str, object] = {
        "version": "0.1.0",
        "gateway": "gatewayid",
        "started_ms": 0,
        "now_ms": 65_000,
        "radio": "virtual",
        "broker_connected": True,
        "clock": "ntp",
        "readings": 3,
        "repeats": 1,
        "dropped": 0,
        "refused": {"malformed": 2},
        "batches": 1,
        "receipts_verified": 1,
        "log_size": 2,
        "journal_bytes": 4_096,
        "published": 7,
        "components": (component, waiting),
        "latest": (BatchView("car", 1, 3, 1, 2),),
        "money": (AccountView("readings", "brand", "runner", "open", 2, 1, 100, 50, 0),),
        "asset": "EUR/6",
        "traffic": ("[bold]abc/tele/speed 12 B",),
    }
    return Snapshot(**(facts | changes))  # type: ignore[arg-type]  # each test changes what it needs


def rendered(shown: Snapshot, columns: int = 150, rows: int = 40) -> str:
    console = Console(file=io.StringIO(), width=columns, height=rows, record=True)
    console.print(view.screen(shown, "a note", (columns, rows)))
    return console.export_text()


def test_one_screen_shows_components_evidence_money_and_traffic() -> None:
    text = rendered(snapshot())

    for word in ("gatewayid", "subscribed", "backing off", "2 malformed", "a note", "1:05"):
        assert word in text
    assert "0.000050" in text


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (138, 24)])
def test_a_small_terminal_shows_states_values_and_money_of_eleven_components_whole(
    columns: int, rows: int
) -> None:
    component = replace(snapshot().components[0], alias="tyre-front-right", state="broadcasting")
    account = replace(snapshot().money[0], settled=30)

    text = rendered(snapshot(components=(component,) * 11, money=(account,) * 2), columns, rows)

    assert text.count("tyre-front-right ") == text.count(" broadcasting ") == 11
    assert text.count("5.00 m/s") == 11
    assert "1:05" in text
    for word in ("1 of 2 paid", "0.000050", "0.000030"):
        assert text.count(word) == 2
    assert "1 receipts verified" in text
    assert "a note" in text
    assert "…" not in text


AGREEMENT = AgreementView(
    "activation-grant", "ab" * 32, ("brand", "runner"), "in force", "140 units", {}
)
CHEATS = tuple(
    CheatView(f"cheat {number} [red]", float(number), outcome, "", {})
    for number, outcome in enumerate(
        (["refused", "no software could detect this"] * 6)[:10] + ["to come"] * 2
    )
)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (100, 30), (138, 34), (138, 27)])
def test_agreements_and_cheats_are_shown_beside_the_rest_or_in_turns(
    columns: int, rows: int
) -> None:
    component = replace(snapshot().components[0], alias="tyre-front-right", state="broadcasting")
    shown = snapshot(components=(component,) * 11, agreements=(AGREEMENT,) * 4, cheats=CHEATS)

    pages = "".join(
        rendered(replace(shown, now_ms=65_000 + turn * 4_000), columns, rows) for turn in range(3)
    )

    assert "cheats  10 of 12" in pages
    assert "in force" in pages
    assert "140 units" in pages
    assert " undetectable " in pages
    assert "cheat 9" in pages
    assert "1 of 2 paid" in pages


def test_a_broker_that_is_away_is_said_to_be() -> None:
    assert "everything waits on disk" in rendered(snapshot(broker_connected=False))


def test_words_of_a_device_are_no_markup() -> None:
    text = rendered(snapshot())

    assert "[red]P0301" in text
    assert "[bold]abc" in text


@pytest.mark.parametrize(
    ("minor_units", "asset", "expected"),
    [
        (0, "EUR/6", "0.000000"),
        (1_234_567, "EUR/6", "1.234567"),
        (-1, "EUR/6", "-0.000001"),
        (-5, "JPY/0", "-5"),
        (5, "JPY", "5"),
        (10**18, "EUR/2", "10000000000000000.00"),
    ],
)
def test_money_is_shown_exactly(minor_units: int, asset: str, expected: str) -> None:
    assert view.money(minor_units, asset) == expected


def test_values_are_shown_in_the_units_that_people_know() -> None:
    values: dict[str, float | str] = {
        "unknown_thing": 1.0,
        "dtc": "P0301",
        "tyre_pressure": 230_000.0,
    }

    assert view.shown(values) == ["2.30 bar", "1.00 unknown thing", "dtc P0301"]
