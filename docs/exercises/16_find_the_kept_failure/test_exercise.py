"""Tests of exercise 16, which are tests of your test."""

from __future__ import annotations

import exercise
import pytest
from relatives import RELATIVES, Right, RightInItsOwnWay
from stepping import failure_of
from suspect import Lazy


def test_it_fails_on_the_suspect() -> None:
    assert failure_of(exercise, Lazy), (
        "your test passes on the suspect; make the factory raise, and then use the value again"
    )


@pytest.mark.parametrize("right", [Right, RightInItsOwnWay])
def test_it_passes_on_what_is_right(right: type) -> None:
    failure = failure_of(exercise, right)
    assert failure is None, (
        f"your test fails on a lazy value that keeps its promises (relatives.py, {right.__name__}) "
        f"with {failure!r}; test what is promised, and nothing else"
    )


@pytest.mark.parametrize("relative", RELATIVES)
def test_it_fails_on_each_relative(relative: type) -> None:
    assert failure_of(exercise, relative), (
        f"your test passes on a lazy value that {relative.__doc__} "
        f"(relatives.py, {relative.__name__}); which promise is that, and where do you test it?"
    )
