# Wrong: __instancecheck__ is for a class on the right of isinstance(), not for what is on its left.
# Fails: isinstance(proxy, list) says no; it asks proxy.__class__

import threading
from collections.abc import Callable
from typing import Any

# The lazy value.

_MISSING = object()


class Lazy:
    """A value that is made at its first use, and kept."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory
        self._value: Any = _MISSING
        self._lock = threading.Lock()

    def is_resolved(self) -> bool:
        """Tells whether the value is there, without making it and without waiting."""
        return self._value is not _MISSING

    def resolve(self) -> Any:
        """Returns the value, after making it if it is not there yet."""
        with self._lock:
            if not self.is_resolved():
                self._value = self.factory()
        return self._value


class Proxy:
    """An object that behaves as its target.

    Args:
        factory: Makes the target, at the first use.
        target_type: The class of the target, if it is known before.
    """

    def __init__(self, factory: Callable[[], Any], target_type: type | None = None) -> None:
        self._lazy = Lazy(factory)
        self._target_type = target_type

    def __getattr__(self, name: str) -> Any:
        if name == "_lazy":  # in an object made without __init__
            raise AttributeError(name)
        return getattr(self._lazy.resolve(), name)

    def __len__(self) -> int:
        return len(self._lazy.resolve())

    # Who is it?

    def __instancecheck__(self, cls: type) -> bool:
        return isinstance(self._lazy.resolve(), cls)

    def __repr__(self) -> str:
        """Returns the target's, or `<Proxy of FACTORY, unresolved>`. Never runs the factory."""
        if self._lazy.is_resolved():
            return repr(self._lazy.resolve())
        return f"<Proxy of {self._lazy.factory!r}, unresolved>"

    def __dir__(self) -> list[str]:
        """Returns the names that can be known without running the factory."""
        if self._lazy.is_resolved():
            return dir(self._lazy.resolve())
        return dir(self._target_type or Proxy)
