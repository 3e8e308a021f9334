"""Exercise 3: the special methods of a proxy. README.md in this folder tells the task."""

from collections.abc import Callable, Iterator
from typing import Any


class Proxy:
    """An object that behaves as its target.

    Args:
        factory: Makes the target, at the first use.
    """

    # Given: the target, and its attributes.

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

    # Yours: the table. One line is an example, and three lines are missing.
    # fmt: off

    # Text, comparison
    def __str__(self) -> str: raise NotImplementedError
    def __eq__(self, other: object) -> Any: raise NotImplementedError
    def __ne__(self, other: object) -> Any: raise NotImplementedError
    def __lt__(self, other: Any) -> Any: raise NotImplementedError
    def __le__(self, other: Any) -> Any: raise NotImplementedError
    def __gt__(self, other: Any) -> Any: raise NotImplementedError
    def __ge__(self, other: Any) -> Any: raise NotImplementedError

    # Calls, containers
    def __call__(self, *args: Any, **kwargs: Any) -> Any: raise NotImplementedError
    def __len__(self) -> int: return len(self._target)
    def __getitem__(self, key: Any) -> Any: raise NotImplementedError
    def __setitem__(self, key: Any, value: Any) -> None: raise NotImplementedError
    def __delitem__(self, key: Any) -> None: raise NotImplementedError
    def __iter__(self) -> Iterator[Any]: raise NotImplementedError
    def __contains__(self, item: Any) -> bool: raise NotImplementedError

    # Numbers
    def __add__(self, other: Any) -> Any: raise NotImplementedError
    def __sub__(self, other: Any) -> Any: raise NotImplementedError
    def __radd__(self, other: Any) -> Any: raise NotImplementedError
    def __neg__(self) -> Any: raise NotImplementedError
    def __int__(self) -> int: raise NotImplementedError

    # fmt: on

    def __iadd__(self, other: Any) -> Any:
        """Adds in place: a target that changes stays behind its proxy."""
        raise NotImplementedError
