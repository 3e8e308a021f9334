# Wrong: a class with __eq__ and without __hash__ cannot be hashed.
# Fails: hash(x) gives "TypeError: unhashable type: 'Proxy'

from collections.abc import Callable, Iterator
from typing import Any


class Proxy:
    """An object that behaves as its target.

    Args:
        factory: Makes the target, at the first use.
    """

    # The target, and its attributes.

    def __init__(self, factory: Callable[[], Any]) -> None:
        self._factory = factory

    @property
    def _target(self) -> Any:
        if "_made" not in self.__dict__:
            self._made = self._factory()
        return self._made

    def __getattr__(self, name: str) -> Any:
        if name == "_made":
            raise AttributeError(name)
        return getattr(self._target, name)

    # The table.
    # fmt: off

    # Text, comparison
    def __str__(self) -> str: return str(self._target)
    def __eq__(self, other: object) -> Any: return self._target == other
    def __ne__(self, other: object) -> Any: return self._target != other
    def __lt__(self, other: Any) -> Any: return self._target < other
    def __le__(self, other: Any) -> Any: return self._target <= other
    def __gt__(self, other: Any) -> Any: return self._target > other
    def __ge__(self, other: Any) -> Any: return self._target >= other
    def __bool__(self) -> bool: return bool(self._target)

    # Calls, containers
    def __call__(self, *args: Any, **kwargs: Any) -> Any: return self._target(*args, **kwargs)
    def __len__(self) -> int: return len(self._target)
    def __getitem__(self, key: Any) -> Any: return self._target[key]
    def __setitem__(self, key: Any, value: Any) -> None: self._target[key] = value
    def __delitem__(self, key: Any) -> None: del self._target[key]
    def __iter__(self) -> Iterator[Any]: return iter(self._target)
    def __contains__(self, item: Any) -> bool: return item in self._target

    # Numbers
    def __add__(self, other: Any) -> Any: return self._target + other
    def __sub__(self, other: Any) -> Any: return self._target - other
    def __radd__(self, other: Any) -> Any: return other + self._target
    def __rsub__(self, other: Any) -> Any: return other - self._target
    def __neg__(self) -> Any: return -self._target
    def __int__(self) -> int: return int(self._target)

    # fmt: on

    def __iadd__(self, other: Any) -> Any:
        """Adds in place: a target that changes stays behind its proxy."""
        result = self._target
        result += other  # what a list does in place, and a number does not
        return self if result is self._target else result
