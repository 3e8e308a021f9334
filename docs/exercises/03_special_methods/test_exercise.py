"""Whatever one can do with a target, one can do with its proxy, with the same result."""

from typing import Any

import pytest
from exercise import Proxy


class Adder:
    def __call__(self, *numbers: int, start: int = 0) -> int:
        return sum(numbers, start)


def behaviour(expression: str, x: Any) -> Any:
    """Returns what an expression gives, or the error in its place."""
    try:
        return eval(expression, {"x": x})
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def call_gap(expression: str, x: Any) -> None:
    """Lets a gap that is still open show itself."""
    try:
        eval(expression, {"x": x})
    except NotImplementedError:
        raise
    except Exception:
        pass


BEHAVIOUR = [
    # Text, comparison
    ("str(x)", "[1, 2]"),
    ("str(x)", '"text"'),
    ("x == [1, 2]", "[1, 2]"),
    ("x == 1.0", "1"),
    ("x != [1, 2]", "[1, 2]"),
    ("x < 2", "1"),
    ("x <= 1", "1"),
    ("x > 2", "1"),
    ("x >= 1", "1"),
    ("2 > x", "1"),
    ("hash(x)", '"text"'),
    ("{'text': 5}[x]", '"text"'),
    ("bool(x)", "0"),
    ("not x", "None"),
    # Calls, containers
    ("x(1, 2, start=3)", "Adder()"),
    ("x[0]", '["a", "b"]'),
    ("x[1:]", '"text"'),
    ("x['a']", '{"a": 1}'),
    ("x['b']", '{"a": 1}'),
    ("list(x)", '{"a": 1}'),
    ("[each for each in x]", '"text"'),
    ("'ex' in x", '"text"'),
    ("5 in x", "[1, 2]"),
    # Numbers
    ("x + 1", "1"),
    ("x + 0.5", "1"),
    ("x + 'b'", '"a"'),
    ("x + 'b'", "1"),
    ("1 + x", "1"),
    ("'b' + x", '"a"'),
    ("sum([x, x])", "1"),
    ("x - 1", "5"),
    ("x - 0.5", "1"),
    ("1 - x", "5"),
    ("-x", "5"),
    ("int(x)", '"12"'),
    ("int(x)", "2.5"),
]


@pytest.mark.parametrize(
    ("expression", "x"), BEHAVIOUR, ids=[f"{expression} for x = {x}" for expression, x in BEHAVIOUR]
)
def test_it_is_the_same_with_the_proxy(expression: str, x: str) -> None:
    call_gap(expression, Proxy(lambda: eval(x)))
    with_proxy = behaviour(expression, Proxy(lambda: eval(x)))
    with_target = behaviour(expression, eval(x))
    assert (with_proxy, type(with_proxy)) == (with_target, type(with_target)), (
        f"for a proxy of x = {x}, {expression} gives {with_proxy!r}; "
        f"for x itself it gives {with_target!r}"
    )


def test_an_item_that_is_set_is_set_in_the_target() -> None:
    target = {"a": 1}
    Proxy(lambda: target)["b"] = 2
    assert target == {"a": 1, "b": 2}, f"after proxy['b'] = 2, the target is {target}"


def test_an_item_that_is_deleted_is_deleted_in_the_target() -> None:
    target = {"a": 1, "b": 2}
    del Proxy(lambda: target)["b"]
    assert target == {"a": 1}, f"after del proxy['b'], the target is {target}"


def test_a_list_that_grows_in_place_stays_behind_its_proxy() -> None:
    target = [1, 2]
    proxy = Proxy(lambda: target)
    another_name = proxy
    proxy += [3]
    assert target == [1, 2, 3], f"after proxy += [3], the target is {target}, not [1, 2, 3]"
    assert type(proxy) is Proxy, (
        f"after proxy += [3], the name `proxy` stands for a {type(proxy).__name__}; "
        "the target changed in place, so it must still be the proxy"
    )
    assert proxy is another_name, "after proxy += [3], it is another proxy than before"


def test_a_number_that_grows_is_a_new_object() -> None:
    proxy = Proxy(lambda: 5)
    another_name = proxy
    proxy += 1
    assert proxy == 6, f"after proxy += 1, a proxy of 5 is {proxy!s}, not 6"
    assert another_name == 5, (
        f"after proxy += 1, another name of the old proxy stands for {another_name!s}; "
        "a number does not change, so those who have the old one keep it"
    )
