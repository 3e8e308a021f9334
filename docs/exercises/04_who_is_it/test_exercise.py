"""Who asks gets the truth; who only looks never waits."""

import contextlib
import threading
from typing import Any

import pytest
from exercise import Proxy
from stepping import Announced, Particular, Running


class Animal:
    legs = 4


class Dog(Animal):
    def bark(self) -> str:
        return "woof"


class Factory:
    """Makes a value, or fails, and counts how often it was asked to."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.runs = 0

    def __call__(self) -> Any:
        self.runs += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    def __repr__(self) -> str:
        return "the factory"

    def __str__(self) -> str:
        return "another text"


def a_function() -> None: ...


def resolved(target: Any, target_type: type | None = None) -> Proxy:
    """Returns a proxy that was used already."""
    proxy = Proxy(Factory(target), target_type)
    with contextlib.suppress(AttributeError):
        proxy.some_name  # noqa: B018
    return proxy


def test_a_proxy_is_an_instance_of_its_targets_class() -> None:
    proxy = resolved([1, 2])
    assert isinstance(proxy, list), (
        "the target is a list, and isinstance(proxy, list) says no; it asks proxy.__class__"
    )
    assert not isinstance(proxy, dict), "the target is a list, and the proxy passes for a dict"
    assert isinstance(proxy, Proxy), "isinstance(proxy, Proxy) must be true as well"


def test_who_asks_an_unresolved_proxy_gets_the_truth() -> None:
    factory = Factory([1, 2])
    proxy = Proxy(factory)
    assert isinstance(proxy, list), (
        "nobody told this proxy its class; so isinstance() has to resolve it, and say yes"
    )
    _ = isinstance(proxy, list), len(proxy)
    assert factory.runs == 1, (
        f"the factory ran {factory.runs} times for three questions; ask the lazy value, which "
        "makes the target once"
    )


def test_who_asks_gets_the_factorys_error() -> None:
    factory = Factory(ConnectionError("no answer"))
    proxy = Proxy(factory)
    for attempt in 1, 2:
        try:
            answer = isinstance(proxy, list)
        except ConnectionError:
            assert factory.runs == attempt, "after a failure, the next question tries again"
            continue
        pytest.fail(
            f"the factory raised a ConnectionError, and isinstance(proxy, list) said {answer}; "
            "nobody knows, so who asks must get the error"
        )


def test_a_class_that_was_told_is_known_without_the_target() -> None:
    factory = Factory(Dog())
    proxy = Proxy(factory, Dog)
    known = isinstance(proxy, Dog), isinstance(proxy, Animal), isinstance(proxy, list)
    assert factory.runs == 0, (
        "the proxy was told its target_type, and isinstance() ran the factory all the same"
    )
    assert known == (True, True, False), (
        "a proxy with the target_type Dog, which is an Animal and no list, "
        f"says for these three: {known}"
    )


@pytest.mark.parametrize("asked_before", [False, True])
def test_the_class_of_the_target_counts_once_it_is_there(asked_before: bool) -> None:
    proxy = Proxy(Factory(Dog()), Animal)
    if asked_before:
        assert isinstance(proxy, Animal)
    proxy.bark()  # resolves it
    assert isinstance(proxy, Dog), (
        "an Animal was announced and a Dog came; isinstance(proxy, Dog) still says no"
    )


@pytest.mark.parametrize("target_type", [None, Animal])
def test_the_class_is_what_the_target_says(target_type: type | None) -> None:
    for target, said in [
        (Particular(), Announced),
        (resolved([1]), list),  # a proxy of a proxy
        (None, type(None)),
        (0, int),
        (Dog, type),
    ]:
        found = resolved(target, target_type).__class__
        assert found is said, (
            f"the target says that its __class__ is {said.__name__}, and the proxy says "
            f"{found.__name__}; of a target that is a proxy itself, type() tells another story"
        )


def test_repr_of_an_unresolved_proxy_does_not_run_the_factory() -> None:
    factory = Factory([1, 2])
    text = repr(Proxy(factory))
    assert factory.runs == 0, (
        "repr() ran the factory; a debugger that shows this variable would hang. "
        "Which part of your line asks for the target, maybe through __class__?"
    )
    assert text == "<Proxy of the factory, unresolved>", (
        f"repr() of an unresolved proxy gave {text!r}, not '<Proxy of the factory, unresolved>'"
    )


def test_a_proxy_whose_factory_failed_is_unresolved() -> None:
    factory = Factory(ConnectionError("no answer"))
    proxy = Proxy(factory)
    with contextlib.suppress(ConnectionError):
        len(proxy)
    text = repr(proxy)
    assert (text, factory.runs) == ("<Proxy of the factory, unresolved>", 1), (
        f"the factory has failed, so there is no target yet, and repr() gave {text!r}; "
        f"the factory ran {factory.runs} times for one use and one look"
    )


@pytest.mark.parametrize("factory", [a_function, Factory().__call__, Factory])
def test_repr_shows_the_repr_of_the_factory(factory: Any) -> None:
    text = repr(Proxy(factory, Dog))
    assert text == f"<Proxy of {factory!r}, unresolved>", (
        f"repr() of the factory is {factory!r}, and that of its proxy {text!r}; a name alone does "
        "not tell whose method it is, for instance"
    )


def test_repr_of_a_resolved_proxy_is_that_of_its_target() -> None:
    for target in [1, 2], "text", "", 0, None, ..., [], Particular(), Dog, "long" * 1000:
        text = repr(resolved(target))
        assert text == repr(target), (
            f"repr() of a resolved proxy gave {text}, and that of its target gives {target!r}; "
            "a target may be empty or None, and its str() may be another text"
        )


def test_dir_of_an_unresolved_proxy_does_not_run_the_factory() -> None:
    factory = Factory(Dog())
    names = dir(Proxy(factory))
    assert factory.runs == 0, (
        "dir() ran the factory; a prompt that completes names would hang. "
        "The inherited __dir__ asks self.__class__"
    )
    different = sorted({*dir(Proxy)} ^ {*names})
    assert names == dir(Proxy), (
        f"dir() of an unresolved proxy must list the names of Proxy; it differs in {different}"
    )


def test_dir_lists_what_is_known() -> None:
    factory = Factory(Dog())
    proxy = Proxy(factory, Animal)
    names = dir(proxy)
    assert factory.runs == 0, "the proxy was told its target_type, and dir() ran the factory"
    assert "legs" in names, "dir() of a proxy with the target_type Animal does not list its legs"
    different = sorted({*dir(Animal)} ^ {*names})
    assert names == dir(Animal), (
        f"dir() of a proxy with the target_type Animal and dir(Animal) differ in {different}"
    )
    proxy.bark()  # resolves it
    assert "bark" in dir(proxy), "the target is a Dog, and dir(proxy) does not list bark"


def test_looking_makes_no_object_of_the_target_type() -> None:
    made: list[object] = []

    class Costly:
        def __init__(self) -> None:
            made.append(self)

    proxy = Proxy(Factory(), Costly)
    _ = repr(proxy), dir(proxy), isinstance(proxy, Costly)
    assert made == [], "somebody only looked, and an object of the target_type was made for it"


@pytest.mark.parametrize("target_type", [None, Animal])
def test_dir_lists_what_the_target_lists(target_type: type | None) -> None:
    rex = Dog()
    rex.name = "Rex"  # type: ignore[attr-defined]  # any object may have names of its own
    for target in rex, [], None, 0, "", Dog, resolved(rex):
        names = dir(resolved(target, target_type))
        different = sorted({*dir(target)} ^ {*names})
        assert names == dir(target), (
            f"dir() of a proxy and dir() of its target, {target!r}, differ in {different}; "
            "the object itself has names, too, and not only its class"
        )


@pytest.mark.parametrize("target_type", [None, list])
def test_looking_does_not_wait_for_another_thread(target_type: type | None) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def factory() -> list[int]:
        begun.set()
        may_end.wait(30)
        return [1, 2]

    proxy = Proxy(factory, target_type)
    Running(lambda: len(proxy))
    assert begun.wait(10)
    try:
        waits = "waits for the thread that makes the value"
        Running(lambda: repr(proxy)).result(f"repr() {waits}")
        Running(lambda: dir(proxy)).result(f"dir() {waits}")
        if target_type is not None:
            told = f"isinstance() {waits}, though the proxy was told its target_type"
            Running(lambda: isinstance(proxy, list)).result(told)
    finally:
        may_end.set()
