"""Two panels of the demo's view: the agreements at work, and those who cheat."""

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.status import AgreementView, CheatView

_STYLES = {
    "refused": "green",
    "marked": "cyan",
    "no software could detect this": "yellow",
    "TAKEN FOR TRUE": "bold red",
}
_SHORT = {
    "no software could detect this": "undetectable",
    "nothing of it seen yet": "looking",
    "TAKEN FOR TRUE": "TAKEN",
}


_SECONDS = 5


def _grid(*widths: int) -> Table:
    """Columns of these widths, never cut, and one that has the rest."""
    table = Table.grid(padding=(0, 1))
    for width in widths:
        table.add_column(no_wrap=True, min_width=width)
    table.add_column()  # the only one that may be made narrower
    return table


def _rest(text: str, style: str = "") -> Text:
    """Text on one line, cut where the panel ends."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def agreements(every: "Sequence[AgreementView]") -> Panel:
    """One line each: the kind, where it stands, what came of it."""
    table = _grid(
        max((len(each.kind) for each in every), default=0),
        max((len(each.state) for each in every), default=0),
    )
    for each in every:
        style = "green" if each.state == "in force" else "yellow"
        table.add_row(
            Text(each.kind, style="bold"), Text(each.state, style=style), _rest(each.says)
        )
    return Panel(table, title="agreements", title_align="left")


def cheats(every: "Sequence[CheatView]", rows: int, *, why: bool = False) -> Panel:
    """The last that were done, in the order of the programme, as many as fit into `rows`.

    `why` is said beside each, or else below, of the last one about which there is something to say.
    """
    room = max(1, rows - 2)
    done = sum(each.outcome != "to come" for each in every)
    start = min(max(0, done - room), max(0, len(every) - room))
    names = (max(len(each.name) for each in every),) if why else ()
    table = _grid(_SECONDS, max(map(len, _SHORT.values())), *names)
    for each in every[start : start + room]:
        outcome = _SHORT.get(each.outcome, each.outcome)
        table.add_row(
            Text(f"{each.at_s:{_SECONDS - 2}.0f} s", style="dim"),
            Text(outcome, style=_STYLES.get(each.outcome, "dim")),
            _rest(each.name),
            *((_rest(each.says, "dim"),) if why else ()),
        )
    said = [each.says for each in every if each.says]
    below = Text(said[-1], style="dim") if said and not why else None
    title = f"cheats  {done} of {len(every)}"
    return Panel(table, title=title, title_align="left", subtitle=below, subtitle_align="left")
