"""Draws who worked and who waited, and the value on its way, as an SVG picture for the pages.

    >>> spans = [
    ...     Span("foo", "working", 0.0, 2.0),
    ...     Span("foo", "passing", 2.0, 2.1),
    ...     Span("bar", "working", 0.0, 1.0),
    ...     Span("bar", "waiting", 1.0, 2.1),
    ...     Span("bar", "receives", 2.1, 2.1, giver="foo"),
    ...     Span("bar", "working", 2.1, 2.5),
    ... ]
    >>> picture = timeline({"": spans})

A picture has one or more panels on a common scale of time, such as the same work done in two ways.
Each panel has a lane for everybody in it, in the order of the spans. A value is an orange dot,
which travels along an arrow from the lane of its producer to that of its consumer.

    >>> picture = interleaving([("one", "looks"), ("another", "looks"), ("", "Both have looked.")])

Widths are percentages and texts have a fixed size. So a picture fits any screen, if it stands in
the page itself (`hooks.py` puts it there), where it also has the page's colors. Opened alone, it
follows the browser's color scheme.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape, unescape
from itertools import count
from typing import Literal, NamedTuple

What = Literal["working", "waiting", "passing", "receives"]


class Span(NamedTuple):
    """What somebody did from a start to an end, in seconds on a clock that all spans share.

    What somebody `receives` is on its way from the start to the end, and comes from the `giver`.
    """

    who: str
    what: What
    start: float
    end: float
    giver: str = ""


Panels = Mapping[str, Sequence[Span]]

# In pixels: the height of a heading, of a lane with the name above its bar, and of the texts below.
HEADING, LANE, BAR, FOOT = 30, 50, 18, 62
STEP = 34  # of an interleaving, from the top down

VERBS = {
    "working": "works",
    "using": "uses the value",
    "waiting": "waits",
    "passing": "passes the value on",
}

# The variables are those of the pages; the colors beside them are for a picture alone.
STYLE = """
.timeline { color: #24292f; font: 13px system-ui, sans-serif }
@media (prefers-color-scheme: dark) { .timeline { color: #e6edf3 } }
.timeline text { fill: currentColor }
.timeline .heading, .timeline .total { font-weight: 700 }
.timeline .lane, .timeline .tick { stroke: currentColor; stroke-opacity: .2 }
.timeline .working { fill: var(--work, #1f7a8c) }
.timeline .using { fill: var(--work-with-value, #5f4bb6) }
.timeline .waiting { fill: none; stroke: var(--wait, #7a8794); stroke-width: 1.5 }
.timeline .waiting { stroke-dasharray: 5 4 }
.timeline .value { fill: var(--value, #e8590c) }
.timeline .arrow { stroke: var(--value, #e8590c); stroke-width: 2.5 }
.timeline .fatal { fill: var(--fatal, #c92a2a); fill-opacity: .15 }
.timeline text.fatal { fill-opacity: 1; font-weight: 700 }
"""


def timeline(panels: Panels) -> str:
    """Returns the picture of `panels`: the spans of each under its heading, which may be empty.

    What was drawn can be had back with `records`.
    """
    panels = {heading: from_its_start(spans) for heading, spans in panels.items()}
    totals = [max(span.end for span in spans) for spans in panels.values()]
    total = max(totals)
    parts, y = [], 0
    for number, (heading, spans) in enumerate(panels.items()):
        if heading:
            parts.append(f'<text class="heading" y="{y + 18}">{escape(heading)}</text>')
            y += HEADING
        said = f"{totals[number]:.2f} s" + (f" instead of {totals[0]:.2f} s" if number else "")
        parts.append(f'<text class="total" x="97%" y="{y + 14}" text-anchor="end">{said}</text>')
        lanes = list(dict.fromkeys(span.who for span in spans))
        tops = {lane: y + 20 + LANE * row for row, lane in enumerate(lanes)}
        for lane, top in tops.items():
            own = [span for span in spans if span.who == lane]
            parts += [f'<text y="{top - 6}">{escape(lane)}</text>', *_bars(own, top, total)]
        for span in spans:
            parts += _value(span, tops, total)
        y += LANE * len(lanes)
    parts = [*_axis(total, y + 4), *parts, *_legend(y + 50)]
    return _drawn(parts, y + FOOT, panels, described(panels))


def interleaving(steps: Sequence[tuple[str, str]]) -> str:
    """Returns the picture of steps that threads take in turn, each with the name of its thread.

    A step of nobody, with an empty name, says what is fatal from there on.
    """
    lanes = list(dict.fromkeys(who for who, _ in steps if who))
    left = {lane: 100 * column // len(lanes) + 1 for column, lane in enumerate(lanes)}
    height = 40 + STEP * len(steps)
    parts, told, number = [], [], count(1)
    for lane, x in left.items():
        parts.append(f'<text class="heading" x="{x}%" y="16">{escape(lane)}</text>')
        parts.append(f'<line class="lane" x1="{x}%" x2="{x}%" y1="24" y2="{height - 10}"/>')
    for y, (who, step) in zip(count(30, STEP), steps, strict=False):
        if who:
            text, kind = f"{next(number)}. {step}", "waiting" if "waits" in step else "working"
            place = f'x="{left[who]}%" y="{y}" width="5" height="{STEP - 6}"'
            parts.append(f'<rect class="{kind}" {place}/>')
            parts.append(f'<text x="{left[who]}%" dx="11" y="{y + 19}">{escape(text)}</text>')
        else:
            parts.append(f'<rect class="fatal" y="{y}" width="100%" height="{STEP - 6}"/>')
            parts.append(f'<text class="fatal" x="1%" y="{y + 19}">{escape(step)}</text>')
        told.append(f"{who} {step}.".strip())
    return _drawn(parts, height, steps, " ".join(told))


def _drawn(parts: Sequence[str], height: int, record: object, words: str) -> str:
    return "\n".join(
        [
            # Without a viewBox: nothing is scaled, and percentages are those of the page's width.
            # The height once more as a style, or a page would make it as narrow as the width.
            f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" role="img" '
            f'width="720" height="{height}" style="height: {height}px">',
            f"<metadata>{escape(json.dumps(record), quote=False)}</metadata>",
            f"<desc>{escape(words, quote=False)}</desc>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )


def from_its_start(spans: Sequence[Span]) -> list[Span]:
    """Returns the spans on a clock that is 0 where the first of them starts."""
    first = min(span.start for span in spans)
    return [
        span._replace(start=round(span.start - first, 4), end=round(span.end - first, 4))
        for span in spans
    ]


def records(picture: str) -> dict[str, list[Span]]:
    """Returns what a picture was drawn from, with the first start as 0."""
    text = picture.partition("<metadata>")[2].partition("</metadata>")[0]
    panels = json.loads(unescape(text))
    return {heading: [Span(*span) for span in spans] for heading, spans in panels.items()}


def described(panels: Panels) -> str:
    """Says in words what a picture shows, for those who cannot see it."""
    sentences = []
    for heading, spans in panels.items():
        sentences += [f"{heading}:"] if heading else []
        for lane in dict.fromkeys(span.who for span in spans):
            doings = [
                f"{VERBS[span.what]} from {span.start:.2f} to {span.end:.2f} s"
                for span in spans
                if span.who == lane and span.what != "receives"
            ]
            sentences.append(f"{lane} {', '.join(doings)}.")
    return " ".join(sentences)


def _bars(spans: Sequence[Span], y: int, total: float) -> list[str]:
    parts = [f'<line class="lane" x2="100%" y1="{y + BAR}" y2="{y + BAR}"/>']
    received = min((span.end for span in spans if span.what == "receives"), default=math.inf)
    for who, what, start, end, _ in spans:
        if what in ("passing", "receives"):
            continue  # which is the arrow
        kind = "using" if what == "working" and start >= received else what
        x, width = _across(start, total), _across(end - start, total)
        says = f"<title>{escape(who)} {VERBS[kind]}: {end - start:.2f} s</title>"
        place = f'x="{x}" y="{y}" width="{width}" height="{BAR}" rx="2"'
        parts.append(f'<rect class="{kind}" {place}>{says}</rect>')
    return parts


def _value(span: Span, tops: Mapping[str, int], total: float) -> list[str]:
    """Draws the dot where a value is passed on, or the arrow from there to where it is received."""
    x1, x2, y = _across(span.start, total), _across(span.end, total), tops[span.who]
    if span.what == "passing":
        return [f'<circle class="value" cx="{x1}" cy="{y + 9}" r="6"/>']
    if span.what != "receives":
        return []
    # Its head has a place of its own, since a path knows no percentages.
    return [
        f'<line class="arrow" x1="{x1}" y1="{tops[span.giver] + 9}" x2="{x2}" y2="{y - 9}"/>',
        f'<svg x="{x2}" y="{y - 9}" overflow="visible">'
        '<path class="value" d="M-6 0 L6 0 L0 9 Z"/></svg>',
    ]


def _across(time: float, total: float) -> str:
    """Returns a place, or a width. A little room is left for the dot at the end."""
    return f"{0.97 * time / total:.3%}"


def _axis(total: float, y: int) -> list[str]:
    """Marks the time at round numbers of seconds, of which there are six at most."""
    magnitude = 10.0 ** math.floor(math.log10(total))
    step = next(
        step for factor in (0.1, 0.2, 0.5, 1, 2) if total / (step := factor * magnitude) < 6
    )
    parts = []
    for number in range(int(total / step) + 1):
        at, moment = _across(number * step, total), f"{number * step:.6g}"
        anchor = "start" if number == 0 else "end" if number * step > 0.95 * total else "middle"
        parts.append(f'<line class="tick" x1="{at}" x2="{at}" y1="0" y2="{y}"/>')
        parts.append(
            f'<text x="{at}" y="{y + 15}" text-anchor="{anchor}">{moment}'
            f"{' s' if number == 0 else ''}</text>"
        )
    return parts


def _legend(y: int) -> list[str]:
    parts, x = [], 1
    for kind, width in (("working", 44), ("using", 106), ("waiting", 44)):
        parts.append(f'<rect class="{kind}" x="{x}" y="{y - 10}" width="16" height="10" rx="2"/>')
        parts.append(f'<text x="{x + 22}" y="{y}">{VERBS[kind]}</text>')
        x += 22 + width
    parts.append(f'<circle class="value" cx="{x + 8}" cy="{y - 5}" r="6"/>')
    parts.append(f'<text x="{x + 20}" y="{y}">the value</text>')
    return parts
