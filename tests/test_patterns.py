"""Each pattern prints what its page shows, and nothing in it happens before its time."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_origin

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "pictures"))
sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples" / "patterns"))

import chain
import cleaning_up
import diamond
import failures
import fan_in
import fan_out
import first_come
import timeouts
import with_asyncio
from support import EXAMPLES, ROOT
from timeline import Span, records

from connectors import LocalConnector
from proxyfuture import ProxyFuture, Store

PATTERNS = EXAMPLES / "patterns"
PICTURES = ROOT / "docs" / "pictures"

# Seconds. All work in the patterns takes twice as long, so that none is lost unnoticed.
TOLERANCE = 0.1

# In these, the order in which the results come is left to the producers.
IN_ANY_ORDER = {"first_come"}

NAMES = sorted(path.stem for path in PATTERNS.glob("*.py"))
each_pattern = pytest.mark.parametrize("name", NAMES)


def run(*arguments: object) -> str:
    """Runs a program and returns what it printed. It may not complain about anything."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What each pattern prints. They run all at once, since most of their time is waiting."""
    with ThreadPoolExecutor(len(NAMES)) as threads:
        programs = [PATTERNS / f"{name}.py" for name in NAMES]
        return dict(zip(NAMES, threads.map(run, programs), strict=True))


@each_pattern
def test_a_pattern_prints_what_its_page_shows(name: str, printed: dict[str, str]) -> None:
    shown = (PATTERNS / f"{name}.txt").read_text()
    if name in IN_ANY_ORDER:
        assert sorted(printed[name].splitlines()) == sorted(shown.splitlines())
    else:
        assert printed[name] == shown


@pytest.mark.slow
@each_pattern
def test_a_pattern_does_what_its_picture_shows_and_nothing_earlier(name: str) -> None:
    """How much later depends on the machine."""
    [drawn] = records((PICTURES / f"{name}.svg").read_text()).values()
    *_, recorded = run(PICTURES / "record.py", name).splitlines()
    [spans] = [[Span(*span) for span in panel] for panel in json.loads(recorded).values()]
    now = first_and_last(spans)
    for doing, (first, last) in first_and_last(drawn).items():
        assert now[doing][0] > first - TOLERANCE
        assert now[doing][1] > last - TOLERANCE


def first_and_last(spans: list[Span]) -> dict[tuple[str, str], tuple[float, float]]:
    """Returns when each one first began to work, to wait, to pass a value on, and last did it."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for who, what in {(span.who, span.what) for span in spans}:
        own = [span for span in spans if (span.who, span.what) == (who, what)]
        found[who, what] = min(span.start for span in own), max(span.end for span in own)
    return found


@pytest.mark.parametrize(
    "producer",
    [
        chain.read,
        chain.split,
        chain.count,
        cleaning_up.produce,
        diamond.load,
        diamond.average,
        diamond.extent,
        failures.fails,
        failures.forgets,
        failures.dies,
        fan_in.ask,
        fan_out.measure,
        first_come.ask,
        timeouts.fetch,
        with_asyncio.produce,
        with_asyncio.produce_here,
    ],
    ids=lambda producer: f"{producer.__module__}.{producer.__name__}",
)
def test_a_producer_that_fails_tells_its_consumers(
    producer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: float) -> None:
        raise OSError("disk")

    monkeypatch.setattr(time, "sleep", fail)
    monkeypatch.setattr(asyncio, "sleep", fail)
    with Store("failing", LocalConnector()) as store:
        future: ProxyFuture[Any] = store.future()
        parameters = inspect.signature(producer).parameters.values()
        is_future = [get_origin(parameter.annotation) is ProxyFuture for parameter in parameters]
        with pytest.raises(OSError, match="disk"):
            running = producer(*(future if is_one else "north" for is_one in is_future))
            asyncio.run(running)
        assert isinstance(future.exception(timeout=0), OSError)


@each_pattern
def test_the_page_shows_the_pattern_its_output_and_its_picture(name: str) -> None:
    page, source = (
        (ROOT / "docs" / "patterns.md").read_text(),
        (PATTERNS / f"{name}.py").read_text(),
    )
    assert f"    python docs/examples/patterns/{name}.py\n" in source
    [line] = re.findall(rf'^--8<-- "docs/examples/patterns/{name}\.py:(\d+)"$', page, re.M)
    before = source.splitlines()[: int(line) - 1]
    assert before[-2].startswith("sys.path.insert")  # where the imports of the pattern begin
    assert before[-1] == ""
    assert f'--8<-- "docs/examples/patterns/{name}.txt"' in page
    assert f"](pictures/{name}.svg)" in page
