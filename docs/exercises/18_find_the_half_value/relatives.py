"""What the test of exercise 18 is tried on: two that are right, and relatives of the suspect."""

from __future__ import annotations

import os

import suspect
from suspect import AlreadySetError


class Right(suspect.Connector):
    """Writes the file aside, and links it to its name in one step."""

    def set(self, key: str, data: bytes) -> None:
        path = self._directory / key
        aside = self._directory / f"{key}.{os.urandom(8).hex()}.partial"
        try:
            aside.write_bytes(data)
            os.link(aside, path)
        except FileExistsError:
            raise AlreadySetError(f"{key} is set already.") from None
        finally:
            aside.unlink(missing_ok=True)


class RightInItsOwnWay(suspect.Connector):
    """Renames a directory with the file in it, which no full directory can stand in for."""

    def set(self, key: str, data: bytes) -> None:
        aside = self._directory / f"{key}.{os.urandom(8).hex()}.partial"
        aside.mkdir()
        file = aside / "value"
        try:
            file.write_bytes(data)
            aside.rename(self._directory / key)
        except OSError:
            file.unlink()
            aside.rmdir()
            if self.get(key) is None:
                raise
            raise AlreadySetError(f"{key} is set already.") from None

    def get(self, key: str) -> bytes | None:
        try:
            return (self._directory / key / "value").read_bytes()
        except FileNotFoundError:
            return None


class ReservesTheName(suspect.Connector):
    """makes an empty file first, so that nobody takes its name, and replaces it then"""

    def set(self, key: str, data: bytes) -> None:
        path = self._directory / key
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            raise AlreadySetError(f"{key} is set already.") from None
        aside = self._directory / f"{key}.partial"
        aside.write_bytes(data)
        aside.replace(path)


class WritesInParts(suspect.Connector):
    """writes byte by byte into the file that readers see"""

    def set(self, key: str, data: bytes) -> None:
        aside = self._directory / f"{key}.{os.urandom(8).hex()}.partial"
        with open(aside, "wb", buffering=0) as file:
            file.write(data[:1])
            os.link(aside, self._directory / key)
            for position in range(1, len(data)):
                file.write(data[position : position + 1])
        aside.unlink()


class HasRoomFirst(suspect.Connector):
    """fills the file with zeros first, to be sure that there is room"""

    def set(self, key: str, data: bytes) -> None:
        with open(self._directory / f"{key}.partial", "wb", buffering=0) as file:
            file.write(bytes(len(data)))
            os.link(file.name, self._directory / key)
            file.seek(0)
            file.write(data)
        os.unlink(file.name)


class ReadersGetAnError(suspect.Connector):
    """writes the length first, and a reader that comes early gets an error"""

    def set(self, key: str, data: bytes) -> None:
        with open(self._directory / key, "xb", buffering=0) as file:
            file.write(len(data).to_bytes(8, "big"))
            file.write(data)

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        if found is None:
            return None
        if len(found) < 8 or len(found) - 8 != int.from_bytes(found[:8], "big"):
            raise ValueError(f"{key} is not complete.")
        return found[8:]


class KnowsOnlyItsOwn(suspect.Connector):
    """hides what is not complete from its own object only"""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self._busy: set[str] = set()

    def set(self, key: str, data: bytes) -> None:
        self._busy.add(key)
        super().set(key, data)
        self._busy.remove(key)

    def get(self, key: str) -> bytes | None:
        return None if key in self._busy else super().get(key)


class Loses(suspect.Connector):
    """shows nothing at all, not even when set() has returned"""

    def set(self, key: str, data: bytes) -> None:
        (self._directory / f"{key}.partial").write_bytes(data)


RELATIVES = [
    ReservesTheName,
    WritesInParts,
    HasRoomFirst,
    ReadersGetAnError,
    KnowsOnlyItsOwn,
    Loses,
]
