"""Where the illusion ends: every line of docs/limits.md does what stands beside it."""

from __future__ import annotations

import contextlib
import logging
import re
import rlcompleter
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "examples"))

import limits
from proxyfuture import Proxy

PAGE = (Path(__file__).parents[1] / "docs" / "limits.md").read_text()


class Row(NamedTuple):
    over_since: int  # the first Python 3 where there is no difference
    target: str
    line: str
    answer: str
    instead: str


def first_without_difference(row: str) -> int:
    [minor] = re.findall(r"before Python 3\.(\d+)", row) or ["99"]
    return int(minor)


ROWS = [
    Row(first_without_difference(row), *re.findall(r"`(.*?)`", row))
    for row in re.findall(r"^\| (`.*) \|$", PAGE, re.MULTILINE)
    if not row.startswith("`t`")
]


def outcome(line: str, target: object, value: object) -> object:
    """Returns what a line gives for `value` under the name `p`: its result or its exception."""
    try:
        return eval(line, vars(limits), {"t": target, "p": value})
    except Exception as error:
        return type(error)


def test_the_page_has_a_line_to_try_in_each_row() -> None:
    assert len(ROWS) == PAGE.count("\n| ") - PAGE.count("\n| `t`") > 20


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.line} where t = {row.target}" for row in ROWS])
def test_a_line_shows_the_difference_and_the_way_around_it(row: Row) -> None:
    target = eval(row.target, vars(limits))
    proxy = Proxy(lambda: target)
    plain = outcome(row.line, target, target)
    if sys.version_info >= (3, row.over_since):
        assert outcome(row.line, target, proxy) == plain
    else:
        assert outcome(row.line, target, proxy) == eval(row.answer, vars(limits)) != plain
    assert outcome(row.instead, target, proxy) == plain


@pytest.mark.parametrize("line", ["len(p)", "int(p)", "open(p).close()", "sorted(p)"])
def test_what_asks_through_special_methods_works(line: str, tmp_path: Path) -> None:
    targets = {"int(p)": "42", "open(p).close()": str(tmp_path / "file"), "sorted(p)": [2, 1]}
    (tmp_path / "file").touch()
    target = targets.get(line, "text")
    assert outcome(line, target, Proxy(lambda: target)) == outcome(line, target, target)
    assert not isinstance(outcome(line, target, Proxy(lambda: target)), type)


def test_a_class_pattern_matches_and_so_does_a_class_behind_a_proxy() -> None:
    assert limits.kind(Proxy(lambda: "text")) == "a string"
    assert isinstance(1, Proxy(lambda: int))  # type: ignore[arg-type]  # the proxy of a class
    assert issubclass(bool, Proxy(lambda: int))  # type: ignore[arg-type]  # the same


LOOKS: dict[str, bool] = {
    "repr(p)": False,
    "logging.info(repr(p))": False,
    'f"{p!r}"': False,
    "str(p)": True,
    "print(p)": True,
    'f"{p}"': True,
    'logging.info("%r", p)': True,
    'rlcompleter.Completer({"p": p}).complete("p.u", 0)': True,
}


@pytest.mark.parametrize(("look", "waits"), LOOKS.items())
def test_who_looks_at_a_proxy_waits_or_does_not(look: str, waits: bool) -> None:
    class Waits(BaseException):
        """In place of waiting."""

    def factory() -> str:
        raise Waits

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(logging.root, "level", logging.INFO)
        if waits:
            stack.enter_context(pytest.raises(Waits))
        eval(look, {"logging": logging, "rlcompleter": rlcompleter, "p": Proxy(factory)})
    assert f"`{look}`" in PAGE or "rlcompleter" in look  # which the page calls the Tab key


def test_adding_to_a_proxy_changes_a_list_in_place_and_replaces_a_number() -> None:
    numbers = [1, 2]
    proxy: Any = Proxy(lambda: numbers)
    proxy += [3]
    assert type(proxy) is Proxy
    assert numbers == [1, 2, 3]
    number: Any = Proxy(lambda: 1)
    number += 1
    assert type(number) is int


def test_the_session_on_the_page_goes_as_shown() -> None:
    [session] = re.findall(r"```console\n\$ python3 -i \S+\n(.*?)```", PAGE, re.DOTALL)
    typed = re.findall(r"^>>> (.*\n)", session, re.MULTILINE)
    answers = re.findall(r"^(?!>>> ).*\n", session, re.MULTILINE)
    program = subprocess.run(
        [sys.executable, "-I", "-i", limits.__file__],
        input="".join(typed),
        capture_output=True,  # the prompts are on the other channel
        text=True,
        timeout=60,
    )
    assert program.stdout == "".join(answers) == "False\nTrue\n"
