"""Functions to try on a value, then on a proxy of it, and see where they differ.

python -i docs/examples/limits.py
"""

import dataclasses
import inspect  # noqa: F401  # for the lines to try, as are some of the next
import json  # noqa: F401
import math  # noqa: F401
import re  # noqa: F401
import sys
from collections.abc import Hashable, Iterable, Sized  # noqa: F401
from pathlib import Path
from typing import Any, get_type_hints  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from proxyfuture import Proxy, extract  # noqa: F401

t = [1, 2]  # a target
p = Proxy(lambda: t)


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
