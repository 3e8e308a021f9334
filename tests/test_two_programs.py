"""Two programs without a common parent share a future, and nothing but its pickle in a file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis_server
from conformance import LIMIT as SHORT_LIMIT
from conformance import SETTLING
from support import EXAMPLES, python, serving

pytestmark = pytest.mark.slow

redis_url = redis_server.redis_url

Start = Callable[..., subprocess.Popen[str]]

# Three programs have to start, maybe on a busy machine.
LIMIT = 3 * SHORT_LIMIT

GREETING = "I have a text. I do not know it yet.\n"
PROMPT = "Your text: "
ANSWER = "PROXY FUTURES has 13 characters.\n"


@pytest.fixture(params=["file", "server", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the result is kept, as the last argument of new_future.py."""
    match request.param:
        case "file":
            yield str(tmp_path / "values")
        case "server":
            with serving() as (_, (host, port)):
                yield f"{host}:{port}"
        case "redis":
            pytest.importorskip("redis", reason="needs the packages of pip install '.[engines]'")
            yield request.getfixturevalue("redis_url")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts one of the programs as another terminal would, in a session of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            **{**python(str(EXAMPLES / program), *arguments), "cwd": tmp_path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def file(start: Start, request: pytest.FixtureRequest, place: str) -> str:
    """The name of a file with the pickle of a future. The program that made it has ended."""
    kind = request.node.callspec.params["place"]
    program = start("new_future.py", "future.pickle", kind, place)
    assert program.communicate(timeout=LIMIT) == ("", "")
    return "future.pickle"


def finish(program: subprocess.Popen[str], typed: str | None = None) -> tuple[str, str, int]:
    output, errors = program.communicate(typed, timeout=LIMIT)
    return output, errors, program.returncode


def read(program: subprocess.Popen[str], characters: int) -> str:
    assert program.stdout is not None
    return program.stdout.read(characters)


def test_the_consumer_starts_first_and_is_woken(start: Start, file: str) -> None:
    consumers = [start("consume.py", file) for _ in range(2)]
    for consumer in consumers:
        assert read(consumer, len(GREETING)) == GREETING
    time.sleep(SETTLING)
    assert [consumer.poll() for consumer in consumers] == [None, None]
    assert finish(start("produce.py", file), "Proxy futures\n") == (PROMPT, "", 0)
    for consumer in consumers:
        assert finish(consumer) == (ANSWER, "", 0)


def test_the_producer_has_ended_before_the_consumer_starts(start: Start, file: str) -> None:
    assert finish(start("produce.py", file), "Proxy futures\n") == (PROMPT, "", 0)
    for _ in range(2):
        assert finish(start("consume.py", file)) == (GREETING + ANSWER, "", 0)


def test_the_consumer_gets_the_error_of_the_producer(start: Start, file: str) -> None:
    for program in start("produce.py", file), start("consume.py", file):
        _, errors, code = finish(program, "")
        assert "EOFError: EOF when reading a line" in errors
        assert code == 1


def test_the_page_shows_what_the_programs_print() -> None:
    page = (EXAMPLES.parent / "walkthrough.md").read_text()
    for program, output in ("consume", GREETING + ANSWER), ("produce", PROMPT + "Proxy futures\n"):
        assert f"$ python3 docs/examples/{program}.py future.pickle\n{output}```" in page
