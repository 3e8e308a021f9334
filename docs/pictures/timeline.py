"""Draws who worked and who waited in a run, as an SVG picture for the pages.

    >>> spans = [
    ...     Span("foo", "working", 0.0, 2.0),
    ...     Span("foo", "passing", 2.0, 2.1),
    ...     Span("bar", "working", 0.0, 1.0),
    ...     Span("bar", "waiting", 1.0, 2.1),
    ...     Span("bar", "working", 2.1, 2.5),
    ... ]
    >>> picture = timeline({"": spans})

A picture has one or more panels on a common scale of time, such as the same work done in two ways.
Each panel has a lane for everybody in it, in the order of the spans.

Widths are percentages and texts have a fixed size. So the picture fits any screen, if it stands
in the page itself (`inline.py` puts it there), where it also has the page's color of text. Opened
alone, it follows the browser's color scheme.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape, unescape
from typing import Literal, NamedTuple

What = Literal["working", "waiting", "passing"]


class Span(NamedTuple):
    """What somebody did from a start to an end, in seconds on a clock that all spans share."""

    who: str
    what: What
    start: float
    end: float


Panels = Mapping[str, Sequence[Span]]

# In pixels: the height of a heading, of a lane with the name above its bar, and of the texts below.
HEADING, LANE, BAR, FOOT = 30, 38, 14, 62

VERBS = {"working": "works", "waiting": "waits", "passing": "passes the value on"}

# The colors of the bars stand out from a white and from a black background alike.
STYLE = """
.timeline { color: #24292f; font: 13px system-ui, sans-serif }
@media (prefers-color-scheme: dark) { .timeline { color: #e6edf3 } }
.timeline text { fill: currentColor }
.timeline .heading { font-weight: 600 }
.timeline .lane, .timeline .tick { stroke: currentColor; stroke-opacity: .2 }
.timeline .working { fill: #3d8bd4 }
.timeline .passing { fill: #e0762b; stroke: #e0762b; stroke-width: 2 }
.timeline .waiting { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 2 3 }
"""


def timeline(panels: Panels) -> str:
    """Returns the picture of `panels`: the spans of each under its heading, which may be empty.

    What was drawn can be had back with `records`.
    """
    first = min(span.start for spans in panels.values() for span in spans)
    panels = {
        heading: [
            Span(who, what, round(start - first, 4), round(end - first, 4))
            for who, what, start, end in spans
        ]
        for heading, spans in panels.items()
    }
    total = max(span.end for spans in panels.values() for span in spans)
    parts, y = [], 0
    for heading, spans in panels.items():
        if heading:
            parts.append(f'<text class="heading" y="{y + 18}">{escape(heading)}</text>')
            y += HEADING
        lanes = list(dict.fromkeys(span.who for span in spans))
        for lane in lanes:
            own = [span for span in spans if span.who == lane]
            parts += [f'<text y="{y + 14}">{escape(lane)}</text>', *_bars(own, y + 20, total)]
            y += LANE
    parts = _axis(total, y + 4) + parts + _legend(y + 50)
    return "\n".join(
        [
            # Without a viewBox: nothing is scaled, and percentages are those of the page's width.
            # The height once more as a style, or a page would make it as narrow as the width.
            f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" role="img" '
            f'width="720" height="{y + FOOT}" style="height: {y + FOOT}px">',
            f"<metadata>{escape(json.dumps(panels), quote=False)}</metadata>",
            f"<desc>{escape(described(panels), quote=False)}</desc>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def records(picture: str) -> dict[str, list[Span]]:
    """Returns what a picture was drawn from, with the first start as 0."""
    text = picture.partition("<metadata>")[2].partition("</metadata>")[0]
    panels = json.loads(unescape(text))
    return {heading: [Span(*span) for span in spans] for heading, spans in panels.items()}


def described(panels: Panels) -> str:
    """Says in words what a picture shows, for those who cannot see it."""
    sentences = []
    for heading, spans in panels.items():
        if heading:
            sentences.append(f"{heading}:")
        for lane in dict.fromkeys(span.who for span in spans):
            doings = [
                f"{VERBS[span.what]} from {span.start:.2f} to {span.end:.2f} s"
                for span in spans
                if span.who == lane
            ]
            sentences.append(f"{lane} {', '.join(doings)}.")
    return " ".join(sentences)


def _bars(spans: Sequence[Span], y: int, total: float) -> list[str]:
    parts = [f'<line class="lane" x2="100%" y1="{y + BAR}" y2="{y + BAR}"/>']
    # Those who pass something on do it last, and so briefly that it has to be on top.
    for who, what, start, end in sorted(spans, key=lambda span: span.what == "passing"):
        x, width = f"{start / total:.3%}", f"{(end - start) / total:.3%}"
        says = f"<title>{escape(who)} {VERBS[what]}: {end - start:.2f} s</title>"
        parts.append(
            f'<rect class="{what}" x="{x}" y="{y}" width="{width}" height="{BAR}">{says}</rect>'
        )
    return parts


def _axis(total: float, y: int) -> list[str]:
    """Marks the time at round numbers of seconds, of which there are six at most."""
    magnitude = 10.0 ** math.floor(math.log10(total))
    step = next(
        step for factor in (0.1, 0.2, 0.5, 1, 2) if total / (step := factor * magnitude) < 6
    )
    parts = []
    for number in range(int(total / step) + 1):
        at, moment = f"{number * step / total:.3%}", f"{number * step:.6g}"
        anchor = "start" if number == 0 else "end" if number * step > 0.95 * total else "middle"
        parts.append(f'<line class="tick" x1="{at}" x2="{at}" y1="0" y2="{y}"/>')
        parts.append(
            f'<text x="{at}" y="{y + 15}" text-anchor="{anchor}">{moment}'
            f"{' s' if number == 0 else ''}</text>"
        )
    return parts


def _legend(y: int) -> list[str]:
    parts, x = [], 1
    for what, says in VERBS.items():
        parts.append(f'<rect class="{what}" x="{x}" y="{y - 10}" width="16" height="10"/>')
        parts.append(f'<text x="{x + 22}" y="{y}">{says}</text>')
        x += 82
    return parts
