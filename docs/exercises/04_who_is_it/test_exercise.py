"""Who asks gets the truth; who only looks never waits."""

import threading
from collections.abc import Callable
from typing import Any

from exercise import Proxy


class Animal:
    legs = 4


class Dog(Animal):
    def bark(self) -> str:
        return "woof"


class Factory:
    """Makes a value, and counts how often it was asked to."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.runs = 0

    def __call__(self) -> Any:
        self.runs += 1
        return self.value

    def __repr__(self) -> str:
        return "the factory"


def in_time(function: Callable[[], Any], complaint: str, seconds: float = 5) -> Any:
    """Returns what `function` returns, or fails with the complaint if it takes too long."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, f"deadlock: {complaint}"
    return results[0]


def test_a_proxy_is_an_instance_of_its_targets_class() -> None:
    proxy = Proxy(Factory([1, 2]))
    len(proxy)  # resolves it
    assert isinstance(proxy, list), (
        "the target is a list, and isinstance(proxy, list) says no; it asks proxy.__class__"
    )
    assert not isinstance(proxy, dict), "the target is a list, and the proxy passes for a dict"
    assert isinstance(proxy, Proxy), "isinstance(proxy, Proxy) must be true as well"


def test_who_asks_an_unresolved_proxy_gets_the_truth() -> None:
    proxy = Proxy(Factory([1, 2]))
    assert isinstance(proxy, list), (
        "nobody told this proxy its class; so isinstance() has to resolve it, and say yes"
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


def test_the_class_of_the_target_counts_once_it_is_there() -> None:
    proxy = Proxy(Factory(Dog()), Animal)
    proxy.bark()  # resolves it
    assert isinstance(proxy, Dog), (
        "an Animal was announced and a Dog came; isinstance(proxy, Dog) still says no"
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


def test_repr_of_a_resolved_proxy_is_that_of_its_target() -> None:
    proxy = Proxy(Factory([1, 2]))
    len(proxy)
    text = repr(proxy)
    assert text == "[1, 2]", f"repr() of a resolved proxy of [1, 2] gave {text!r}"


def test_dir_of_an_unresolved_proxy_does_not_run_the_factory() -> None:
    factory = Factory(Dog())
    names = dir(Proxy(factory))
    assert factory.runs == 0, (
        "dir() ran the factory; a prompt that completes names would hang. "
        "The inherited __dir__ asks self.__class__"
    )
    assert "__len__" in names, "dir() of an unresolved proxy must list the names of Proxy"


def test_dir_lists_what_is_known() -> None:
    factory = Factory(Dog())
    names = dir(Proxy(factory, Animal))
    assert factory.runs == 0, "the proxy was told its target_type, and dir() ran the factory"
    assert "legs" in names, "dir() of a proxy with the target_type Animal does not list its legs"
    proxy = Proxy(factory, Animal)
    proxy.bark()  # resolves it
    assert "bark" in dir(proxy), "the target is a Dog, and dir(proxy) does not list bark"


def test_looking_does_not_wait_for_another_thread() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def factory() -> list[int]:
        begun.set()
        may_end.wait(30)
        return [1, 2]

    proxy = Proxy(factory)
    threading.Thread(target=len, args=(proxy,), daemon=True).start()
    assert begun.wait(10)
    try:
        in_time(lambda: repr(proxy), "repr() waits for the thread that makes the value")
        in_time(lambda: dir(proxy), "dir() waits for the thread that makes the value")
    finally:
        may_end.set()
