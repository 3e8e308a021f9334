"""Functions to try on a value, then on a proxy of it, and see where they differ.

python -i docs/examples/limits.py
"""

# ruff: noqa: F401  # most of these are for the lines to try
import base64
import csv
import dataclasses
import hashlib
import inspect
import io
import json
import math
import os
import re
import statistics
import sys
import time
from collections.abc import Hashable, Iterable, Sized
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints
from unittest import mock
from zipfile import ZipFile

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from proxyfuture import Proxy, extract

t = [1, 2]  # a target
p = Proxy(lambda: t)


def written(value: Any) -> str:
    """Writes a row of one value as CSV, with quotes around all but numbers."""
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_NONNUMERIC).writerow([value])
    return file.getvalue().strip()


def same_after_joining(numbers: set[int], more: Any) -> bool:
    before = numbers
    numbers |= more
    return numbers is before


def kind_of_mock(function: Any) -> str:
    """Returns what stands in for a function while a test replaces it."""
    module = SimpleNamespace(function=function)
    with mock.patch.object(module, "function") as stand_in:
        return type(stand_in).__name__


def kind(value: Any) -> str:
    match value:
        case str():
            return "a string"
        case [first, *_]:
            return f"a sequence that begins with {first}"
        case {"name": name}:
            return f"a mapping with the name {name}"
    return "something else"


def caught(kind: Any) -> bool:
    try:
        raise ZeroDivisionError
    except kind:
        return True


def throw(error: Any) -> None:
    raise error


def same_after_adding(numbers: list[int], more: Any) -> bool:
    before = numbers
    numbers += more
    return numbers is before


@dataclasses.dataclass
class Point:
    x: int
    y: int


@dataclasses.dataclass
class Line:
    start: Point
