"""The pictures show real runs, and say in words what they show."""

from __future__ import annotations

import doctest
import re
import sys
from itertools import count
from xml.etree import ElementTree

import pytest
from support import ROOT

sys.path.insert(0, str(ROOT / "docs" / "pictures"))

import draw
import timeline
from record import PATTERNS
from timeline import Panels, Span

PICTURES = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"

FOO = Span("foo", "working", 5.0, 7.0)
PASSED = Span("foo", "passing", 7.0, 7.5)
BAR = Span("bar", "waiting", 5.0, 7.5)
RECEIVED = Span("bar", "receives", 7.0, 7.5, "foo")
USED = Span("bar", "working", 7.5, 9.0)


def doings(panels: Panels) -> list[tuple[str, str, str]]:
    """What a picture is there to show: who did what, in order, without the times."""
    return [(heading, span.who, span.what) for heading in panels for span in panels[heading]]


def test_the_example_in_the_docstring_draws_a_picture() -> None:
    assert doctest.testmod(timeline) == (0, 3)


def test_a_picture_shows_the_times_from_the_first_start_on_in_bars_and_in_words() -> None:
    picture = timeline.timeline({"Both": [FOO, PASSED, BAR, RECEIVED, USED]})
    assert timeline.records(picture) == {
        "Both": [
            Span("foo", "working", 0.0, 2.0),
            Span("foo", "passing", 2.0, 2.5),
            Span("bar", "waiting", 0.0, 2.5),
            Span("bar", "receives", 2.0, 2.5, "foo"),
            Span("bar", "working", 2.5, 4.0),
        ]
    }
    root = ElementTree.fromstring(picture)
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    assert {bar.get("class"): (bar.get("x"), bar.get("width")) for bar in bars} == {
        "working": ("0.000%", "48.500%"),
        "waiting": ("0.000%", "60.625%"),
        "using": ("60.625%", "36.375%"),
    }
    assert root.findtext(f"{SVG}desc") == (
        "Both: foo works from 0.00 to 2.00 s, passes the value on from 2.00 to 2.50 s. "
        "bar waits from 0.00 to 2.50 s, works from 2.50 to 4.00 s."
    )


def test_a_value_travels_from_its_producer_to_its_consumer() -> None:
    root = ElementTree.fromstring(timeline.timeline({"": [FOO, PASSED, BAR, RECEIVED]}))
    [arrow] = [line for line in root.iter(f"{SVG}line") if line.get("class") == "arrow"]
    assert (arrow.get("x1"), arrow.get("x2")) == ("77.600%", "97.000%")


def test_a_total_is_compared_with_that_of_the_first_way() -> None:
    picture = timeline.timeline({"One way": [FOO], "Another": [FOO._replace(end=6.0)]})
    assert ">2.00 s</text>" in picture
    assert ">1.00 s instead of 2.00 s</text>" in picture


def test_names_may_hold_any_character() -> None:
    odd = 'a < b & "c" </metadata>'
    picture = timeline.timeline({odd: [FOO._replace(who=odd)]})
    assert odd in [text.text for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]
    assert timeline.records(picture) == {odd: [Span(odd, "working", 0.0, 2.0)]}


@pytest.mark.parametrize("total", [0.0007, 0.99, 1.0, 3.3, 1000.0])
def test_the_time_is_marked_at_a_few_round_numbers(total: float) -> None:
    picture = timeline.timeline({"": [Span("a", "working", 0.0, total)]})
    marks = re.findall(r'<text x="\S+" y="\d+" text-anchor="\w+">(\S+?)(?: s)?</text>', picture)
    assert marks[0] == "0"
    assert 2 <= len(marks) <= 6
    assert all(len(mark.strip("0.")) <= 1 for mark in marks)


# One picture is drawn by hand.
@pytest.mark.parametrize("name", sorted({p.stem for p in PICTURES.glob("*.svg")} - {"five_steps"}))
def test_a_picture_is_what_the_script_draws_and_values_travel_down(name: str) -> None:
    picture = (PICTURES / f"{name}.svg").read_text()
    assert timeline.timeline(timeline.records(picture)) == picture
    arrows = re.findall(r'class="arrow" .* y1="(\d+)" .* y2="(\d+)"', picture)
    assert arrows
    assert all(int(y1) < int(y2) for y1, y2 in arrows)


@pytest.mark.parametrize("name", draw.INTERLEAVINGS)
def test_a_picture_of_an_exercise_says_what_is_fatal_where_it_happens(name: str) -> None:
    picture = (draw.EXERCISES / name / "picture.svg").read_text()
    assert timeline.interleaving(draw.INTERLEAVINGS[name]) == picture
    texts = ElementTree.fromstring(picture).iter(f"{SVG}text")
    shown = [(text.get("class"), text.text) for text in texts if text.get("class") != "heading"]
    number = count(1)
    assert shown == [
        (None, f"{next(number)}. {step}") if who else ("fatal", step)
        for who, step in draw.INTERLEAVINGS[name]
    ]


# The patterns are run in test_patterns.py.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in draw.DRAWN if name not in PATTERNS])
def test_a_run_now_goes_as_in_the_picture(name: str) -> None:
    shown = timeline.records((PICTURES / f"{name}.svg").read_text())
    assert doings(draw.DRAWN[name]()) == doings(shown)


def test_of_several_runs_the_quickest_that_shows_the_idea_is_drawn() -> None:
    quick = {"": [FOO._replace(end=6.0)]}
    slow, slower = {"": [FOO, BAR]}, {"": [FOO, BAR._replace(end=9.0)]}
    assert draw.best([slower, quick, slow]) is slow
    assert draw.best([{"": [FOO]}, quick]) is quick
    loss, gain = {**slow, "at once": slower[""]}, {**slower, "at once": slow[""]}
    assert draw.best([loss, gain]) is gain
