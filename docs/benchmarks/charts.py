"""Draws the pictures of the Performance page: a bar for each contestant, the baseline's included.

The scale is logarithmic: twice as fast and twice as slow are equally far apart. Beside a bar
stands its figure and, in brackets, how many times as much as the baseline that is. A mark is the
most that is wanted.

A picture stands in the page itself, where its colors follow the page's by CSS variables.
"""

from __future__ import annotations

import io
import re
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from measuring import peer
from report import Report, TableReport, cell, multiple

# What Matplotlib draws with, and what stands in the picture instead.
TEXT, THIS, OTHERS, MARK = "#212121", "#1f7a8c", "#adb5bd", "#e8590c"
SECOND, THIRD = "#5f4bb6", "#7a8794"
VARIABLES = {
    TEXT: "currentColor",
    THIS: f"var(--work, {THIS})",
    SECOND: f"var(--work-with-value, {SECOND})",
    THIRD: f"var(--wait, {THIRD})",
    OTHERS: f"var(--peer, {OTHERS})",
    MARK: f"var(--value, {MARK})",
}

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # real text, which a reader can select and a phone can scale
    "svg.hashsalt": "proxyfuture",  # or each drawing would get other names for its parts
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), TEXT),
    **dict.fromkeys(("xtick.color", "ytick.color"), TEXT),
}

WIDTH = 2.4  # inches, without the labels: with them, a phone need not shrink it much
ROW = 0.22


class Bar(NamedTuple):
    """A line of a picture; one without a length is a heading."""

    label: str
    length: float | None = None
    says: str = ""
    is_this: bool = False
    goal: float | None = None


def draw(report: Report, directory: Path) -> None:
    """Draws each table that has its baseline.

    Raises:
        Missing: Matplotlib is not installed.
    """
    pyplot = peer("matplotlib.pyplot")
    for table in report["tables"]:
        if bars := _bars(table):
            with pyplot.rc_context(STYLE | {"axes.spines.left": False}):
                figure = _figure(pyplot, bars, table["baseline"])
                save(figure, directory / f"{table['name']}.svg")
                pyplot.close(figure)


def save(figure: Any, file: Path) -> None:
    """Writes a figure as a picture that can stand in a page beside others, with its colors."""
    drawn = io.StringIO()
    # Without a date, the same figures make the same file.
    figure.savefig(
        drawn, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
    )
    picture = "<svg" + drawn.getvalue().partition("<svg")[2]
    picture = re.sub(r"\s*<metadata>.*?</metadata>", "", picture, flags=re.DOTALL)
    picture = picture.replace("*{stroke", ".chart *{stroke")  # but nothing else on the page
    # Two pictures on one page must not share the names of their parts.
    picture = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{file.stem}-", picture)
    # As wide as on paper, unless the screen is narrower.
    size = r'width="([\d.]+)pt" height="[\d.]+pt"'
    fits = r'class="chart" role="img" style="width: \1pt; max-width: 100%"'
    picture = re.sub(size, fits, picture, count=1)
    for color, variable in VARIABLES.items():
        picture = picture.replace(color, variable)
    file.write_text(picture)


def _bars(table: TableReport) -> list[Bar]:
    groups = {}
    for case in table["cases"]:
        groups[case] = [
            Bar(
                name,
                length,
                cell(table, case, name),
                _is_this(table, name),
                _goal(table, case, name),
            )
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


def _figure(pyplot: Any, bars: list[Bar], baseline: str) -> Any:
    # From the top down, with some room above each heading.
    rows = list(accumulate(1 if bar.length else 1.4 for bar in bars))
    figure, axes = pyplot.subplots(figsize=(WIDTH, ROW * (rows[-1] + 2)))
    axes.set_ylim(rows[-1] + 0.6, 0.4)
    axes.set_yticks([])
    least = _set_scale(axes, [each for bar in bars for each in (bar.length, bar.goal) if each])
    margin = axes.get_yaxis_transform()  # across: as a share of the width; down: in rows
    for row, bar in zip(rows, bars, strict=True):
        weight = "normal" if bar.length else "bold"
        axes.text(-0.03, row, bar.label, transform=margin, ha="right", va="center", weight=weight)
        if bar.length:
            color = THIS if bar.is_this else OTHERS
            axes.barh(row, bar.length - least, left=least, height=0.66, color=color)
            axes.text(1.02, row, bar.says, transform=margin, va="center")
        if bar.goal:
            axes.plot([bar.goal] * 2, [row - 0.45, row + 0.45], color=MARK, linewidth=2)
    axes.axvline(1, color=TEXT, linewidth=0.6, linestyle=":")
    axes.set_xlabel(f"times {baseline}")
    return figure


def _set_scale(axes: Any, lengths: list[float]) -> float:
    """Sets the scale so that the shortest bar is seen, too."""
    least = min(0.8, *lengths) / 1.6
    most = max(1.25, *lengths)
    axes.set_xscale("log")
    steps = (1, 2, 5) if most / least < 20 else (1,)
    axes.set_xticks([step * 10**power for power in range(-4, 7) for step in steps])
    axes.set_xticks([], minor=True)
    axes.set_xlim(least, most * 1.1)
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:,g}")
    return least
