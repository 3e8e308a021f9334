"""What a proxy made of `__getattr__` can do, and what it cannot."""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
from exercise import QUESTIONS, Proxy, predictions


class Target:
    """Has attributes of many names."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


class Thermometer:
    """Has one attribute, a property, and no dictionary."""

    __slots__ = ("_celsius",)

    def __init__(self) -> None:
        self._celsius = 20.0

    @property
    def fahrenheit(self) -> float:
        return self._celsius * 1.8 + 32

    @fahrenheit.setter
    def fahrenheit(self, degrees: float) -> None:
        self._celsius = (degrees - 32) / 1.8


class Factory:
    """Makes a target, and counts how often it was asked to."""

    def __init__(self, target: object) -> None:
        self.target = target
        self.runs = 0

    def __call__(self) -> Any:
        self.runs += 1
        return self.target


class Reference:
    """What the predictions are about, whatever became of the class in exercise.py."""

    def __init__(self, target: object) -> None:
        self.__target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__target, name)


def answer(expression: str, proxy: object) -> Any:
    """Returns what an expression gives, or the error in its place."""
    try:
        return eval(expression, {"proxy": proxy})
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def is_the_same(expression: str) -> bool:
    return bool(answer(expression, Reference("value")) == answer(expression, "value"))


def test_your_predictions_are_made_before_anything_is_judged(
    record_property: Callable[[str, object], None],
) -> None:
    predicted = predictions()
    missing = [each for each in QUESTIONS if not isinstance(predicted.get(each), bool)]
    assert missing == [], (
        f"you made no prediction, True or False, for {' and '.join(missing)}; make all of them "
        "before any of them is judged"
    )
    right = sum(predicted[each] == is_the_same(each) for each in QUESTIONS)
    record_property(
        "first try", f"At your first try, {right} of {len(QUESTIONS)} predictions were right."
    )


def test_making_a_proxy_does_not_run_the_factory() -> None:
    factory = Factory(Target())
    try:
        Proxy(factory)
    except RecursionError:
        pytest.fail(
            "RecursionError: making a proxy never ends; in __init__, `self.x = ...` calls your "
            "own __setattr__"
        )
    assert factory.runs == 0, (
        "the factory ran when the proxy was made; it must wait for the first use"
    )


def test_an_attribute_comes_from_the_target() -> None:
    proxy = Proxy(lambda: Target(color="red"))
    try:
        color = proxy.color
    except RecursionError:
        pytest.fail("RecursionError: proxy.color never ends; __getattr__ asks itself for help")
    assert color == "red", f"the target's color is 'red', and proxy.color gave {color!r}"
    color = answer("proxy.color", Proxy(lambda: proxy))
    assert color == "red", (
        f"of a proxy of a proxy, .color gave {color!r}; the target may have a __getattr__ itself, "
        "so ask it as the dot does"
    )


def test_a_method_of_the_target_can_be_called() -> None:
    result = Proxy(lambda: "value").upper()
    assert result == "VALUE", f"proxy.upper() gave {result!r}; the target gives 'VALUE'"


def test_a_special_name_that_the_proxy_does_not_have_comes_from_the_target() -> None:
    proxy = Proxy(lambda: "value")
    length = answer("proxy.__len__()", proxy)
    assert length == 5, (
        f"proxy.__len__(), written out, gave {length!r}; it is a name like any other, which the "
        "class Proxy does not have, so __getattr__ gets it"
    )


def test_the_factory_runs_once() -> None:
    factory = Factory(Target(color="red", size=5))
    proxy = Proxy(factory)
    _ = proxy.color, proxy.size, proxy.color
    assert factory.runs == 1, f"the factory ran {factory.runs} times for 3 uses; it must run once"


@pytest.mark.parametrize("target", ["", 0, [], None, ...], ids=repr)
def test_the_factory_runs_once_whatever_it_makes(target: object) -> None:
    factory = Factory(target)
    proxy = Proxy(factory)
    for _ in range(3):
        hasattr(proxy, "color")
    assert factory.runs == 1, (
        f"the factory makes {target!r}, and ran {factory.runs} times for 3 uses; also what is "
        "empty or None is a target, and is made once"
    )


def test_two_proxies_have_two_targets() -> None:
    one, other = Proxy(lambda: Target(color="red")), Proxy(lambda: Target(color="blue"))
    found = one.color, other.color, one.color
    assert found == ("red", "blue", "red"), (
        f"one proxy of something red and one of something blue gave {found}; what a proxy keeps "
        "belongs to the object, not to the class"
    )


def test_an_attribute_that_changes_in_the_target_changes_in_the_proxy() -> None:
    target = Target(color="red")
    proxy = Proxy(lambda: target)
    _ = proxy.color
    vars(target)["color"] = "blue"
    assert proxy.color == "blue", (
        f"the target became blue after it was asked once, and proxy.color still gives "
        f"{proxy.color!r}; ask the target each time"
    )


def test_a_missing_attribute_is_an_attribute_error() -> None:
    proxy = Proxy(lambda: "value")
    assert hasattr(proxy, "upper")
    assert hasattr(Proxy(lambda: Target(color=None)), "color"), (
        "the target has a color, which is None, and hasattr(proxy, 'color') says False; "
        "None is an attribute like any other"
    )
    assert not hasattr(proxy, "color"), (
        "a string has no color, but hasattr(proxy, 'color') says True; "
        "__getattr__ must raise AttributeError for what the target does not have"
    )


def test_an_error_of_the_factory_arrives() -> None:
    def factory() -> object:
        raise ConnectionError("no answer")

    for question in "proxy.color", "hasattr(proxy, 'color')":
        found = answer(question, Proxy(factory))
        assert found == "ConnectionError: no answer", (
            f"the factory raised ConnectionError('no answer'), and {question} gave {found!r}; "
            "'no answer' is another thing than 'no such attribute'"
        )


def test_an_assigned_attribute_goes_to_the_target() -> None:
    target = Target(color="red")
    factory = Factory(target)
    proxy = Proxy(factory)
    proxy.color = "blue"
    assert vars(target) == {"color": "blue"}, (
        "proxy.color = 'blue' left the target red; all who have the target must see it, too"
    )
    vars(target)["color"] = "green"
    assert proxy.color == "green", (
        f"proxy.color = 'blue', then the target became green, and proxy.color gives "
        f"{proxy.color!r}; the proxy must not keep what goes to the target"
    )
    assert factory.runs == 1, f"the factory ran {factory.runs} times for an assignment and a look"


@pytest.mark.parametrize("name", ["size", "_size", "factory", "_factory", "_value"])
def test_a_new_name_goes_to_the_target(name: str) -> None:
    target = Target()
    setattr(Proxy(lambda: target), name, 5)
    assert vars(target) == {name: 5}, (
        f"proxy.{name} = 5, a name that the target did not have yet: the target has "
        f"{vars(target)}, and must have the {name}"
    )


def test_an_assignment_is_made_as_the_target_makes_it() -> None:
    target = Thermometer()
    try:
        Proxy(lambda: target).fahrenheit = 50
    except Exception as error:
        pytest.fail(f"the target has a property `fahrenheit`, and assigning it raised {error!r}")
    assert target.fahrenheit == 50, "proxy.fahrenheit = 50 went past the property of the target"
    try:
        other = Target(color="red")
        Proxy(lambda: Proxy(lambda: other)).color = "blue"
    except Exception as error:
        pytest.fail(f"the target is a proxy itself, and an assignment to it raised {error!r}")
    assert vars(other) == {"color": "blue"}, (
        f"the target is a proxy itself, and hands an assignment on; here {vars(other)} came of it"
    )
    try:
        Proxy(lambda: "value").color = "red"
    except AttributeError:
        return
    pytest.fail("a string takes no attributes, and proxy.color = 'red' raised no AttributeError")


def own_names() -> list[str]:
    """Returns the names that only proxies have: in the object, and in the class."""
    names = set(vars(Proxy))
    with contextlib.suppress(AttributeError):  # with __slots__, it has no dictionary
        names |= set(object.__getattribute__(Proxy(Target), "__dict__"))
    return sorted(name for name in names if not name.startswith(("__", "_Proxy__")))


def test_no_attribute_of_the_target_is_hidden() -> None:
    usual = ["factory", "_factory", "target", "_target", "value", "_value", "lazy", "_lazy"]
    for name in [*usual, "resolve", "is_resolved", *own_names()]:
        found = getattr(Proxy(lambda name=name: Target(**{name: "of the target"})), name)
        assert found == "of the target", (
            f"the proxy has an attribute {name!r} of its own, which hides the target's; "
            "use a name that no other class has, such as Python makes of `self.__lazy` in a class"
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
    assert copied is not proxy, "copy.copy(proxy) gave the proxy itself, which is no copy"


@pytest.mark.parametrize("expression", QUESTIONS)
def test_your_prediction(expression: str) -> None:
    predicted = predictions()[expression]
    found = answer(expression, Reference("value"))
    assert predicted == is_the_same(expression), (
        f"you said that {expression} {'works' if predicted else 'does not work'}, "
        f"but it gives {found!r}; with the target it gives {answer(expression, 'value')!r}. "
        "Who looks for the method here, and where?"
    )
