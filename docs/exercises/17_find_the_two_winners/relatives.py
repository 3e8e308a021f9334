"""What the test of exercise 17 is tried on: two that are right, and relatives of the suspect."""

from __future__ import annotations

import threading

import suspect
from suspect import AlreadySetError


class Right(suspect.Connector):
    """Looks and stores in one step, under the lock."""

    def set(self, key: str, data: bytes) -> None:
        with self._lock:
            if key in self._values:
                raise AlreadySetError(f"{key} is set already.")
            self._values[key] = data


class RightInItsOwnWay:
    """Has no lock: `setdefault()` is one step, and tells who was first."""

    def __init__(self) -> None:
        self.boxes: dict[str, list[bytes]] = {}
        self.keys = iter(range(1_000_000))

    def new_key(self) -> int:
        return next(self.keys)

    def set(self, key: str, data: bytes) -> None:
        mine = [data]
        if self.boxes.setdefault(key, mine) is not mine:
            raise AlreadySetError(f"{key} is set already.")

    def get(self, key: str) -> bytes | None:
        return self.boxes[key][0] if key in self.boxes else None


class LocksWithALockOfItsOwn(suspect.Connector):
    """makes a new lock at each call, which keeps nobody out"""

    def set(self, key: str, data: bytes) -> None:
        with threading.Lock():
            if key in self._values:
                raise AlreadySetError(f"{key} is set already.")
            self._values[key] = data


class KeepsTheLosersValue(suspect.Connector):
    """tells the loser, and keeps the loser's value"""

    def __init__(self) -> None:
        super().__init__()
        self._taken: set[str] = set()

    def set(self, key: str, data: bytes) -> None:
        if self.get(key) is not None:
            raise AlreadySetError(f"{key} is set already.")
        with self._lock:
            is_first = key not in self._taken
            self._taken.add(key)
            self._values[key] = data
        if not is_first:
            raise AlreadySetError(f"{key} is set already.")


class HasNoWinner(suspect.Connector):
    """tells both that the other one has won"""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: dict[str, int] = {}

    def set(self, key: str, data: bytes) -> None:
        with self._lock:
            self._wanted[key] = self._wanted.get(key, 0) + 1
        with self._lock:
            if self._wanted[key] > 1:
                raise AlreadySetError(f"{key} is wanted by two.")
            self._values[key] = data


class BreaksOverTheLoser(suspect.Connector):
    """raises a KeyError where it must raise AlreadySetError"""

    def __init__(self) -> None:
        super().__init__()
        self._free: dict[str, None] = {}

    def new_key(self) -> str:
        key = super().new_key()
        self._free[key] = None
        return key

    def set(self, key: str, data: bytes) -> None:
        if key not in self._free:
            raise AlreadySetError(f"{key} is set already.")
        del self._free[key]
        self._values[key] = data


class LeavesTheLoserWaiting(suspect.Connector):
    """has the loser wait for ever"""

    def __init__(self) -> None:
        super().__init__()
        self._turns: dict[str, threading.Semaphore] = {}

    def set(self, key: str, data: bytes) -> None:
        if self.get(key) is not None:
            raise AlreadySetError(f"{key} is set already.")
        self._turns.setdefault(key, threading.Semaphore(1)).acquire()
        with self._lock:
            self._values[key] = data


RELATIVES = [
    LocksWithALockOfItsOwn,
    KeepsTheLosersValue,
    HasNoWinner,
    BreaksOverTheLoser,
    LeavesTheLoserWaiting,
]
