"""Draws the pictures of the Performance page: bars that start at the baseline.

The scale is logarithmic, so that twice as fast and twice as slow are equally long. A bar to the
left of the baseline is faster, or smaller; a mark across a bar is its goal.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from measuring import peer
from report import Report, TableReport, multiple, rounded


class Colours(NamedTuple):
    text: str
    this: str
    others: str
    goal: str


# For a page on white and on dark grey. The theme shows the one that fits.
SCHEMES = {
    "light": Colours(text="#212121", this="#3f51b5", others="#9e9e9e", goal="#d84315"),
    "dark": Colours(text="#e0e0e0", this="#8c9eff", others="#757575", goal="#ffab40"),
}

STYLE = {
    "svg.fonttype": "none",  # real text, which a reader can select and a phone can scale
    "svg.hashsalt": "proxyfuture",  # or each drawing would get other names for its parts
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}

WIDTH = 3.2  # inches, without the labels: with them, a phone need not shrink it much
ROW = 0.2


class Bar(NamedTuple):
    """A line of a picture; one without a length is a heading."""

    label: str
    length: float | None = None
    is_this: bool = False
    goal: float | None = None


def draw(report: Report, directory: Path) -> None:
    """Draws each table that has its baseline, once for each colour scheme.

    Raises:
        Missing: Matplotlib is not installed.
    """
    pyplot = peer("matplotlib.pyplot")
    for table in report["tables"]:
        bars = _bars(table)
        for scheme, colours in SCHEMES.items() if bars else ():
            with pyplot.rc_context(STYLE | _coloured(colours)):
                figure = _figure(pyplot, bars, table["baseline"], colours)
                figure.savefig(
                    directory / f"{table['name']}.{scheme}.svg",
                    transparent=True,
                    bbox_inches="tight",
                    metadata={"Date": None},  # the same figures make the same file
                )
                pyplot.close(figure)


def _bars(table: TableReport) -> list[Bar]:
    groups = {}
    for case in table["cases"]:
        groups[case] = [
            Bar(name, length, _is_this(table, name), _goal(table, case, name))
            for name in table["medians"]
            if (length := multiple(table, case, name)) is not None
        ]
    shown = {case: group for case, group in groups.items() if group}
    return [
        bar
        for case, group in shown.items()
        for bar in ([Bar(case.strip("`"))] if len(shown) > 1 else []) + group
    ]


def _is_this(table: TableReport, contestant: str) -> bool:
    has_goal = any(goal["contestant"] == contestant for goal in table["goals"])
    return has_goal or contestant.startswith("proxyfuture")


def _goal(table: TableReport, case: str, contestant: str) -> float | None:
    """Returns the strictest goal, as a multiple of the baseline."""
    length = multiple(table, case, contestant) or 0
    limits = [
        length * goal["at_most"] / goal["measured"][case]
        for goal in table["goals"]
        if goal["contestant"] == contestant and goal["measured"].get(case)
    ]
    return min(limits, default=None)


def _coloured(colours: Colours) -> dict[str, str]:
    parts = "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color"
    return dict.fromkeys(parts, colours.text)


def _figure(pyplot: Any, bars: list[Bar], baseline: str, colours: Colours) -> Any:
    # From the top down, with some room above each heading.
    rows = list(accumulate(1 if bar.length else 1.4 for bar in bars))
    figure, axes = pyplot.subplots(figsize=(WIDTH, ROW * (rows[-1] + 2)))
    axes.set_ylim(rows[-1] + 0.6, 0.4)
    axes.set_yticks([])
    _set_scale(axes, [each for bar in bars for each in (bar.length, bar.goal) if each])
    margin = axes.get_yaxis_transform()  # across: as a share of the width; down: in rows
    for row, bar in zip(rows, bars, strict=True):
        weight = "normal" if bar.length else "bold"
        axes.text(-0.03, row, bar.label, transform=margin, ha="right", va="center", weight=weight)
        if bar.length:
            colour = colours.this if bar.is_this else colours.others
            axes.barh(row, bar.length - 1, left=1, height=0.6, color=colour)
            axes.text(1.03, row, rounded(bar.length), transform=margin, va="center")
        if bar.goal:
            axes.plot([bar.goal] * 2, [row - 0.45, row + 0.45], color=colours.goal, linewidth=2)
    axes.axvline(1, color=colours.text, linewidth=0.8)
    axes.set_xlabel(f"times {baseline}")
    return figure


def _set_scale(axes: Any, lengths: list[float]) -> None:
    least, most = min(0.8, *lengths) / 1.2, max(1.25, *lengths) * 1.2
    axes.set_xscale("log")
    axes.set_xlim(least, most)
    steps = (1, 2, 5) if most / least < 50 else (1,)
    axes.set_xticks([step * 10**power for power in range(-4, 7) for step in steps])
    axes.set_xticks([], minor=True)
    axes.set_xlim(least, most)
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:,g}")
