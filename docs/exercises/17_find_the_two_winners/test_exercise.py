"""Tests of exercise 17, which are tests of your test."""

from __future__ import annotations

import exercise
import pytest
from relatives import RELATIVES, Right, RightInItsOwnWay
from stepping import failure_of
from suspect import Connector


def test_it_fails_on_the_suspect() -> None:
    assert failure_of(exercise, Connector), (
        "your test passes on the suspect; have a second thread come while the first one stands "
        "between two lines of set(), before each line in turn"
    )


@pytest.mark.parametrize("right", [Right, RightInItsOwnWay])
def test_it_passes_on_what_is_right(right: type) -> None:
    failure = failure_of(exercise, right)
    assert failure is None, (
        f"your test fails on a connector that keeps its promises (relatives.py, {right.__name__}) "
        f"with {failure!r}; test what is promised, and nothing else"
    )


@pytest.mark.parametrize("relative", RELATIVES)
def test_it_fails_on_each_relative(relative: type) -> None:
    assert failure_of(exercise, relative), (
        f"your test passes on a connector that {relative.__doc__} "
        f"(relatives.py, {relative.__name__}); which promise is that, and where do you test it?"
    )
