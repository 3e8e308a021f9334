"""Each pattern prints what its page shows, and nothing in it happens before its time."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_origin

import pytest
from support import EXAMPLES, ROOT, run

sys.path.insert(0, str(ROOT / "docs" / "pictures"))
sys.path.insert(0, str(EXAMPLES / "patterns"))

import chain
import cleaning_up
import diamond
import failures
import fan_in
import fan_out
import first_come
import timeouts
import with_asyncio
from timeline import Span, records

from connectors import LocalConnector
from proxyfuture import ProxyFuture, Store

PATTERNS = EXAMPLES / "patterns"
PICTURES = ROOT / "docs" / "pictures"

# Seconds. All work in the patterns takes twice as long, so that none is lost unnoticed.
TOLERANCE = 0.1

NAMES = sorted(path.stem for path in PATTERNS.glob("*.py"))
each_pattern = pytest.mark.parametrize("name", NAMES)


def output_of(*arguments: object) -> str:
    program = run(*arguments)
    assert (program.stderr, program.returncode) == ("", 0)
    return program.stdout


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """What each pattern prints. They run all at once, since most of their time is waiting."""
    with ThreadPoolExecutor(len(NAMES)) as threads:
        programs = [PATTERNS / f"{name}.py" for name in NAMES]
        return dict(zip(NAMES, threads.map(output_of, programs), strict=True))


@each_pattern
def test_a_pattern_prints_what_its_page_shows(name: str, printed: dict[str, str]) -> None:
    found, shown = printed[name], (PATTERNS / f"{name}.txt").read_text()
    if name == "first_come":  # where the order is left to the producers
        assert sorted(found.splitlines()) == sorted(shown.splitlines())
    else:
        assert found == shown


@pytest.mark.slow
@each_pattern
def test_a_pattern_does_what_its_picture_shows_and_nothing_earlier(name: str) -> None:
    """How much later depends on the machine."""
    [drawn] = records((PICTURES / f"{name}.svg").read_text()).values()
    [spans] = records(output_of(PICTURES / "record.py", name)).values()
    lanes, shown = ([span.who for span in each] for each in (spans, drawn))
    assert list(dict.fromkeys(lanes)) == list(dict.fromkeys(shown))
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


PRODUCERS = [
    *(chain.read, chain.split, chain.count),
    *(diamond.load, diamond.average, diamond.extent),
    *(failures.fails, failures.forgets, failures.dies),
    *(fan_in.ask, fan_out.measure, first_come.ask),
    *(cleaning_up.produce, timeouts.fetch),
    *(with_asyncio.produce, with_asyncio.produce_here),
]


@pytest.mark.parametrize("producer", PRODUCERS, ids=lambda it: f"{it.__module__}.{it.__name__}")
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
            asyncio.run(producer(*(future if is_one else "north" for is_one in is_future)))
        assert isinstance(future.exception(timeout=0), OSError)


@each_pattern
def test_the_page_shows_the_pattern_its_output_and_its_picture(name: str) -> None:
    page = (ROOT / "docs" / "patterns.md").read_text()
    source = (PATTERNS / f"{name}.py").read_text()
    assert f"    python docs/examples/patterns/{name}.py\n" in source
    assert f'--8<-- "docs/examples/patterns/{name}.py:' in page
    assert f'--8<-- "docs/examples/patterns/{name}.txt"' in page
    assert f"](pictures/{name}.svg)" in page
