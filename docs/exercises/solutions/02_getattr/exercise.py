"""Exercise 2: a proxy made of `__getattr__`. README.md in this folder tells why so."""

import threading
from collections.abc import Callable
from typing import Any

# Given: the lazy value.

_MISSING = object()


class Lazy:
    """A value that is made at its first use, and kept."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory
        self._value: Any = _MISSING
        self._lock = threading.Lock()

    def is_resolved(self) -> bool:
        """Tells whether the value is there, without making it."""
        return self._value is not _MISSING

    def resolve(self) -> Any:
        """Returns the value, after making it if it is not there yet."""
        with self._lock:
            if not self.is_resolved():
                self._value = self._factory()
        return self._value


# What to think of it. Then the proxy.

QUESTIONS = [
    "proxy.upper()",
    "hasattr(proxy, 'upper')",
    "len(proxy)",
    "proxy.__len__()",
    "proxy + '!'",
    "proxy == 'value'",
    "str(proxy)",
    "proxy.__str__()",
    "'v' in proxy",
    "isinstance(proxy, str)",
]


def predictions() -> dict[str, bool]:
    """Tells for each of the QUESTIONS whether it gives the same for "value" and for its proxy.

    The proxy is `Proxy(lambda: "value")`, of the class below: it has these three methods, and
    whatever every class has.
    """
    return {
        "proxy.upper()": True,
        "hasattr(proxy, 'upper')": True,
        "len(proxy)": False,  # looked for in the class Proxy
        "proxy.__len__()": True,  # an attribute like any other
        "proxy + '!'": False,
        "proxy == 'value'": False,  # object has one: are they the same object?
        "str(proxy)": False,  # object has one
        "proxy.__str__()": False,
        "'v' in proxy": False,
        "isinstance(proxy, str)": False,  # object has a __class__
    }


class Proxy:
    """An object whose attributes are those of its target.

    Args:
        factory: Makes the target, at the first use.
    """

    __lazy: Lazy

    def __init__(self, factory: Callable[[], Any]) -> None:
        object.__setattr__(self, "_Proxy__lazy", Lazy(factory))

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the target. Called for names that the proxy does not have."""
        if name == "_Proxy__lazy":  # in an object made without __init__, as copy.copy() does
            raise AttributeError(name)
        return getattr(self.__lazy.resolve(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute of the target. Called for all names."""
        setattr(self.__lazy.resolve(), name, value)
