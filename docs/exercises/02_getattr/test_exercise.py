"""What a proxy made of `__getattr__` can do, and what it cannot."""

import copy
from typing import Any

import pytest
from exercise import QUESTIONS, Proxy, predictions


class Target:
    """Has attributes of many names."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


def answer(expression: str, proxy: object) -> Any:
    """Returns what an expression gives, or the error in its place."""
    try:
        return eval(expression, {"proxy": proxy})
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def test_making_a_proxy_does_not_run_the_factory() -> None:
    runs = []
    try:
        Proxy(lambda: runs.append("run"))
    except RecursionError:
        pytest.fail(
            "RecursionError: making a proxy never ends; in __init__, `self.x = ...` calls your "
            "own __setattr__"
        )
    assert runs == [], "the factory ran when the proxy was made; it must wait for the first use"


def test_an_attribute_comes_from_the_target() -> None:
    proxy = Proxy(lambda: Target(color="red"))
    try:
        color = proxy.color
    except RecursionError:
        pytest.fail("RecursionError: proxy.color never ends; __getattr__ asks itself for help")
    assert color == "red", f"the target's color is 'red', and proxy.color gave {color!r}"


def test_a_method_of_the_target_can_be_called() -> None:
    result = Proxy(lambda: "value").upper()
    assert result == "VALUE", f"proxy.upper() gave {result!r}; the target gives 'VALUE'"


def test_the_factory_runs_once() -> None:
    runs = []

    def factory() -> Target:
        runs.append("run")
        return Target(color="red", size=5)

    proxy = Proxy(factory)
    _ = proxy.color, proxy.size, proxy.color
    assert len(runs) == 1, f"the factory ran {len(runs)} times for 3 uses; it must run once"


def test_a_missing_attribute_is_an_attribute_error() -> None:
    proxy = Proxy(lambda: "value")
    assert hasattr(proxy, "upper")
    assert not hasattr(proxy, "color"), (
        "a string has no color, but hasattr(proxy, 'color') says True; "
        "__getattr__ must raise AttributeError for what the target does not have"
    )


def test_an_assigned_attribute_goes_to_the_target() -> None:
    target = Target(color="red")
    proxy = Proxy(lambda: target)
    proxy.color = "blue"
    assert target.color == "blue", (  # type: ignore[attr-defined]  # set by the line above
        "proxy.color = 'blue' left the target red; all who have the target must see it, too"
    )


@pytest.mark.parametrize(
    "name",
    ["factory", "_factory", "target", "_target", "value", "_value", "lazy", "_lazy", "resolve"],
)
def test_no_attribute_of_the_target_is_hidden(name: str) -> None:
    proxy = Proxy(lambda: Target(**{name: "of the target"}))
    found = getattr(proxy, name)
    assert found == "of the target", (
        f"the proxy has an attribute {name!r} of its own, which hides the target's; "
        "use a name that no other class has"
    )


def test_a_proxy_can_be_copied() -> None:
    proxy = Proxy(lambda: Target(color="red"))
    try:
        copied = copy.copy(proxy)
    except RecursionError:
        pytest.fail(
            "RecursionError: in a copy, before it has any attribute, __getattr__ looks for the "
            "proxy's own attribute, which calls __getattr__, and so on"
        )
    assert copied.color == "red", "the copy of a proxy does not find the target's color"


@pytest.mark.parametrize("expression", QUESTIONS)
def test_your_prediction(expression: str) -> None:
    predicted = predictions()
    assert expression in predicted, f"you made no prediction for {expression}"
    with_proxy = answer(expression, Proxy(lambda: "value"))
    with_target = answer(expression, "value")
    same = with_proxy == with_target
    assert predicted[expression] == same, (
        f"you said that {expression} {'works' if predicted[expression] else 'does not work'}, "
        f"but it gives {with_proxy!r}; with the target it gives {with_target!r}. "
        "Who looks for the method here, and where?"
    )
