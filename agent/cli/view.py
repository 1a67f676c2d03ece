"""The live terminal view: one snapshot in, one screen out. Nothing is decided here."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.cli import panels

if TYPE_CHECKING:
    from agent.status import ComponentView, Snapshot

_BARS = "▁▃▅▇"
_SHOWN_VALUES, _SMALL_VALUES = 3, 2
_COLUMNS = (  # title, side, whether a small terminal shows it
    ("component", "left", True),
    ("id", "left", False),
    ("state", "left", True),
    ("signal", "left", True),
    ("last readings", "left", True),
    ("age", "right", True),
    ("readings", "right", False),
)
_TABLE_ROWS = 5  # frame, head and rules around the components
_SMALL_TABLE_ROWS = 3  # frame and head alone
_FULL_COLUMNS, _FULL_ROWS = 120, 19  # a smaller terminal shows less; rows beside the components
_CHEATED_ROWS = 23  # so many beside the components leave room for the cheats in a full view
_MONEY_ROWS, _FULL_MONEY_ROWS = 6, 10
_PAGE_MS = 4_000
_REASON_COLUMNS = 96  # so many leave room for why, beside what was done
_STYLES = {"subscribed": "green", "broadcasting": "green", "heard": "green", "waiting": "dim"}
_UNITS = {
    "speed": ("m/s", 1.0, 2),
    "heart_rate": ("bpm", 1.0, 0),
    "glucose": ("mg/dL", 100.0, 0),
    "cadence": ("/min", 1.0, 0),
    "tyre_pressure": ("bar", 1e-5, 2),
    "temperature": ("°C", 1.0, 1),
    "coolant_temperature": ("°C coolant", 1.0, 0),
    "engine_speed": ("rpm", 1.0, 0),
    "voltage": ("V", 1.0, 2),
    "power": ("kW", 1e-3, 1),
    "energy": ("kWh", 1 / 3.6e6, 3),
    "battery_level": ("% battery", 1.0, 0),
    "distance": ("m", 1.0, 0),
    "stride_length": ("m stride", 1.0, 2),
    "current": ("A", 1.0, 1),
    "fuel_level": ("fuel", 1.0, 2),
}


def screen(
    snapshot: "Snapshot", note: str = "", size: tuple[int, int] = (138, 34)
) -> RenderableType:
    """The whole screen of `size` columns and rows; `note` is a line at the bottom.

    What matters least goes first where there is little room: rules, ids, numbers, then MQTT. In a
    small terminal money, agreements and cheats take turns.
    """
    columns, rows = size
    full = columns >= _FULL_COLUMNS and rows >= len(snapshot.components) + _FULL_ROWS
    if snapshot.cheats and rows < len(snapshot.components) + _CHEATED_ROWS:
        full = False
    heard = len(snapshot.components) + (_TABLE_ROWS if full else _SMALL_TABLE_ROWS)
    head = 3 if full else 1
    layout = Layout()
    layout.split_column(
        Layout(_head(snapshot, full=full), size=head),
        Layout(_components(snapshot, full=full), size=heard),
        _below(snapshot, rows - head - heard - 1, columns),
        Layout(Text(note, style="dim"), size=1),
    )
    return layout


def _below(snapshot: "Snapshot", rows: int, columns: int) -> Layout:
    """What is left of the screen; where not all fits, one page after another."""
    wide = columns >= _FULL_COLUMNS
    deals = len(snapshot.agreements) + 2 if snapshot.agreements else 0
    if rows < deals + _MONEY_ROWS:
        honest = _trading(snapshot, wide=False), *_deals(snapshot)
        return _page(snapshot, rows, columns, honest)
    dealing = Layout()
    dealing.split_column(
        _trading(snapshot, wide=wide and not snapshot.cheats, rows=rows - deals),
        Layout(panels.agreements(snapshot.agreements), size=deals, visible=deals > 0),
    )
    if not (snapshot.cheats and wide):
        return _page(snapshot, rows, columns, (dealing,))
    below = Layout()
    cheats = Layout(panels.cheats(snapshot.cheats, rows), ratio=6)
    below.split_row(cheats, Layout(dealing, ratio=7))
    return below


def _deals(snapshot: "Snapshot") -> tuple[Layout, ...]:
    if not snapshot.agreements:
        return ()
    return (Layout(panels.agreements(snapshot.agreements)),)


def _page(snapshot: "Snapshot", rows: int, columns: int, honest: tuple[Layout, ...]) -> Layout:
    """Each page for a while; the cheats are one of their own."""
    pages = honest
    if snapshot.cheats:
        why = columns >= _REASON_COLUMNS
        pages = (*honest, Layout(panels.cheats(snapshot.cheats, rows, why=why)))
    return pages[snapshot.now_ms // _PAGE_MS % len(pages)]


def _trading(snapshot: "Snapshot", *, wide: bool, rows: int = 0) -> Layout:
    evidence, trading = Layout(_evidence(snapshot), ratio=3), Layout()
    if wide:
        traffic = Layout(_traffic(snapshot), ratio=3)
        money = _money if rows >= _FULL_MONEY_ROWS else _small_money
        trading.split_row(evidence, Layout(money(snapshot), ratio=4), traffic)
    else:
        trading.split_row(evidence, Layout(_small_money(snapshot), ratio=3))
    return trading


def _head(snapshot: "Snapshot", *, full: bool) -> RenderableType:
    seconds = max(0, snapshot.now_ms - snapshot.started_ms) // 1000
    broker = "connected" if snapshot.broker_connected else "away: everything waits on disk"
    line = Text.assemble(
        ("milepost ", "bold"),
        f"{snapshot.version}   ",
        f"gateway {snapshot.gateway}   " if full else "",
        f"radio {snapshot.radio}   broker ",
        (broker, "green" if snapshot.broker_connected else "yellow"),
        f"   clock {snapshot.clock}   {seconds // 60}:{seconds % 60:02d}",
    )
    return Panel(line, box=box.ROUNDED, style="cyan") if full else line


def _components(snapshot: "Snapshot", *, full: bool) -> Panel:
    table = Table(box=box.SIMPLE_HEAD if full else None, expand=True, pad_edge=False)
    for title, justify, always in _COLUMNS:
        if full or always:
            table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # rich wants literals
    for component in snapshot.components:
        cells = zip(_COLUMNS, _row(component, snapshot.now_ms, full=full), strict=True)
        table.add_row(*(cell for (_, _, always), cell in cells if full or always))
    refused = ", ".join(f"{count} {reason}" for reason, count in snapshot.refused.items())
    title = (
        f"heard  {snapshot.readings} readings, {snapshot.repeats} repeats,"
        f" {snapshot.dropped} dropped"
    )
    return Panel(table, title=title, subtitle=refused or None, title_align="left")


def _row(component: "ComponentView", now_ms: int, *, full: bool) -> tuple[RenderableType, ...]:
    age = "" if component.heard_ms is None else f"{(now_ms - component.heard_ms) / 1000:.1f} s"
    style = _STYLES.get(component.state, "yellow")
    return (
        Text(component.alias, style="bold"),
        Text(component.id[:8], style="dim"),
        Text(component.state, style=style),
        _signal(component.rssi_dbm, full=full),
        Text("  ".join(shown(component.values)[: _SHOWN_VALUES if full else _SMALL_VALUES])),
        age,
        f"{component.readings}",
    )


def shown(values: dict[str, float | str]) -> list[str]:
    """The values as people read them, the telling quantities first."""
    first = sorted(
        values,
        key=lambda name: (name not in _UNITS, list(_UNITS).index(name) if name in _UNITS else 0),
    )
    texts = []
    for name in first:
        value = values[name]
        if isinstance(value, str):
            texts.append(f"{name} {value}")
            continue
        unit, factor, digits = _UNITS.get(name, (name.replace("_", " "), 1.0, 2))
        texts.append(f"{value * factor:.{digits}f} {unit}")
    return texts


def _signal(rssi_dbm: int | None, *, full: bool) -> Text:
    if rssi_dbm is None:
        return Text("-", style="dim")
    strength = min(3, max(0, (rssi_dbm + 95) // 15))
    return Text(f"{_BARS[: strength + 1]:<4}{f' {rssi_dbm} dBm' if full else ''}")


def _evidence(snapshot: "Snapshot") -> Panel:
    table = Table.grid(padding=(0, 1))
    for batch in reversed(snapshot.latest):
        table.add_row(
            Text("✓", style="green"),
            Text(f"#{batch.sequence}"),
            Text(batch.subject),
            Text(f"{batch.readings}", justify="right"),
            Text(f"at entry {batch.log_index} of {batch.log_size}", style="dim"),
        )
    lines = (
        f"{snapshot.batches} batches   {snapshot.receipts_verified} receipts verified",
        f"log {snapshot.log_size} entries   journal {snapshot.journal_bytes // 1024} KiB",
    )
    return Panel(Group(*lines, table), title="evidence", title_align="left")


def _money(snapshot: "Snapshot") -> Panel:
    currency = snapshot.asset.partition("/")[0]
    grid = Table.grid(padding=(0, 1), expand=True)
    for account in snapshot.money:
        grid.add_row(
            Text(account.what, style="bold"),
            Text(f"{account.payer} → {account.payee}"),
            Text(f"{account.items_paid} of {account.items} paid", justify="right"),
        )
        for name, amount in (
            ("owed", account.due - account.paid),
            ("promised", account.paid),
            ("settled", account.settled),
        ):
            grid.add_row("", Text(name, style="dim"), _amount(amount, snapshot.asset))
    return Panel(grid, title=f"money  {currency}", title_align="left")


def _small_money(snapshot: "Snapshot") -> Panel:
    """The same account of each trade in fewer lines."""
    grid = Table.grid(padding=(0, 1), expand=True)
    for account in snapshot.money:
        grid.add_row(
            Text(f"{account.payer} → {account.payee}", style="bold"),
            Text(f"{account.items_paid} of {account.items} paid", justify="right"),
        )
        grid.add_row(Text("promised", style="dim"), _amount(account.paid, snapshot.asset))
        grid.add_row(Text("settled", style="dim"), _amount(account.settled, snapshot.asset))
    currency = snapshot.asset.partition("/")[0]
    title = f"money  {currency}   {snapshot.published} MQTT messages"
    return Panel(grid, title=title, title_align="left")


def _amount(minor_units: int, asset: str) -> Text:
    return Text(money(minor_units, asset), justify="right", style="green" if minor_units else "dim")


def money(minor_units: int, asset: str) -> str:
    """Minor units as a decimal amount, exactly."""
    decimals = int(asset.partition("/")[2] or 0)
    whole, part = divmod(abs(minor_units), 10**decimals)
    sign = "-" if minor_units < 0 else ""
    return f"{sign}{whole}.{part:0{decimals}d}" if decimals else f"{sign}{whole}"


def _traffic(snapshot: "Snapshot") -> Panel:
    lines = Text("\n".join(snapshot.traffic), no_wrap=True, overflow="ellipsis", style="dim")
    return Panel(lines, title=f"MQTT  {snapshot.published} published", title_align="left")
